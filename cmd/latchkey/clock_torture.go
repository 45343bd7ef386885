//go:build torture

package main

import (
	"os"
	"strconv"
	"strings"
	"time"

	"latchkey/replica"
)

// clocks are the machine's, with the wall clock moved by what a file says: a
// duration for the wall clock, and a second one, if there is any, for the clock
// that leases are measured with. It is read each time, so that a test can make
// clocks step.
func clocks() (replica.Clock, func() time.Time) {
	path := os.Getenv("LATCHKEY_TEST_CLOCK")
	if path == "" {
		return nil, nil
	}
	c := steppedClock(path)
	return c, c.Wall
}

// A steppedClock is the file with the steps.
type steppedClock string

// Boot is the machine's, moved by the second duration.
func (c steppedClock) Boot() time.Duration { return replica.System{}.Boot() + c.step(1) }

// Wall is the machine's, moved by the first duration.
func (c steppedClock) Wall() time.Time { return time.Now().Round(0).Add(c.step(0)) }

// step is a duration such as 750ms, or a number of nanoseconds; none is 0.
func (c steppedClock) step(i int) time.Duration {
	text, err := os.ReadFile(string(c))
	if err != nil {
		return 0
	}
	steps := strings.Fields(string(text))
	if i >= len(steps) {
		return 0
	}
	if n, err := strconv.ParseInt(steps[i], 10, 64); err == nil {
		return time.Duration(n)
	}
	d, _ := time.ParseDuration(steps[i])
	return d
}
