package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey"
)

// Tallies returns the counts of a team's requests, oldest hour first: as many
// hours as there are days of records.
func (s *Store) Tallies(ctx context.Context, teamID string, since time.Time) ([]latchkey.Tally, error) {
	rows, err := s.pool.Query(ctx,
		`SELECT hour, outcome, count FROM tallies WHERE team_id = $1 AND hour >= $2 ORDER BY hour, outcome`,
		text(teamID), since.UTC().Truncate(time.Hour).UnixMicro())
	if err != nil {
		return nil, fault("read tallies", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (t latchkey.Tally, err error) {
		var hour int64
		err = row.Scan(&hour, &t.Outcome, &t.Count)
		t.Hour = fromMicros(hour)
		return t, err
	})
	if err != nil {
		return nil, fault("read tallies", err)
	}
	return list, nil
}
