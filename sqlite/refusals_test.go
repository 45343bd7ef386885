package sqlite

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey"
)

// TestFloodOfRefusals (R12): whoever sends wrong keys from everywhere to
// everywhere, or what is no HTTP, fills half of the room at most. The oldest of it
// goes; what was accepted stays, and all that stays is found. The hour is one at
// which the last pages are hard to win.
func TestFloodOfRefusals(t *testing.T) {
	const keep, span = 3 << 20, 36 * time.Hour
	now := time.Date(2026, 3, 1, 7, 15, 0, 0, time.UTC)
	s, err := Open(t.Context(), Config{Dir: t.TempDir(), Genesis: genesis, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	g := &traffic{random: rand.New(rand.NewPCG(3, 4)), at: now.Add(-span), step: span / 24_000}
	var batch, accepted, refused []latchkey.Record
	for i := range 24_000 {
		r := g.next()
		if i%20 == 0 {
			r.Outcome, r.Status, r.TeamID = latchkey.OutcomeAccepted, 200, "team_a"
			accepted = append(accepted, r)
		} else {
			r.Outcome, r.Reason, r.Status, r.TeamID = latchkey.OutcomeDenied, latchkey.ReasonKeyUnknown, 401, ""
			r.CredentialID = latchkey.FingerprintPrefix + strconv.Itoa(i)
			if i%2 == 0 { // as guard records what net/http answers
				r.Outcome, r.Reason, r.Status, r.CredentialID = latchkey.OutcomeError, latchkey.Reason(latchkey.CodeInvalidRequest), 400, ""
			}
			r.Path, r.UserAgent = "/"+uuid.NewString(), uuid.NewString()
			refused = append(refused, r)
		}
		if batch = append(batch, r); len(batch) == 2000 || i == 23_999 {
			if err := s.AppendRecords(t.Context(), batch); err != nil {
				t.Fatal(err)
			}
			batch = batch[:0]
		}
	}
	if err := s.Retain(t.Context(), latchkey.Retention{Bytes: keep}); err != nil {
		t.Fatal(err)
	}
	for _, r := range accepted {
		if got, err := s.Record(t.Context(), r.RequestID); err != nil || got != r {
			t.Fatalf("a request that was accepted has to go for refusals: %v", err)
		}
	}
	kept, first := 0, -1
	for i, r := range refused {
		switch got, err := s.Record(t.Context(), r.RequestID); {
		case err == nil && got == r:
			if kept++; first < 0 {
				first = i
			}
		case !errors.Is(err, latchkey.ErrNotFound):
			t.Fatal(err)
		}
	}
	if kept == 0 || kept == len(refused) || kept != len(refused)-first {
		t.Errorf("%d of %d refusals are kept, the first of them is number %d: the oldest must go, and no other", kept, len(refused), first)
	}
	numbers, err := s.days.numbers()
	if err != nil {
		t.Fatal(err)
	}
	var used, old int64
	for i, number := range numbers {
		size, err := s.days.sizeOf(t.Context(), number)
		if err != nil {
			t.Fatal(err)
		}
		used += size.bytes
		if i == 0 {
			used -= size.free
		}
		if info, err := os.Stat(s.days.path(number)); err == nil && i > 0 {
			old += info.Size()
		}
	}
	t.Logf("%d refusals kept of %d, %d accepted; %d KiB in use, %d KiB in files of former days", kept, len(refused), len(accepted), used>>10, old>>10)
	if used > keep*3/2 || old > keep*3/2 {
		t.Errorf("%d bytes are in use, and %d in files of former days, of %d", used, old, keep)
	}
	list, err := s.Records(t.Context(), latchkey.RecordQuery{Outcome: latchkey.OutcomeDenied, Limit: 10})
	if err != nil || len(list) != 10 || list[0].RequestID != refused[len(refused)-1].RequestID {
		t.Errorf("the newest refusals are listed: %d, %v", len(list), err)
	}
	if files, _ := filepath.Glob(filepath.Join(s.days.dir, "*.db")); len(files) != len(numbers) {
		t.Errorf("%d files of %d days", len(files), len(numbers))
	}
}

// TestFutureDay: a clock that was a day ahead for a moment leaves a record of
// tomorrow. What is appended to today's file is kept all the same, and the file is
// not rewritten meanwhile.
func TestFutureDay(t *testing.T) {
	s := mustOpen(t, t.TempDir())
	today := recordsOf(0, 600, latchkey.OutcomeAccepted)
	flood := recordsOf(0, 600, latchkey.OutcomeDenied)
	if err := s.AppendRecords(t.Context(), slices.Concat(today, flood, recordsOf(-1, 1, latchkey.OutcomeAccepted))); err != nil {
		t.Fatal(err)
	}
	if err := s.Retain(t.Context(), latchkey.Retention{Bytes: 1000}); err != nil {
		t.Fatal(err)
	}
	for _, r := range today {
		if got, err := s.Record(t.Context(), r.RequestID); err != nil || got != r {
			t.Fatalf("a record of today goes for one of tomorrow: %v", err)
		}
	}
	size, err := s.days.sizeOf(t.Context(), latchkey.RequestIDDay(uuid.MustParse(today[0].RequestID)))
	if err != nil || size.refusals > 300 || size.free == 0 {
		t.Errorf("today's file keeps its room for what comes: %+v, %v", size, err)
	}
}

// TestFreeRoomIsGivenBack: what a flood took of a day that was the newest is not
// kept for it when it is not the newest any more, and counts until then.
func TestFreeRoomIsGivenBack(t *testing.T) {
	const keep = 400_000
	s := mustOpen(t, t.TempDir())
	flood := recordsOf(1, 6000, latchkey.OutcomeDenied)
	if err := s.AppendRecords(t.Context(), append(flood, recordsOf(1, 1, latchkey.OutcomeAccepted)...)); err != nil {
		t.Fatal(err)
	}
	path := s.days.path(latchkey.RequestIDDay(uuid.MustParse(flood[0].RequestID)))
	size := func() int64 {
		t.Helper()
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	retain := func(r latchkey.Retention) {
		t.Helper()
		if err := s.Retain(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	retain(latchkey.Retention{Bytes: keep})
	err := s.days.with(t.Context(), latchkey.RequestIDDay(uuid.MustParse(flood[0].RequestID)), false, func(d *day) error {
		_, err := d.write.ExecContext(t.Context(), `PRAGMA wal_checkpoint(TRUNCATE)`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	thinned := size()
	if thinned < 2*keep {
		t.Fatalf("the newest day keeps its room for what comes: %d bytes", thinned)
	}
	if err := s.AppendRecords(t.Context(), recordsOf(0, 1, latchkey.OutcomeAccepted)); err != nil {
		t.Fatal(err)
	}
	numbers, sizes, err := s.measure(t.Context())
	if err != nil || len(numbers) != 2 || sizes[1].bytes != thinned {
		t.Errorf("a former day counts as what it takes on disk: %+v of %d bytes, %v", sizes, thinned, err)
	}
	retain(latchkey.Retention{Bytes: 1 << 40})
	if n := size(); n > keep {
		t.Errorf("a former day takes %d bytes, %d of them for nothing", n, n-keep)
	}
}
