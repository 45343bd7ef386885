package postgres

import (
	"testing"
	"time"

	"latchkey"
	"latchkey/storetest"
)

func TestHandIns(t *testing.T) {
	storetest.HandIns(t, func(t *testing.T) (a, b latchkey.HandInStore) {
		t.Parallel()
		return twoNodes(t)
	})
}

// TestOldHandInsWithRetention: where records are kept for less than a week, a
// node that has stopped is waited for no longer than that.
func TestOldHandInsWithRetention(t *testing.T) {
	t.Parallel()
	s, _ := twoNodes(t)
	_, now, err := s.HandIns(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Retain(t.Context(), latchkey.Retention{Age: 48 * time.Hour}); err != nil {
		t.Fatal(err)
	}
	for node, age := range map[string]time.Duration{"gone": 49 * time.Hour, "here": 47 * time.Hour, "new": time.Second} {
		if _, err := s.JoinHandIns(t.Context(), latchkey.HandIn{Node: node, Until: now.Add(-age)}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.HandIn(t.Context(), latchkey.HandIn{Node: "new", Until: now}, latchkey.OpenRecords{}); err != nil {
		t.Fatal(err)
	}
	list, _, err := s.HandIns(t.Context())
	if err != nil || len(list) != 2 || list[0].Node != "here" || list[1].Node != "new" {
		t.Errorf("with records of two days: %v, %v", list, err)
	}
}
