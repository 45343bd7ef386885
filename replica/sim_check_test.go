package replica_test

import (
	"fmt"
	"slices"
	"time"

	"latchkey"
)

// fail notes that a rule was broken. w.mu is held.
func (w *world) fail(format string, args ...any) {
	if len(w.wrong) < 10 {
		w.wrong = append(w.wrong, fmt.Sprintf(format, args...))
	}
}

// at is a time of the simulation, as failures give it.
func (w *world) at(t time.Time) time.Duration { return t.Sub(w.began) }

// check judges a whole schedule by what clients saw.
func (w *world) check() {
	history := make(map[string][]*effect) // by credential
	for _, op := range w.operations {
		w.checkOperation(op)
		for _, f := range op.effects {
			for _, id := range slices.Concat(f.ended, f.begun) {
				history[id] = append(history[id], f)
			}
		}
	}
	for _, v := range w.verdicts {
		w.checkVerdict(v, history[v.credential.id])
		w.checkLease(v)
	}
}

// longest is the longest lease that a change may have to wait for.
func (w *world) longest() time.Duration {
	var d time.Duration
	for _, n := range w.nodes {
		d = max(d, n.lease)
	}
	return d
}

func (w *world) checkOperation(op *operation) {
	if op.node == nil {
		return
	}
	bound := time.Duration(float64(w.longest()+w.longest()/100+50*time.Millisecond)/0.995) + time.Second
	if op.calm && op.took > bound && op.what != "end overlaps" {
		w.fail("a change waits no longer than the longest lease and a second: %s at %s took %v, must be at most %v", op.what, op.node.name, op.took, bound)
	}
	if op.calm && op.returned == 0 && judgeFailure(op.err) {
		w.fail("a change that no fault touched succeeds: %s at %s, at %v: %v", op.what, op.node.name, w.at(op.at), op.err)
	}
	if op.returned == 0 {
		return
	}
	for _, f := range op.effects {
		if _, lost := w.lost(f); !lost && !w.inHistory(f) {
			w.fail("a change that was acknowledged is never lost: %s at %s made revision %d", op.what, op.node.name, f.revision)
		}
	}
}

func (w *world) inHistory(f *effect) bool {
	log := w.primary.seen.log
	return int(f.revision) <= len(log) && log[f.revision-1].id == f.id
}

// lost returns when a change was lost with its history.
func (w *world) lost(f *effect) (*rift, bool) {
	for _, r := range w.rifts {
		if r.lost[f.id] {
			return r, true
		}
	}
	return nil, false
}

// checkVerdict holds a verdict against the changes that touched its credential.
func (w *world) checkVerdict(v *verdict, effects []*effect) {
	if v.outcome != accepted && v.outcome != denied {
		return
	}
	for _, f := range effects {
		ends := slices.Contains(f.ended, v.credential.id)
		if f.op.returned == 0 || f.op.returned > v.began || ends != (v.outcome == accepted) {
			continue
		}
		if w.excused(v, f, effects) {
			continue
		}
		if ends {
			w.fail("nothing is accepted that a change ended which had returned: %s at %s, from %v to %v, although %s at %s had returned after %v at %v (revision %d; confirmed by %v, not by %v)",
				v.credential.id, v.node.name, w.at(v.from), w.at(v.until), f.op.what, f.op.node.name, f.op.took, w.at(f.op.at.Add(f.op.took)), f.revision,
				f.op.settled.Confirmed, f.op.settled.NotConfirmed)
		} else {
			w.fail("nothing is refused that a change began which had returned: %s at %s, from %v to %v: %v, although %s had returned (revision %d)",
				v.credential.id, v.node.name, w.at(v.from), w.at(v.until), v.err, f.op.what, f.revision)
		}
	}
}

// excused reports whether a verdict may go against a change after all.
func (w *world) excused(v *verdict, f *effect, effects []*effect) bool {
	if at := w.overlapped[v.credential.id]; v.outcome == denied && at != 0 && at < v.ended {
		return true // any clock may refuse it
	}
	for _, later := range effects {
		// A change that undoes it, and that some server had by then.
		if later != f && later.at > f.at && later.at < v.ended && slices.Contains(later.ended, v.credential.id) != slices.Contains(f.ended, v.credential.id) {
			return true
		}
	}
	for _, u := range f.op.settled.NotConfirmed {
		limit := f.op.at.Add(f.op.took + time.Duration(u.MaxSeconds*float64(time.Second)))
		if u.Node == v.node.name && !v.from.After(limit) {
			return true
		}
	}
	r, lost := w.lost(f)
	if !lost || v.ended < r.at {
		return false
	}
	// Only a node that had the change can know that it is lost.
	return r.accepted != 0 && r.accepted < v.ended || !slices.Contains(f.op.settled.Confirmed, v.node.name)
}

// checkLease holds a verdict against what the node could know.
func (w *world) checkLease(v *verdict) {
	if v.outcome == unavailable && v.calm {
		w.fail("a node that nothing troubles can tell, and again within a second of its recovery: unavailable at %s, from %v to %v: %v",
			v.node.name, w.at(v.from), w.at(v.until), v.err)
	}
	if v.outcome == unavailable || v.cutSince.IsZero() {
		return
	}
	last := v.cutSince.Add(time.Duration(float64(v.node.lease+v.node.staleOK)/0.995) + time.Millisecond)
	if v.from.After(last) {
		w.fail("a node that is cut off answers within its lease: %v at %s, at %v, cut off at %v", v.outcome, v.node.name, w.at(v.from), w.at(v.cutSince))
	}
}

// reaped holds the removal of a registration against its node: once one with a
// good lease is removed, the next change does not wait for it. Leases that a
// lagging standby never heard of are the ghost's to guard.
func (w *world) reaped(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stats.fault("registration reaped")
	for _, n := range w.nodes {
		if n.process == nil || n.process.under != id || n.process.leased.Before(w.ghosted) {
			continue
		}
		if age := time.Since(n.process.leased); age < time.Duration(float64(n.lease+n.staleOK)*0.995) {
			w.fail("no registration is removed while its node has a lease: that of %s, at %v, whose lease is %v old", n.name, w.at(time.Now()), age)
		}
	}
}

// judgeFailure reports whether an error of a change is one that a healthy
// cluster must not give.
func judgeFailure(err error) bool {
	for _, fine := range []error{latchkey.ErrConflict, latchkey.ErrNotFound, errDead} {
		if is(err, fine) {
			return false
		}
	}
	return true
}
