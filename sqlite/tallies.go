package sqlite

import (
	"context"
	"database/sql"
	"time"

	"latchkey"
)

// tallies counts the records of one transaction.
type tallies map[tallyOf]int64

type tallyOf struct {
	teamID  string
	hour    int64 // unix µs
	outcome string
}

func (t tallies) add(r *latchkey.Record) {
	if r.TeamID != "" {
		t[tallyOf{text(r.TeamID), r.Time.UTC().Truncate(time.Hour).UnixMicro(), text(string(r.Outcome))}]++
	}
}

func addTallies(ctx context.Context, c *sql.Conn, counts tallies) error {
	for of, count := range counts {
		_, err := c.ExecContext(ctx, `
			INSERT INTO tallies (team_id, hour, outcome, count) VALUES (?, ?, ?, ?)
			ON CONFLICT DO UPDATE SET count = count + excluded.count`, of.teamID, of.hour, of.outcome, count)
		if err != nil {
			return err
		}
	}
	return nil
}

// Tallies returns the counts of a team's requests, oldest hour first.
func (s *Store) Tallies(ctx context.Context, teamID string, since time.Time) ([]latchkey.Tally, error) {
	list, err := scanTallies(s.records.read.QueryContext(ctx,
		`SELECT hour, outcome, count FROM tallies WHERE team_id = ? AND hour >= ? ORDER BY hour, outcome`,
		text(teamID), since.UTC().Truncate(time.Hour).UnixMicro()))
	if err != nil {
		return nil, s.records.fault("read tallies", err)
	}
	return list, nil
}

func scanTallies(rows *sql.Rows, err error) (list []latchkey.Tally, _ error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var (
			t    latchkey.Tally
			hour int64
		)
		if err := rows.Scan(&hour, &t.Outcome, &t.Count); err != nil {
			return nil, err
		}
		t.Hour = fromMicros(hour)
		list = append(list, t)
	}
	return list, rows.Err()
}
