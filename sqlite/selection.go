package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"github.com/google/uuid"

	"latchkey"
)

// Records returns the records that q selects, newest first: day after day, until
// there are enough.
func (s *Store) Records(ctx context.Context, q latchkey.RecordQuery) ([]latchkey.Record, error) {
	lead, lag, err := s.span(ctx)
	if err != nil {
		return nil, err
	}
	numbers, err := s.days.numbers()
	if err != nil {
		return nil, err
	}
	limit := q.Limit
	if limit <= 0 {
		limit = latchkey.DefaultRecordLimit
	}
	bounds := boundsOf(&q, lead, lag)
	var list []latchkey.Record
	for _, number := range numbers {
		if number > dayOf(bounds.highest) {
			continue
		}
		if number < dayOf(bounds.lowest) || len(list) >= limit {
			break
		}
		err := s.days.with(ctx, number, false, func(d *day) error {
			where, args, err := d.conditions(ctx, &q, bounds)
			if err != nil || where == "" {
				return err
			}
			found, err := d.query(ctx, where+` ORDER BY id DESC LIMIT ?`, append(args, limit-len(list))...)
			list = append(list, found...)
			return err
		})
		if err != nil {
			return nil, err
		}
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
		if highest := below(idBound(q.Before)); strings.Compare(string(highest[:]), string(b.highest[:])) < 0 {
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

// below makes a bound one that belongs to what it bounds. Below the lowest ID
// is nothing; that one itself is never a request's.
func below(bound uuid.UUID, inclusive bool) uuid.UUID {
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

// conditions is [latchkey.RecordQuery.Matches] in SQL, for the file of one day;
// "" if nothing in it can match.
func (d *day) conditions(ctx context.Context, q *latchkey.RecordQuery, b bounds) (where string, args []any, err error) {
	terms := []string{"id >= ?", "id <= ?"}
	args = []any{b.lowest[:], b.highest[:]}
	add := func(term string, value any) {
		terms, args = append(terms, term), append(args, value)
	}
	for _, c := range []struct {
		kind   kind
		column string
		text   string
	}{
		{kindTeam, "team_id", q.TeamID}, {kindCredential, "credential_id", q.CredentialID}, {kindMethod, "method", q.Method},
		{kindOutcome, "outcome", string(q.Outcome)}, {kindClientIP, "client_ip", q.ClientIP},
	} {
		if c.text == "" {
			continue
		}
		number, err := numberOf(ctx, d.read, c.kind, text(c.text))
		switch {
		case err == nil:
			add(c.column+" = ?", number)
		case errors.Is(err, sql.ErrNoRows):
			add(c.column+" = ?", text(c.text))
		default:
			return "", nil, d.fault("read words", err)
		}
	}
	if q.ClientRequestID != "" {
		add("client_request_id = ?", packUUID(q.ClientRequestID))
	}
	if q.TraceID != "" {
		add("trace_id = ?", packTrace(q.TraceID))
	}
	if q.Path != "" { // LIKE would fold case, and know wildcards
		add(`(typeof(path) = 'text' AND instr(path, ?) > 0`, text(q.Path))
		terms[len(terms)-1] += ` OR path IN (SELECT id FROM words WHERE kind = ? AND instr(text, ?) > 0))`
		args = append(args, int64(kindPath), text(q.Path))
	}
	if q.Status != 0 {
		add("status = ?", q.Status)
	}
	if !q.Since.IsZero() {
		add("time >= ?", b.since-d.begins())
	}
	if !q.Until.IsZero() {
		add("time < ?", b.until-d.begins())
	}
	return "WHERE " + strings.Join(terms, " AND "), args, nil
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
