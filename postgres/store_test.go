package postgres

import (
	"context"
	"os"
	"testing"
	"time"

	"crypto/rand"

	"go.uber.org/goleak"

	"latchkey"
	"latchkey/postgres/postgrestest"
	"latchkey/storetest"
)

// server is what the tests of this package share.
var server postgrestest.Shared

func TestMain(m *testing.M) {
	code := server.Main(m)
	if code == 0 {
		if err := goleak.Find(); err != nil {
			println(err.Error())
			code = 1
		}
	}
	os.Exit(code)
}

// TestStore examines the store as two nodes hold it.
func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T, genesis func(time.Time) (latchkey.Genesis, error), now func() time.Time) (a, b storetest.Store) {
		t.Parallel()
		url := newURL(t)
		open := func() *Store {
			return mustOpen(t, Config{URL: url, Genesis: genesis, Now: now})
		}
		return open(), open()
	})
}

// TestLeases examines what the nodes of a cluster share.
func TestLeases(t *testing.T) {
	storetest.Leases(t, func(t *testing.T, genesis func(time.Time) (latchkey.Genesis, error)) (a, b storetest.Cluster) {
		t.Parallel()
		url := newURL(t)
		return mustOpen(t, Config{URL: url, Genesis: genesis}), mustOpen(t, Config{URL: url, Genesis: genesis})
	})
}

// newURL returns the address of a new database.
func newURL(tb testing.TB) string {
	tb.Helper()
	s := server.Server(tb)
	return s.URL(s.NewDatabase(tb))
}

func mustOpen(tb testing.TB, c Config) *Store {
	tb.Helper()
	if c.Genesis == nil {
		c.Genesis = genesis
	}
	s, err := Open(tb.Context(), c)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Errorf("close: %v", err)
		}
	})
	return s
}

// genesis is a first team with a key.
func genesis(now time.Time) (latchkey.Genesis, error) {
	return latchkey.Genesis{Probe: []byte("probe"), Holding: newHolding("default", now)}, nil
}

func newHolding(name string, now time.Time) latchkey.Holding {
	h := latchkey.Holding{Team: latchkey.Team{ID: "team_" + rand.Text(), Name: name, Created: now}}
	h.Credentials = []latchkey.Credential{newKey(h.Team.ID, now)}
	return h
}

func newKey(teamID string, now time.Time) latchkey.Credential {
	return latchkey.Credential{
		ID: "key_" + rand.Text(), TeamID: teamID, Kind: latchkey.KindAPIKey,
		Digest: latchkey.DigestOf([]byte(rand.Text())), Sealed: []byte(rand.Text()), Created: now, CreatedBy: "test",
	}
}

// roll is the change that everything here is for.
func roll(now time.Time, h *latchkey.Holding) error {
	h.APIKey().End(now, "test", latchkey.EndedByRoll)
	h.Credentials = append(h.Credentials, newKey(h.Team.ID, now))
	return nil
}

func mustChanges(tb testing.TB, s *Store) latchkey.Changes {
	tb.Helper()
	c, err := s.Changes(context.WithoutCancel(tb.Context()), 0)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

func mustRoll(tb testing.TB, s *Store, id string) latchkey.Change {
	tb.Helper()
	_, change, err := s.UpdateTeam(tb.Context(), id, roll)
	if err != nil {
		tb.Fatal(err)
	}
	return change
}
