package postgres

import (
	"context"
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

	standby.Receive(t, primary)
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

// eventually tries for a minute.
func eventually(try func() error) (err error) {
	for range 600 {
		if err = try(); err == nil {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return err
}

// TestAcknowledgementWaitsForNobody: while the synchronous standby is away a renewal
// is not confirmed, and an acknowledgement, which need not be durable, is recorded
// at once.
func TestAcknowledgementWaitsForNobody(t *testing.T) {
	t.Parallel()
	s := postgrestest.Start(t)
	const lease = 30 * time.Second // far above the bounds below
	store := mustOpen(t, Config{URL: s.URL(s.NewDatabase(t)), Lease: lease})
	if err := store.Register(t.Context(), latchkey.Registration{ID: "node", Node: "node", Lease: lease}); err != nil {
		t.Fatal(err)
	}
	change := mustRoll(t, store, mustChanges(t, store).Teams[0].ID)
	s.Exec(t, "postgres", "ALTER SYSTEM SET synchronous_standby_names = 'nobody'", "SELECT pg_reload_conf()")
	within := func(d time.Duration, do func(context.Context) error) error {
		ctx, cancel := context.WithTimeout(t.Context(), d)
		defer cancel()
		return errors.Join(do(ctx), ctx.Err()) // what is given up may be committed all the same
	}
	err := eventually(func() error {
		err := within(2*time.Second, func(ctx context.Context) error {
			_, err := store.Renew(ctx, latchkey.Renewal{ID: "node", Applied: change.Position()})
			return err
		})
		if err == nil {
			return errors.New("a renewal was confirmed without the standby")
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	err = within(10*time.Second, func(ctx context.Context) error { return store.Acknowledge(ctx, "node", change.Position()) })
	if err != nil {
		t.Errorf("an acknowledgement: %v", err)
	}
	if list := mustList(t, store); len(list) != 1 || list[0].Applied != change.Revision {
		t.Errorf("it is recorded: %+v, want revision %d", list, change.Revision)
	}
}
