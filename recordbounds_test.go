package latchkey_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"latchkey"
)

var anyID = rapid.StringMatching(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{11}[1-9a-f]`)

func between(id string, b latchkey.RecordBounds) bool {
	return b.Lowest.String() <= id && id <= b.Highest.String()
}

// TestBoundsBefore holds the bound against the comparison of texts that it stands
// for: before may be any text.
func TestBoundsBefore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := anyID.Draw(t, "id")
		before := rapid.OneOf(
			anyID,
			rapid.Map(anyID, strings.ToUpper),
			rapid.Custom(func(t *rapid.T) string {
				return r[:rapid.IntRange(0, len(r)).Draw(t, "cut")] + rapid.String().Draw(t, "end")
			}),
			rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }),
		).Filter(func(s string) bool { return s != "" }).Draw(t, "before")
		b := (&latchkey.RecordQuery{Before: before}).Bounds(0, 0)
		if got, want := between(r, b), r < before; got != want {
			t.Fatalf("%q < %q is %t: the bounds are %s to %s", r, before, want, b.Lowest, b.Highest)
		}
	})
}

// TestBoundsOfTimes: what a query matches lies between its bounds, however far
// the record's time is from its ID's, within the span.
func TestBoundsOfTimes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
		draw := func(name string) time.Time {
			return at.Add(time.Duration(rapid.Int64Range(0, int64(3*time.Second)).Draw(t, name)))
		}
		lead, lag := rapid.Int64Range(0, 1e6).Draw(t, "lead"), rapid.Int64Range(0, 1e6).Draw(t, "lag")
		made := draw("id's time").Truncate(time.Millisecond)
		off := rapid.Int64Range(-lag, lead).Draw(t, "off")
		r := latchkey.Record{
			RequestID: latchkey.RequestIDAt(made.UnixMilli(), byte(rapid.IntRange(0, 255).Draw(t, "rest"))).String(),
			Time:      made.Add(time.Duration(off) * time.Microsecond),
		}
		q := latchkey.RecordQuery{Since: draw("since"), Until: draw("until")}
		b := q.Bounds(lead, lag)
		if q.Matches(&r) && !between(r.RequestID, b) {
			t.Fatalf("%s of %v matches, and is not between %s and %s", r.RequestID, r.Time, b.Lowest, b.Highest)
		}
		if us := r.Time.UnixMicro(); q.Matches(&r) != (us >= b.Since && us < b.Until) {
			t.Fatalf("a time in µs, %d, is not judged as the time: %d to %d", us, b.Since, b.Until)
		}
	})
}

func TestBoundsWithin(t *testing.T) {
	const begin, end = 1000, 2000
	b := (&latchkey.RecordQuery{}).Bounds(0, 0).Within(begin, end)
	for ms, want := range map[int64]bool{begin - 1: false, begin: true, end - 1: true, end: false} {
		id := latchkey.RequestIDAt(ms, 0x77)
		if got := between(id.String(), b); got != want {
			t.Errorf("an ID of %d ms is between %d and %d: %t", ms, begin, end, got)
		}
		if back := latchkey.RequestIDMillis(id); back != ms {
			t.Errorf("the time of an ID of %d ms is %d", ms, back)
		}
	}
	const day = 86_400_000
	for ms, want := range map[int64]int64{0: 0, day - 1: 0, day: 1, 20_000*day + 1: 20_000} {
		if got := latchkey.RequestIDDay(latchkey.RequestIDAt(ms, 0x77)); got != want {
			t.Errorf("an ID of %d ms is of day %d, not %d", ms, got, want)
		}
	}
	if narrow := b.Within(0, 1<<47); narrow != b {
		t.Error("wider bounds widen narrower ones")
	}
	if id := latchkey.RequestIDAt(-1, 0xff); latchkey.RequestIDMillis(id) != 0 || id == (uuid.UUID{}) {
		t.Error("a time before 1970 is 1970 in an ID")
	}
}
