package postgres

import (
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"latchkey"
	"latchkey/postgres/postgrestest"
)

// lostOf returns what stands for lost nodes in a list.
func lostOf(list []latchkey.Registration) (lost []latchkey.Registration) {
	for _, r := range list {
		if r.Lost() {
			r.Age = 0 // which is of the list, and not of the registration
			lost = append(lost, r)
		}
	}
	return lost
}

// TestLostRegistration: a standby that had fallen behind is promoted, and knows
// nothing of a node that has a lease. The first list of the new primary has a
// registration that stands for it, and so have all, whoever comes first; there is
// one, until a reaper removes it.
func TestLostRegistration(t *testing.T) {
	t.Parallel()
	const own, long, stale = 700 * time.Millisecond, 9 * time.Second, 40 * time.Second
	primary := postgrestest.Start(t)
	name := primary.NewDatabase(t)
	before := mustOpen(t, Config{URL: primary.URL(name), Lease: own})
	for _, r := range []latchkey.Registration{
		{ID: "a", Node: "a", Lease: long, StaleOK: time.Second}, {ID: "b", Node: "b", Lease: own, StaleOK: stale},
	} {
		if err := before.Register(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	standby := primary.Standby(t, "second")
	standby.CatchUp(t, primary)
	standby.CutOff(t)
	if err := before.Register(t.Context(), latchkey.Registration{ID: "lost", Node: "lost", Lease: own}); err != nil {
		t.Fatal(err)
	}
	if list := mustList(t, before); len(list) != 3 || len(lostOf(list)) != 0 {
		t.Fatalf("before the promotion nobody is lost: %+v", list)
	}
	primary.Kill(t)
	standby.Promote(t)

	a, b := mustOpen(t, Config{URL: both(t, name, primary, standby), Lease: own}), mustOpen(t, Config{URL: standby.URL(name), Lease: own})
	lists := make([][]latchkey.Registration, 4)
	var wg sync.WaitGroup
	for i := range lists {
		wg.Go(func() { lists[i] = mustList(t, []*Store{a, b}[i%2]) })
	}
	wg.Wait()
	lost := lostOf(lists[0])
	for _, list := range lists {
		if got := lostOf(list); len(got) != 1 || !slices.Equal(got, lost) {
			t.Fatalf("the first list has what stands for lost nodes, and all have the same, once: %+v and %+v", got, lost)
		}
		if slices.ContainsFunc(list, func(r latchkey.Registration) bool { return r.ID == "lost" }) {
			t.Fatalf("the promotion was to lose a registration: %+v", list)
		}
	}
	got := lost[0]
	if got.Lease != long || got.StaleOK != stale || got.Applied != 0 || got.Node != "(lost at failover)" || got.Renewal == "" || got.Renewed.IsZero() {
		t.Errorf("it has the longest lease of all (%s), may answer for the longest time after it (%s), and has applied nothing: %+v", long, stale, got)
	}
	mustRoll(t, a, mustChanges(t, a).Teams[0].ID)
	if _, err := b.Renew(t.Context(), latchkey.Renewal{ID: "a"}); err != nil {
		t.Errorf("a node that was not lost goes on: %v", err)
	}
	if again := lostOf(mustList(t, a)); !slices.Equal(again, lost) {
		t.Errorf("it is there once, and nobody renews it: %+v, then %+v", lost, again)
	}
	if err := b.Reap(t.Context(), got.ID, got.Renewal); err != nil {
		t.Errorf("it is reaped as others are: %v", err)
	}
	if list := mustList(t, b); len(list) != 2 {
		t.Errorf("what was reaped does not come back: %+v", list)
	}
}

func mustList(t *testing.T, s *Store) []latchkey.Registration {
	t.Helper()
	list, err := s.Registrations(t.Context())
	if err != nil {
		t.Error(err)
	}
	return list
}

// TestTimelineIsMarked: whatever comes first on a new timeline marks it, before
// anything else comes over its connection; and whatever comes at the same time, it
// is marked once.
func TestTimelineIsMarked(t *testing.T) {
	t.Parallel()
	url := newURL(t)
	const lease = 1234 * time.Millisecond
	a, b := mustOpen(t, Config{URL: url, Lease: lease}), mustOpen(t, Config{URL: url, Lease: lease})
	id := mustChanges(t, a).Teams[0].ID
	if err := a.Register(t.Context(), latchkey.Registration{ID: "node", Node: "node", Lease: time.Second}); err != nil {
		t.Fatal(err)
	}
	first := map[string]func(s *Store) error{
		"register": func(s *Store) error {
			return s.Register(t.Context(), latchkey.Registration{ID: newChangeID(), Node: "another", Lease: time.Second})
		},
		"renew": func(s *Store) error {
			_, err := s.Renew(t.Context(), latchkey.Renewal{ID: "node"})
			return err
		},
		"change": func(s *Store) error {
			_, _, err := s.UpdateTeam(t.Context(), id, roll)
			return err
		},
		"list": func(s *Store) error {
			list, err := s.Registrations(t.Context())
			if err == nil && len(lostOf(list)) != 1 {
				t.Errorf("a list from a new timeline has what stands for lost nodes: %+v", list)
			}
			return err
		},
	}
	again := func() {
		t.Helper()
		if _, err := a.pool.Exec(t.Context(), `UPDATE timeline SET name = 'former'`); err != nil {
			t.Fatal(err)
		}
		if _, err := a.pool.Exec(t.Context(), `DELETE FROM registrations WHERE id <> 'node'`); err != nil {
			t.Fatal(err)
		}
		for _, s := range []*Store{a, b} { // no connection outlives its server
			s.leases.Reset()
			s.writer.Reset()
		}
	}
	const count = `SELECT count(*) FROM registrations WHERE node = '` + "(lost at failover)" + `' AND lease = $1`
	for name, do := range first {
		again()
		if err := do(a); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if n := number(t, b, count, int64(lease)); n != 1 {
			t.Errorf("%s marks a new timeline: %d registrations stand for lost nodes", name, n)
		}
	}
	for range 5 {
		again()
		var wg sync.WaitGroup
		for name, do := range first {
			for _, s := range []*Store{a, b} {
				wg.Go(func() {
					if err := do(s); err != nil {
						t.Errorf("%s: %v", name, err)
					}
				})
			}
		}
		wg.Wait()
		if n := number(t, b, count, int64(lease)); n != 1 {
			t.Errorf("a timeline is marked once: %d registrations stand for lost nodes", n)
		}
	}
}

// TestServerWithoutTimeline: some servers that others manage refuse to say where
// their log stands. They are one timeline.
func TestServerWithoutTimeline(t *testing.T) {
	t.Parallel()
	s := server.Server(t)
	name := s.NewDatabase(t)
	s.Exec(t, name, `CREATE ROLE tenant LOGIN`, `GRANT CREATE ON DATABASE `+name+` TO tenant`,
		`REVOKE EXECUTE ON FUNCTION pg_walfile_name(pg_lsn) FROM PUBLIC`)
	t.Cleanup(func() {
		s.Exec(t, name, `DROP OWNED BY tenant`, `DROP ROLE tenant`)
	})
	address, err := url.Parse(s.URL(name))
	if err != nil {
		t.Fatal(err)
	}
	values := address.Query()
	values.Set("user", "tenant")
	address.RawQuery = values.Encode()
	store := mustOpen(t, Config{URL: address.String()})
	if err := store.Register(t.Context(), latchkey.Registration{ID: "node", Node: "node", Lease: time.Second}); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Renew(t.Context(), latchkey.Renewal{ID: "node"}); err != nil {
		t.Error(err)
	}
	mustRoll(t, store, mustChanges(t, store).Teams[0].ID)
	if list := mustList(t, store); len(list) != 1 {
		t.Errorf("nobody is lost where no timeline is told: %+v", list)
	}
	if n := number(t, store, `SELECT count(*) FROM timeline WHERE name = ''`); n != 1 {
		t.Error("the server was to refuse to tell its timeline")
	}
}
