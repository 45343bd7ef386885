package main

import (
	"testing"

	"latchkey"
)

// TestUnconfirmedInTenths: a bound is never printed as less than it is.
func TestUnconfirmedInTenths(t *testing.T) {
	for seconds, want := range map[float64]string{0: "0", 0.000001: "0.1", 1.1: "1.1", 5: "5", 5.047849684: "5.1", 59.95: "60"} {
		err := &unconfirmedError{nodes: []latchkey.Unconfirmed{{Node: "lax", MaxSeconds: seconds}}}
		if got := "the change was made, but may not be followed yet by lax (for at most " + want + " s)"; err.Error() != got {
			t.Errorf("%g seconds are printed in %q", seconds, err.Error())
		}
	}
}
