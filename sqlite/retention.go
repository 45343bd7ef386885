package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"sync"
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

// Retain removes the files of days that r does not keep, and gaps and usage as old.
// A file that somebody reads at the moment is removed the next time. Of what is too
// much, refusals go before days, until they take half of what may be kept:
// strangers can make any number of them.
//
// A disk that is full is what this has to help, and a damaged file must not keep
// the others: what is old goes by its name alone, before anything is opened or
// written; and no error stops what comes after it.
func (s *Store) Retain(ctx context.Context, r latchkey.Retention) error {
	var horizon, usage int64
	if now := s.now(); !s.doubts(ctx, now) {
		usage = r.UsageFrom(now).UnixMicro()
		if r.Age > 0 {
			horizon = now.Add(-r.Age).UnixMicro()
		}
	}
	errs := []error{s.dropOld(horizon), s.remember(ctx, r, horizon), s.dropUsage(ctx, usage)}
	if r.Bytes > 0 {
		errs = append(errs, s.squeeze(ctx), s.dropRefusals(ctx, r.Bytes), s.dropLarge(ctx, r.Bytes))
	}
	return errors.Join(errs...)
}

// doubtTime is how far the clock may go from one Retain to the next without
// doubt, and how long it is in doubt beyond.
const doubtTime = 24 * time.Hour

// A clockDoubt is what the table "retention" says of the clock, in unix µs. It is
// kept here too: a disk may take nothing.
type clockDoubt struct {
	mu            sync.Mutex
	loaded        bool
	seen, doubted int64
}

// doubts reports whether nothing may be removed for its age yet, record or tombstone. A clock that has
// gone ahead by more than a day since it was last asked, while the machine was off
// or not, may be wrong, and what it takes does not come back: it is believed when
// it has been so for another day. The clock's going back ends the doubt.
func (s *Store) doubts(ctx context.Context, now time.Time) bool {
	d := &s.doubt
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.loaded {
		err := s.records.read.QueryRowContext(ctx, `SELECT seen, doubted FROM retention`).Scan(&d.seen, &d.doubted)
		d.loaded = err == nil
	}
	us := now.UnixMicro()
	switch {
	case d.seen > 0 && us-d.seen > doubtTime.Microseconds():
		d.doubted = us
		s.logger.Warn("the clock has gone ahead by more than a day: nothing is removed for its age for a day; set the clock if it is wrong",
			"clock", now, "before", fromMicros(d.seen))
	case us < d.doubted || us-d.doubted >= doubtTime.Microseconds():
		d.doubted = 0
	}
	d.seen = us
	return d.doubted > 0
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
		s.doubt.mu.Lock()
		seen, doubted := s.doubt.seen, s.doubt.doubted
		s.doubt.mu.Unlock()
		_, err := c.ExecContext(ctx, `UPDATE retention SET age = ?, bytes = ?, seen = ?, doubted = ?`,
			r.Age.Microseconds(), r.Bytes, seen, doubted)
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
// bytes. The newest stays, and what is not over by the store's clock.
func (s *Store) dropLarge(ctx context.Context, keep int64) error {
	numbers, sizes, err := s.measure(ctx)
	errs := []error{err}
	total := int64(0)
	for i, number := range numbers {
		if total += sizes[i].bytes; total > keep && sizes[i].former {
			errs = append(errs, s.days.remove(number))
		}
	}
	return errors.Join(errs...)
}
