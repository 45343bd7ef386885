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
	node     *node
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

// look asks the database, unless that was done just now.
func (h *health) look() sight {
	h.mu.Lock()
	defer h.mu.Unlock()
	if time.Since(h.last.at) < lookEvery {
		return h.last
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookTime)
	defer cancel()
	began := time.Now()
	_, err := h.node.store.Probe(ctx)
	s := sight{took: time.Since(began), err: err, nodes: make(map[string]int)}
	if err == nil {
		nodes, err := h.node.nodes(ctx)
		s.err = err
		for _, n := range nodes {
			s.nodes[n.State]++
		}
	}
	s.at = time.Now()
	h.last = s
	return s
}

// notReady says why requests had better go elsewhere, in a word each; none: they
// can come.
func (h *health) notReady() (reasons []string) {
	if h.stopping.Load() {
		reasons = append(reasons, "stopping")
	}
	switch s := h.node.replica.Status(); {
	case s.Alarm != nil:
		reasons = append(reasons, "another_history")
	case s.Remaining <= 0:
		reasons = append(reasons, "lease_over")
	}
	if h.look().err != nil {
		reasons = append(reasons, "store_unavailable")
	}
	if s := h.node.journal.Status(); s.Stalled || s.Writing {
		reasons = append(reasons, "journal_failing") // records are not kept or, with --journal strict, requests not answered
	}
	return reasons
}
