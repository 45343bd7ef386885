package replica_test

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"latchkey"
)

// The second opinion on a schedule, by a checker that knows nothing of the
// first: each credential is, at each node, a register that changes set and
// verdicts read. A verdict that could not be given reads nothing. Where a
// history was lost, or availability chosen, there is no such register.

// A step is what porcupine judges: a change or a verdict, of one credential at
// one node.
type step struct {
	register string
	write    bool
	alive    bool // what is written, or was read
}

var register = porcupine.Model{
	Init: func() any { return false },
	Step: func(state, input, _ any) (bool, any) {
		s := input.(step)
		if s.write {
			return true, s.alive
		}
		return state.(bool) == s.alive, state
	},
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		parts := make(map[string][]porcupine.Operation)
		for _, o := range history {
			name := o.Input.(step).register
			parts[name] = append(parts[name], o)
		}
		var list [][]porcupine.Operation
		for _, part := range parts {
			list = append(list, part)
		}
		return list
	},
}

// steps returns the schedule as porcupine reads it.
func (w *world) steps() (history []porcupine.Operation) {
	add := func(n *node, id string, s step, call, back int64) {
		if w.overlapped[id] == 0 {
			s.register = n.name + " " + id
			history = append(history, porcupine.Operation{Input: s, Call: call, Return: back})
		}
	}
	for _, op := range w.operations {
		back := op.returned
		if back == 0 {
			back = math.MaxInt64 // it may come true at any time, or never
		}
		for _, f := range op.effects {
			for _, id := range slices.Concat(f.ended, f.begun) {
				for _, n := range w.nodes {
					add(n, id, step{write: true, alive: slices.Contains(f.begun, id)}, op.began, back)
				}
			}
		}
	}
	for _, v := range w.verdicts {
		if v.outcome == accepted || v.outcome == denied {
			add(v.node, v.credential.id, step{alive: v.outcome == accepted}, v.began, v.ended)
		}
	}
	return history
}

// secondOpinion reports whether porcupine has one on the schedule, and what it is.
func (w *world) secondOpinion() (legal, given bool) {
	if len(w.rifts) > 0 || slices.ContainsFunc(w.nodes, func(n *node) bool { return n.staleOK > 0 }) {
		return true, false
	}
	switch porcupine.CheckOperationsTimeout(register, w.steps(), 10*time.Second) {
	case porcupine.Illegal:
		return false, true
	case porcupine.Ok:
		return true, true
	}
	return true, false
}

// TestCheckers gives both checkers histories that are made by hand.
func TestCheckers(t *testing.T) {
	const old, fresh = "old", "new"
	for _, c := range []struct {
		rule     string
		returned int64 // the roll, which began at 10
		verdict  verdict
		id       string
		fault    bool
	}{
		{"the old key is accepted before the roll", 20, verdict{began: 5, ended: 6, outcome: accepted}, old, false},
		{"the old key is accepted while the roll goes on", 20, verdict{began: 19, ended: 30, outcome: accepted}, old, false},
		{"the old key is accepted after the roll", 20, verdict{began: 21, ended: 22, outcome: accepted}, old, true},
		{"the old key is refused after the roll", 20, verdict{began: 21, ended: 22, outcome: denied}, old, false},
		{"nobody can tell after the roll", 20, verdict{began: 21, ended: 22, outcome: unavailable}, old, false},
		{"the new key is refused after the roll", 20, verdict{began: 21, ended: 22, outcome: denied}, fresh, true},
		{"the new key is accepted after the roll", 20, verdict{began: 21, ended: 22, outcome: accepted}, fresh, false},
		{"the old key is accepted after a roll of unknown outcome", 0, verdict{began: 21, ended: 22, outcome: accepted}, old, false},
		{"the old key is refused after a roll of unknown outcome", 0, verdict{began: 21, ended: 22, outcome: denied}, old, false},
	} {
		n := &node{name: "n1", lease: time.Second}
		first := &operation{what: "create", node: n, began: 1, returned: 2}
		first.effects = []*effect{{entry: entry{id: "a", begun: []string{old}}, op: first, revision: 1, at: 1}}
		roll := &operation{what: "roll", node: n, began: 10, returned: c.returned, err: latchkey.ErrOutcomeUnknown}
		roll.effects = []*effect{{entry: entry{id: "b", ended: []string{old}, begun: []string{fresh}}, op: roll, revision: 2, at: 15}}
		v := c.verdict
		v.node, v.credential = n, &credential{id: c.id}
		w := &world{
			nodes: []*node{n}, operations: []*operation{first, roll}, verdicts: []*verdict{&v},
			primary: &server{seen: &state{log: []entry{first.effects[0].entry, roll.effects[0].entry}}},
		}
		w.check()
		if (len(w.wrong) > 0) != c.fault {
			t.Errorf("%s: the simulation's checker says %q, must object: %v", c.rule, w.wrong, c.fault)
		}
		if legal, given := w.secondOpinion(); !given || legal == c.fault {
			t.Errorf("%s: porcupine finds it legal: %v (%v), must object: %v", c.rule, legal, given, c.fault)
		}
	}
}

// TestCheckersOverlaps holds that a key in an overlap may be refused from the
// first one on, although another server shows one of its own afterwards.
func TestCheckersOverlaps(t *testing.T) {
	w := &world{overlapped: make(map[string]int64)}
	genesis := &operation{what: "genesis", returned: w.tick()}
	w.committed(genesis, 1, entry{id: "a", begun: []string{"key"}})
	genesis.returned = w.tick()
	v := &verdict{node: &node{name: "n1"}, credential: &credential{id: "key"}, began: w.tick(), outcome: denied}
	w.committed(&operation{}, 2, entry{id: "b", until: []string{"key"}})
	v.ended = w.tick()
	w.committed(&operation{}, 2, entry{id: "c", until: []string{"key"}})
	if w.checkVerdict(v, genesis.effects); len(w.wrong) > 0 {
		t.Errorf("a refusal during an overlap: the checker says %q, must not object", w.wrong)
	}
	v.ended = v.began
	if w.checkVerdict(v, genesis.effects); len(w.wrong) == 0 {
		t.Error("a refusal before the overlap: the checker must object")
	}
}

// TestCheckersLosses gives the simulation's checker what porcupine cannot judge.
func TestCheckersLosses(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	n := &node{name: "n1", lease: time.Second}
	other := &node{name: "n2", lease: time.Second}
	roll := func(lost bool) (*world, *operation) {
		op := &operation{what: "roll", node: n, began: 10, returned: 20, at: at(10), took: time.Second}
		op.effects = []*effect{{entry: entry{id: "a", ended: []string{"old"}}, op: op, revision: 1, at: 15}}
		w := &world{nodes: []*node{n, other}, operations: []*operation{op}, primary: &server{seen: &state{log: []entry{op.effects[0].entry}}}}
		if lost {
			w.primary.seen.log = nil
		}
		return w, op
	}
	for _, c := range []struct {
		rule    string
		lost    bool
		arrange func(w *world, op *operation)
		verdict verdict
		fault   bool
	}{
		{"an acknowledged change is lost", true, func(*world, *operation) {}, verdict{node: n, outcome: unavailable}, true},
		{"it is lost with its history", true, func(w *world, _ *operation) {
			w.rifts = []*rift{{at: 30, lost: map[string]bool{"a": true}}}
		}, verdict{node: n, outcome: unavailable}, false},
		{"a node that never had it goes by the other history", true, func(w *world, _ *operation) {
			w.rifts = []*rift{{at: 30, lost: map[string]bool{"a": true}}}
		}, verdict{node: n, began: 40, ended: 41, outcome: accepted}, false},
		{"a node that had it goes by the other history", true, func(w *world, op *operation) {
			w.rifts, op.settled.Confirmed = []*rift{{at: 30, lost: map[string]bool{"a": true}}}, []string{"n1"}
		}, verdict{node: n, began: 40, ended: 41, outcome: accepted}, true},
		{"a node that had it goes by the other history once that was accepted", true, func(w *world, op *operation) {
			w.rifts, op.settled.Confirmed = []*rift{{at: 30, accepted: 35, lost: map[string]bool{"a": true}}}, []string{"n1"}
		}, verdict{node: n, began: 40, ended: 41, outcome: accepted}, false},
		{"a node that chose availability is late", false, func(_ *world, op *operation) {
			op.settled.NotConfirmed = []latchkey.Unconfirmed{{Node: "n1", MaxSeconds: 5}}
		}, verdict{node: n, began: 40, ended: 41, from: at(15), outcome: accepted}, false},
		{"a node that chose availability is later than it may be", false, func(_ *world, op *operation) {
			op.settled.NotConfirmed = []latchkey.Unconfirmed{{Node: "n1", MaxSeconds: 5}}
		}, verdict{node: n, began: 40, ended: 41, from: at(17), outcome: accepted}, true},
		{"another node than the one that chose availability is late", false, func(_ *world, op *operation) {
			op.settled.NotConfirmed = []latchkey.Unconfirmed{{Node: "n2", MaxSeconds: 5}}
		}, verdict{node: n, began: 40, ended: 41, from: at(15), outcome: accepted}, true},
		{"a calm node cannot tell", false, func(*world, *operation) {}, verdict{node: n, outcome: unavailable, calm: true}, true},
		{"a node that is cut off answers within its lease", false, func(*world, *operation) {},
			verdict{node: n, outcome: denied, from: at(10), cutSince: at(9)}, false},
		{"a node that is cut off answers after its lease", false, func(*world, *operation) {},
			verdict{node: n, outcome: denied, from: at(11), cutSince: at(9)}, true},
		{"a change takes too long", false, func(_ *world, op *operation) { op.calm, op.took = true, 2100*time.Millisecond },
			verdict{node: n, outcome: unavailable}, true},
		{"a change takes as long as it may", false, func(_ *world, op *operation) { op.calm, op.took = true, 2050*time.Millisecond },
			verdict{node: n, outcome: unavailable}, false},
	} {
		w, op := roll(c.lost)
		c.arrange(w, op)
		v := c.verdict
		v.credential = &credential{id: "old"}
		w.verdicts = []*verdict{&v}
		w.check()
		if (len(w.wrong) > 0) != c.fault {
			t.Errorf("%s: the checker says %v, must object: %v", c.rule, fmt.Sprint(w.wrong), c.fault)
		}
	}
}
