package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey"
)

// TestChangesGoTogether: changes that wait at the same time go out in few
// transactions, and each has a revision of its own.
func TestChangesGoTogether(t *testing.T) {
	const teams, each = 24, 4
	s := mustOpen(t, Config{URL: newURL(t)})
	ids := teamsOf(t, s, teams)
	begun := mustChanges(t, s).Revision
	var wg sync.WaitGroup
	var mu sync.Mutex
	seen := make(map[latchkey.Revision]string)
	for _, id := range ids {
		wg.Go(func() {
			for range each {
				h, change, err := s.UpdateTeam(t.Context(), id, roll)
				if err != nil {
					t.Errorf("roll: %v", err)
					return
				}
				if h.Team.Revision != change.Revision || h.APIKey().Revision != change.Revision {
					t.Errorf("what a change wrote has its revision, %d: the team has %d, the key %d", change.Revision, h.Team.Revision, h.APIKey().Revision)
				}
				mu.Lock()
				seen[change.Revision] = change.ID
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(seen) != teams*each {
		t.Errorf("each change has a revision of its own: %d of %d", len(seen), teams*each)
	}
	for revision, id := range seen {
		var kept string
		if err := s.pool.QueryRow(t.Context(), `SELECT change_id FROM changes WHERE revision = $1`, int64(revision)).Scan(&kept); err != nil || kept != id {
			t.Errorf("the database has each change by its revision and ID: %d by %s, not %q: %v", revision, id, kept, err)
		}
	}
	var transactions int
	err := s.pool.QueryRow(t.Context(), `SELECT count(DISTINCT xmin::text) FROM changes WHERE revision > $1`, int64(begun)).Scan(&transactions)
	if err != nil || transactions*2 > teams*each {
		t.Errorf("changes that wait go out together: %d in %d transactions: %v", teams*each, transactions, err)
	}
}

// TestOneConflictIsNotAnothers: of changes that go out together, those that can
// be made are.
func TestOneConflictIsNotAnothers(t *testing.T) {
	t.Parallel()
	const each = 12
	s := mustOpen(t, Config{URL: newURL(t)})
	taken := teamsOf(t, s, 1)
	begun := mustChanges(t, s).Revision
	var wg sync.WaitGroup
	var conflicts, made atomic.Int32
	for i := range 2 * each {
		name := "team 0"
		if i%2 == 1 {
			name = fmt.Sprint("new ", i)
		}
		wg.Go(func() {
			_, _, err := s.CreateTeam(t.Context(), func(now time.Time) (latchkey.Holding, error) { return newHolding(name, now), nil })
			switch {
			case err == nil && i%2 == 1:
				made.Add(1)
			case errors.Is(err, latchkey.ErrConflict) && i%2 == 0:
				conflicts.Add(1)
			default:
				t.Errorf("a team named %q: %v", name, err)
			}
		})
	}
	wg.Wait()
	if got := mustChanges(t, s); made.Load() != each || conflicts.Load() != each || got.Revision != begun+each {
		t.Errorf("those that can be made are, and no others: %d made, %d conflicts, %d revisions", made.Load(), conflicts.Load(), got.Revision-begun)
	}
	mustRoll(t, s, taken[0])
}

// TestHeldCounter: while somebody holds the counter's row, the changes that wait
// go out together, and fail together: not one after the other, each after a
// time-out of its own.
func TestHeldCounter(t *testing.T) {
	t.Parallel()
	const many = 8
	sv := server.Server(t)
	name := sv.NewDatabase(t)
	s := mustOpen(t, Config{URL: sv.URL(name)})
	ids := teamsOf(t, s, 1+many)
	// One that is not of ours: nothing bounds its transaction.
	holder, err := pgx.Connect(t.Context(), sv.URL(name))
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close(context.Background())
	if _, err := holder.Exec(t.Context(), `BEGIN; SELECT FROM latchkey.meta FOR UPDATE`); err != nil {
		t.Fatal(err)
	}
	failures := make(chan error, len(ids))
	change := func(id string) {
		_, _, err := s.UpdateTeam(t.Context(), id, roll)
		failures <- err
	}
	go change(ids[0]) // alone
	for number(t, s, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`) == 0 {
		time.Sleep(time.Millisecond)
	}
	for _, id := range ids[1:] {
		go change(id)
	}
	for waiting := 0; waiting < many; time.Sleep(time.Millisecond) {
		s.queue.mu.Lock()
		waiting = len(s.queue.waiting)
		s.queue.mu.Unlock()
		if len(failures) > 0 {
			t.Fatal("the changes were not all waiting when the first failed")
		}
	}
	before := s.writer.Stat().AcquireCount()
	for range ids {
		if err := <-failures; state(err) != stateLocked {
			t.Errorf("a change that waited for the counter's row in vain says so: %v", err)
		}
	}
	if sent := s.writer.Stat().AcquireCount() - before; sent != 1 {
		t.Errorf("%d changes that failed for what is none's fault were sent in %d transactions, not in one", many, sent)
	}
	if _, err := holder.Exec(t.Context(), `ROLLBACK`); err != nil {
		t.Fatal(err)
	}
	mustRoll(t, s, ids[0])
}

// TestEditIsAskedAgain: where another process changed the team between an edit
// and its commit, the edit sees the team anew.
func TestEditIsAskedAgain(t *testing.T) {
	t.Parallel()
	url := newURL(t)
	a, b := mustOpen(t, Config{URL: url}), mustOpen(t, Config{URL: url})
	id := mustChanges(t, a).Teams[0].ID
	var asked int
	h, change, err := a.UpdateTeam(t.Context(), id, func(now time.Time, h *latchkey.Holding) error {
		if asked++; asked == 1 {
			if _, _, err := b.UpdateTeam(t.Context(), id, func(_ time.Time, h *latchkey.Holding) error {
				h.Team.Name = "renamed meanwhile"
				return nil
			}); err != nil {
				t.Errorf("while an edit runs nothing is locked: %v", err)
			}
		}
		return roll(now, h)
	})
	if err != nil || asked != 2 || h.Team.Name != "renamed meanwhile" || change.Revision != 3 {
		t.Errorf("an edit whose premise is gone is asked again: %d times; the team is %q at revision %d: %v", asked, h.Team.Name, change.Revision, err)
	}
	if got := mustChanges(t, b); len(got.Credentials) != 2 {
		t.Errorf("what an edit made in vain is not written: %d credentials", len(got.Credentials))
	}
}

// TestPositionsAreForgotten: the positions of the past are kept for 90 days, and
// as long as they are above the purge horizon.
func TestPositionsAreForgotten(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, Config{URL: newURL(t)})
	id := mustChanges(t, s).Teams[0].ID
	for range 5 {
		mustRoll(t, s, id)
	}
	for _, statement := range []string{
		`UPDATE changes SET at = latchkey_now() - 91::bigint * 86400000000 WHERE revision <> 2`,
		`UPDATE credentials SET ended = 1 WHERE revision = 4`,
	} {
		if _, err := s.pool.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // what the first forgets of credentials moves the horizon for the second
		if _, err := s.PurgeTombstones(t.Context(), 90*24*time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	var left string
	if err := s.pool.QueryRow(t.Context(), `SELECT string_agg(revision::text, ' ' ORDER BY revision) FROM changes`).Scan(&left); err != nil || left != "2 4 5 6" {
		t.Errorf("of revisions 1 to 6, of which 2 is young and 4 the horizon, 2 4 5 6 are left, not %s: %v", left, err)
	}
}

// BenchmarkRoll is one durable change of a key.
func BenchmarkRoll(b *testing.B) {
	s := mustOpen(b, Config{URL: newURL(b)})
	id := teamsOf(b, s, 1)[0]
	for b.Loop() {
		mustRoll(b, s, id)
	}
}

// BenchmarkBareUpdate is what a roll is held against: UPDATE, and COMMIT.
func BenchmarkBareUpdate(b *testing.B) {
	s := mustOpen(b, Config{URL: newURL(b)})
	for b.Loop() {
		if _, err := s.writer.Exec(b.Context(), `UPDATE proofs SET count = count + 1`); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRollsTogether is a change when 64 callers make changes.
func BenchmarkRollsTogether(b *testing.B) {
	s := mustOpen(b, Config{URL: newURL(b)})
	ids := teamsOf(b, s, 64)
	b.ResetTimer()
	var next atomic.Int64
	var wg sync.WaitGroup
	for _, id := range ids {
		wg.Go(func() {
			for next.Add(1) <= int64(b.N) {
				if _, _, err := s.UpdateTeam(b.Context(), id, roll); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// BenchmarkRenew is a renewal that finds nothing new.
func BenchmarkRenew(b *testing.B) {
	s := mustOpen(b, Config{URL: newURL(b)})
	node := latchkey.Registration{ID: "node", Node: "node-1", Lease: time.Second}
	if err := s.Register(b.Context(), node); err != nil {
		b.Fatal(err)
	}
	all := mustChanges(b, s)
	at := latchkey.Position{Revision: all.Revision, ChangeID: all.ChangeID}
	for b.Loop() {
		if _, err := s.Renew(b.Context(), latchkey.Renewal{ID: node.ID, Applied: at, Known: at}); err != nil {
			b.Fatal(err)
		}
	}
}
