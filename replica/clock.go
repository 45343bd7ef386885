package replica

import "time"

// backwardAlarm is how far the wall clock may be set back before it is an
// alarm: as far as a token's leeway reaches.
const backwardAlarm = 30 * time.Second

// maxJump is how far the wall clock may move against the other one within a
// lease: further, and one of them is wrong, or both stood still for a while.
const maxJump = 500 * time.Millisecond

// A Clock is what leases are measured with.
type Clock interface {
	// Boot is the time since some fixed moment, such as the machine's start.
	// It goes on while the machine is suspended, and never back
	// (CLOCK_BOOTTIME, see clock_gettime(2)).
	Boot() time.Duration

	// Wall is the time of day. It can be set, and can only end a lease.
	Wall() time.Time
}

// System is the machine's clock.
type System struct{}

// Wall returns time.Now.
func (System) Wall() time.Time { return time.Now() }

// An instant is one moment by both clocks.
type instant struct {
	boot time.Duration
	wall time.Time
}

func now(c Clock) instant { return instant{c.Boot(), c.Wall().Round(0)} }

// after returns how much later i is than an earlier instant, and by how much
// the wall clock differs from that.
func (i instant) after(earlier instant) (elapsed, jump time.Duration) {
	elapsed = i.boot - earlier.boot
	return elapsed, (i.wall.Sub(earlier.wall) - elapsed).Abs()
}

// A watch notices that the wall clock was set back: verdicts on tokens follow
// it, wherever it goes.
type watch struct {
	clock Clock
	last  instant
}

// setBack returns by how much the wall clock was set back since the last call,
// or 0 if by no more than [backwardAlarm].
func (w *watch) setBack() time.Duration {
	before := w.last
	w.last = now(w.clock)
	if back := w.last.boot - before.boot - w.last.wall.Sub(before.wall); back > backwardAlarm {
		return back
	}
	return 0
}
