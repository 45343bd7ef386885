package postgres

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"latchkey"
)

// Records returns the records that q selects, newest first: day after day, until
// there are enough, so that none is read, or locked, that is not asked for.
func (s *Store) Records(ctx context.Context, q latchkey.RecordQuery) ([]latchkey.Record, error) {
	var lead, lag int64
	err := s.pool.QueryRow(ctx, `SELECT lead, lag FROM record_span`).Scan(&lead, &lag)
	if err != nil {
		return nil, fault("read span", err)
	}
	days, err := partitions(ctx, s.pool, false)
	if err != nil {
		return nil, fault("list days of records", err)
	}
	limit := q.Limit
	if limit <= 0 {
		limit = latchkey.DefaultRecordLimit
	}
	b := boundsOf(&q, lead, lag)
	var list []latchkey.Record
	for _, p := range days {
		if p.day > dayOf(b.highest) || !p.attached || p.leaving {
			continue
		}
		if p.day < dayOf(b.lowest) || len(list) >= limit {
			break
		}
		where, args := conditions(&q, b.of(p.day), limit-len(list))
		found, err := s.queryRecords(ctx, where, args...)
		if err != nil {
			return nil, err
		}
		list = append(list, found...)
	}
	return list, nil
}

// bounds are IDs that all of what a query selects lie between; both belong to it.
type bounds struct {
	lowest, highest uuid.UUID
	since, until    int64 // unix µs, of the records' times
}

// boundsOf uses that times and IDs are never further apart than the span.
func boundsOf(q *latchkey.RecordQuery, lead, lag int64) bounds {
	b := bounds{highest: uuid.Max}
	if !q.Since.IsZero() {
		b.since = ceilMicros(q.Since)
		b.lowest = idAt(floorMillis(b.since-lead), 0x00)
	}
	if !q.Until.IsZero() {
		b.until = ceilMicros(q.Until)
		b.highest = idAt(floorMillis(b.until+lag)+1, 0xff)
	}
	if q.Before != "" {
		if highest := lastBelow(idBound(q.Before)); less(highest, b.highest) {
			b.highest = highest
		}
	}
	return b
}

func floorMillis(us int64) int64 {
	if us < 0 {
		us -= 999
	}
	return us / 1000
}

// idAt returns an ID with a time, and all other bytes alike.
func idAt(ms int64, rest byte) (id uuid.UUID) {
	ms = min(max(ms, 0), 1<<48-1)
	for i := range id {
		id[i] = rest
	}
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	return id
}

// lastBelow makes a bound one that belongs to what it bounds. Below the lowest ID
// is nothing; that one itself is never a request's.
func lastBelow(bound uuid.UUID, inclusive bool) uuid.UUID {
	if inclusive {
		return bound
	}
	for i := len(bound) - 1; i >= 0; i-- {
		bound[i]--
		if bound[i] != 0xff {
			return bound
		}
	}
	return uuid.Nil
}

// of returns the bounds within one day.
func (b bounds) of(day int64) bounds {
	first, last := idAt(day*microsPerDay/1000, 0x00), idAt((day+1)*microsPerDay/1000-1, 0xff)
	if less(b.lowest, first) {
		b.lowest = first
	}
	if less(last, b.highest) {
		b.highest = last
	}
	return b
}

func less(a, b uuid.UUID) bool { return bytes.Compare(a[:], b[:]) < 0 }

// conditions is [latchkey.RecordQuery.Matches] in SQL, with an order and a limit.
func conditions(q *latchkey.RecordQuery, b bounds, limit int) (where string, args []any) {
	var terms []string
	add := func(term string, value any) {
		args = append(args, value)
		terms = append(terms, strings.ReplaceAll(term, "?", fmt.Sprintf("$%d", len(args))))
	}
	add("id >= ?::uuid", b.lowest.String())
	add("id <= ?::uuid", b.highest.String())
	for _, c := range []struct{ column, value string }{
		{"trace_id", q.TraceID}, {"client_request_id", q.ClientRequestID}, {"credential_id", q.CredentialID},
		{"team_id", q.TeamID}, {"client_ip", q.ClientIP},
	} {
		if c.value != "" { // the hash and the last term are those of an index
			add(strings.ReplaceAll("hashtextextended(@, 0) = hashtextextended(?, 0) AND @ = ? AND @ <> ''", "@", c.column), text(c.value))
		}
	}
	for _, c := range []struct{ column, value string }{{"method", q.Method}, {"outcome", string(q.Outcome)}} {
		if c.value != "" {
			add(c.column+" = ?", text(c.value))
		}
	}
	if q.Path != "" { // LIKE would know wildcards
		add("strpos(path, ?) > 0", text(q.Path))
	}
	if q.Status != 0 {
		add("status = ?", int64(q.Status))
	}
	if !q.Since.IsZero() {
		add("time >= ?", b.since)
	}
	if !q.Until.IsZero() {
		add("time < ?", b.until)
	}
	where = "WHERE " + strings.Join(terms, " AND ")
	return fmt.Sprintf("%s ORDER BY id DESC LIMIT $%d", where, len(args)+1), append(args, limit)
}

// idBound returns the bound of the IDs whose text is less than before, which
// may be any text: all below the bound, or with it if inclusive.
func idBound(before string) (bound uuid.UUID, inclusive bool) {
	const lowest, highest = "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"
	const digits = "0123456789abcdef"
	for i := range len(lowest) {
		if i == len(before) {
			// A prefix is less than every ID that begins with it.
			return uuid.MustParse(before + lowest[i:]), false
		}
		possible := digits
		if lowest[i] == '-' {
			possible = "-"
		}
		next := strings.IndexFunc(possible, func(r rune) bool { return r >= rune(before[i]) })
		switch {
		case next < 0:
			// All that share what went before are less.
			return uuid.MustParse(before[:i] + highest[i:]), true
		case possible[next] != before[i]:
			return uuid.MustParse(before[:i] + possible[next:next+1] + lowest[i+1:]), false
		}
	}
	return uuid.MustParse(before[:len(lowest)]), len(before) > len(lowest)
}
