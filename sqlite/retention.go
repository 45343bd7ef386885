package sqlite

import (
	"context"
	"database/sql"
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
func (s *Store) Retain(ctx context.Context, r latchkey.Retention) error {
	horizon := int64(0)
	if r.Age > 0 {
		horizon = s.now().Add(-r.Age).UnixMicro()
	}
	err := s.records.change(ctx, func(c *sql.Conn) error {
		_, err := c.ExecContext(ctx, `UPDATE retention SET age = ?, bytes = ?`, r.Age.Microseconds(), r.Bytes)
		if err == nil {
			_, err = c.ExecContext(ctx, `DELETE FROM gaps WHERE "to" < ?`, horizon)
		}
		if err != nil {
			return s.records.fault("write retention", err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := s.dropRefusals(ctx, r.Bytes); err != nil {
		return err
	}
	numbers, err := s.days.numbers()
	if err != nil {
		return err
	}
	total := int64(0)
	for i, number := range numbers {
		size, err := s.days.sizeOf(ctx, number)
		if err != nil {
			return err
		}
		total += size.bytes
		old := (number+1)*microsPerDay <= horizon
		large := r.Bytes > 0 && total > r.Bytes && i > 0
		if !old && !large {
			continue
		}
		if _, err := s.days.remove(number); err != nil {
			return err
		}
	}
	return nil
}
