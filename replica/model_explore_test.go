package replica_test

import (
	"fmt"
	"runtime"
	"strings"
	"time"
)

// A modelResult is what an exploration found.
type modelResult struct {
	states  int
	depth   int    // steps to the state that is farthest away
	broken  string // the promise that was broken, or nothing
	trace   []modelStep
	whole   bool // every state was seen
	elapsed time.Duration
	bytes   int
}

func (r modelResult) String() string {
	how := "holds in all"
	switch {
	case r.broken != "":
		how = r.broken + ": found after"
	case !r.whole:
		how = "STOPPED, and held in the first"
	}
	return fmt.Sprintf("%s %d states, %d steps deep, %.1f s, %d MiB",
		how, r.states, r.depth, r.elapsed.Seconds(), r.bytes>>20)
}

// story is the trace, a step a line. Ticks are counted.
func (r modelResult) story() string {
	var b strings.Builder
	now := 0
	for _, step := range r.trace {
		if step.verb == "tick" {
			now++
			continue
		}
		fmt.Fprintf(&b, "    %2d  %s\n", now, step)
	}
	fmt.Fprintf(&b, "    %2d  %s\n", now, r.broken)
	return b.String()
}

// A modelSet is all states that were found, in the order of their distance from
// the start. It keeps each state whole: no two are ever taken for one.
type modelSet struct {
	codes   [][]modelCode // by chunks, so that none is copied
	parents [][]uint32
	len     int
	slots   []uint64 // a state's number, plus one, and 32 bits of its hash; 0: free
}

const modelChunk = 1 << 18

func (m *modelSet) at(i int) modelCode { return m.codes[i/modelChunk][i%modelChunk] }

// add adds a state, and says whether it is new.
func (m *modelSet) add(c modelCode, parent int) bool {
	if m.len*4 >= len(m.slots)*3 {
		m.grow()
	}
	mask := uint64(len(m.slots) - 1)
	hash := c.hash()
	at := hash & mask
	for ; m.slots[at] != 0; at = (at + 1) & mask {
		if slot := m.slots[at]; slot>>32 == hash>>32 && m.at(int(uint32(slot)-1)) == c {
			return false
		}
	}
	if m.len%modelChunk == 0 {
		m.codes = append(m.codes, make([]modelCode, modelChunk))
		m.parents = append(m.parents, make([]uint32, modelChunk))
	}
	m.codes[m.len/modelChunk][m.len%modelChunk] = c
	m.parents[m.len/modelChunk][m.len%modelChunk] = uint32(parent)
	m.len++
	m.slots[at] = hash>>32<<32 | uint64(m.len)
	return true
}

func (m *modelSet) grow() {
	size := max(1<<16, 2*len(m.slots))
	m.slots = nil
	runtime.GC() // the old table must be gone before the new one is there
	m.slots = make([]uint64, size)
	mask := uint64(size - 1)
	for i := range m.len {
		hash := m.at(i).hash()
		at := hash & mask
		for m.slots[at] != 0 {
			at = (at + 1) & mask
		}
		m.slots[at] = hash>>32<<32 | uint64(i+1)
	}
}

func (m *modelSet) bytes() int { return len(m.codes)*modelChunk*(24+4) + len(m.slots)*8 }

// explore visits every state, those that are nearest first, until a promise is
// broken, there are more than most, or the time is over.
func (w *modelWorld) explore(most int, limit time.Duration) (r modelResult) {
	began := time.Now()
	var m modelSet
	first := w.start()
	w.canonical(&first)
	m.add(w.pack(&first), 0)
	for i, level := 0, 1; i < m.len && m.len < most; i++ {
		if i%modelChunk == 0 && time.Since(began) > limit {
			break
		}
		if i == level { // all that came before are nearer by one step
			r.depth, level = r.depth+1, m.len
		}
		s := w.unpack(m.at(i))
		if r.broken = w.broken(&s); r.broken != "" {
			r.trace = w.trace(&m, i)
			break
		}
		w.next(&s, func(_ modelStep, n *modelState) {
			follower := *n // the emitter may go on with its own
			w.canonical(&follower)
			m.add(w.pack(&follower), i)
		})
		r.whole = i == m.len-1
	}
	r.states, r.bytes, r.elapsed = m.len, m.bytes(), time.Since(began)
	return r
}

// trace finds the steps that lead to a state.
func (w *modelWorld) trace(m *modelSet, i int) []modelStep {
	var path []int
	for ; i != 0; i = int(m.parents[i/modelChunk][i%modelChunk]) {
		path = append(path, i)
	}
	var steps []modelStep
	at := 0
	for p := len(path) - 1; p >= 0; p-- {
		s, found := w.unpack(m.at(at)), false
		w.next(&s, func(step modelStep, n *modelState) {
			follower := *n
			w.canonical(&follower)
			if !found && w.pack(&follower) == m.at(path[p]) {
				steps, found = append(steps, step), true
			}
		})
		at = path[p]
	}
	return steps
}
