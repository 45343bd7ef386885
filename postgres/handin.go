package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"latchkey"
)

// JoinHandIns adds a node that is about to answer.
func (s *Store) JoinHandIns(ctx context.Context, h latchkey.HandIn) (now time.Time, err error) {
	var until *int64
	if !h.Until.IsZero() {
		us := h.Until.UnixMicro()
		until = &us
	}
	var us int64
	err = s.pool.QueryRow(ctx, `
		WITH added AS (
			INSERT INTO hand_ins (node, journal, until) VALUES ($1, $2, coalesce($3, latchkey_now())) ON CONFLICT (node, journal) DO NOTHING
		) SELECT latchkey_now()`, text(h.Node), text(h.Journal), until).Scan(&us)
	if err != nil {
		return now, fault("join the hand-ins", err)
	}
	return fromMicros(us), nil
}

// HandIn says that a node's records up to a time are in the store, and what it
// has open.
func (s *Store) HandIn(ctx context.Context, h latchkey.HandIn, open latchkey.OpenRecords) (now time.Time, err error) {
	var batch pgx.Batch // which is one transaction
	var us int64
	node, journal := text(h.Node), text(h.Journal)
	say := `UPDATE hand_ins SET until = $3 WHERE node = $1 AND journal = $2 RETURNING latchkey_now()`
	if open.All {
		say = `
			INSERT INTO hand_ins (node, journal, until) VALUES ($1, $2, $3)
			ON CONFLICT (node, journal) DO UPDATE SET until = excluded.until
			RETURNING latchkey_now()`
	}
	until := h.Until.UnixMicro() // rounded down: never more than is true
	batch.Queue(say, node, journal, until).QueryRow(func(row pgx.Row) error { return row.Scan(&us) })
	if open.All {
		batch.Queue(`DELETE FROM open_records WHERE node = $1 AND journal = $2`, node, journal)
	}
	if len(open.Ended) > 0 {
		batch.Queue(`DELETE FROM open_records WHERE node = $1 AND journal = $2 AND id = ANY ($3::uuid[])`, node, journal, open.Ended)
	}
	if len(open.Began) > 0 {
		ids, records := make([]string, len(open.Began)), make([]string, len(open.Began))
		for i, r := range open.Began {
			b, err := json.Marshal(r)
			if err != nil {
				return now, fmt.Errorf("write an open record: %w", err)
			}
			ids[i], records[i] = r.RequestID, string(b)
		}
		batch.Queue(`
			INSERT INTO open_records (id, node, journal, record) SELECT id, $1, $2, record FROM unnest($3::uuid[], $4::text[]) AS began (id, record)
			ON CONFLICT (id) DO UPDATE SET node = excluded.node, journal = excluded.journal, record = excluded.record`, node, journal, ids, records)
	}
	batch.Queue(forgetOldHandIns, node, journal, latchkey.MaxHandInAge.Microseconds(), latchkey.LostJournalAge.Microseconds())
	switch err := s.pool.SendBatch(ctx, &batch).Close(); {
	case errors.Is(err, pgx.ErrNoRows):
		return now, latchkey.NotFound("hand-in of node", h.Node)
	case err != nil:
		return now, fault("write hand-in", err)
	}
	return fromMicros(us), nil
}

// forgetOldHandIns reads the clock once, and not for each node: all nodes do this
// twice a second.
const forgetOldHandIns = `
	DELETE FROM hand_ins WHERE ctid = ANY (ARRAY(
		SELECT ctid FROM hand_ins
		WHERE (node <> $1 OR journal <> $2)
			AND until < (SELECT latchkey_now() - CASE WHEN age > 0 THEN least(age, $3) ELSE $3 END FROM retention)
			OR node = $1 AND journal <> $2 AND until < (SELECT latchkey_now() - $4)
		FOR UPDATE SKIP LOCKED))`

// HandIns returns the latest of each journal, by node, and the database's clock.
func (s *Store) HandIns(ctx context.Context) (list []latchkey.HandIn, now time.Time, err error) {
	rows, err := s.pool.Query(ctx, `
		SELECT asked.clock, node, journal, until FROM (SELECT latchkey_now() AS clock) AS asked LEFT JOIN hand_ins ON true ORDER BY node, journal`)
	if err != nil {
		return nil, now, fault("read hand-ins", err)
	}
	var (
		us            int64
		node, journal *string
		until         *int64
	)
	_, err = pgx.ForEachRow(rows, []any{&us, &node, &journal, &until}, func() error {
		now = fromMicros(us)
		if node != nil {
			list = append(list, latchkey.HandIn{Node: *node, Journal: *journal, Until: fromMicros(*until)})
		}
		return nil
	})
	if err != nil {
		return nil, now, fault("read hand-ins", err)
	}
	return list, now, nil
}

// OpenRecord returns what a node has open by its request ID.
func (s *Store) OpenRecord(ctx context.Context, requestID string) (r latchkey.Record, err error) {
	id, err := uuid.Parse(requestID)
	if err != nil {
		return r, latchkey.NotFound("request", requestID)
	}
	var held string
	switch err := s.pool.QueryRow(ctx, `SELECT record FROM open_records WHERE id = $1`, id.String()).Scan(&held); {
	case errors.Is(err, pgx.ErrNoRows):
		return r, latchkey.NotFound("request", requestID)
	case err != nil:
		return r, fault("read an open record", err)
	}
	if err := json.Unmarshal([]byte(held), &r); err != nil {
		return latchkey.Record{}, fmt.Errorf("read an open record: %w", err)
	}
	r.Open = true
	return r, nil
}

// ForgetHandIn forgets a node, and what it had open.
func (s *Store) ForgetHandIn(ctx context.Context, node, journal string) error {
	if _, err := s.pool.Exec(ctx, `DELETE FROM hand_ins WHERE node = $1 AND journal = $2`, text(node), text(journal)); err != nil {
		return fault("forget hand-in", err)
	}
	return nil
}
