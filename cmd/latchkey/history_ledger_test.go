package main

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anishathalye/porcupine"
)

// A reply is what one request was answered.
type reply uint8

const (
	accepted reply = iota
	refused
	unavailable // the node cannot tell
	broken      // no answer came
)

func (v reply) String() string {
	return [...]string{"accepted", "refused", "unavailable", "broken"}[v]
}

// keptVerifies is how many verdicts of a team go to porcupine: those that come
// later are held to the direct rules alone. Leaving some out is sound, since
// they change nothing.
const keptVerifies = 6000

// A tally counts what a history held. Its zero value is ready.
type tally struct {
	verifies     [4]atomic.Int64 // by reply
	rolls        atomic.Int64    // that were acknowledged
	unknown      atomic.Int64    // whose outcome is not known
	failed       atomic.Int64    // that were not made
	stale        atomic.Int64    // accepts of a key that a roll which had returned had ended
	wrong        atomic.Int64    // refusals of a key whose roll had returned
	lost         atomic.Int64    // acknowledged rolls that are not there any more
	other        atomic.Int64    // rules broken that are none of these
	linearizable atomic.Int64    // histories that porcupine passed
	partial      atomic.Int64    // those that it had no time for
}

func (t *tally) String() string {
	return fmt.Sprintf("%d verifies (%d accepted, %d refused, %d unavailable, %d without an answer), %d rolls (and %d of unknown outcome, %d not made), %d histories passed by porcupine (%d not finished): %d stale accepts, %d wrong refusals, %d lost acknowledged rolls, %d other faults",
		t.verifies[accepted].Load()+t.verifies[refused].Load()+t.verifies[unavailable].Load()+t.verifies[broken].Load(),
		t.verifies[accepted].Load(), t.verifies[refused].Load(), t.verifies[unavailable].Load(), t.verifies[broken].Load(),
		t.rolls.Load(), t.unknown.Load(), t.failed.Load(), t.linearizable.Load(), t.partial.Load(),
		t.stale.Load(), t.wrong.Load(), t.lost.Load(), t.other.Load())
}

func (t *tally) broken() bool {
	return t.stale.Load()+t.wrong.Load()+t.lost.Load()+t.other.Load() > 0
}

// never is when something returns of which nothing is known.
const never = time.Duration(1<<63 - 1)

// A rolled is one roll, with the key that it made. Times are of the one clock of
// the test.
type rolled struct {
	number    int
	call, ret time.Duration // ret: never, until it is acknowledged
	made      time.Duration // never, until it is known that it was committed by then
	failed    bool          // it is known that nothing was changed
	value     string        // of the key; empty until it is known
	deadBy    time.Duration // when a roll returned that had begun after this one had returned
	ended     time.Duration // when its call ended without an outcome; never
	goneBy    time.Duration // from when on no answer may accept the key, whatever roll of unknown outcome ended it
	heldBy    time.Duration // from when on every answer accepts the key that such a roll made
	follows   time.Duration // after it was seen to be made, the last call of a verdict that did not follow it
	threats   []*rolled     // the rolls that may have come after this one
}

// A verified is one verdict.
type verified struct {
	node      int
	key       *rolled
	call, ret time.Duration
	is        reply
}

// A ledger is the history of one team, and holds each verdict to the promise as
// it comes: exactly, whatever is under way.
type ledger struct {
	team  string
	now   func() time.Duration
	tally *tally
	fault func(rule string) // says what was broken
	lease time.Duration     // in which answers follow a roll of unknown outcome

	mu       sync.Mutex
	rolls    []*rolled // in the order of their calls; the first is the creation
	verdicts []verified
	view     atomic.Pointer[view]
	// lastUnknown is the last roll of unknown outcome that was seen to be made.
	lastUnknown *rolled
}

// A view is what callers choose their keys from.
type view struct {
	current *rolled
	ended   []*rolled // the newest first
}

// begin notes that a roll is called.
func (l *ledger) begin() *rolled {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := &rolled{number: len(l.rolls), call: l.now(), ret: never, made: never, deadBy: never, ended: never, goneBy: never, heldBy: never}
	for _, earlier := range l.rolls {
		if earlier.failed {
			continue
		}
		if earlier.made > r.call { // under way or unknown: nobody knows which is the later one
			r.threats = append(r.threats, earlier)
		}
		if earlier.deadBy == never {
			earlier.threats = append(earlier.threats, r)
		}
	}
	l.rolls = append(l.rolls, r)
	return r
}

// acknowledge notes that a roll returned, with its key.
func (l *ledger) acknowledge(r *rolled, value string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r.ret, r.value = l.now(), value
	r.made = r.ret
	for _, other := range l.rolls {
		if other != r && other.made <= r.call && other.deadBy == never {
			other.deadBy = r.ret
		}
	}
	if r.number > 0 { // the first is the creation
		l.tally.rolls.Add(1)
	}
	l.publish()
}

// fail notes that a roll was not made.
func (l *ledger) fail(r *rolled) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r.failed = true
	l.tally.failed.Add(1)
}

// lose notes that nobody knows whether a roll was made.
func (l *ledger) lose(r *rolled) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r.ended = l.now()
	l.tally.unknown.Add(1)
}

// publish tells callers of the keys. l.mu is held.
func (l *ledger) publish() {
	v := &view{}
	for _, r := range slices.Backward(l.rolls) {
		switch {
		case r.value == "":
		case r.deadBy == never && v.current == nil:
			v.current = r
		case len(v.ended) < 6:
			v.ended = append(v.ended, r)
		}
	}
	l.view.Store(v)
}

// verify notes a verdict, and holds it to the promise. ret is read under the
// lock, so that every roll that was called or had returned by then is known.
func (l *ledger) verify(node int, key *rolled, call time.Duration, is reply) (ret time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ret = l.now()
	l.tally.verifies[is].Add(1)
	if len(l.verdicts) < keptVerifies && (is == accepted || is == refused) {
		l.verdicts = append(l.verdicts, verified{node, key, call, ret, is})
	}
	switch {
	case is == accepted && key.deadBy <= call:
		l.tally.stale.Add(1)
		l.fault(fmt.Sprintf("STALE ACCEPT on node %d of key %d of %s: called %v after the roll that ended it had returned (at %v)",
			node+1, key.number, l.team, call-key.deadBy, key.deadBy))
	case is == refused && key.ret <= call && !threatened(key, ret):
		l.tally.wrong.Add(1)
		l.fault(fmt.Sprintf("WRONG REFUSAL on node %d of key %d of %s: called %v after its roll had returned (at %v), and nobody had rolled it",
			node+1, key.number, l.team, call-key.ret, key.ret))
	case is == accepted && key.goneBy <= call, is == refused && key.heldBy <= call && !threatened(key, ret):
		l.tally.other.Add(1)
		l.fault(fmt.Sprintf("LATE on node %d: key %d of %s is %v, over %v after the roll of unknown outcome that says otherwise was seen to be made",
			node+1, key.number, l.team, is, l.follow()))
	}
	l.watchUnknown(key, call, ret, is)
	return ret
}

// follow is within what time every answer follows a roll of unknown outcome that
// was made: of the one lease that is promised, as a slow clock measures it.
func (l *ledger) follow() time.Duration { return l.lease * 101 / 100 }

// watchUnknown notes how long after it was seen to be made a roll of unknown
// outcome is not followed by all answers.
func (l *ledger) watchUnknown(key *rolled, call, by time.Duration, is reply) {
	last := l.lastUnknown
	if last == nil || call <= last.made {
		return
	}
	if is == accepted && key != last && key.goneBy != never || is == refused && key == last && !threatened(key, by) {
		last.follows = max(last.follows, call-last.made)
	}
}

// threatened reports whether a roll that had been called by then may have ended
// the key.
func threatened(key *rolled, by time.Duration) bool {
	return slices.ContainsFunc(key.threats, func(r *rolled) bool { return !r.failed && r.call <= by })
}

// resolve tells what the database holds after rolls of unknown outcome, and
// notes what may not be: an acknowledged roll that is gone, or one that was made
// and reported as failed. It is called when no roll is under way.
func (l *ledger) resolve(value string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	known := slices.IndexFunc(l.rolls, func(r *rolled) bool { return r.value == value })
	if known >= 0 {
		if l.rolls[known].deadBy != never {
			l.tally.lost.Add(1)
			l.fault(fmt.Sprintf("LOST ROLL of %s: key %d is back, which a roll that returned at %v had ended", l.team, known, l.rolls[known].deadBy))
		}
		return
	}
	unknown := slices.IndexFunc(l.rolls, func(r *rolled) bool { return r.made == never && !r.failed })
	if unknown < 0 {
		l.tally.other.Add(1)
		l.fault(fmt.Sprintf("%s has a key that no roll of unknown outcome can have made: one that was reported as failed was made", l.team))
		return
	}
	// ret stays never: not all nodes need follow it yet. They need within a lease,
	// which counts from now on: the call may have ended before the COMMIT that it had
	// sent came to the database.
	made := l.rolls[unknown]
	made.value, made.made = value, l.now()
	made.heldBy = made.made + l.follow()
	for _, r := range l.rolls {
		if r != made && r.made != never {
			r.goneBy = min(r.goneBy, made.heldBy)
		}
	}
	l.lastUnknown = made
	l.publish()
}

// unknowns are the rolls of unknown outcome that were seen to be made.
func (l *ledger) unknowns() (made []*rolled) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.rolls {
		if r.heldBy != never {
			made = append(made, r)
		}
	}
	return made
}

// settled reports whether of every roll it is known if it was made.
func (l *ledger) settled() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !slices.ContainsFunc(l.rolls, func(r *rolled) bool { return r.made == never && !r.failed })
}

// A move is one operation of a history: a roll to a key, or a verdict on one.
type move struct {
	roll    bool
	key     int
	accepts bool
}

// register is the model: one node's idea of a team's current key. Each node is
// a register of its own, since between the commit of a roll and its return one
// may refuse what another still accepts; each must have followed the roll when
// it returns, and never goes back.
var register = porcupine.Model{
	Init: func() any { return 0 },
	Step: func(state, input, _ any) (bool, any) {
		switch m := input.(move); {
		case m.roll:
			return true, m.key
		default:
			return m.accepts == (state.(int) == m.key), state
		}
	},
	DescribeOperation: func(input, _ any) string {
		if m := input.(move); m.roll {
			return fmt.Sprintf("roll to %d", m.key)
		} else if m.accepts {
			return fmt.Sprintf("%d accepted", m.key)
		} else {
			return fmt.Sprintf("%d refused", m.key)
		}
	},
}

// linearize gives the history to porcupine, node by node.
func (l *ledger) linearize(nodes int, patience time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for node := range nodes {
		var history []porcupine.Operation
		end := l.now()
		for _, r := range l.rolls[1:] {
			if r.failed {
				continue
			}
			history = append(history, porcupine.Operation{ClientId: 1000 + r.number, Input: move{roll: true, key: r.number}, Call: int64(r.call), Return: int64(min(r.ret, end+1))})
		}
		for i, v := range l.verdicts {
			if v.node == node {
				history = append(history, porcupine.Operation{ClientId: i, Input: move{key: v.key.number, accepts: v.is == accepted}, Call: int64(v.call), Return: int64(v.ret)})
			}
		}
		switch porcupine.CheckOperationsTimeout(register, history, patience) {
		case porcupine.Illegal:
			l.tally.other.Add(1)
			l.fault(fmt.Sprintf("porcupine: the history of %s on node %d is not one of a register (%d operations)", l.team, node+1, len(history)))
		case porcupine.Unknown:
			l.tally.partial.Add(1)
		default:
			l.tally.linearizable.Add(1)
		}
	}
	l.verdicts = nil
}
