package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"latchkey"
)

// AddGap keeps a gap.
func (s *Store) AddGap(ctx context.Context, g latchkey.Gap) error {
	return s.records.change(ctx, func(c *sql.Conn) error {
		_, err := c.ExecContext(ctx, `INSERT OR REPLACE INTO gaps (node, "from", "to", count, at_most) VALUES (?, ?, ?, ?, ?)`,
			text(g.Node), g.From.UnixMicro(), g.To.UnixMicro(), g.Count, g.AtMost)
		if err != nil {
			return s.records.fault("write gap", err)
		}
		return nil
	})
}

// Gaps returns the gaps that touch the time between two moments, oldest first.
func (s *Store) Gaps(ctx context.Context, from, to time.Time) ([]latchkey.Gap, error) {
	rows, err := s.records.read.QueryContext(ctx,
		`SELECT node, "from", "to", count, at_most FROM gaps WHERE "to" >= ? AND "from" <= ? ORDER BY "from", node`,
		from.UnixMicro(), to.UnixMicro())
	if err != nil {
		return nil, s.records.fault("read gaps", err)
	}
	defer rows.Close()
	var list []latchkey.Gap
	for rows.Next() {
		var (
			g          latchkey.Gap
			begin, end int64
		)
		if err := rows.Scan(&g.Node, &begin, &end, &g.Count, &g.AtMost); err != nil {
			return nil, s.records.fault("read gaps", err)
		}
		g.From, g.To = fromMicros(begin), fromMicros(end)
		list = append(list, g)
	}
	if err := rows.Err(); err != nil {
		return nil, s.records.fault("read gaps", err)
	}
	return list, nil
}

// Retention returns what Retain was called with last.
func (s *Store) Retention(ctx context.Context) (latchkey.Retention, error) {
	var (
		r   latchkey.Retention
		age int64
	)
	err := s.records.read.QueryRowContext(ctx, `SELECT age, bytes FROM retention`).Scan(&age, &r.Bytes)
	if err != nil {
		return r, s.records.fault("read retention", err)
	}
	r.Age = time.Duration(age) * time.Microsecond
	return r, nil
}

// Retain removes the files of days that r does not keep, and gaps as old. A file
// that somebody reads at the moment is removed the next time. Of what is too
// much, refusals go before days, until they take half of what may be kept:
// strangers can make any number of them.
//
// A disk that is full is what this has to help, and a damaged file must not keep
// the others: what is old goes by its name alone, before anything is opened or
// written; and no error stops what comes after it.
func (s *Store) Retain(ctx context.Context, r latchkey.Retention) error {
	horizon := int64(0)
	if r.Age > 0 {
		horizon = s.now().Add(-r.Age).UnixMicro()
	}
	errs := []error{s.dropOld(horizon), s.remember(ctx, r, horizon)}
	if r.Bytes > 0 {
		errs = append(errs, s.squeeze(ctx), s.dropRefusals(ctx, r.Bytes), s.dropLarge(ctx, r.Bytes))
	}
	return errors.Join(errs...)
}

// dropOld removes the days that ended before the horizon, in unix µs.
func (s *Store) dropOld(horizon int64) error {
	numbers, err := s.days.numbers()
	if err != nil {
		return err
	}
	var errs []error
	for _, number := range numbers {
		if (number+1)*microsPerDay <= horizon {
			errs = append(errs, s.days.remove(number))
		}
	}
	return errors.Join(errs...)
}

// remember keeps r, and forgets the gaps that ended before the horizon.
func (s *Store) remember(ctx context.Context, r latchkey.Retention, horizon int64) error {
	return s.records.change(ctx, func(c *sql.Conn) error {
		_, err := c.ExecContext(ctx, `UPDATE retention SET age = ?, bytes = ?`, r.Age.Microseconds(), r.Bytes)
		if err == nil {
			_, err = c.ExecContext(ctx, `DELETE FROM gaps WHERE "to" < ?`, horizon)
		}
		if err != nil {
			return s.records.fault("write retention", err)
		}
		return nil
	})
}

// dropLarge removes the oldest days until the others are no more than so many
// bytes. The newest stays.
func (s *Store) dropLarge(ctx context.Context, keep int64) error {
	numbers, sizes, err := s.measure(ctx)
	errs := []error{err}
	total := int64(0)
	for i, number := range numbers {
		if total += sizes[i].bytes; total > keep && i > 0 {
			errs = append(errs, s.days.remove(number))
		}
	}
	return errors.Join(errs...)
}
