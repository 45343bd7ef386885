package latchkey_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"latchkey"
)

// patient is a replica with a node that is gone: a change waits until so many wait.
type patient struct {
	latchkey.Replica
	waiting atomic.Int32
	enough  int32
	met     chan struct{}
}

func (p *patient) Settle(ctx context.Context, c latchkey.Change) (latchkey.Settlement, error) {
	if p.waiting.Add(1) == p.enough {
		close(p.met)
	}
	select {
	case <-p.met:
	case <-time.After(20 * time.Second):
		return latchkey.Settlement{}, fmt.Errorf("%d changes wait, of %d", p.waiting.Load(), p.enough)
	}
	return p.Replica.Settle(ctx, c)
}

// TestOverlapsEndTogether holds that no team's old key lives on because another
// team's takes a lease to be ended on a node that is gone.
func TestOverlapsEndTogether(t *testing.T) {
	r, ctx := newRing(t), t.Context()
	names := []string{"first", "second", "third"}
	for _, name := range names {
		if name != "first" {
			_, _, err := r.CreateTeam(ctx, name, tester)
			must(t, err)
		}
		_, _, err := r.RollKey(ctx, name, time.Hour, tester)
		must(t, err)
	}
	r.wait(time.Hour)
	r.Replica = &patient{Replica: r.Replica, enough: int32(len(names)), met: make(chan struct{})}
	must(t, r.EndOverlaps(ctx))
	for _, name := range names {
		h, err := r.Store.Holding(ctx, name)
		must(t, err)
		if h.OldAPIKey() != nil {
			t.Errorf("the overlap of team %s is over", name)
		}
	}
}

// rolledMeanwhile is a replica that lets another change go before the one that is
// settled returns.
type rolledMeanwhile struct {
	latchkey.Replica
	first  atomic.Bool // another is under way
	change func()
}

func (m *rolledMeanwhile) Settle(ctx context.Context, c latchkey.Change) (latchkey.Settlement, error) {
	s, err := m.Replica.Settle(ctx, c)
	if m.first.CompareAndSwap(false, true) {
		m.change()
	}
	return s, err
}

// forgetful is a replica of a process that answers nothing.
type forgetful struct{ latchkey.Replica }

func (forgetful) APIKey(ctx context.Context, _ latchkey.Digest) (latchkey.Found, error) {
	<-ctx.Done() // it would wait for a lease
	return latchkey.Found{}, &latchkey.Unavailable{Reason: latchkey.ReasonLeaseOver}
}

// TestSuperseded holds that a roll says whether its key is still the current one,
// also in a process that has nothing in memory.
func TestSuperseded(t *testing.T) {
	r, ctx := newRing(t), t.Context()
	memory := r.Replica
	for _, c := range []struct {
		meanwhile string
		change    func()
		want      bool
	}{
		{"nothing", func() {}, false},
		{"a roll", func() { _, _, err := r.RollKey(ctx, "first", 0, tester); must(t, err) }, true},
		{"a roll with an overlap", func() { _, _, err := r.RollKey(ctx, "first", time.Hour, tester); must(t, err) }, true},
		{"the team is disabled", func() { _, _, err := r.DisableTeam(ctx, "first", tester); must(t, err) }, false},
		{"the team is deleted", func() { _, _, err := r.DeleteTeam(ctx, "first", tester); must(t, err) }, true},
	} {
		for what, replica := range map[string]latchkey.Replica{"with memory": memory, "without": forgetful{memory}} {
			r.Replica = &rolledMeanwhile{Replica: replica, change: c.change}
			view, _, err := r.RollKey(ctx, "first", 0, tester)
			must(t, err)
			if view.Superseded != c.want {
				t.Errorf("%s, while %s: superseded is %t", what, c.meanwhile, view.Superseded)
			}
			if c.meanwhile == "the team is deleted" {
				_, _, err := r.CreateTeam(ctx, "first", tester)
				must(t, err)
			}
		}
	}
}

// frozen is a store that answers no more, once a change is made.
type frozen struct{ latchkey.CredentialStore }

func (frozen) Credential(ctx context.Context, _ string) (latchkey.Credential, error) {
	<-ctx.Done()
	return latchkey.Credential{}, ctx.Err()
}

// TestSupersededIsNotWaitedFor holds that a key which was rolled comes back though
// nobody can say whether it is the current one.
func TestSupersededIsNotWaitedFor(t *testing.T) {
	r := newRing(t)
	r.Replica, r.Store = forgetful{r.Replica}, frozen{r.Store}
	view, _, err := r.RollKey(t.Context(), "first", 0, tester)
	must(t, err)
	if view.Superseded || view.APIKey.IsZero() {
		t.Errorf("the key is %+v", view)
	}
}
