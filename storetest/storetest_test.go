package storetest_test

import (
	"context"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey"
	"latchkey/sqlite"
	"latchkey/storetest"
)

// faultVariable names the fault that TestExamined plants.
const faultVariable = "STORETEST_FAULT"

// TestExamined examines a good store; in a process that TestFaults started, one
// with a fault.
func TestExamined(t *testing.T) {
	plant := func(s storetest.Store) storetest.Store { return s }
	if name := os.Getenv(faultVariable); name != "" {
		plant = nil
		for _, f := range faults {
			if f.name == name {
				plant = f.plant
			}
		}
		if plant == nil {
			t.Fatalf("there is no fault %q", name)
		}
	}
	storetest.Run(t, func(t *testing.T, genesis func(time.Time) (latchkey.Genesis, error), now func() time.Time) (a, b storetest.Store) {
		s, err := sqlite.Open(t.Context(), sqlite.Config{Dir: t.TempDir(), Genesis: genesis, Now: now})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		// Two handles of one process may be the same; the fault is in it.
		one := plant(s)
		return one, one
	})
}

// TestFaults shows that the examination can fail: it plants faults into a good
// store, one at a time, and each must be found by the exam that asks for it.
func TestFaults(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, self, "-test.run=^TestExamined$/^"+f.exam+"$", "-test.v", "-rapid.nofailfile")
			cmd.Env = append(os.Environ(), faultVariable+"="+f.name)
			out, err := cmd.CombinedOutput()
			if err == nil {
				t.Fatalf("a store whose fault is %q passes %s", f.name, f.exam)
			}
			for _, want := range []string{"--- FAIL: TestExamined/" + f.exam, "rule broken: "} {
				if !strings.Contains(string(out), want) {
					t.Errorf("the examination fails, but without %q:\n%.3000s", want, out)
				}
			}
		})
	}
}

// TestEveryExamCanFail holds the faults against the exams.
func TestEveryExamCanFail(t *testing.T) {
	for _, exam := range storetest.Exams() {
		if !slices.ContainsFunc(faults, func(f fault) bool { return f.exam == exam }) {
			t.Errorf("no fault shows that exam %s can fail", exam)
		}
	}
}
