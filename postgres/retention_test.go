package postgres

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey"
)

func daysOf(tb testing.TB, s *Store) (names []string) {
	tb.Helper()
	list, err := partitions(tb.Context(), s.pool, false)
	if err != nil {
		tb.Fatal(err)
	}
	for _, p := range list {
		names = append(names, p.name())
	}
	return names
}

// fillDays appends some records of each of so many days, the last of which is
// that of the clock that it returns.
func fillDays(tb testing.TB, s *Store, days int) (last []latchkey.Record, now func() time.Time) {
	tb.Helper()
	for d := range days {
		last = newTraffic(firstDay.AddDate(0, 0, d), time.Second).batch(20)
		mustAppend(tb, s, last)
	}
	at := firstDay.AddDate(0, 0, days-1).Add(12 * time.Hour)
	return last, func() time.Time { return at }
}

// TestRetainWaitsForNobody: while somebody reads an old day for long, records are
// read and written all the same, and new days begun; the day goes when it can.
func TestRetainWaitsForNobody(t *testing.T) {
	a, b := twoNodes(t)
	_, now := fillDays(t, a, 4)
	a.clock = now
	// One that is not of ours: nothing bounds its transaction.
	conn, err := pgx.Connect(t.Context(), server.Server(t).URL(a.pool.Config().ConnConfig.Database))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	reader, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var n int
	if err := reader.QueryRow(t.Context(), `SELECT count(*) FROM latchkey.records`).Scan(&n); err != nil || n != 80 {
		t.Fatalf("%d records, %v", n, err)
	}
	removal := make(chan error, 1)
	go func() { removal <- a.Retain(t.Context(), latchkey.Retention{Age: 24 * time.Hour}) }()
	// It has begun when the oldest day is one that queries do not see.
	for number(t, b, `SELECT count(*) FROM pg_inherits WHERE inhdetachpending`) == 0 {
		select {
		case err := <-removal:
			t.Fatalf("Retain removes a day while it is read: %v", err)
		case <-time.After(time.Millisecond):
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second) // less than Retain may wait
	defer cancel()
	for d := 3; d < 6; d++ {
		if err := b.AppendRecords(ctx, newTraffic(firstDay.AddDate(0, 0, d).Add(time.Hour), time.Second).batch(5)); err != nil {
			t.Errorf("records are written, and days begun, while one is removed: %v", err)
		}
	}
	if _, err := b.Records(ctx, latchkey.RecordQuery{Limit: 1000}); err != nil {
		t.Errorf("records are read while a day is removed: %v", err)
	}
	if err := <-removal; err != nil {
		t.Errorf("a day that is being read is put off, and no error: %v", err)
	}
	if number(t, b, `SELECT count(*) FROM pg_inherits WHERE inhdetachpending`) != 1 {
		t.Error("a day that is being read was removed")
	}
	if err := reader.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	// By then another day has to go, a newer one.
	a.clock = func() time.Time { return now().AddDate(0, 0, 1) }
	if err := a.Retain(t.Context(), latchkey.Retention{Age: 24 * time.Hour}); err != nil {
		t.Fatalf("what was put off is done the next time: %v", err)
	}
	want := []string{"records_20260306", "records_20260305", "records_20260304"}
	if got := daysOf(t, a); !slices.Equal(got, want) {
		t.Errorf("%v are kept, not %v", got, want)
	}
	if n := number(t, a, `SELECT count(*) FROM tallies WHERE hour < $1`, firstDay.AddDate(0, 0, 3).UnixMicro()); n != 0 {
		t.Errorf("tallies go with their days: %d are left", n)
	}
	if n := number(t, a, `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`); n != 0 {
		t.Errorf("%d locks are left", n)
	}
}

// TestRetainWhileAppending: records come in, of old days too, while nodes forget
// old days at the same time. Nobody fails.
func TestRetainWhileAppending(t *testing.T) {
	a, b := twoNodes(t)
	_, now := fillDays(t, a, 2)
	a.clock, b.clock = now, now
	var writers, removers sync.WaitGroup
	done := make(chan struct{})
	for _, s := range []*Store{a, b} {
		removers.Go(func() {
			for {
				select {
				case <-done:
					return
				case <-time.After(50 * time.Millisecond):
				}
				if err := s.Retain(t.Context(), latchkey.Retention{Age: time.Hour}); err != nil {
					t.Errorf("retain: %v", err)
				}
			}
		})
	}
	for w := range 2 {
		writers.Go(func() {
			for i := range 10 {
				batch := newTraffic(firstDay.AddDate(0, 0, 1).Add(time.Hour+time.Duration(2*i+w)*time.Minute), time.Second).batch(10)
				if i%3 == 0 {
					old := newTraffic(firstDay.Add(time.Hour+time.Duration(2*i+w)*time.Minute), time.Second).batch(3)
					batch = append(batch, old...)
				}
				for {
					err := []*Store{a, b}[w].AppendRecords(t.Context(), batch)
					if err == nil {
						break
					}
					// Nothing is left behind: it is begun again, as the journal does.
					if !errors.Is(err, errLeaving) && state(err) != stateCheck {
						t.Errorf("append: %v", err)
						break
					}
				}
			}
		})
	}
	writers.Wait()
	close(done)
	removers.Wait()
	if err := b.Retain(t.Context(), latchkey.Retention{Age: time.Hour}); err != nil {
		t.Fatal(err)
	}
	if n := number(t, a, `SELECT count(*) FROM records`); n != 20+2*10*10 {
		t.Errorf("each record of the day that is kept is there, and no other: %d, not %d", n, 20+2*10*10)
	}
	if got := daysOf(t, a); len(got) != 1 {
		t.Errorf("one day is kept: %v", got)
	}
}

// TestDroppedByAnother: a node appends to a day that it knows, and that another
// has dropped; and to one that was left behind half dropped.
func TestDroppedByAnother(t *testing.T) {
	t.Parallel()
	a, b := twoNodes(t)
	fillDays(t, a, 1)
	if err := b.Retain(t.Context(), latchkey.Retention{Age: time.Hour}); err != nil {
		t.Fatal(err)
	}
	if got := daysOf(t, b); len(got) != 0 {
		t.Fatalf("%v are kept", got)
	}
	more := newTraffic(firstDay.Add(time.Hour), time.Second).batch(5)
	mustAppend(t, a, more)
	if list, err := b.Records(t.Context(), latchkey.RecordQuery{}); err != nil || len(list) != 5 {
		t.Errorf("the day was made anew: %d, %v", len(list), err)
	}

	// A process was killed when the partition had left, and was not dropped.
	if _, err := b.pool.Exec(t.Context(), `ALTER TABLE records DETACH PARTITION records_20260301 CONCURRENTLY`); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Record(t.Context(), more[0].RequestID); !errors.Is(err, latchkey.ErrNotFound) {
		t.Errorf("a record that is leaving is not found: %v", err)
	}
	mustAppend(t, a, more[:2])
	if list, err := b.Records(t.Context(), latchkey.RecordQuery{}); err != nil || len(list) != 2 {
		t.Errorf("a day that was forgotten begins empty: %d, %v", len(list), err)
	}
	if _, err := b.pool.Exec(t.Context(), `ALTER TABLE records DETACH PARTITION records_20260301 CONCURRENTLY`); err != nil {
		t.Fatal(err)
	}
	if err := a.Retain(t.Context(), latchkey.Retention{}); err != nil {
		t.Fatal(err)
	}
	if got := daysOf(t, b); len(got) != 0 {
		t.Errorf("what was left behind is dropped: %v", got)
	}
}

// TestRetainBySize keeps whole days, from the newest on, as long as they fit.
func TestRetainBySize(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, Config{URL: newURL(t)})
	fillDays(t, s, 4)
	list, err := partitions(t.Context(), s.pool, true)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Retain(t.Context(), latchkey.Retention{Bytes: list[0].bytes + list[1].bytes}); err != nil {
		t.Fatal(err)
	}
	if got, want := daysOf(t, s), []string{list[0].name(), list[1].name()}; !slices.Equal(got, want) {
		t.Errorf("%v are kept, not %v", got, want)
	}
	if n := number(t, s, `SELECT count(*) FROM records`); n != 40 {
		t.Errorf("%d records are kept, not 40", n)
	}
}

// TestForgottenPosition: of a node that was away for longer than positions are kept
// nobody says that a backup was restored; of a position that is not old it is said.
func TestForgottenPosition(t *testing.T) {
	t.Parallel()
	server := server.Server(t)
	store := mustOpen(t, Config{URL: server.URL(server.NewDatabase(t))})
	id := mustChanges(t, store).Teams[0].ID
	before := mustRoll(t, store, id)
	mustRoll(t, store, id)
	last := mustRoll(t, store, id)
	for _, statement := range []string{
		`UPDATE changes SET at = at - 91 * 86400000000::bigint`,
		`UPDATE credentials SET ended = ended - 91 * 86400000000::bigint WHERE ended IS NOT NULL`,
	} {
		if _, err := store.pool.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []int{3, 0} { // positions go when what they led to has gone
		if n, err := store.PurgeTombstones(t.Context(), 90*24*time.Hour); err != nil || n != want {
			t.Fatalf("%d tombstones are purged, want %d: %v", n, want, err)
		}
	}
	for _, c := range []struct {
		rule      string
		position  latchkey.Position
		forgotten bool
	}{
		{"a position that was forgotten", before.Position(), true},
		{"another change than the last", latchkey.Position{Revision: last.Revision, ChangeID: "another"}, false},
		{"a revision that is yet to come", latchkey.Position{Revision: last.Revision + 1, ChangeID: "lost"}, false},
	} {
		_, err := store.Renew(t.Context(), latchkey.Renewal{ID: "n", Applied: c.position})
		other := (*latchkey.AnotherHistoryError)(nil)
		if !errors.As(err, &other) || other.Forgotten != c.forgotten {
			t.Errorf("%s: %v, must be another history, forgotten: %t", c.rule, err, c.forgotten)
		}
	}
}
