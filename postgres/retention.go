package postgres

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey"
)

// AddGap keeps a gap.
func (s *Store) AddGap(ctx context.Context, g latchkey.Gap) error {
	_, err := s.pool.Exec(ctx, `
		INSERT INTO gaps (node, "from", "to", count, at_most) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (node, "from") DO UPDATE SET "to" = excluded."to", count = excluded.count, at_most = excluded.at_most`,
		text(g.Node), g.From.UnixMicro(), g.To.UnixMicro(), g.Count, g.AtMost)
	if err != nil {
		return fault("write gap", err)
	}
	return nil
}

// Gaps returns the gaps that touch the time between two moments, oldest first.
func (s *Store) Gaps(ctx context.Context, from, to time.Time) ([]latchkey.Gap, error) {
	rows, err := s.pool.Query(ctx,
		`SELECT node, "from", "to", count, at_most FROM gaps WHERE "to" >= $1 AND "from" <= $2 ORDER BY "from", node`,
		from.UnixMicro(), to.UnixMicro())
	if err != nil {
		return nil, fault("read gaps", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (g latchkey.Gap, err error) {
		var begin, end int64
		err = row.Scan(&g.Node, &begin, &end, &g.Count, &g.AtMost)
		g.From, g.To = fromMicros(begin), fromMicros(end)
		return g, err
	})
	if err != nil {
		return nil, fault("read gaps", err)
	}
	return list, nil
}

// Retention returns what Retain was called with last, by whatever node.
func (s *Store) Retention(ctx context.Context) (latchkey.Retention, error) {
	var (
		r   latchkey.Retention
		age int64
	)
	if err := s.pool.QueryRow(ctx, `SELECT age, bytes FROM retention`).Scan(&age, &r.Bytes); err != nil {
		return r, fault("read retention", err)
	}
	r.Age = time.Duration(age) * time.Microsecond
	return r, nil
}

// Retain drops the partitions of days that r does not keep, and gaps and usage as
// old; of what is too much, refusals before days. Nobody who reads or writes
// records waits for a day to be dropped. One that somebody reads for long, or that
// another node is about to drop, goes the next time.
func (s *Store) Retain(ctx context.Context, r latchkey.Retention) error {
	var now, horizon int64 // the oldest is all before
	err := s.change(ctx, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, `SELECT coalesce($1, latchkey_now())`, s.now()).Scan(&now); err != nil {
			return fault("read the clock", err)
		}
		if r.Age > 0 {
			horizon = now - r.Age.Microseconds()
		}
		_, err := tx.Exec(ctx, `UPDATE retention SET age = $1, bytes = $2`, r.Age.Microseconds(), r.Bytes)
		if err == nil {
			_, err = tx.Exec(ctx, `DELETE FROM gaps WHERE "to" < $1`, horizon)
		}
		if err != nil {
			return fault("write retention", err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = s.removing(ctx, func(conn *pgx.Conn) error {
		if err := s.dropUsage(ctx, conn, r.UsageFrom(fromMicros(now)).UnixMicro()); err != nil {
			return err
		}
		return s.dropOld(ctx, conn, cutoff{now: now, horizon: horizon, bytes: r.Bytes})
	})
	if code := state(err); ctx.Err() == nil && (code == stateLocked || code == stateCanceled) {
		s.logger.Info("old records are removed the next time: somebody holds them", "error", err)
		return nil
	}
	if err != nil {
		return fault("remove old records", err)
	}
	return nil
}

const (
	stateLocked   = "55P03" // lock_not_available
	stateCanceled = "57014" // query_canceled

	// dropWait is how long the removal of a day waits for those who have begun
	// to read it, before it is put off to the next time.
	dropWait = "SET lock_timeout = '5s'; SET statement_timeout = '30s'"
	dropDone = "RESET lock_timeout; RESET statement_timeout"
)

// removing runs f on one connection, in one process at a time.
func (s *Store) removing(ctx context.Context, f func(conn *pgx.Conn) error) error {
	pooled, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer pooled.Release()
	conn := pooled.Conn()
	if _, err := conn.Exec(ctx, dropWait); err != nil {
		return err
	}
	defer func() {
		always, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.patience())
		defer cancel()
		_, err := conn.Exec(always, dropDone)
		if err == nil {
			_, err = conn.Exec(always, `SELECT pg_advisory_unlock_all()`)
		}
		if err != nil {
			_ = conn.Close(always) // and its lock with it
		}
	}()
	if _, err := conn.Exec(ctx, `SELECT pg_advisory_lock($1)`, int64(retentionLock)); err != nil {
		return err
	}
	return f(conn)
}

// A cutoff says what is to go.
type cutoff struct {
	now     int64 // by the store's clock, unix µs
	horizon int64 // what ended before it is old, unix µs
	bytes   int64 // 0: any number
}

// over reports whether a day has ended, so long ago as is given in µs. A clock
// that was ahead for a while leaves days that are newer than today.
func (c cutoff) over(day, ago int64) bool { return (day+1)*microsPerDay+ago <= c.now }

// kept returns how many of the days are kept: the newest, and what is not over.
func (c cutoff) kept(list []partition) int {
	total := int64(0)
	for i, p := range list {
		total += p.bytes
		old := (p.day+1)*microsPerDay <= c.horizon
		large := c.bytes > 0 && total > c.bytes && i > 0 && c.over(p.day, 0)
		if old || large {
			return i
		}
	}
	return len(list)
}

// dropOld drops the days that c does not keep, and the counts of their hours.
func (s *Store) dropOld(ctx context.Context, conn *pgx.Conn, c cutoff) error {
	list, err := partitions(ctx, conn, c.bytes > 0)
	if err != nil {
		return err
	}
	all := len(list)
	// What is half gone already, first: while one day is about to leave, no
	// other can.
	half := slices.DeleteFunc(slices.Clone(list), func(p partition) bool { return p.attached && !p.leaving })
	list = slices.DeleteFunc(list, func(p partition) bool { return !p.attached || p.leaving })
	kept := cutoff{horizon: c.horizon}.kept(list)
	if err := s.drop(ctx, conn, append(half, backward(list[kept:])...)); err != nil {
		return err
	}
	list = list[:kept]
	if c.bytes > 0 {
		if err := s.dropRefusals(ctx, conn, list, c); err != nil {
			return err
		}
		kept = c.kept(list)
		if err := s.drop(ctx, conn, backward(list[kept:])); err != nil {
			return err
		}
	}
	if kept == all {
		return nil
	}
	oldest := c.horizon / microsPerDay // day that is kept
	if kept > 0 {
		oldest = list[kept-1].day
	}
	return dropChunks(ctx, conn, dropTalliesChunk, oldest*microsPerDay)
}

func (s *Store) drop(ctx context.Context, conn *pgx.Conn, list []partition) error {
	for _, p := range list {
		s.archive.forget()
		if err := dropPartition(ctx, conn, p); err != nil {
			return err
		}
	}
	return nil
}

// backward returns days, the oldest first.
func backward(list []partition) []partition {
	list = slices.Clone(list)
	slices.Reverse(list)
	return list
}
