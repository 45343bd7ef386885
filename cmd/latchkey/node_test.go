package main

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"latchkey"
	"latchkey/replica"
)

// A busyStore cannot say which overlaps are over.
type busyStore struct {
	latchkey.CredentialStore
	asked int
}

func (s *busyStore) DueOverlaps(context.Context) ([]string, error) {
	s.asked++
	return nil, errors.New("the database is busy")
}

// TestOverlapsThatCannotBeEnded holds that they keep a node of a cluster from
// nothing, and a process that owns its data from starting.
func TestOverlapsThatCannotBeEnded(t *testing.T) {
	for _, shared := range []bool{true, false} {
		var said strings.Builder
		store := &busyStore{}
		n := &node{keyring: &latchkey.Keyring{Store: store}, replica: &replica.Replica{}}
		if shared {
			n.leases = struct{ sharedStore }{}
		}
		err := n.endDue(t.Context(), slog.New(slog.NewTextHandler(&said, nil)))
		if (err != nil) == shared || store.asked != 1 || strings.Contains(said.String(), "the database is busy") != shared {
			t.Errorf("on a shared database (%t): %v, the log says %q", shared, err, said.String())
		}
	}
}
