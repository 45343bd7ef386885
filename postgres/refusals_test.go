package postgres

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"latchkey"
)

// flood appends a day and a half of records, up to the noon of the second day: of
// 20, one is accepted, and 19 are strangers'. They come in the order of their time.
func flood(t *testing.T, s *Store, count int) (accepted, refused []latchkey.Record) {
	t.Helper()
	g := &traffic{random: rand.New(rand.NewPCG(3, 4)), at: firstDay, step: 36 * time.Hour / time.Duration(count)}
	var batch []latchkey.Record
	for i := range count {
		r := g.next()
		r.Diagnosis = ""
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
		if batch = append(batch, r); len(batch) == 2000 || i == count-1 {
			mustAppend(t, s, batch)
			batch = batch[:0]
		}
	}
	return accepted, refused
}

func recordIDs(t *testing.T, s *Store) map[string]bool {
	t.Helper()
	rows, err := s.pool.Query(t.Context(), `SELECT id::text FROM records`)
	if err != nil {
		t.Fatal(err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	there := make(map[string]bool, len(ids))
	for _, id := range ids {
		there[id] = true
	}
	return there
}

// TestFloodOfRefusals (R12): whoever sends wrong keys from everywhere to
// everywhere, or what is no HTTP, fills half of the room at most. The oldest of it
// goes; what was accepted stays, and all that stays is found. Records come in
// meanwhile.
func TestFloodOfRefusals(t *testing.T) {
	t.Parallel()
	const keep = 6 << 20
	a, b := twoNodes(t)
	accepted, refused := flood(t, a, 24_000)
	var writer sync.WaitGroup
	done := make(chan struct{})
	writer.Go(func() {
		for g := newTraffic(firstDay.Add(37*time.Hour), time.Second); ; {
			select {
			case <-done:
				return
			case <-time.After(10 * time.Millisecond):
			}
			batch := slices.DeleteFunc(g.batch(5), func(r latchkey.Record) bool { return r.Outcome == latchkey.OutcomeDenied })
			if err := b.AppendRecords(t.Context(), batch); err != nil {
				t.Errorf("records are appended while refusals are removed: %v", err)
			}
			accepted = append(accepted, batch...)
		}
	})
	err := a.Retain(t.Context(), latchkey.Retention{Bytes: keep})
	close(done)
	writer.Wait()
	if err != nil {
		t.Fatal(err)
	}
	there := recordIDs(t, b)
	for _, r := range accepted {
		if !there[r.RequestID] {
			t.Fatalf("a request that was accepted has to go for refusals: %s", r.RequestID)
		}
	}
	kept, first := 0, -1
	for i, r := range refused {
		if there[r.RequestID] {
			if kept++; first < 0 {
				first = i
			}
		}
	}
	if kept == 0 || kept == len(refused) || kept != len(refused)-first {
		t.Errorf("%d of %d refusals are kept, the first of them is number %d: the oldest must go, and no other", kept, len(refused), first)
	}
	for _, r := range []latchkey.Record{accepted[0], refused[len(refused)-1]} {
		if got, err := b.Record(t.Context(), r.RequestID); err != nil || got != r {
			t.Errorf("what stays is found: %+v, %v", got, err)
		}
	}
	list, err := partitions(t.Context(), a.pool, true)
	if err != nil || len(list) != 2 {
		t.Fatalf("%d days, %v", len(list), err)
	}
	conn, err := a.pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	// What somebody could still see is given back the next time.
	var (
		newest daySize
		used   int64
	)
	for range 50 {
		if newest, err = sizeOf(t.Context(), conn.Conn(), list[0]); err != nil {
			t.Fatal(err)
		}
		if used = newest.used + list[1].bytes; used <= keep*5/4 {
			break
		}
		time.Sleep(200 * time.Millisecond)
		if err := a.Retain(t.Context(), latchkey.Retention{Bytes: keep}); err != nil {
			t.Fatal(err)
		}
		if list, err = partitions(t.Context(), a.pool, true); err != nil || len(list) != 2 {
			t.Fatalf("%d days, %v", len(list), err)
		}
	}
	t.Logf("%d refusals kept of %d, %d accepted; %d KiB in use of the newest day's %d, %d KiB of the day before",
		kept, len(refused), len(accepted), newest.used>>10, newest.bytes>>10, list[1].bytes>>10)
	if used > keep*5/4 || used < keep/2 {
		t.Errorf("%d bytes are used, of %d", used, keep)
	}
	// Once more: there is nothing to do.
	if err := b.Retain(t.Context(), latchkey.Retention{Bytes: used + used/10}); err != nil {
		t.Fatal(err)
	}
	if n := number(t, a, `SELECT count(*) FROM records WHERE team_id = ''`); n != int64(kept) {
		t.Errorf("what fits stays: %d refusals, then %d", kept, n)
	}
}

// TestRewrite: a day is rewritten when it has been over for an hour, and not while
// records of it may come; until then its free room does not count.
func TestRewrite(t *testing.T) {
	t.Parallel()
	const keep = 1 << 20
	now := firstDay.AddDate(0, 0, 1)
	s := mustOpen(t, Config{URL: newURL(t)})
	s.clock = func() time.Time { return now }
	_, refused := flood(t, s, 9000)
	future := newTraffic(firstDay.AddDate(0, 0, 2), time.Second).next()
	mustAppend(t, s, []latchkey.Record{future})
	files := func() (day, next int64) {
		t.Helper()
		return number(t, s, `SELECT pg_relation_filenode('records_20260301')::bigint`), number(t, s, `SELECT pg_relation_filenode('records_20260302')::bigint`)
	}
	day, next := files()
	for _, step := range []struct {
		after   time.Duration
		rewrite bool
	}{{30 * time.Minute, false}, {2 * time.Hour, true}} {
		now = firstDay.AddDate(0, 0, 1).Add(step.after)
		if err := s.Retain(t.Context(), latchkey.Retention{Bytes: keep}); err != nil {
			t.Fatal(err)
		}
		switch d, n := files(); {
		case n != next:
			t.Errorf("%v after midnight: today is rewritten", step.after)
		case (d != day) != step.rewrite:
			t.Errorf("%v after midnight: yesterday is rewritten: %t, must be %t", step.after, d != day, step.rewrite)
		}
	}
	if n := number(t, s, `SELECT count(*) FROM records`); n == 0 || n >= int64(len(refused)) {
		t.Errorf("%d records are kept", n)
	}
}
