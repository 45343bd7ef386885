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

// TestAuthor: a copy of a data directory, under another node's name, is another author,
// and nobody's is not everybody's.
func TestAuthor(t *testing.T) {
	own := author{"n1", "j1"}
	for _, c := range []struct {
		author author
		handIn latchkey.HandIn
		own    bool
	}{
		{own, latchkey.HandIn{Node: "n1", Journal: "j1"}, true},
		{own, latchkey.HandIn{Node: "n2", Journal: "j1"}, false},
		{own, latchkey.HandIn{Node: "n1", Journal: "j2"}, false},
		{author{}, latchkey.HandIn{}, false},
	} {
		if c.author.of(c.handIn) != c.own {
			t.Errorf("%+v of %+v: must be %t", c.handIn, c.author, c.own)
		}
	}
}
