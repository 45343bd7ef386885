package replica

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"latchkey"
)

// A busyStore fails to read everything at first: at once, or when it is given up.
type busyStore struct {
	latchkey.CredentialStore
	fails []time.Duration // how long each failure takes; longer than it is given: it hangs
	until time.Time       // and from then on at once, until
}

var errBusy = errors.New("canceling statement due to statement timeout")

func (s *busyStore) Changes(ctx context.Context, _ latchkey.Revision) (latchkey.Changes, error) {
	switch {
	case len(s.fails) > 0:
		takes := s.fails[0]
		s.fails = s.fails[1:]
		if !pause(ctx, takes) {
			return latchkey.Changes{}, ctx.Err()
		}
		return latchkey.Changes{}, errBusy
	case time.Now().Before(s.until):
		return latchkey.Changes{}, errBusy
	}
	return latchkey.Changes{}, nil
}

// A willing lease store takes every registration, and renews every lease.
type willing struct{ latchkey.LeaseStore }

func (willing) Register(context.Context, latchkey.Registration) error { return nil }

func (willing) Renew(context.Context, latchkey.Renewal) (latchkey.Renewed, error) {
	return latchkey.Renewed{}, nil
}

// TestJoinTriesAgain holds that a node starts though the database is busy at that
// moment, and gives up, with the reason, where it stays so.
func TestJoinTriesAgain(t *testing.T) {
	for _, c := range []struct {
		busy  time.Duration
		joins bool
	}{
		{0, true}, {time.Second, true}, {joinTime - time.Second, true}, {time.Hour, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			store := &busyStore{until: time.Now().Add(c.busy)}
			r := &Replica{Store: store, Leases: willing{}, Node: "n", Lease: time.Second, Logger: slog.New(slog.DiscardHandler)}
			began := time.Now()
			err := r.Join(t.Context())
			switch took := time.Since(began); {
			case c.joins && (err != nil || r.Status().Remaining <= 0 || took > c.busy+time.Second):
				t.Errorf("a database that is busy for %v: %v after %v", c.busy, err, took)
			case !c.joins && (!errors.Is(err, errBusy) || took < joinTime || took > joinTime+time.Second):
				t.Errorf("a database that stays busy: %v after %v", err, took)
			}
			ended, end := context.WithCancel(t.Context())
			end()
			began = time.Now()
			store.until = began.Add(time.Hour)
			if err := (&Replica{Store: store, Leases: willing{}, Node: "n", Logger: r.Logger}).Join(ended); err == nil || time.Since(began) > 0 {
				t.Errorf("a node that is stopped while it starts: %v after %v", err, time.Since(began))
			}
		})
	}
}

// TestJoinIsNotHeldUp holds that what a load is given grows with those that took too
// long, and only with them; and that errors count from the first in a row.
func TestJoinIsNotHeldUp(t *testing.T) {
	const hangs = time.Hour
	for _, c := range []struct {
		fails  []time.Duration
		within time.Duration
	}{
		{[]time.Duration{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, hangs}, loadFirst + 2*time.Second},
		{[]time.Duration{hangs, hangs, 0}, 3*loadFirst + time.Second},
		{[]time.Duration{0, hangs, hangs, 0, 0}, 3*loadFirst + time.Second},
		{[]time.Duration{4 * time.Second, 0}, 5 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := &Replica{Store: &busyStore{fails: c.fails}, Leases: willing{}, Node: "n", Lease: time.Second, Logger: slog.New(slog.DiscardHandler)}
			began := time.Now()
			if err := r.Join(t.Context()); err != nil || time.Since(began) > c.within {
				t.Errorf("%v: %v after %v, must be within %v", c.fails, err, time.Since(began), c.within)
			}
		})
	}
}

// A bookkeeper is willing, unless it is away, and notes who was registered and who
// is not any more.
type bookkeeper struct {
	willing
	there []string
	away  bool // for those who register
}

func (b *bookkeeper) Register(_ context.Context, r latchkey.Registration) error {
	if b.away {
		return errBusy
	}
	b.there = append(b.there, r.ID)
	return nil
}

func (b *bookkeeper) Deregister(_ context.Context, id string) error {
	b.there = slices.DeleteFunc(b.there, func(other string) bool { return other == id })
	return nil
}

// TestFormerSelf holds that a node which was killed removes its former registration
// when it starts again: if the same lock, which that process held, is its own now.
func TestFormerSelf(t *testing.T) {
	for _, c := range []struct {
		first, second string // witnesses
		left          int    // registrations, after the second start
	}{
		{"boot 1, inode 2", "boot 1, inode 2", 1},
		{"boot 1, inode 2", "boot 1, inode 3", 2}, // a copy of the data directory, whose original may live
		{"boot 1, inode 2", "boot 2, inode 2", 2},
		{"boot 1, inode 2", "", 2},
		{"", "boot 1, inode 2", 2},
		{"", "", 2},
	} {
		b, file := &bookkeeper{}, filepath.Join(t.TempDir(), "history")
		start := func(witness string) {
			r := &Replica{Store: &busyStore{}, Leases: b, Node: "n", HistoryFile: file, Witness: witness, Logger: slog.New(slog.DiscardHandler)}
			if err := r.Join(t.Context()); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = r.Close() })
		}
		start(c.first)
		former := b.there[0]
		start(c.second)
		if len(b.there) != c.left || slices.Contains(b.there, former) != (c.left == 2) {
			t.Errorf("killed under %q and started under %q: %v are registered, the first was %s", c.first, c.second, b.there, former)
		}
		start(c.second) // what was kept of the second start counts now
		if left := len(b.there); c.second == "" && left != 3 || c.second != "" && left != c.left {
			t.Errorf("started under %q once more: %v are registered", c.second, b.there)
		}
	}
}

// TestFormerSelfIsNotForgotten: a start that comes to nothing in between does not
// make a node forget what it was.
func TestFormerSelfIsNotForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, file := &bookkeeper{}, filepath.Join(t.TempDir(), "history")
		for _, away := range []bool{false, true, false} {
			b.away = away
			r := &Replica{Store: &busyStore{}, Leases: b, Node: "n", HistoryFile: file, Witness: "w", Logger: slog.New(slog.DiscardHandler)}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			if err := r.Join(ctx); (err != nil) != away {
				t.Errorf("a start while the database takes no registrations (%v): %v", away, err)
			}
			cancel()
			defer r.history.close()
		}
		if len(b.there) != 1 {
			t.Errorf("after a start that failed, %v are registered", b.there)
		}
	})
}

// TestRegistrationIsNotKept: a node whose disk cannot keep its registration answers
// all the same.
func TestRegistrationIsNotKept(t *testing.T) {
	b := &bookkeeper{}
	r := &Replica{
		Store: &busyStore{}, Leases: b, Node: "n", Witness: "w", Logger: slog.New(slog.DiscardHandler),
		HistoryFile: filepath.Join(t.TempDir(), "history"),
	}
	if err := r.Join(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := r.history.file.Close(); err != nil {
		t.Fatal(err)
	}
	r.leave(r.Status().Registration.ID, false)
	if r.Status().Remaining > 0 {
		t.Error("a node without a registration has a lease")
	}
	if err := r.renew(t.Context(), time.Second); err != nil || r.Status().Remaining <= 0 || len(b.there) != 2 {
		t.Errorf("a node that cannot keep its registration on disk: %v, %+v", err, r.Status())
	}
}

// A mover is willing, and has moved on by one revision at each renewal.
type mover struct {
	willing
	lease time.Duration
	at    atomic.Int64
}

func (m *mover) position(revision latchkey.Revision) latchkey.Position {
	return latchkey.Position{Revision: revision, ChangeID: fmt.Sprint("change ", revision)}
}

func (m *mover) Renew(context.Context, latchkey.Renewal) (latchkey.Renewed, error) {
	p := m.position(latchkey.Revision(m.at.Add(1)))
	return latchkey.Renewed{Changes: latchkey.Changes{After: p.Revision - 1, Revision: p.Revision, ChangeID: p.ChangeID}}, nil
}

func (m *mover) Acknowledge(context.Context, string, latchkey.Position) error { return nil }

func (m *mover) Reap(context.Context, string, string) error { return latchkey.ErrConflict }

func (m *mover) Deregister(context.Context, string) error { return nil }

func (m *mover) Listen(ctx context.Context, _ func(latchkey.Revision)) error {
	<-ctx.Done()
	return ctx.Err()
}

func (m *mover) Registrations(context.Context, ...latchkey.Position) ([]latchkey.Registration, error) {
	return []latchkey.Registration{{ID: "this node's", Node: "n", Lease: m.lease}}, nil
}

// TestHungDisk: while the disk hangs that the node keeps its position on, the lease
// ends, and nobody waits for the disk: neither who asks how the node stands, nor a
// change that is made here. When the disk answers again, so does the node.
func TestHungDisk(t *testing.T) {
	const lease = 200 * time.Millisecond // real time: a lock that is waited for stops the time of synctest
	store := &mover{lease: lease}
	r := &Replica{Store: &busyStore{}, Leases: store, Node: "n", Lease: lease,
		HistoryFile: filepath.Join(t.TempDir(), "history"), Logger: slog.New(slog.DiscardHandler)}
	healed := make(chan struct{})
	var hangs atomic.Bool
	r.history.sync = func(*os.File) error {
		if hangs.Load() {
			<-healed
		}
		return nil
	}
	if err := r.Join(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { r.Run(ctx) })
	hangs.Store(true)
	time.Sleep(2 * lease)
	if s := r.Status(); s.Remaining != 0 {
		t.Errorf("what the disk did not take is applied: %v of the lease remain", s.Remaining)
	}
	began := time.Now()
	s, err := r.Settle(ctx, latchkey.Change{Revision: 1000, ID: "change 1000"})
	if err != nil || time.Since(began) > bound(lease)+5*time.Second || !slices.Equal(s.Lapsed, []string{"n"}) {
		t.Errorf("a change that is made here: %+v, %v after %v", s, err, time.Since(began))
	}
	hangs.Store(false)
	close(healed)
	for until := time.Now().Add(10 * time.Second); r.Status().Remaining <= 0 && time.Now().Before(until); {
		time.Sleep(lease / 10)
	}
	if s := r.Status(); s.Remaining <= 0 || s.Revision < 2 {
		t.Errorf("the disk answers again, and the node does not: %+v", s)
	}
	stop()
	running.Wait()
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

// TestOrphans holds that a registration of unknown fate is remembered for as long as a
// change may wait for it, however many others there are, and no longer.
func TestOrphans(t *testing.T) {
	r := &Replica{Lease: time.Minute}
	var orphans []orphan
	for range 100 {
		orphans = append(orphans, orphan{"first", r.clock().Boot()})
	}
	longest := bound(time.Minute)
	late := &Replica{Lease: time.Minute, Clock: &handClock{boot: orphans[0].sent + longest - time.Second}}
	if n := len(late.waitedFor(orphans)); n != 100 {
		t.Errorf("%d of 100 are remembered while their leases may be good", n)
	}
	late.Clock = &handClock{boot: orphans[99].sent + longest + time.Second}
	if n := len(late.waitedFor(orphans)); n != 0 {
		t.Errorf("%d are remembered when their leases are over", n)
	}
}
