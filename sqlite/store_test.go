package sqlite

import (
	"testing"
	"time"

	"latchkey"
	"latchkey/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T, genesis func(time.Time) (latchkey.Genesis, error), now func() time.Time) (a, b storetest.Store) {
		dir := t.TempDir()
		open := func() *Store {
			s, err := Open(t.Context(), Config{Dir: dir, Genesis: genesis, Now: now})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := s.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
			})
			return s
		}
		return open(), open()
	})
}
