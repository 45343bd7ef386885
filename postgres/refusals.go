package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

const (
	// dropChunk is how many records one transaction removes at most.
	dropChunk = 2000

	// dropRounds is how often it is estimated again how many are too many.
	dropRounds = 4

	// leastRoom is how much free room of a day is worth a rewrite; rewriteWait, how
	// long that waits for those who read: others wait behind it.
	leastRoom   = 256 << 10
	rewriteWait = `SET lock_timeout = '1s'`

	// rewriteAfter is for how long a day must be over before it is rewritten, in
	// µs: until then records of it may come, and people look at them.
	rewriteAfter = int64(time.Hour / time.Microsecond)

	// sampleBytes is how much of a day is read to estimate what it holds.
	sampleBytes = 8 << 20
)

// refusal is [latchkey.Record.Refusal] as a condition.
const refusal = `(team_id = '' OR outcome = 'denied')`

// A daySize is how large a day is, estimated from a sample of its pages.
type daySize struct {
	partition
	used              int64 // of its bytes; the rest is free, for what comes
	records, refusals int64
}

// perRecord is how many bytes a record takes, with its share of the indexes.
func (d daySize) perRecord() int64 { return max(1, d.used/max(1, d.records)) }

// refused is how many bytes the refusals take.
func (d daySize) refused() int64 { return d.refusals * d.perRecord() }

// sizeOf looks at a sample of a day.
func sizeOf(ctx context.Context, conn *pgx.Conn, p partition) (daySize, error) {
	d := daySize{partition: p}
	var heap, live, records, refusals int64
	if err := conn.QueryRow(ctx, `SELECT pg_relation_size($1::text::regclass)`, p.name()).Scan(&heap); err != nil || heap == 0 {
		return d, err
	}
	share := min(1, float64(sampleBytes)/float64(heap))
	// 4 bytes of a page point to a record.
	err := conn.QueryRow(ctx, fmt.Sprintf(`
		SELECT count(*), count(*) FILTER (WHERE %s), coalesce(sum(pg_column_size(r.*) + 4), 0)::bigint
		FROM %s AS r TABLESAMPLE SYSTEM (%f)`, refusal, p.name(), share*100)).Scan(&records, &refusals, &live)
	if err != nil {
		return d, err
	}
	d.records, d.refusals = int64(float64(records)/share), int64(float64(refusals)/share)
	d.used = int64(min(1, float64(live)/share/float64(heap)) * float64(p.bytes))
	return d, nil
}

// dropRefusals removes refusals, the oldest first, while there is more than so
// many bytes of records, and more than half of them of refusals: strangers can
// make any number of them. Records are appended meanwhile. The room is given back
// but where it is needed again: see [Store.compact]. It sets in list, the newest
// first, how large the days are then.
func (s *Store) dropRefusals(ctx context.Context, conn *pgx.Conn, list []partition, c cutoff) error {
	keep := c.bytes
	onDisk := int64(0)
	for _, p := range list {
		onDisk += p.bytes
	}
	if onDisk <= keep {
		return nil // no sample is needed to see that: each node looks every minute
	}
	for round := range dropRounds {
		sizes := make([]daySize, len(list))
		var total, refused int64
		for i, p := range list {
			var err error
			if sizes[i], err = sizeOf(ctx, conn, p); err != nil {
				return err
			}
			total += sizes[i].used
			refused += sizes[i].refused()
		}
		excess := min(total-keep+keep/16, refused-keep/2) // some more: it is an estimate
		if total <= keep || excess <= 0 || round == dropRounds-1 {
			return s.compact(ctx, conn, list, sizes, c)
		}
		for i := len(sizes) - 1; i >= 0 && excess > 0; i-- {
			n := min(sizes[i].refusals, excess/sizes[i].perRecord()+1)
			if err := dropOldest(ctx, conn, sizes[i].name(), n); err != nil {
				return err
			}
			excess -= n * sizes[i].perRecord()
		}
	}
	return nil
}

// dropOldest removes the n oldest refusals of a day, in short transactions.
func dropOldest(ctx context.Context, conn *pgx.Conn, name string, n int64) error {
	for last := uuid.Nil; n > 0; {
		var gone int64
		var to *string
		err := conn.QueryRow(ctx, fmt.Sprintf(`
			WITH gone AS (
				DELETE FROM %[1]s WHERE id = ANY (ARRAY(SELECT id FROM %[1]s WHERE id > $1 AND %[2]s ORDER BY id LIMIT $2)) RETURNING id
			)
			SELECT count(*), max(id::text COLLATE "C") FROM gone`, name, refusal), last, min(n, dropChunk)).Scan(&gone, &to)
		if err != nil || gone == 0 {
			return err
		}
		if last, err = uuid.Parse(*to); err != nil {
			return err
		}
		n -= gone
	}
	return nil
}

// compact gives back the room that is free in old days, if all together take more
// than so many bytes, and lets the others use their own again: the newest, and
// what is not over for a while. Who reads an old day, or appends to it, waits while
// it is rewritten; of the others nobody does. It sets in list how much each takes
// then.
func (s *Store) compact(ctx context.Context, conn *pgx.Conn, list []partition, sizes []daySize, c cutoff) error {
	total := int64(0)
	old := make([]bool, len(list))
	for i, d := range sizes {
		if old[i] = i > 0 && c.over(d.day, rewriteAfter); !old[i] {
			list[i].bytes = d.used
		}
		total += list[i].bytes
	}
	if total <= c.bytes {
		return nil
	}
	if _, err := conn.Exec(ctx, rewriteWait); err != nil {
		return err
	}
	for i, d := range sizes {
		statement := `VACUUM (FULL) ` + d.name()
		switch {
		case d.bytes-d.used < max(leastRoom, d.bytes/10):
			continue
		case !old[i]:
			statement = `VACUUM (SKIP_LOCKED, TRUNCATE FALSE) ` + d.name()
		}
		_, err := conn.Exec(ctx, statement)
		if ctx.Err() != nil || state(err) == stateLocked {
			return err
		}
		if err != nil { // then the day goes as a whole
			s.logger.Warn("the room of refusals that were removed is not given back", "day", d.name(), "error", err)
			continue
		}
		// What somebody could still see is given back the next time.
		list[i].bytes = d.used
	}
	_, err := conn.Exec(ctx, dropWait)
	return err
}
