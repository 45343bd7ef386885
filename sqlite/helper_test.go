package sqlite

import (
	"crypto/rand"
	"testing"
	"time"

	"latchkey"
)

// genesis is a first team with a key.
func genesis(now time.Time) (latchkey.Genesis, error) {
	h := latchkey.Holding{Team: latchkey.Team{ID: "team_" + rand.Text(), Name: "default", Created: now}}
	h.Credentials = []latchkey.Credential{newKey(h.Team.ID, now)}
	return latchkey.Genesis{Probe: []byte("probe"), Holding: h}, nil
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

func mustOpen(tb testing.TB, dir string) *Store {
	tb.Helper()
	s, err := Open(tb.Context(), Config{Dir: dir, Genesis: genesis})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = s.Close() })
	return s
}

func mustChanges(tb testing.TB, s *Store) latchkey.Changes {
	tb.Helper()
	c, err := s.Changes(tb.Context(), 0)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}
