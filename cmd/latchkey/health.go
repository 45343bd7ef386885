package main

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// lookTime is how long the database may take to say that it is there.
	lookTime = time.Second
	// lookEvery bounds how often it is asked, however often we are.
	lookEvery = 500 * time.Millisecond
)

// Health is how a server stands, for those who watch it from outside.
type health struct {
	node     atomic.Pointer[node] // nil: it is not open yet
	started  atomic.Bool
	stopping atomic.Bool

	mu   sync.Mutex
	last sight
}

// A sight is what the database said when it was asked last.
type sight struct {
	at    time.Time
	took  time.Duration
	nodes map[string]int // by state
	err   error
}

// look asks the database, unless that was done just now. The node is open.
func (h *health) look() sight {
	h.mu.Lock()
	defer h.mu.Unlock()
	if time.Since(h.last.at) < lookEvery {
		return h.last
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookTime)
	defer cancel()
	began := time.Now()
	n := h.node.Load()
	_, err := n.store.Probe(ctx)
	s := sight{took: time.Since(began), err: err, nodes: make(map[string]int)}
	if err == nil {
		nodes, err := n.nodes(ctx)
		s.err = err
		for _, n := range nodes {
			s.nodes[n.State]++
		}
	}
	s.at = time.Now()
	h.last = s
	return s
}

// ready says why requests had better go elsewhere, in a word each; none: they can
// come. What is wrong besides is a warning: a node that can give verdicts must
// not be taken out because the database is away, since all others are then, too.
func (h *health) ready() standing {
	var s standing
	if h.stopping.Load() {
		s.Reasons = append(s.Reasons, "stopping")
	}
	n := h.node.Load()
	if n == nil || !h.started.Load() {
		s.Reasons = append(s.Reasons, "starting")
		return s
	}
	switch lease := n.replica.Status(); {
	case lease.Alarm != nil:
		s.Reasons = append(s.Reasons, "another_history")
	case lease.Remaining <= 0:
		s.Reasons = append(s.Reasons, "lease_over")
	}
	if h.look().err != nil {
		s.Warnings = append(s.Warnings, "store_unavailable")
	}
	if j := n.journal.Status(); j.Stalled || j.Writing {
		if n.strict {
			s.Reasons = append(s.Reasons, "journal_failing") // no request is answered
		} else {
			s.Warnings = append(s.Warnings, "journal_failing") // records are not kept
		}
	}
	s.OK = len(s.Reasons) == 0
	return s
}
