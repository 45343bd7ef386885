package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"latchkey"
)

// TestLostAnswer: a change whose answer was lost is found, and confirmed; one
// that never arrived is not said to have failed, for nobody can know.
func TestLostAnswer(t *testing.T) {
	t.Parallel()
	s := server.Server(t)
	name := s.NewDatabase(t)
	direct := mustOpen(t, Config{URL: s.URL(name)})
	id := mustChanges(t, direct).Teams[0].ID
	way := newRelay(t, s.Address())
	far := mustOpen(t, Config{URL: strings.Replace(s.TCP(name), s.Address(), way.address, 1)})
	mustRoll(t, far, id) // all is prepared

	before := mustChanges(t, direct)
	_, change, err := far.UpdateTeam(t.Context(), id, func(now time.Time, h *latchkey.Holding) error {
		way.lose(false, true)
		go func() {
			for range 200 {
				if c, err := direct.Changes(context.Background(), before.Revision); err != nil || c.Revision > before.Revision {
					break
				}
				time.Sleep(10 * time.Millisecond)
			}
			way.cut()
		}()
		return roll(now, h)
	})
	after := mustChanges(t, direct)
	if err != nil || change.Revision != before.Revision+1 || after.ChangeID != change.ID {
		t.Errorf("a change whose answer was lost is found by its ID: revision %d of %d, %v", change.Revision, after.Revision, err)
	}
	if n := proofs(t, direct); n != 1 {
		t.Errorf("what was found is confirmed by a further commit: %d", n)
	}

	begun := time.Now()
	_, _, err = far.UpdateTeam(t.Context(), id, func(now time.Time, h *latchkey.Holding) error {
		way.lose(true, true)
		time.AfterFunc(100*time.Millisecond, way.cut)
		return roll(now, h)
	})
	if !errors.Is(err, latchkey.ErrOutcomeUnknown) {
		t.Errorf("a change that was sent, and is not found, is ErrOutcomeUnknown, not %v", err)
	}
	if took := time.Since(begun); took > 30*time.Second {
		t.Errorf("whoever waits for an answer that does not come is told in bounded time: %s", took)
	}
	if got := mustChanges(t, direct); got.Revision != after.Revision {
		t.Errorf("a change that never arrived changes nothing")
	}
	mustRoll(t, far, id)
}

// TestSilentDatabase: while the database does not answer, whoever asks is told within
// the store's patience, and a change that was not sent has failed for certain.
func TestSilentDatabase(t *testing.T) {
	t.Parallel()
	s := server.Server(t)
	name := s.NewDatabase(t)
	id := mustChanges(t, mustOpen(t, Config{URL: s.URL(name)})).Teams[0].ID
	way := newRelay(t, s.Address())
	far := mustOpen(t, Config{URL: strings.Replace(s.TCP(name), s.Address(), way.address, 1)})
	mustRoll(t, far, id)
	way.lose(true, true)
	for what, ask := range map[string]func() error{
		"a roll": func() error { _, _, err := far.UpdateTeam(t.Context(), id, roll); return err },
		"a new team": func() error {
			_, _, err := far.CreateTeam(t.Context(), func(time.Time) (latchkey.Holding, error) { return latchkey.Holding{}, errors.New("asked") })
			return err
		},
		"a team": func() error { _, err := far.Holding(t.Context(), id); return err },
	} {
		began := time.Now()
		err := ask()
		if err == nil || errors.Is(err, latchkey.ErrOutcomeUnknown) || !strings.Contains(err.Error(), "the database does not answer in time") {
			t.Errorf("%s, of a database that does not answer: %v", what, err)
		}
		if took := time.Since(began); took > 2*far.patience()+time.Second {
			t.Errorf("%s, of a database that does not answer: told after %v", what, took)
		}
	}
}

// TestProofIsWhereItWasFound: a change that one server has is not proved to be
// committed by another server.
func TestProofIsWhereItWasFound(t *testing.T) {
	t.Parallel()
	old, promoted := mustOpen(t, Config{URL: newURL(t)}), mustOpen(t, Config{URL: newURL(t)})
	made := mustRoll(t, old, mustChanges(t, old).Teams[0].ID)

	// A store each of whose connections is used once: the first is to the old
	// primary, all others to the new one.
	s := mustOpen(t, Config{URL: newURL(t)})
	config := s.writer.Config()
	var connected atomic.Int32
	config.BeforeConnect = func(_ context.Context, c *pgx.ConnConfig) error {
		c.Database = promoted.pool.Config().ConnConfig.Database
		if connected.Add(1) == 1 {
			c.Database = old.pool.Config().ConnConfig.Database
		}
		return nil
	}
	config.AfterRelease = func(*pgx.Conn) bool { return false }
	moving, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	s.writer.Close()
	s.writer = moving
	found, err := s.find(t.Context(), []*change{{id: made.ID}})
	if err != nil || !found {
		t.Fatalf("a change that is there is found: %t, %v", found, err)
	}
	if here, there := proofs(t, old), proofs(t, promoted); here != 1 || there != 0 {
		t.Errorf("what was found on the old primary is proved there (%d), not on the new one (%d)", here, there)
	}
}

func proofs(t *testing.T, s *Store) (n int) {
	t.Helper()
	if err := s.pool.QueryRow(t.Context(), `SELECT count FROM proofs`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// A ledger is what callers were told of their changes.
type ledger struct {
	mu      sync.Mutex
	made    []latchkey.Change
	unknown int
	failed  int
}

// write rolls a team's key until ctx ends.
func (l *ledger) write(ctx context.Context, s *Store, id string) {
	for ctx.Err() == nil {
		_, change, err := s.UpdateTeam(context.WithoutCancel(ctx), id, roll)
		l.mu.Lock()
		switch {
		case err == nil:
			l.made = append(l.made, change)
		case errors.Is(err, latchkey.ErrOutcomeUnknown):
			l.unknown++
		default:
			l.failed++
		}
		l.mu.Unlock()
		if err != nil {
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// check holds the ledger against the database: what was acknowledged is there,
// and what failed is not.
func (l *ledger) check(t *testing.T, s *Store, begun latchkey.Revision) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	ids := make(map[string]bool)
	for _, c := range l.made {
		var id string
		err := s.pool.QueryRow(t.Context(), `SELECT change_id FROM changes WHERE revision = $1`, int64(c.Revision)).Scan(&id)
		if err != nil || id != c.ID {
			t.Errorf("a change that was acknowledged is there: revision %d by %s, not %q: %v", c.Revision, c.ID, id, err)
		}
		if ids[c.ID] {
			t.Errorf("a change is acknowledged once: %s", c.ID)
		}
		ids[c.ID] = true
	}
	all := mustChanges(t, s)
	if made := int(all.Revision - begun); made < len(l.made) || made > len(l.made)+l.unknown {
		t.Errorf("what failed is not there: %d changes were made, of which %d were acknowledged and %d are unknown", made, len(l.made), l.unknown)
	}
	if len(l.made) == 0 {
		t.Errorf("changes were made between the faults")
	}
	t.Logf("%d acknowledged, %d unknown, %d failed", len(l.made), l.unknown, l.failed)
}

// teamsOf adds teams, and returns their IDs.
func teamsOf(t testing.TB, s *Store, n int) (ids []string) {
	t.Helper()
	for i := range n {
		h, _, err := s.CreateTeam(t.Context(), func(now time.Time) (latchkey.Holding, error) {
			return newHolding(fmt.Sprint("team ", i), now), nil
		})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, h.Team.ID)
	}
	return ids
}

// TestTerminatedSessions: sessions end amid changes, over and over.
func TestTerminatedSessions(t *testing.T) {
	s := server.Server(t)
	name := s.NewDatabase(t)
	store := mustOpen(t, Config{URL: s.URL(name)})
	ids := teamsOf(t, store, 4)
	begun := mustChanges(t, store).Revision
	ctx, stop := context.WithCancel(t.Context())
	var l ledger
	var wg sync.WaitGroup
	for _, id := range ids {
		wg.Go(func() { l.write(ctx, store, id) })
	}
	for range 10 {
		time.Sleep(50 * time.Millisecond)
		s.Exec(t, "postgres", `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '`+name+`'`)
	}
	time.Sleep(100 * time.Millisecond)
	stop()
	wg.Wait()
	l.check(t, store, begun)
}

// TestKilledServer: kill -9 of all of PostgreSQL amid changes.
func TestKilledServer(t *testing.T) {
	s := server.Server(t)
	name := s.NewDatabase(t)
	store := mustOpen(t, Config{URL: s.URL(name)})
	ids := teamsOf(t, store, 4)
	begun := mustChanges(t, store).Revision
	ctx, stop := context.WithCancel(t.Context())
	var l ledger
	var wg sync.WaitGroup
	for _, id := range ids {
		wg.Go(func() { l.write(ctx, store, id) })
	}
	for range 2 {
		time.Sleep(200 * time.Millisecond)
		s.Kill(t)
		if err := store.Health(t.Context()); err == nil {
			t.Errorf("a store whose database is gone is not well")
		}
		s.Start(t)
	}
	time.Sleep(200 * time.Millisecond)
	stop()
	wg.Wait()
	l.check(t, store, begun)
}

// TestUnconfirmedCommits: where a commit waits for a standby that does not come,
// nobody gets a lease, and no change is said to be made.
func TestUnconfirmedCommits(t *testing.T) {
	s := server.Server(t)
	name := s.NewDatabase(t)
	store := mustOpen(t, Config{URL: s.URL(name), Lease: 500 * time.Millisecond})
	id := mustChanges(t, store).Teams[0].ID
	node := latchkey.Registration{ID: "registered before", Node: "node-1", Lease: 500 * time.Millisecond}
	if err := store.Register(t.Context(), node); err != nil {
		t.Fatal(err)
	}
	mustRoll(t, store, id)
	s.Configure(t, "synchronous_standby_names = 'nobody'")
	restore := sync.OnceFunc(func() { s.Configure(t, "synchronous_standby_names = ''") })
	defer restore()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if got, err := store.Renew(ctx, latchkey.Renewal{ID: node.ID}); err == nil {
		t.Errorf("a renewal whose commit was not confirmed gives no lease: revision %d", got.Changes.Revision)
	}
	late := node
	late.ID = "registered after"
	if err := store.Register(ctx, late); err == nil {
		t.Errorf("a registration whose commit was not confirmed is none")
	}
	if err := store.Acknowledge(t.Context(), node.ID, latchkey.Position{}); err != nil {
		t.Errorf("an acknowledgement need not be durable: %v", err)
	}
	if err := store.AppendEvents(ctx, latchkey.NewEvent(time.Now(), latchkey.System, latchkey.ActionAccept, "", "", "")); err == nil {
		t.Errorf("an event whose commit was not confirmed is not said to be there")
	}
	_, change, err := store.UpdateTeam(t.Context(), id, roll)
	if !errors.Is(err, latchkey.ErrOutcomeUnknown) {
		t.Errorf("a change whose commit was not confirmed is ErrOutcomeUnknown, not %v (revision %d)", err, change.Revision)
	}
	restore()
	if _, err := store.Renew(t.Context(), latchkey.Renewal{ID: node.ID}); err != nil {
		t.Errorf("when the standby is back, a lease is renewed: %v", err)
	}
	mustRoll(t, store, id)
}

// TestCancelledCommit: PostgreSQL gives the wait for a standby up where it is
// told to, commits on the one server, and warns.
func TestCancelledCommit(t *testing.T) {
	s := server.Server(t)
	name := s.NewDatabase(t)
	store := mustOpen(t, Config{URL: s.URL(name)})
	id := mustChanges(t, store).Teams[0].ID
	mustRoll(t, store, id)
	s.Configure(t, "synchronous_standby_names = 'nobody'")
	restore := sync.OnceFunc(func() { s.Configure(t, "synchronous_standby_names = ''") })
	defer restore()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			time.Sleep(50 * time.Millisecond)
			_ = cancelWaits(ctx, s.URL("postgres"))
		}
	})
	before := mustChanges(t, store).Revision
	_, _, err := store.UpdateTeam(t.Context(), id, roll)
	if !errors.Is(err, latchkey.ErrOutcomeUnknown) || !strings.Contains(err.Error(), "warned") {
		t.Errorf("a change that was committed with a warning is ErrOutcomeUnknown, not %v", err)
	}
	if got := mustChanges(t, store).Revision; got != before+1 {
		t.Errorf("a change that was committed with a warning can be seen: revision %d", got)
	}
	node := latchkey.Registration{ID: "node", Node: "node-1", Lease: time.Second}
	if err := store.Register(t.Context(), node); err == nil {
		t.Errorf("a registration that was committed with a warning is none")
	}
	if _, err := store.Renew(t.Context(), latchkey.Renewal{ID: node.ID}); err == nil || errors.Is(err, latchkey.ErrNotRegistered) {
		t.Errorf("a renewal that was committed with a warning gives no lease: %v", err)
	}
	if _, err := store.PurgeTombstones(t.Context(), 0); !errors.Is(err, latchkey.ErrOutcomeUnknown) {
		t.Errorf("a purge that was committed with a warning is ErrOutcomeUnknown, not %v", err)
	}
	stop()
	wg.Wait()
}
