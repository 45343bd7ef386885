package main

import (
	"os"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"
)

// The parts of make torture that histories are. Each is asked for by a variable
// of its own, so that it can be run in pieces.
const (
	tortureVerifies   = "LATCHKEY_TORTURE_VERIFIES"   // how many, and a hundredth as many rolls, while nothing goes wrong
	tortureInjections = "LATCHKEY_TORTURE_INJECTIONS" // of each fault
	tortureLease      = "LATCHKEY_TORTURE_LEASE"      // while things go wrong; 300ms if it is not set
	tortureFaults     = "LATCHKEY_TORTURE_FAULTS"     // a regular expression: of these only
	tortureSlack      = "LATCHKEY_TORTURE_SLACK"      // see bounds; 1 if it is not set
	torturePromotions = "LATCHKEY_TORTURE_PROMOTIONS" // how many of standbys that lag, and how many of synchronous ones
)

// asked is a number that the environment asks for; the test is skipped if it
// does not.
func asked(t *testing.T, name string) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		t.Skipf("%s asks for it; see the Makefile", name)
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

func askedLease(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv(tortureLease)
	if text == "" {
		return 300 * time.Millisecond
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("%s: %v", tortureLease, err)
	}
	return d
}

// TestTortureHealthy asks and rolls at full speed while nothing goes wrong. There
// are many who roll, and they wait for disks and each other, so that a hundredth
// of the verdicts' number of rolls comes in about the same time.
func TestTortureHealthy(t *testing.T) {
	verifies := int64(asked(t, tortureVerifies))
	h := newHistory(t, newFleet(t, 3*time.Second, buildTagged(t)), historySeed(t), load{callers: 2, rollers: 16})
	defer h.report()
	for began := time.Now(); h.given() < verifies || h.rolls.Load() < verifies/100; {
		time.Sleep(5 * time.Second)
		h.calm()
		t.Log(&h.tally)
		if time.Since(began) > 2*time.Hour {
			t.Fatalf("too slow: %s", &h.tally)
		}
	}
}

// given is how many verdicts there were.
func (h *history) given() int64 { return h.verifies[accepted].Load() + h.verifies[refused].Load() }

// TestTortureFaults injects each fault again and again.
func TestTortureFaults(t *testing.T) {
	each := asked(t, tortureInjections)
	only, err := regexp.Compile(os.Getenv(tortureFaults))
	if err != nil {
		t.Fatalf("%s: %v", tortureFaults, err)
	}
	slack := 1
	if os.Getenv(tortureSlack) != "" {
		slack = asked(t, tortureSlack)
	}
	h := newHistory(t, newFleet(t, askedLease(t), buildTagged(t)), historySeed(t), load{callers: 2, rollers: 3, pace: 3 * time.Millisecond, slack: slack})
	defer h.report()
	list := slices.DeleteFunc(faults(), func(f fault) bool { return !only.MatchString(f.name) })
	if len(list) == 0 {
		t.Fatalf("%s: no fault is named %q", tortureFaults, only)
	}
	for round := range each {
		for _, i := range h.rnd.Perm(len(list)) {
			h.inject(list[i])
			if h.hopeless() {
				t.Fatalf("enough is broken, in round %d", round+1)
			}
		}
		if round%10 == 9 {
			t.Logf("round %d: %s", round+1, &h.tally)
		}
	}
	for _, f := range list {
		if made := h.injected[f.name]; made < each {
			t.Errorf("%s: %d injections were made, of %d", f.name, made, each)
		}
	}
}

// hopeless reports whether so much is broken that more tells nothing.
func (h *history) hopeless() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.faults) > 20
}

// TestTorturePromotions lets standbys take over again and again: as many that lag
// as are asked for, and as many that are synchronous, each kind in turn.
func TestTorturePromotions(t *testing.T) {
	each := asked(t, torturePromotions)
	seed := historySeed(t)
	first := slices.IndexFunc(failovers, func(f failover) bool { return f.synchronous })
	made := 0
	for i := range each {
		for _, kinds := range [][]failover{failovers[:first], failovers[first:]} {
			f := kinds[i%len(kinds)]
			if t.Run(f.name, func(t *testing.T) { promote(t, f, askedLease(t), seed+uint64(i)) }) {
				made++
			}
		}
	}
	t.Logf("seed %d: %d of %d promotions went well, half of them of standbys that lag", seed, made, 2*each)
}
