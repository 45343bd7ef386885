package main

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"latchkey"
)

// namesakeRenewals is how many renewals show that a node of the same name is
// alive. A process that was killed cannot renew, but what it had sent may still
// arrive, at once and in a burst.
const namesakeRenewals = 3

// A namesakeError is a living node that has this one's name.
type namesakeError struct{ name, address string }

func (e *namesakeError) Error() string {
	return fmt.Sprintf("another node, at %s, has this node's name, %s: give each its own with --node, or nobody can tell whose records they are",
		cmp.Or(e.address, "an address that it does not tell"), e.name)
}

// A twin is a registration under this node's name that was there before it.
type twin struct {
	renewal  string    // what it was when it was seen last
	renewals int       // how often it was another
	since    time.Time // since when it is this one
}

// lookForNamesake returns a [*namesakeError] if a node of this one's name was
// there before it, and lives. That takes about a lease: a node that was killed
// is registered still when it is started again, and must not wait for that, so
// this one serves meanwhile. Of two that are started at once, one finds the
// other, or both do. One that comes later finds this one.
func (n *node) lookForNamesake(ctx context.Context) error {
	var twins map[string]*twin // by registration; nil before the first look
	for every := n.lease() / 6; ; {
		list, err := n.leases.Registrations(ctx)
		if err == nil {
			if twins == nil {
				twins = n.twins(list)
			}
			every, err = n.seeTwins(twins, list, time.Now())
			if err != nil {
				return err
			}
			if len(twins) == 0 {
				return nil
			}
		}
		if !wait(ctx, max(every, 10*time.Millisecond)) {
			return nil
		}
	}
}

func (n *node) lease() time.Duration { return cmp.Or(n.replica.Lease, latchkey.DefaultLease) }

// twins are the others of this node's name. One that has no lease yet is
// starting, and finds this node.
func (n *node) twins(list []latchkey.Registration) map[string]*twin {
	twins := make(map[string]*twin)
	mine := n.replica.Status().Registration.ID
	for _, g := range list {
		if g.Node == n.name && g.ID != mine && g.Renewals > 0 {
			twins[g.ID] = &twin{}
		}
	}
	return twins
}

// seeTwins takes another list, forgets those who are dead or gone, and says how
// soon to look again.
func (n *node) seeTwins(twins map[string]*twin, list []latchkey.Registration, now time.Time) (every time.Duration, err error) {
	every = n.lease() / 6
	there := make(map[string]bool, len(list))
	for _, g := range list {
		there[g.ID] = true
		t := twins[g.ID]
		switch {
		case t == nil:
			continue
		case t.renewal == "":
			t.renewal, t.since = g.Renewal, now
		case t.renewal != g.Renewal:
			t.renewal, t.since, t.renewals = g.Renewal, now, t.renewals+1
		case now.Sub(t.since) > g.Lease+g.Lease/100: // it renews three times in that time, if it lives
			delete(twins, g.ID)
		}
		if t.renewals >= namesakeRenewals {
			return 0, &namesakeError{name: n.name, address: g.Address}
		}
		every = min(every, g.Lease/6)
	}
	for id := range twins {
		if !there[id] {
			delete(twins, id)
		}
	}
	return every, nil
}
