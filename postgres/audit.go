package postgres

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"latchkey"
)

// AppendEvents adds events, in one transaction.
func (s *Store) AppendEvents(ctx context.Context, events ...latchkey.Event) error {
	return s.change(ctx, func(tx pgx.Tx) error { return writeEvents(ctx, tx, events) })
}

// writeEvents adds events in a transaction.
func writeEvents(ctx context.Context, q querier, events []latchkey.Event) error {
	for _, e := range events {
		args, err := eventArgs(e)
		if err == nil {
			_, err = q.Exec(ctx, insertEvent, args...)
		}
		if err != nil {
			return fault("write audit", err)
		}
	}
	return nil
}

const insertEvent = `
	INSERT INTO events (id, time, actor, source, action, team_id, subject, detail)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`

// eventArgs returns the arguments of insertEvent.
func eventArgs(e latchkey.Event) ([]any, error) {
	id, err := uuid.Parse(e.ID)
	if err != nil {
		return nil, fmt.Errorf("event without an ID: %w", err)
	}
	return []any{id, e.Time.UnixMicro(), text(e.Actor.Name), text(e.Actor.Source), text(string(e.Action)),
		text(e.TeamID), text(e.Subject), text(e.Detail)}, nil
}

// Events returns at most limit events of a team, newest first.
func (s *Store) Events(ctx context.Context, teamID, before string, limit int) ([]latchkey.Event, error) {
	last := uuid.Max
	if before != "" {
		var err error
		if last, err = uuid.Parse(before); err != nil {
			return nil, &latchkey.InvalidError{Field: "before", Problem: "is not the ID of an event"}
		}
	}
	// The two cases are two queries: each walks one index backwards.
	const columns = `id, time, actor, source, action, team_id, subject, detail`
	query, args := `SELECT `+columns+` FROM events WHERE id < $1 ORDER BY id DESC LIMIT $2`, []any{last, max(limit, 0)}
	if teamID != "" {
		query = `SELECT ` + columns + ` FROM events WHERE id < $1 AND team_id = $3 ORDER BY id DESC LIMIT $2`
		args = append(args, text(teamID))
	}
	rows, err := s.pool.Query(ctx, query, args...)
	if err != nil {
		return nil, fault("read audit", err)
	}
	events, err := pgx.CollectRows(rows, scanEvent)
	if err != nil {
		return nil, fault("read audit", err)
	}
	return events, nil
}

func scanEvent(row pgx.CollectableRow) (e latchkey.Event, err error) {
	var (
		id   uuid.UUID
		time int64
	)
	err = row.Scan(&id, &time, &e.Actor.Name, &e.Actor.Source, &e.Action, &e.TeamID, &e.Subject, &e.Detail)
	e.ID, e.Time = id.String(), fromMicros(time)
	return e, err
}
