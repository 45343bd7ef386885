//go:build mutant

package replica

import (
	"context"
	"os"
	"sync"
	"time"

	"latchkey"
)

// The rule that is left out, so that the tests can be seen to notice.
var left = os.Getenv("LATCHKEY_MUTANT")

func leftOut(rule string) bool { return rule == left }

type early struct{}

// CheckEarly checks the lease for requests that have not come yet.
func (r *Replica) CheckEarly(ctx context.Context) context.Context {
	l := r.lease.Load()
	return context.WithValue(ctx, early{}, leftOut("earlycheck") && l != nil && l.good(r.clock()))
}

func checkedEarly(ctx context.Context) bool {
	checked, _ := ctx.Value(early{}).(bool)
	return checked
}

// A flight is a look-up that others share.
type flight struct {
	done  chan struct{}
	found latchkey.Found
	err   error
}

var (
	flights sync.Map // of those under way, by replica and key
	hints   sync.Map // of replicas that had a hint that they have not read after
)

type flightKey struct {
	r   *Replica
	key string
}

func (r *Replica) hinted() { hints.Store(r, true) }

func (r *Replica) unread() bool {
	if !leftOut("notifyonly") || r.lease.Load() == nil {
		return false
	}
	_, hinted := hints.LoadAndDelete(r)
	return !hinted
}

// joined shares a look-up with all who ask for the same while it is under way,
// and lets it take as long as one in a database does.
func (r *Replica) joined(key string, look func() (latchkey.Found, error)) (latchkey.Found, error) {
	mine := &flight{done: make(chan struct{})}
	if other, loaded := flights.LoadOrStore(flightKey{r, key}, mine); loaded {
		mine = other.(*flight)
		<-mine.done
		return mine.found, mine.err
	}
	mine.found, mine.err = look()
	time.Sleep(r.length() / 20)
	flights.Delete(flightKey{r, key})
	close(mine.done)
	return mine.found, mine.err
}

// reapTooSoon removes the registrations of nodes whose leases are over since a
// commit, whether or not they were renewed.
func (r *Replica) reapTooSoon(ctx context.Context, lapsed []latchkey.Registration) {
	if !leftOut("reapseen") {
		return
	}
	for _, g := range lapsed {
		_ = r.Leases.Reap(ctx, g.ID, g.Renewal)
	}
}
