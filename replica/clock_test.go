package replica

import (
	"testing"
	"time"
)

// TestSteppedBack gives the clock a wall reading and a monotonic one that part:
// a time without a monotonic reading is compared by the wall alone, so the
// differences are made by hand.
func TestSteppedBack(t *testing.T) {
	for _, c := range []struct {
		rule          string
		elapsed, wall time.Duration
		alarm         bool
	}{
		{"both go on alike", time.Second, time.Second, false},
		{"the wall clock is set back by 31 s", time.Second, -30 * time.Second, true},
		{"the wall clock is set back by 30 s", time.Second, -29 * time.Second, false},
		{"the wall clock is set ahead", time.Second, time.Hour, false},
	} {
		back := backward(c.elapsed, c.wall)
		if (back > 0) != c.alarm {
			t.Errorf("%s: %v, alarm must be %v", c.rule, back, c.alarm)
		}
	}
	real := newClock(time.Now)
	if back := real.steppedBack(); back != 0 {
		t.Errorf("a clock that goes on is said to have gone back by %v", back)
	}
}
