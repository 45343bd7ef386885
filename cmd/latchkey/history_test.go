package main

import (
	mathrand "math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

// historySeed is LATCHKEY_SEED, or another each time.
func historySeed(t *testing.T) uint64 {
	t.Helper()
	text := os.Getenv("LATCHKEY_SEED")
	if text == "" {
		return mathrand.Uint64() >> 12
	}
	seed, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("LATCHKEY_SEED: %v", err)
	}
	return seed
}

// inject lets one thing go wrong, and waits for calm.
func (h *history) inject(f fault) {
	h.t.Helper()
	began := time.Now()
	defer func() {
		if os.Getenv("LATCHKEY_HISTORY_VERBOSE") != "" {
			h.t.Logf("%s: %v; %s", f.name, time.Since(began).Round(time.Millisecond), &h.tally)
		}
	}()
	if f.inject(h, h.nodes[h.random()%nodes]) {
		h.mu.Lock()
		h.injected[f.name]++
		h.mu.Unlock()
	}
	h.calm()
}

// TestHistory lets three processes on one PostgreSQL go wrong in each way, while
// callers ask and rollers roll: no key is accepted that a roll had ended which
// had returned, and none refused whose roll had. make torture runs it for hours.
func TestHistory(t *testing.T) {
	if os.Getenv("LATCHKEY_HISTORIES") == "" {
		t.Skip("make histories runs it, with nothing beside it")
	}
	h := newHistory(t, newFleet(t, 300*time.Millisecond, buildTagged(t)), historySeed(t), load{callers: 2, rollers: 3, pace: 5 * time.Millisecond})
	defer h.report()
	began := time.Now()
	list := faults()
	for _, i := range h.rnd.Perm(len(list)) {
		h.inject(list[i])
		if time.Since(began) > 60*time.Second {
			break
		}
	}
}
