package journal

import (
	"context"
	"errors"
	"testing"
	"time"

	"latchkey"
)

// A knowing shelf knows when some credentials were used, unless it is down.
type knowing struct {
	*shelf
	used map[string]time.Time
	down bool
}

func (k *knowing) LastUsed(context.Context, []string) (map[string]time.Time, error) {
	if k.down {
		return nil, errors.New("the store is down")
	}
	return k.used, nil
}

// TestUsesAreForgotten: memory keeps no use that the store has, and every other.
func TestUsesAreForgotten(t *testing.T) {
	now := time.Now().UTC().Truncate(time.Microsecond)
	long := now.Add(-2 * usedKept)
	store := &knowing{shelf: newShelf(), used: map[string]time.Time{"moved": long, "recent": now, "newer": long}}
	j := opened(t, t.TempDir(), store, &disk{}, nil)
	defer closed(t, j)
	j.mu.Lock()
	for id, at := range map[string]time.Time{"moved": long, "recent": now, "newer": long.Add(time.Second), "unmoved": long} {
		j.noteUse(&latchkey.Record{Outcome: latchkey.OutcomeAccepted, CredentialID: id, Time: at})
	}
	j.mu.Unlock()
	kept := func(rule string, want ...string) {
		t.Helper()
		j.mu.Lock()
		defer j.mu.Unlock()
		for _, id := range want {
			if j.used[id].IsZero() {
				t.Errorf("%s: the use of %s is forgotten", rule, id)
			}
		}
		if len(j.used) != len(want) {
			t.Errorf("%s: %d uses are kept, must be %d", rule, len(j.used), len(want))
		}
	}
	store.down = true
	j.forgetUsed(t.Context(), now.Add(-usedKept))
	kept("the store is down", "moved", "recent", "newer", "unmoved")
	store.down = false
	j.forgetUsed(t.Context(), now.Add(-usedKept))
	kept("the store has it", "recent", "newer", "unmoved")
}
