package replica

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"latchkey"
)

// The registrations are read again while a change waits, less and less often.
const (
	pollFirst = time.Millisecond
	pollLast  = 25 * time.Millisecond

	// listTime bounds one reading of them.
	listTime = time.Second

	// lostTime is for how long the database must be said to have lost a change.
	lostTime = 2 * time.Second
)

// Settle returns when no node accepts what changes up to c ended, and every
// node that can answer accepts what they began: each of the nodes that were
// registered when the change was committed has recorded that it has applied it,
// or its lease must be over by this process's clock. The zero Change stands for
// whatever the store holds now.
//
// If the database has lost the change meanwhile, since a standby was promoted
// that did not have it, nobody follows it, and Settle fails.
func (r *Replica) Settle(ctx context.Context, c latchkey.Change) (latchkey.Settlement, error) {
	r.init()
	if r.Leases == nil {
		return r.settleAlone(ctx, c.Revision)
	}
	p := c.Position()
	if p == (latchkey.Position{}) {
		nothing, err := r.Store.Changes(ctx, math.MaxInt64)
		if err != nil {
			return latchkey.Settlement{}, fmt.Errorf("read the revision: %w", err)
		}
		p = position(nothing)
	}
	w := wait{clock: r.clock(), committed: r.clock().Boot(), position: p}
	r.renewals.ask(wish{revision: p.Revision})
	if leftOut("wait") {
		return latchkey.Settlement{}, nil
	}
	if r.Status().Registration.ID != "" {
		r.renewals.told(ctx, p.Revision, pollLast) // the others take about as long as this node does
	}
	for {
		// A lease that has ended counts once a list that was read afterwards still has the change.
		boot := w.clock.Boot()
		list, err := r.roster.read(ctx, r.Leases, p)
		rest := pollLast
		switch {
		case err == nil:
			var done bool
			if rest, done = w.see(boot, list); done {
				r.reapTooSoon(ctx, w.lapsed)
				return w.settlement(), nil
			}
		case ctx.Err() != nil || w.lost(err):
			return w.settlement(), fmt.Errorf("wait for the other nodes: %w", err)
		}
		poll := (w.clock.Boot() - w.committed) / 8
		pause(ctx, min(max(poll, pollFirst), pollLast, rest))
	}
}

// A wait is for the nodes that must know of a change: rule wait.
type wait struct {
	clock     Clock
	committed time.Duration // boot time; the change was committed before
	position  latchkey.Position

	confirmed map[string]string       // names of nodes that have, in any list, by registration
	lapsed    []latchkey.Registration // those of the last list whose leases are over
	missed    time.Duration           // boot time since when the database is said not to have the change
}

// see takes a list of registrations that was read after the commit, and after
// boot. Each list is judged afresh: after the loss of a primary, a later one may
// name nodes that the first did not. It reports whether nobody on it need be
// waited for, else when the next lease ends at the latest.
func (w *wait) see(boot time.Duration, list []latchkey.Registration) (rest time.Duration, done bool) {
	if w.confirmed == nil {
		w.confirmed = make(map[string]string, len(list))
	}
	w.missed, w.lapsed = 0, nil
	rest, done = pollLast, true
	elapsed := boot - w.committed
	for _, g := range list {
		switch left := bound(g.Lease) - elapsed; {
		case g.Applied >= w.position.Revision:
			w.confirmed[g.ID] = g.Node
		case left > 0:
			rest, done = min(rest, left), false
		default:
			w.lapsed = append(w.lapsed, g)
		}
	}
	return rest, done
}

// lost reports whether the database that answers has lost the change: for one
// answer that says so, it could be an old primary's.
func (w *wait) lost(err error) bool {
	var other *latchkey.AnotherHistoryError
	if !errors.As(err, &other) || other.Missing != w.position {
		return false
	}
	boot := w.clock.Boot()
	if w.missed == 0 {
		w.missed = boot
	}
	return boot-w.missed > lostTime
}

func (w *wait) settlement() latchkey.Settlement {
	s := latchkey.Settlement{Confirmed: slices.Sorted(maps.Values(w.confirmed))}
	elapsed := w.clock.Boot() - w.committed
	for _, g := range w.lapsed {
		left := bound(g.Lease+g.StaleOK) - elapsed
		if g.StaleOK == 0 || left <= 0 {
			if !slices.Contains(s.Confirmed, g.Node) { // else it is what the node was before it was started again
				s.Lapsed = append(s.Lapsed, g.Node)
			}
			continue
		}
		s.NotConfirmed = append(s.NotConfirmed, latchkey.Unconfirmed{Node: g.Node, MaxSeconds: left.Seconds()})
	}
	slices.Sort(s.Lapsed)
	slices.SortFunc(s.NotConfirmed, func(a, b latchkey.Unconfirmed) int { return strings.Compare(a.Node, b.Node) })
	return s
}

// A roster reads the registrations, for all changes of a process that wait at
// once. Those share a reading that asked for it before it began.
type roster struct {
	turn chan struct{} // one reading at a time
	mu   sync.Mutex
	next *reading // not begun yet
}

func (o *roster) init() { o.turn = make(chan struct{}, 1) }

type reading struct {
	has  []latchkey.Position
	done chan struct{}
	list []latchkey.Registration
	err  error
}

// read returns registrations as they were read after the call, in a history
// that has a position.
func (o *roster) read(ctx context.Context, leases latchkey.LeaseStore, has latchkey.Position) ([]latchkey.Registration, error) {
	o.mu.Lock()
	mine := o.next
	if mine == nil {
		mine = &reading{done: make(chan struct{})}
		o.next = mine
		go o.begin(mine, leases)
	}
	mine.has = append(mine.has, has)
	o.mu.Unlock()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-mine.done:
	}
	var other *latchkey.AnotherHistoryError
	if errors.As(mine.err, &other) && other.Missing != has {
		// It was refused for another change that waits; what was lost is that one's.
		return leases.Registrations(ctx, has)
	}
	return mine.list, mine.err
}

func (o *roster) begin(mine *reading, leases latchkey.LeaseStore) {
	o.turn <- struct{}{}
	defer func() { <-o.turn }()
	o.mu.Lock()
	o.next = nil
	o.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), listTime)
	defer cancel()
	mine.list, mine.err = leases.Registrations(ctx, mine.has...)
	close(mine.done)
}
