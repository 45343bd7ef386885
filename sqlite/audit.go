package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"latchkey"
)

// AppendEvents adds events, in one transaction.
func (s *Store) AppendEvents(ctx context.Context, events ...latchkey.Event) error {
	return s.credentials.change(ctx, func(c *sql.Conn) error {
		return s.insertEvents(ctx, c, events)
	})
}

func (s *Store) insertEvents(ctx context.Context, q querier, events []latchkey.Event) error {
	if err := writeEvents(ctx, q, events); err != nil {
		return s.credentials.fault("write audit", err)
	}
	return nil
}

func writeEvents(ctx context.Context, q querier, events []latchkey.Event) error {
	for _, e := range events {
		id, err := uuid.Parse(e.ID)
		if err != nil {
			return fmt.Errorf("event without an ID: %w", err)
		}
		_, err = q.ExecContext(ctx, `
			INSERT INTO events (id, time, actor, source, action, team_id, subject, detail)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
			id[:], e.Time.UnixMicro(), text(e.Actor.Name), text(e.Actor.Source), string(e.Action),
			text(e.TeamID), text(e.Subject), text(e.Detail))
		if err != nil {
			return err
		}
	}
	return nil
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
	query := `SELECT id, time, actor, source, action, team_id, subject, detail FROM events WHERE id < ?2 AND ?1 = '' ORDER BY id DESC LIMIT ?3`
	if teamID != "" {
		query = `SELECT id, time, actor, source, action, team_id, subject, detail FROM events WHERE id < ?2 AND team_id = ?1 ORDER BY id DESC LIMIT ?3`
	}
	events, err := scanEvents(s.credentials.read.QueryContext(ctx, query, text(teamID), last[:], limit))
	if err != nil {
		return nil, s.credentials.fault("read audit", err)
	}
	return events, nil
}

func scanEvents(rows *sql.Rows, err error) (events []latchkey.Event, _ error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var (
			e    latchkey.Event
			id   uuid.UUID
			time int64
		)
		if err := rows.Scan(&id, &time, &e.Actor.Name, &e.Actor.Source, &e.Action, &e.TeamID, &e.Subject, &e.Detail); err != nil {
			return nil, err
		}
		e.ID, e.Time = id.String(), fromMicros(time)
		events = append(events, e)
	}
	return events, errors.Join(rows.Err())
}
