//go:build mutant

package replica_test

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"latchkey"
)

// planted is the bug that the database or the clocks of the simulation have:
// onesnapshot, durablelease and standbyread, which are the store's to hold, and
// monotonic, a clock that stands still while the machine is suspended.
func planted() string { return os.Getenv("LATCHKEY_MUTANT") }

// TestReplayFails plays the first schedule that finds a planted bug again: it
// must find it again, or the seed that is printed is worth nothing.
func TestReplayFails(t *testing.T) {
	if planted() == "" {
		t.Skip("LATCHKEY_MUTANT names no planted bug")
	}
	sealer, err := latchkey.CreateKeyset(filepath.Join(t.TempDir(), "keyset.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	s := &statistics{faults: make(map[string]int), kinds: make(map[string]int)}
	dir, seed := historyDir(t), uint64(0)
	for len(simulate(t, seed, s, sealer, dir)) == 0 {
		if seed++; seed == 3000 {
			t.Fatalf("no schedule of %d finds %s", seed, planted())
		}
	}
	const times = 10
	again := 0
	for range times {
		if len(simulate(t, seed, s, sealer, dir)) > 0 {
			again++
		}
	}
	if t.Logf("%s: seed %d fails %d times of %d", planted(), seed, again, times); again < times-1 {
		t.Errorf("a seed that fails fails again: %d failed %d times of %d", seed, again, times)
	}
}
