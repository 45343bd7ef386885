package replica_test

import (
	"os"
	"strings"
	"testing"
	"time"
)

// modelLimit bounds one exploration.
const modelLimit, modelFullLimit = time.Minute, 10 * time.Minute

// The worlds that every run of the tests explores. Leases are in ticks.
var (
	modelOne     = modelWorld{name: "one node, two rollers, drift", nodes: 1, lease: [3]uint8{2}, rollers: 2, drift: 1, margin: 1}
	modelSolo    = modelWorld{name: "one node, one roller, drift", nodes: 1, lease: [3]uint8{2}, rollers: 1, drift: 1, margin: 1}
	modelTwo     = modelWorld{name: "two nodes", nodes: 2, lease: [3]uint8{1, 1}, rollers: 1}
	modelUnequal = modelWorld{name: "two nodes with unequal leases", nodes: 2, lease: [3]uint8{1, 2}, rollers: 1}
	modelStale   = modelWorld{name: "one node, --stale-ok", nodes: 1, lease: [3]uint8{1}, stale: [3]uint8{2}, rollers: 1, drift: 1, margin: 1}
	modelBulk    = modelWorld{name: "one node, bulk load, renewals that overlap", nodes: 1, lease: [3]uint8{2}, rollers: 1, bulk: true, overlap: true}
	modelSync    = modelWorld{name: "synchronous standby, old primary alive", nodes: 1, lease: [3]uint8{1}, rollers: 1, failover: syncFailover, commits: 1, bulk: true}
	modelLagging = modelWorld{name: "lagging standby", nodes: 1, lease: [3]uint8{1}, rollers: 1, failover: laggingFailover, commits: 1}
	modelEarly   = modelWorld{name: "lagging standby, changes in the log before they are visible", nodes: 1, lease: [3]uint8{1}, rollers: 1, failover: laggingFailover, commits: 1, early: true}
	modelLate    = modelWorld{name: "lagging standby, renewals that overlap", nodes: 1, lease: [3]uint8{1}, rollers: 1, failover: laggingFailover, commits: 1, overlap: true}
)

// The largest worlds, for LATCHKEY_MODEL=full.
var modelFull = []modelWorld{
	modelLate,
	modelEarly,
	{name: "one node, lease 3, two rollers, drift, bulk load, renewals that overlap", nodes: 1, lease: [3]uint8{3}, rollers: 2, drift: 1, margin: 1, bulk: true, overlap: true},
	{name: "two nodes, leases 1 and 2, two rollers", nodes: 2, lease: [3]uint8{1, 2}, rollers: 2},
	{name: "three nodes, one roller", nodes: 3, lease: [3]uint8{1, 1, 1}, rollers: 1},
	{name: "synchronous standby, lease 2, drift, two rollers, two changes on each side", nodes: 1, lease: [3]uint8{2}, rollers: 2, drift: 1, margin: 1, failover: syncFailover, commits: 2},
	{name: "lagging standby, renewals that overlap, two rollers", nodes: 1, lease: [3]uint8{1}, rollers: 2, failover: laggingFailover, commits: 1, overlap: true},
}

func TestModelHolds(t *testing.T) {
	worlds := []modelWorld{modelOne, modelTwo, modelUnequal, modelStale, modelBulk, modelSync, modelLagging}
	most, limit := 20_000_000, modelLimit
	switch {
	case os.Getenv("LATCHKEY_MODEL") == "full":
		worlds = append(worlds, modelFull...)
		most, limit = 380_000_000, modelFullLimit // what 16 GiB hold
	case modelRace || testing.Short():
		worlds = []modelWorld{modelSolo, modelStale}
	}
	for _, w := range worlds {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			r := w.explore(most, limit)
			t.Log(r)
			if r.broken != "" {
				t.Errorf("the promise is broken:\n%s", r.story())
			}
			if r.states < 1000 {
				t.Errorf("there are %d states only: the model does not run", r.states)
			}
		})
	}
}

// modelNeeded is each rule, a world that shows that it is needed, and the
// promise that breaks without it.
var modelNeeded = []struct {
	name  string
	rule  modelRule
	world modelWorld
	want  string
	large bool // too large for -race
}{
	{"t0", ruleT0, modelSolo, "without a change that returned", false},
	{"ackafter", ruleAckAfter, modelSolo, "without a change that returned", false},
	{"regfirst", ruleRegFirst, modelSolo, "without a change that returned", false},
	{"rowcheck", ruleRowCheck, modelSolo, "without a change that returned", false},
	{"incarnation", ruleIncarnation, modelSolo, "without a change that returned", true},
	{"reapseen", ruleReapSeen, modelSolo, "without a change that returned", false},
	{"wait", ruleWait, modelSolo, "without a change that returned", false},
	{"onesnapshot", ruleOneSnapshot, modelSolo, "without a change that returned", false},
	{"durablelease", ruleDurableLease, modelSync, "without a change that returned", false},
	{"margin", ruleMargin, modelSolo, "without a change that returned", false},
	{"reapmargin", ruleReapMargin, modelSolo, "without a change that returned", false},
	{"waitfrom", ruleWaitFrom, modelSolo, "without a change that returned", false},
	{"leavelast", ruleLeaveLast, modelSolo, "without a change that returned", false},
	{"stalereap", ruleStaleReap, modelStale, "did not name it", false},
	{"listhistory", ruleListHistory, modelSync, "without a change that returned", false},
	{"renewalid", ruleRenewalID, modelSync, "without a change that returned", true},
	{"applydurable", ruleApplyDurable, modelSync, "may never have been made", false},
	{"history", ruleHistory, modelLagging, "gone back", true},
	{"knownfile", ruleKnownFile, modelLagging, "gone back", true},
	{"ackhistory", ruleAckHistory, modelLagging, "without a change that returned", true},
	{"ghost", ruleGhost, modelLagging, "without a change that returned", false},
	{"lastlook", ruleLastLook, modelLagging, "had lost", false},
	{"onebase", ruleOneBase, modelLate, "gone back", true},
	{"freshlist", ruleFreshList, modelEarly, "without a change that returned", true},
	{"fence", ruleFence, modelLagging, "had lost", false},
}

func TestModelNeedsEveryRule(t *testing.T) {
	seen := modelRule(0)
	for _, c := range modelNeeded {
		seen |= c.rule
		t.Run(c.name, func(t *testing.T) {
			if c.large && (modelRace || testing.Short()) {
				t.Skip("this world is explored without -race and -short")
			}
			w := c.world
			w.off = c.rule
			r := w.explore(20_000_000, modelLimit)
			if !strings.Contains(r.broken, c.want) {
				t.Fatalf("without %s the promise holds in the model (%s), so it cannot show that the rule is needed; want %q", c.name, r, c.want)
			}
			t.Logf("%s, %s\n%s", w.name, r, r.story())
		})
	}
	if all := ruleFence<<1 - 1; seen != all {
		t.Errorf("rules %b are not tried, of %b", all&^seen, all)
	}
}

// What only a loss of confirmed changes makes necessary: with a synchronous
// standby the promise holds without it.
func TestModelNeedsNoMore(t *testing.T) {
	if modelRace || testing.Short() {
		t.Skip("this world is explored without -race and -short")
	}
	w := modelSync
	w.bulk, w.early = false, true
	w.off = ruleHistory | ruleAckHistory | ruleKnownFile | ruleGhost | ruleLastLook | ruleOneBase | ruleFreshList
	r := w.explore(20_000_000, modelLimit)
	t.Log(r)
	if r.broken != "" || !r.whole {
		t.Errorf("the promise is broken:\n%s", r.story())
	}
}

// A state must come back from its code as it went in, or the exploration is of
// another protocol.
func TestModelCode(t *testing.T) {
	for _, w := range append([]modelWorld{modelOne, modelTwo, modelStale, modelBulk, modelSync, modelLate, modelEarly}, modelFull...) {
		first := w.start()
		w.canonical(&first)
		level := []modelState{first}
		for range 7 {
			var next []modelState
			for _, s := range level {
				w.next(&s, func(step modelStep, n *modelState) {
					follower := *n
					w.canonical(&follower)
					code := w.pack(&follower)
					if back := w.unpack(code); back != follower {
						t.Fatalf("%s: %s\nleads to %+v\nwhose code is that of %+v", w.name, step, follower, back)
					}
					if len(next) < 300 {
						next = append(next, follower)
					}
				})
			}
			level = next
		}
	}
}
