package main

import (
	mathrand "math/rand/v2"
	"os"
	"strconv"
	"strings"
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

// inject lets one thing go wrong, and waits for calm. What did not go wrong as it
// should is tried again.
func (h *history) inject(f fault) {
	h.t.Helper()
	began := time.Now()
	defer func() {
		if os.Getenv("LATCHKEY_HISTORY_VERBOSE") != "" {
			h.t.Logf("%s: %v; %s", f.name, time.Since(began).Round(time.Millisecond), &h.tally)
		}
	}()
	for range tries {
		victim := h.nodes[h.random()%nodes]
		h.ill.Store(&illness{victim})
		made := f.inject(h, victim)
		h.calm()
		h.ill.Store(nil)
		if made {
			h.bounds.mu.Lock()
			defer h.bounds.mu.Unlock()
			h.injected[f.name]++
			return
		}
		h.again++
	}
	h.other.Add(1)
	h.fail("no injection succeeded of " + f.name)
}

// historyTime is how long TestHistory goes on with what it has not injected yet.
const historyTime = 90 * time.Second

// TestHistory lets three processes on one PostgreSQL go wrong in each way, while
// callers ask and rollers roll: no key is accepted that a roll had ended which
// had returned, and none refused whose roll had. make torture runs it for hours.
func TestHistory(t *testing.T) {
	if os.Getenv("LATCHKEY_HISTORIES") == "" {
		t.Skip("make histories runs it, with nothing beside it")
	}
	h := newHistory(t, newFleet(t, 300*time.Millisecond, buildTagged(t)), historySeed(t), load{callers: 2, rollers: 3, pace: 5 * time.Millisecond, slack: 5})
	defer h.report()
	began := time.Now()
	list := faults()
	var left []string
	for _, i := range h.rnd.Perm(len(list)) {
		if time.Since(began) > historyTime {
			left = append(left, list[i].name)
			continue
		}
		h.inject(list[i])
	}
	if t.Logf("%d of %d kinds of fault were injected", len(list)-len(left), len(list)); len(left) > 0 {
		t.Logf("the machine is too slow for the others in %v: %s", historyTime, strings.Join(left, "; "))
	}
}
