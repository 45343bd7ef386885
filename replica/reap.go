package replica

import (
	"context"
	"errors"
	"strconv"
	"time"

	"latchkey"
)

// A sighting is a registration as it was seen.
type sighting struct {
	renewal string
	since   time.Duration // boot time at which it was first seen so
}

// reap removes registrations of nodes that are dead, beside the changes: none
// waits for it. A registration goes only when this node has seen it unchanged
// for its whole lease: rule reapseen.
func (r *Replica) reap(ctx context.Context) {
	seen := make(map[string]sighting)
	every := r.length() / 3
	for pause(ctx, every) {
		list, err := r.Leases.Registrations(ctx)
		if err != nil {
			continue // the lease's renewal says what is wrong
		}
		// All nodes read all rows: the more there are, the less often.
		every = max(r.length()/3, time.Duration(len(list))*20*time.Millisecond)
		r.reapOnce(ctx, list, seen)
	}
}

func (r *Replica) reapOnce(ctx context.Context, list []latchkey.Registration, seen map[string]sighting) {
	boot := r.clock().Boot()
	there := make(map[string]bool, len(list))
	for _, g := range list {
		there[g.ID] = true
		renewal := g.Renewal
		if leftOut("incarnation") {
			renewal = strconv.FormatInt(g.Renewals, 10)
		}
		if s, ok := seen[g.ID]; !ok || s.renewal != renewal {
			if ok && g.Node == r.Node && g.ID != r.Status().Registration.ID && !r.namesake {
				r.namesake = true
				r.logger().Error("ANOTHER NODE HAS THIS NODE'S NAME: give each one its own (--node), or nobody can tell which has handed in its records",
					"node", r.Node, "address", g.Address)
			}
			seen[g.ID] = sighting{renewal, boot}
			continue
		}
		if boot-seen[g.ID].since <= bound(g.Lease+g.StaleOK) {
			continue
		}
		err := r.Leases.Reap(ctx, g.ID, g.Renewal)
		if err == nil {
			r.logger().Warn("a node has not been heard of for its whole lease: its registration was removed", "node", g.Node)
		} else if !errors.Is(err, latchkey.ErrConflict) {
			return // it is tried again
		}
		delete(seen, g.ID)
	}
	for id := range seen {
		if !there[id] {
			delete(seen, id)
		}
	}
}
