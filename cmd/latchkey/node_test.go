package main

import (
	"context"
	"errors"
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

func (s *busyStore) Changes(context.Context, latchkey.Revision) (latchkey.Changes, error) {
	return latchkey.Changes{}, nil
}

// TestOverlapsThatCannotBeEnded holds that they keep a process that owns its data
// from starting.
func TestOverlapsThatCannotBeEnded(t *testing.T) {
	store := &busyStore{}
	memory := &replica.Replica{Store: store}
	n := &node{keyring: &latchkey.Keyring{Store: store, Replica: memory}, replica: memory}
	if err := n.load(t.Context(), &nodeConfig{Command: true}); err == nil || !strings.Contains(err.Error(), "the database is busy") || store.asked != 1 {
		t.Errorf("it starts (%v)", err)
	}
}
