package replica

import (
	"context"
	"time"

	"latchkey"
)

// maxWait is how long a request waits for a renewal, where it found the lease
// over.
const maxWait = time.Second

// A lease is leave to answer from memory.
type lease struct {
	revision latchkey.Revision // memory held all changes up to this one when it was given
	endless  bool              // one process owns the data
	from     instant           // before the renewal was sent: rule t0
	length   time.Duration     // with what availability was chosen for
}

// good reports whether the lease is good at the moment of the call.
func (l *lease) good(c Clock) bool {
	if l.endless {
		return true
	}
	if leftOut("wallclock") {
		return c.Wall().Sub(l.from.wall) < l.length
	}
	elapsed, jump := now(c).after(l.from)
	return elapsed < l.length && jump <= maxJump
}

// bound is how long after a moment a lease that began before it may be good, by
// another node's clock: clocks differ by 1 % at most.
func bound(lease time.Duration) time.Duration {
	if leftOut("nomargin") {
		return lease
	}
	return lease + lease/100 + 50*time.Millisecond
}

// look looks up what find finds, under a lease that is good afterwards. Where
// there is none, it waits for one that was asked for since the call, a second
// at most.
//
// The order matters. The lease comes first: memory never goes back, so what is
// found then is at least as new as what the lease was given for. The clock comes
// last: a node that was paused in between must not answer.
func (r *Replica) look(ctx context.Context, find func() *latchkey.Found) (latchkey.Found, error) {
	l := r.lease.Load()
	if l != nil {
		found := r.answer(l, find())
		if l.good(r.clock()) || checkedEarly(ctx) {
			return found, nil
		}
		if leftOut("swr") {
			r.renewals.ask(wish{any: true})
			return found, nil
		}
	}
	return r.lookLater(ctx, find)
}

func (r *Replica) lookLater(ctx context.Context, find func() *latchkey.Found) (latchkey.Found, error) {
	r.init() // the node may be joining still
	if r.Leases == nil {
		return latchkey.Found{}, &latchkey.Unavailable{Reason: latchkey.ReasonStoreUnavailable, RetryAfter: time.Second}
	}
	ctx, cancel := context.WithTimeout(ctx, maxWait)
	defer cancel()
	for {
		if alarm := r.alarm.Load(); alarm != nil {
			return latchkey.Found{}, &latchkey.Unavailable{Reason: latchkey.ReasonStoreUnavailable, RetryAfter: time.Second, Err: *alarm}
		}
		if !r.renewals.wait(ctx) {
			return latchkey.Found{}, &latchkey.Unavailable{Reason: latchkey.ReasonLeaseOver, RetryAfter: time.Second}
		}
		l := r.lease.Load()
		if l == nil {
			continue
		}
		if found := r.answer(l, find()); l.good(r.clock()) {
			return found, nil
		}
	}
}
