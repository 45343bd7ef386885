package replica

import "time"

// backwardAlarm is how far the wall clock may be set back before it is an
// alarm: as far as a token's leeway reaches.
const backwardAlarm = 30 * time.Second

// A clock holds the wall clock against the monotonic one. Verdicts on tokens
// follow the wall clock, wherever it goes; what is noticed here is that it went
// back.
type clock struct {
	now  func() time.Time
	last time.Time // with both readings
}

func newClock(now func() time.Time) *clock { return &clock{now: now, last: now()} }

// steppedBack returns by how much the wall clock was set back since the last
// call, or 0 if by no more than [backwardAlarm].
func (c *clock) steppedBack() time.Duration {
	now := c.now()
	back := backward(now.Sub(c.last), now.Round(0).Sub(c.last.Round(0)))
	c.last = now
	return back
}

// backward returns by how much the wall clock fell behind what the monotonic
// one says has elapsed, if that is an alarm.
func backward(elapsed, wall time.Duration) time.Duration {
	if back := elapsed - wall; back > backwardAlarm {
		return back
	}
	return 0
}
