package journal

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey"
)

// plainlyMissing reports whether an error says that there is no such request.
func plainlyMissing(err error) bool {
	var waiting *latchkey.NotHandedInError
	var lost *latchkey.NotKeptError
	return errors.Is(err, latchkey.ErrNotFound) && !errors.As(err, &waiting) && !errors.As(err, &lost)
}

// findElsewhere looks a record up on another node until it is there. It must
// never be said that there is none.
func findElsewhere(t *testing.T, s *shelf, l *ledger, id string) (r latchkey.Record) {
	t.Helper()
	waitUntil(t, "another node finds it", func() (found bool) {
		var err error
		if r, err = (Reader{Store: s, HandIns: l}).Record(t.Context(), id); plainlyMissing(err) {
			t.Fatalf("another node says of a response that has begun: %v", err)
		}
		return err == nil
	})
	return r
}

// TestResponseThatGoesOn: a response is found on other nodes while it goes on,
// from the moment when it began, however long after its request that was; and
// what it has become when it has ended. It holds nothing else back.
func TestResponseThatGoesOn(t *testing.T) {
	s, l := newShelf(), newLedger()
	j := opened(t, t.TempDir(), s, &disk{}, member("node-1", l))
	long := newRequest()
	late := time.Now().Add(-time.Minute).UnixMilli() // its request
	id := uuid.MustParse(long.RequestID)
	for i := range 6 {
		id[i] = byte(late >> (40 - 8*i))
	}
	long.RequestID, long.Time = id.String(), time.UnixMilli(late).UTC()
	if err := j.Begin(long); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	open := long
	open.Open = true
	if got, err := j.Record(t.Context(), long.RequestID); err != nil || got != open {
		t.Errorf("on its own node: %+v, %v", got, err)
	}
	if got := findElsewhere(t, s, l, long.RequestID); got != open {
		t.Errorf("another node finds %+v", got)
	}
	waitUntil(t, "the node hands in what came since", func() bool { return l.of("node-1").After(begun.Add(openAfter)) })
	_, nodes, err := Reader{Store: s, HandIns: l}.Lacking(t.Context(), begun.Add(-time.Hour), begun)
	if err != nil || len(nodes) > 0 {
		t.Errorf("of the time before, a list lacks what %v have not handed in: %v", nodes, err)
	}
	_, err = Reader{Store: s, HandIns: l}.Record(t.Context(), newRequest().RequestID)
	if errors.Is(err, latchkey.ErrNotFound) && !plainlyMissing(err) {
		t.Logf("a slow machine: %v", err)
	}
	long.BytesOut, long.DurationUS = 7, 8
	j.End(long)
	waitUntil(t, "what has ended is not open", func() bool { return l.opened("node-1") == 0 })
	if got := findElsewhere(t, s, l, long.RequestID); got != long {
		t.Errorf("when it has ended, another node finds %+v", got)
	}
	closed(t, j)
}

// TestManyThatGoOn: of any number of responses that go on the others are told
// once, and again only after the store has failed.
func TestManyThatGoOn(t *testing.T) {
	const n = 2*maxOpened + 500
	s, l := newShelf(), newLedger()
	j := opened(t, t.TempDir(), s, &disk{}, func(c *Config) { c.SegmentSize = 0; member("node-1", l)(c) })
	var all []latchkey.Record
	for range n {
		r := newRequest()
		if err := j.Begin(r); err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	last := time.Now()
	waitUntil(t, "all are open", func() bool {
		if opened := l.opened("node-1"); opened < n && l.of("node-1").After(last) {
			t.Fatalf("handed in past all that have begun, and %d of %d are open", opened, n)
		}
		return l.opened("node-1") == n
	})
	now := time.Now()
	waitUntil(t, "the node hands in what came since", func() bool { return l.of("node-1").After(now) })
	l.mu.Lock()
	told := l.told
	l.down = true
	l.mu.Unlock()
	if told != n {
		t.Errorf("of %d responses that go on the others are told %d times", n, told)
	}
	for _, r := range all[:n/2] {
		j.End(r)
	}
	waitUntil(t, "it is noticed that the store is down", func() bool {
		j.mu.Lock()
		defer j.mu.Unlock()
		return j.failing.handIn
	})
	l.mu.Lock()
	l.open["node-1"][uuid.NewString()] = latchkey.Record{} // what nobody knows of
	l.down = false
	l.mu.Unlock()
	waitUntil(t, "the others are told again", func() bool { return l.opened("node-1") == n-n/2 })
	for _, r := range all[n/2:] {
		j.End(r)
	}
	closed(t, j)
}

// TestOpenOfAKilledNode: what a node had open that was killed is found until it
// is back, and then that it never ended.
func TestOpenOfAKilledNode(t *testing.T) {
	dir, s, l := t.TempDir(), newShelf(), newLedger()
	j := opened(t, dir, s, &disk{}, member("node-1", l))
	r := newRequest()
	if err := j.Begin(r); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "it is open", func() bool { return l.opened("node-1") == 1 })
	abandonProcess(j)
	if got := findElsewhere(t, s, l, r.RequestID); !got.Open {
		t.Errorf("another node finds %+v", got)
	}
	j = opened(t, dir, s, &disk{}, member("node-1", l))
	waitUntil(t, "it is handed in", func() bool { return l.opened("node-1") == 0 })
	if got := findElsewhere(t, s, l, r.RequestID); got.Open || got.Diagnosis != NeverEnded {
		t.Errorf("after the start, another node finds %+v", got)
	}
	closed(t, j)
}

// TestClocksOfNodes: what a node hands in goes by the store's clock, whatever its
// own shows.
func TestClocksOfNodes(t *testing.T) {
	for _, ahead := range []time.Duration{-2 * time.Hour, 0, 2 * time.Hour} {
		s, l := newShelf(), newLedger()
		l.ahead = ahead
		j := opened(t, t.TempDir(), s, &disk{}, member("node-1", l))
		if at := l.of("node-1"); at.IsZero() {
			t.Error("a node that is open has not joined the others")
		}
		began := time.Now()
		waitUntil(t, "it hands in", func() bool { return l.of("node-1").After(began.Add(ahead)) })
		if until := l.of("node-1"); until.After(time.Now().Add(ahead)) {
			t.Errorf("with the store's clock %v ahead it has handed in until %v, and it is %v", ahead, until, time.Now())
		}
		closed(t, j)
	}
}

// TestLeftBehindAndForgotten: a node that the others have given up, and that comes
// back with records, says since when it has them.
func TestLeftBehindAndForgotten(t *testing.T) {
	dir, s, l := t.TempDir(), newShelf(), newLedger()
	s.shut(true)
	before := time.Now().Add(-2 * time.Second) // files have coarse times
	j := opened(t, dir, s, &disk{}, member("node-1", l))
	sendTo(t, j, 3)
	abandonProcess(j)
	if err := l.ForgetHandIn(t.Context(), "node-1", ""); err != nil {
		t.Fatal(err)
	}
	time.Sleep(10 * time.Millisecond)
	back := time.Now()
	j = opened(t, dir, s, &disk{}, member("node-1", l))
	if until := l.of("node-1"); until.After(back) || until.Before(before) && until.Unix() != 0 {
		t.Errorf("with records since %v on its disk it has handed in until %v", before, until)
	}
	s.shut(false)
	closed(t, j)
}

// TestForgottenMeanwhile: a node that others gave up says all again, also what goes
// on and was said before.
func TestForgottenMeanwhile(t *testing.T) {
	s, l := newShelf(), newLedger()
	j := opened(t, t.TempDir(), s, &disk{}, member("node-1", l))
	defer closed(t, j)
	r := newRequest()
	_ = j.Begin(r)
	for range 2 {
		waitUntil(t, "what goes on is open", func() bool { return l.opened("node-1") == 1 })
		if err := l.ForgetHandIn(t.Context(), "node-1", ""); err != nil {
			t.Fatal(err)
		}
	}
	waitUntil(t, "it is open again, and handed in", func() bool { return l.opened("node-1") == 1 && !l.of("node-1").IsZero() })
	j.End(r)
}

// TestJournalID: a process that is started again speaks for the one before it, and
// nobody else does.
func TestJournalID(t *testing.T) {
	s, l, dir := newShelf(), newLedger(), t.TempDir()
	id := func(dir string) string {
		j := opened(t, dir, s, &disk{}, member("node-1", l))
		defer closed(t, j)
		return j.id()
	}
	first := id(dir)
	if again := id(dir); first == "" || again != first {
		t.Errorf("the ID of one journal is %q and then %q", first, again)
	}
	if other := id(t.TempDir()); other == first {
		t.Error("two journals of one node name have one ID")
	}
	if err := os.WriteFile(filepath.Join(dir, "id"), []byte(first[:5]), 0o600); err != nil {
		t.Fatal(err)
	}
	if torn := id(dir); len(torn) != len(first) || torn != id(dir) {
		t.Errorf("an ID that was torn is replaced by one that stays, not by %q", torn)
	}
}

// TestLookUpWaits: a look-up waits for nodes that hand in, and says which have
// not when it has waited long enough.
func TestLookUpWaits(t *testing.T) {
	s, l := newShelf(), newLedger()
	r := Reader{Store: s, HandIns: l}
	set := func(node string, until time.Time) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.until[node] = until
	}
	set("node-2", time.Now().Add(-time.Second))
	set("node-3", time.Now().Add(time.Hour))
	began := time.Now()
	_, err := r.Record(t.Context(), newRequest().RequestID)
	var waiting *latchkey.NotHandedInError
	if !errors.As(err, &waiting) || len(waiting.Nodes) != 1 || waiting.Nodes[0].Node != "node-2" {
		t.Errorf("node-2 hands in nothing: %v", err)
	}
	if waited := time.Since(began); waited < lookTime {
		t.Errorf("a node that handed in a second ago is waited for only %v", waited)
	}
	for _, found := range []bool{false, true} {
		set("node-2", time.Now().Add(-time.Second))
		wanted := newRequest()
		time.AfterFunc(lookEvery, func() {
			if found {
				_ = s.AppendRecords(context.Background(), []latchkey.Record{wanted})
			}
			set("node-2", time.Now().Add(time.Hour))
		})
		switch got, err := r.Record(t.Context(), wanted.RequestID); {
		case found && (err != nil || got != wanted):
			t.Errorf("a record that is handed in during the look-up: %v", err)
		case !found && !plainlyMissing(err):
			t.Errorf("all have handed in, and it is not there: %v", err)
		}
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	set("node-2", time.Now().Add(-time.Second))
	if _, err := r.Record(gone, newRequest().RequestID); errors.Is(err, latchkey.ErrNotFound) || !errors.Is(err, context.Canceled) {
		t.Errorf("of a look-up that was given up: %v", err)
	}
}
