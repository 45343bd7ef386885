package latchkey_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"latchkey"
)

// gone is a replica that waits for a node that is gone, where that is to be seen.
type gone struct {
	latchkey.Replica
	holds   atomic.Bool
	waiting atomic.Int32
	back    chan struct{}
}

func (g *gone) Settle(ctx context.Context, c latchkey.Change) (latchkey.Settlement, error) {
	if g.holds.Load() {
		g.waiting.Add(1)
		defer g.waiting.Add(-1)
		<-g.back
	}
	return g.Replica.Settle(ctx, c)
}

// slow is a store that does not answer changes, while that is to be seen.
type slow struct {
	latchkey.CredentialStore
	hangs atomic.Pointer[chan struct{}]
	asked atomic.Int32
}

func (s *slow) UpdateTeam(ctx context.Context, team string, edit func(time.Time, *latchkey.Holding) error) (latchkey.Holding, latchkey.Change, error) {
	s.asked.Add(1)
	if hangs := s.hangs.Load(); hangs != nil {
		<-*hangs
		return latchkey.Holding{}, latchkey.Change{}, errors.New("the database is down")
	}
	return s.CredentialStore.UpdateTeam(ctx, team, edit)
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// TestOverlapsAreNotWaitedFor holds that an overlap ends when it is over, also while
// another one's end waits for a node that is gone: another team's, or the same one's.
func TestOverlapsAreNotWaitedFor(t *testing.T) {
	r, ctx := newRing(t), t.Context()
	_, _, err := r.CreateTeam(ctx, "second", tester)
	must(t, err)
	away := &gone{Replica: r.Replica, back: make(chan struct{})}
	r.Replica = away
	overlaps := &latchkey.Overlaps{Keyring: r.Keyring}
	hasOld := func(team string) bool {
		h, err := r.Store.Holding(ctx, team)
		must(t, err)
		return h.OldAPIKey() != nil
	}
	for i, team := range []string{"first", "second", "first"} {
		away.holds.Store(false)
		_, _, err := r.RollKey(ctx, team, time.Hour, tester)
		must(t, err)
		away.holds.Store(true)
		r.wait(time.Hour)
		must(t, overlaps.End(ctx))
		eventually(t, "the end of the overlap of team "+team, func() bool { return !hasOld(team) && away.waiting.Load() == int32(i+1) })
	}
	stopping, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	if err := overlaps.Wait(stopping); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("whoever waits for what is under way is told %v, with a node that is gone", err)
	}
	close(away.back)
	must(t, overlaps.Wait(ctx))
	if n := away.waiting.Load(); n != 0 {
		t.Errorf("%d ends are under way, though they were waited for", n)
	}
}

// TestOverlapsAreBegunOnce holds that a store which does not answer is not asked
// again and again, and that what failed is told once and tried again.
func TestOverlapsAreBegunOnce(t *testing.T) {
	r, ctx := newRing(t), t.Context()
	_, _, err := r.RollKey(ctx, "first", time.Hour, tester)
	must(t, err)
	r.wait(time.Hour)
	store := &slow{CredentialStore: r.Store}
	hangs := make(chan struct{})
	store.hangs.Store(&hangs)
	r.Store = store
	overlaps := &latchkey.Overlaps{Keyring: r.Keyring}
	for range 5 {
		must(t, overlaps.End(ctx))
	}
	eventually(t, "a change", func() bool { return store.asked.Load() > 0 })
	time.Sleep(20 * time.Millisecond) // for those that must not come
	if n := store.asked.Load(); n != 1 || !overlaps.Busy() {
		t.Errorf("a store that does not answer is asked %d times (busy: %t), must be once", n, overlaps.Busy())
	}
	store.hangs.Store(nil)
	close(hangs)
	eventually(t, "the failure", func() bool { return !overlaps.Busy() })
	var told error
	eventually(t, "the end that is tried again", func() bool {
		told = errors.Join(told, overlaps.End(ctx))
		h, err := store.Holding(ctx, "first")
		must(t, err)
		return h.OldAPIKey() == nil
	})
	must(t, overlaps.Wait(ctx))
	if told = errors.Join(told, overlaps.End(ctx)); told == nil {
		t.Error("nobody is told that the store failed")
	}
	must(t, overlaps.End(ctx))
}
