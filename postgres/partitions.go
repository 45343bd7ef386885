package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey"
)

const (
	// partitionPrefix and partitionDay are how a partition is called after its
	// day: records_20260301.
	partitionPrefix = "records_"
	partitionDay    = "20060102"

	// partitionLock is the advisory lock under which a partition is made, or a
	// former one dropped; retentionLock that under which the old are found.
	partitionLock = migrationLock + 1
	retentionLock = migrationLock + 2

	stateCheck    = "23514" // check_violation; also that there is no partition
	stateDeadlock = "40P01" // deadlock_detected
)

const microsPerDay = int64(24 * time.Hour / time.Microsecond)

// lastDay is the last whose partition has a name of eight digits.
var lastDay = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC).UnixMicro() / microsPerDay

// An archive is what a store remembers of the days in the database. It may be
// mistaken: another node drops them, too.
type archive struct {
	mu   sync.Mutex
	days map[int64]bool // they have a partition
}

func (a *archive) has(day int64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.days[day]
}

func (a *archive) add(days []int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.days == nil {
		a.days = make(map[int64]bool)
	}
	for _, day := range days {
		a.days[day] = true
	}
}

func (a *archive) forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.days)
}

// A partition holds the records whose IDs were made on one day.
type partition struct {
	day      int64
	attached bool  // it is one; else it was, and is to be dropped
	leaving  bool  // its end was begun: no query sees it any more
	bytes    int64 // on disk, with indexes
}

func (p partition) name() string { return partitionName(p.day) }

func partitionName(day int64) string {
	return partitionPrefix + fromMicros(day*microsPerDay).Format(partitionDay)
}

// partitions returns all that there are, and were, newest first; with their
// sizes if asked, which takes a look at each file.
func partitions(ctx context.Context, q querier, sizes bool) ([]partition, error) {
	rows, err := q.Query(ctx, `
		SELECT c.relname, i.inhrelid IS NOT NULL, coalesce(i.inhdetachpending, false),
			CASE WHEN $1 THEN coalesce(pg_total_relation_size(c.oid), 0) ELSE 0 END
		FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid AND i.inhparent = 'records'::regclass
		WHERE c.relkind = 'r' AND c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'records'::regclass)
			AND c.relname ~ '^records_[0-9]{8}$'
		ORDER BY c.relname DESC`, sizes)
	if err != nil {
		return nil, err
	}
	var (
		list []partition
		p    partition
		name string
	)
	_, err = pgx.ForEachRow(rows, []any{&name, &p.attached, &p.leaving, &p.bytes}, func() error {
		at, err := time.Parse(partitionDay, strings.TrimPrefix(name, partitionPrefix))
		if err != nil {
			return nil // somebody else's table
		}
		p.day = at.UnixMicro() / microsPerDay
		list = append(list, p)
		return nil
	})
	return list, err
}

// ensureDays makes the partitions that records need.
func (s *Store) ensureDays(ctx context.Context, items []item) error {
	var days []int64
	for _, i := range items {
		if day := latchkey.RequestIDDay(i.id); len(days) == 0 || days[len(days)-1] != day {
			days = append(days, day)
		}
	}
	if days = slices.DeleteFunc(days, s.archive.has); len(days) == 0 {
		return nil
	}
	err := s.change(ctx, func(tx pgx.Tx) error { return makePartitions(ctx, tx, days) })
	if err != nil {
		return fault("make a day's partition of records", err)
	}
	s.archive.add(days)
	return nil
}

// makePartitions makes the partitions of days that have none. Tables are made
// and then attached, since that lets others read and write records meanwhile.
func makePartitions(ctx context.Context, tx pgx.Tx, days []int64) error {
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(partitionLock)); err != nil {
		return err
	}
	list, err := partitions(ctx, tx, false)
	if err != nil {
		return err
	}
	for _, day := range days {
		name := partitionName(day)
		switch at := slices.IndexFunc(list, func(p partition) bool { return p.day == day }); {
		case at < 0:
		case list[at].leaving:
			return errLeaving
		case list[at].attached:
			continue
		default: // what was forgotten, by one who was killed before it was dropped
			if _, err := tx.Exec(ctx, `DROP TABLE `+name); err != nil {
				return err
			}
		}
		first, next := latchkey.RequestIDAt(day*microsPerDay/1000, 0), latchkey.RequestIDAt((day+1)*microsPerDay/1000, 0)
		_, err := tx.Exec(ctx, fmt.Sprintf(`
			CREATE TABLE %[1]s (LIKE records);
			ALTER TABLE records ATTACH PARTITION %[1]s FOR VALUES FROM ('%[2]s') TO ('%[3]s')`, name, first, next))
		if err != nil {
			return err
		}
	}
	return nil
}

// dropPartition forgets all records of a day. A partition leaves the table in
// the background, so that nobody waits but this call: for the queries that have
// begun to read it, and for no longer than the connection's time-outs.
func dropPartition(ctx context.Context, conn *pgx.Conn, p partition) error {
	name := p.name()
	var err error
	switch {
	case p.leaving:
		_, err = conn.Exec(ctx, `ALTER TABLE records DETACH PARTITION `+name+` FINALIZE`)
	case p.attached:
		_, err = conn.Exec(ctx, `ALTER TABLE records DETACH PARTITION `+name+` CONCURRENTLY`)
	}
	if err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(partitionLock)); err != nil {
			return err
		}
		all, err := partitions(ctx, tx, false)
		if err != nil {
			return err
		}
		for _, other := range all {
			if other.day == p.day && !other.attached {
				_, err := tx.Exec(ctx, `DROP TABLE `+name)
				return err
			}
		}
		return nil // a new one has taken its place
	})
}
