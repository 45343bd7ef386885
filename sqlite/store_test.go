package sqlite

import (
	"reflect"
	"testing"
	"time"

	"latchkey"
	"latchkey/storetest"
)

// TestStore examines one store, as one process holds it.
func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T, genesis func(time.Time) (latchkey.Genesis, error), now func() time.Time) (a, b storetest.Store) {
		s, err := Open(t.Context(), Config{Dir: t.TempDir(), Genesis: genesis, Now: now})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		})
		return s, s
	})
}

// TestTwoStores: what one store changed, another on the same directory sees,
// and goes on from.
func TestTwoStores(t *testing.T) {
	dir := t.TempDir()
	stores := []*Store{mustOpen(t, dir), mustOpen(t, dir)}
	if !stores[0].Created() || stores[1].Created() {
		t.Error("the first Open makes the store, the second finds it")
	}
	id := mustChanges(t, stores[0]).Teams[0].ID
	for i := range 20 {
		_, change, err := stores[i%2].UpdateTeam(t.Context(), id, roll)
		if err != nil {
			t.Fatal(err)
		}
		if want := latchkey.Revision(i + 2); change.Revision != want {
			t.Errorf("a change through either store moves the one revision: %d, not %d", change.Revision, want)
		}
		if a, b := mustChanges(t, stores[0]), mustChanges(t, stores[1]); !reflect.DeepEqual(a, b) {
			t.Errorf("both stores see the same: revisions %d and %d", a.Revision, b.Revision)
		}
	}
}
