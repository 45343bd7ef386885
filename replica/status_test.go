package replica

import (
	"testing"
	"time"
)

// TestStatusTellsLeaseFromStale holds that what is left of a lease, and of the time
// after it, are told apart, and that neither is ever negative.
func TestStatusTellsLeaseFromStale(t *testing.T) {
	const length, stale = 3 * time.Second, 10 * time.Second
	clock := &handClock{wall: time.Now()}
	r := &Replica{Clock: clock, StaleOK: stale}
	r.lease.Store(&lease{from: now(clock), length: length + stale})
	for _, c := range []struct{ elapsed, remaining, stale time.Duration }{
		{0, 13 * time.Second, stale},
		{2 * time.Second, 11 * time.Second, stale},
		{3 * time.Second, stale, stale},
		{9 * time.Second, 4 * time.Second, 4 * time.Second},
		{13 * time.Second, 0, 0},
		{time.Hour, 0, 0},
	} {
		clock.advance(c.elapsed-clock.boot, c.elapsed-clock.boot)
		if s := r.Status(); s.Remaining != c.remaining || s.Stale != c.stale {
			t.Errorf("after %v, %v remain, of them %v stale, must be %v and %v", c.elapsed, s.Remaining, s.Stale, c.remaining, c.stale)
		}
	}
}
