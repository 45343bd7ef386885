package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
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
	t[tallyOf{text(r.TeamID), r.Time.UTC().Truncate(time.Hour).UnixMicro(), text(string(r.Outcome))}]++
}

// addSizes counts the records themselves.
func (t tallies) addSizes(ctx context.Context, c *sql.Conn) error {
	var records, refusals int64
	for of, count := range t {
		records += count
		if (&latchkey.Record{TeamID: of.teamID, Outcome: latchkey.Outcome(of.outcome)}).Refusal() {
			refusals += count
		}
	}
	_, err := c.ExecContext(ctx, `UPDATE sizes SET records = records + ?, refusals = refusals + ?`, records, refusals)
	return err
}

func addTallies(ctx context.Context, c *sql.Conn, counts tallies) error {
	for of, count := range counts {
		if of.teamID == "" {
			continue // nobody asks for them
		}
		_, err := c.ExecContext(ctx, `
			INSERT INTO tallies (team_id, hour, outcome, count) VALUES (?, ?, ?, ?)
			ON CONFLICT DO UPDATE SET count = count + excluded.count`, of.teamID, of.hour, of.outcome, count)
		if err != nil {
			return err
		}
	}
	return nil
}

// Tallies returns the counts of a team's requests, oldest hour first: as many
// hours as there are days of records. A day whose file is damaged counts nothing:
// who looks at a chart may have come for something else.
func (s *Store) Tallies(ctx context.Context, teamID string, since time.Time) ([]latchkey.Tally, error) {
	hour := since.UTC().Truncate(time.Hour)
	lead, _, err := s.span(ctx)
	if err != nil {
		return nil, err
	}
	numbers, err := s.days.numbers()
	if err != nil {
		return nil, err
	}
	sums := map[latchkey.Tally]int64{} // without their counts
	for _, number := range numbers {
		if (number+1)*microsPerDay+lead < hour.UnixMicro() {
			break
		}
		err := s.days.with(ctx, number, false, func(d *day) error {
			list, err := scanTallies(d.read.QueryContext(ctx,
				`SELECT hour, outcome, count FROM tallies WHERE team_id = ? AND hour >= ?`, text(teamID), hour.UnixMicro()))
			if err != nil {
				return d.fault("read tallies", err)
			}
			for _, t := range list {
				sums[latchkey.Tally{Hour: t.Hour, Outcome: t.Outcome}] += t.Count
			}
			return nil
		})
		switch {
		case unreadable(err):
			s.logger.Error("a chart lacks a day of records: its file is damaged", "error", err)
		case err != nil:
			return nil, err
		}
	}
	var list []latchkey.Tally
	for t, count := range sums {
		t.Count = count
		list = append(list, t)
	}
	slices.SortFunc(list, func(a, b latchkey.Tally) int {
		return cmp.Or(a.Hour.Compare(b.Hour), cmp.Compare(a.Outcome, b.Outcome))
	})
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
