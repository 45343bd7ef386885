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
