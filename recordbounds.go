package latchkey

import (
	"bytes"
	"strings"
	"time"

	"github.com/google/uuid"
)

// RecordBounds are request IDs that all of what a query selects lie between; both
// belong to it. It is for stores: an ID is a UUIDv7, and begins with its time.
type RecordBounds struct {
	Lowest, Highest uuid.UUID
	Since, Until    int64 // unix µs, of the records' times; only what the query has
}

// Bounds returns the bounds of q in a store where no record's time is more than
// lead µs after the time in its ID, or more than lag µs before it.
func (q *RecordQuery) Bounds(lead, lag int64) RecordBounds {
	b := RecordBounds{Highest: uuid.Max}
	if !q.Since.IsZero() {
		b.Since = CeilMicros(q.Since)
		b.Lowest = RequestIDAt(floorMillis(b.Since-lead), 0x00)
	}
	if !q.Until.IsZero() {
		b.Until = CeilMicros(q.Until)
		b.Highest = RequestIDAt(floorMillis(b.Until+lag)+1, 0xff)
	}
	if q.Before != "" {
		b = b.below(lastBelow(idBound(q.Before)))
	}
	return b
}

// Within returns the bounds between two times in IDs, in unix ms; the second does
// not belong to it.
func (b RecordBounds) Within(begin, end int64) RecordBounds {
	if first := RequestIDAt(begin, 0x00); bytes.Compare(b.Lowest[:], first[:]) < 0 {
		b.Lowest = first
	}
	return b.below(RequestIDAt(end-1, 0xff))
}

func (b RecordBounds) below(highest uuid.UUID) RecordBounds {
	if bytes.Compare(highest[:], b.Highest[:]) < 0 {
		b.Highest = highest
	}
	return b
}

// RequestIDAt returns an ID with a time, in unix ms (of 48 bits), and all other
// bytes alike.
func RequestIDAt(ms int64, rest byte) (id uuid.UUID) {
	ms = min(max(ms, 0), 1<<48-1)
	for i := range id {
		id[i] = rest
	}
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	return id
}

// RequestIDMillis is the time in a UUIDv7: the first 48 bits, unix ms (RFC 9562,
// section 5.7).
func RequestIDMillis(id uuid.UUID) int64 {
	var ms int64
	for _, b := range id[:6] {
		ms = ms<<8 | int64(b)
	}
	return ms
}

// RequestIDDay is the day of the time in a UUIDv7: days (UTC) since 1970.
func RequestIDDay(id uuid.UUID) int64 {
	return RequestIDMillis(id) / (24 * time.Hour).Milliseconds()
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

// CeilMicros returns the first unix µs that is not before t. It is for stores, which
// keep times to the microsecond.
func CeilMicros(t time.Time) int64 {
	us := t.UnixMicro()
	if time.UnixMicro(us).Before(t) {
		us++
	}
	return us
}

func floorMillis(us int64) int64 {
	if us < 0 {
		us -= 999
	}
	return us / 1000
}
