package postgres

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"latchkey"
	"latchkey/postgres/postgrestest"
)

// both returns the address of a database on two servers.
func both(t *testing.T, name string, servers ...*postgrestest.Server) string {
	t.Helper()
	var hosts, ports []string
	for _, s := range servers {
		u, err := url.Parse(s.URL(name))
		if err != nil {
			t.Fatal(err)
		}
		hosts, ports = append(hosts, u.Query().Get("host")), append(ports, u.Query().Get("port"))
	}
	return fmt.Sprintf("host=%s port=%s user=%s dbname=%s", strings.Join(hosts, ","), strings.Join(ports, ","), postgrestest.Superuser, name)
}

// TestLaggingStandby: a standby is never read, and once it is promoted without
// all that its primary had, it has another history.
func TestLaggingStandby(t *testing.T) {
	t.Parallel()
	primary := postgrestest.Start(t)
	name := primary.NewDatabase(t)
	id := mustChanges(t, mustOpen(t, Config{URL: primary.URL(name)})).Teams[0].ID
	standby := primary.Standby(t, "second", "recovery_min_apply_delay = 1h")
	refuse(t, "a standby", Config{URL: standby.URL(name), Genesis: genesis}, "standby", "name the primary")

	s := mustOpen(t, Config{URL: both(t, name, standby, primary)})
	node := latchkey.Registration{ID: "node", Node: "node-1", Lease: time.Second}
	if err := s.Register(t.Context(), node); err != nil {
		t.Fatal(err)
	}
	var at, early latchkey.Position
	for i := range 5 {
		change := mustRoll(t, s, id)
		if i == 0 {
			early = change.Position()
		}
		got, err := s.Renew(t.Context(), latchkey.Renewal{ID: node.ID, Applied: at})
		if err != nil || got.Changes.Revision != change.Revision || got.Changes.ChangeID != change.ID {
			t.Errorf("a renewal reads the primary, which has revision %d, not a standby with %d: %v", change.Revision, got.Changes.Revision, err)
		}
		if all := mustChanges(t, s); all.Revision != change.Revision {
			t.Errorf("Changes reads the primary, which has revision %d, not a standby with %d", change.Revision, all.Revision)
		}
		at = change.Position()
	}

	standby.CutOff(t, "recovery_min_apply_delay = 0")
	lost := mustRoll(t, s, id)
	primary.Kill(t)
	standby.Promote(t)
	var another *latchkey.AnotherHistoryError
	err := eventually(func() error {
		_, err := s.Renew(t.Context(), latchkey.Renewal{ID: node.ID, Applied: lost.Position()})
		if errors.As(err, &another) {
			return nil
		}
		return fmt.Errorf("a renewal that has applied what the new primary lacks: %w", err)
	})
	if err != nil {
		t.Fatal(err)
	}
	if another.Missing != lost.Position() || another.Current.Revision >= lost.Revision {
		t.Errorf("another history is told by what it lacks: %+v of %+v", another.Missing, another.Current)
	}
	if _, err := s.Registrations(t.Context(), lost.Position()); !errors.As(err, &another) {
		t.Errorf("registrations come from a history that has the change: %v", err)
	}
	if err := s.Acknowledge(t.Context(), node.ID, lost.Position()); !errors.As(err, &another) {
		t.Errorf("an acknowledgement that reaches another history does not count: %v", err)
	}
	if _, err := s.Renew(t.Context(), latchkey.Renewal{ID: node.ID, Applied: early}); err != nil {
		t.Errorf("what the new primary has is in its history: %v", err)
	}
	mustRoll(t, s, id)
	if _, err := s.Renew(t.Context(), latchkey.Renewal{ID: node.ID, Applied: lost.Position()}); !errors.As(err, &another) {
		t.Errorf("the same revision by another change is another history: %v", err)
	}
}

// eventually tries for 20 s.
func eventually(try func() error) (err error) {
	for range 200 {
		if err = try(); err == nil {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return err
}
