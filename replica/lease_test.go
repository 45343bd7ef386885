package replica

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"latchkey"
)

// A handClock goes when it is told to.
type handClock struct {
	boot time.Duration
	wall time.Time
}

func (c *handClock) Boot() time.Duration { return c.boot }
func (c *handClock) Wall() time.Time     { return c.wall }

func (c *handClock) advance(boot, wall time.Duration) {
	c.boot += boot
	c.wall = c.wall.Add(wall)
}

func TestLeaseIsGood(t *testing.T) {
	const length = 3 * time.Second
	for _, c := range []struct {
		rule       string
		boot, wall time.Duration // how the clocks go on
		good       bool
	}{
		{"a lease is good when it was given", 0, 0, true},
		{"and just before its end", length - 1, length - 1, true},
		{"and not at its end", length, length, false},
		{"a suspended machine's lease ends", time.Hour, time.Hour, false},
		{"the wall clock may be adjusted", time.Second, 1400 * time.Millisecond, true},
		{"a wall clock set ahead by over 500 ms ends it", time.Second, 1501 * time.Millisecond, false},
		{"a wall clock set back by over 500 ms ends it", time.Second, 499 * time.Millisecond, false},
		{"a wall clock set back never lengthens it", length, -time.Hour, false},
	} {
		clock := &handClock{boot: time.Hour, wall: time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)}
		l := lease{from: now(clock), length: length}
		clock.advance(c.boot, c.wall)
		if got := l.good(clock); got != c.good {
			t.Errorf("%s: after %v (wall %v) the lease is good: %v", c.rule, c.boot, c.wall, got)
		}
	}
	if endless := (&lease{endless: true}); !endless.good(&handClock{boot: 1 << 62}) {
		t.Error("a lease without end is over")
	}
}

func TestSystemClock(t *testing.T) {
	before := System{}.Boot()
	time.Sleep(2 * time.Millisecond)
	if after := (System{}).Boot(); after-before < 2*time.Millisecond {
		t.Errorf("the boot clock went on by %v in 2 ms", after-before)
	}
}

func TestSetBack(t *testing.T) {
	for _, c := range []struct {
		rule       string
		boot, wall time.Duration
		alarm      bool
	}{
		{"both go on alike", time.Second, time.Second, false},
		{"the wall clock is set back by 31 s", time.Second, -30 * time.Second, true},
		{"the wall clock is set back by 30 s", time.Second, -29 * time.Second, false},
		{"the wall clock is set ahead", time.Second, time.Hour, false},
	} {
		clock := &handClock{wall: time.Now()}
		w := watch{clock: clock, last: now(clock)}
		clock.advance(c.boot, c.wall)
		if back := w.setBack(); (back > 0) != c.alarm {
			t.Errorf("%s: set back by %v, alarm must be %v", c.rule, back, c.alarm)
		}
		if again := w.setBack(); again != 0 {
			t.Errorf("%s: it is said twice", c.rule)
		}
	}
}

// TestWait goes through the states of a wait.
func TestWait(t *testing.T) {
	const length = time.Second
	registration := func(id string, applied latchkey.Revision, stale time.Duration) latchkey.Registration {
		return latchkey.Registration{ID: id, Node: "node " + id, Lease: length, StaleOK: stale, Applied: applied}
	}
	clock := &handClock{boot: time.Hour}
	w := wait{clock: clock, committed: clock.boot, position: latchkey.Position{Revision: 7}}
	see := func(rule string, want bool, list ...latchkey.Registration) {
		t.Helper()
		if _, done := w.see(clock.boot, list); done != want {
			t.Errorf("%s: done is %v", rule, done)
		}
	}
	a, b := registration("a", 7, 0), registration("b", 6, 0)
	c, d, e := registration("c", 0, time.Minute), registration("d", 6, 0), registration("e", 0, 0)
	see("nodes that have not confirmed are waited for", false, a, b, c, d)
	b.Applied = 8
	see("one has confirmed, two have not", false, b, c, d)
	clock.advance(length*101/100+50*time.Millisecond-1, 0)
	see("the leases of two are not over by any clock", false, c, d)
	see("one that was not on the lists before is waited for", false, e)
	clock.advance(1, 0)
	see("they are over", true, b, c, d)

	s := w.settlement()
	if len(s.Confirmed) != 2 || s.Confirmed[0] != "node a" || s.Confirmed[1] != "node b" {
		t.Errorf("confirmed: %v", s.Confirmed)
	}
	if len(s.Lapsed) != 1 || s.Lapsed[0] != "node d" {
		t.Errorf("lapsed: %v", s.Lapsed)
	}
	if len(s.NotConfirmed) != 1 || s.NotConfirmed[0].Node != "node c" || s.NotConfirmed[0].MaxSeconds < 59 || s.NotConfirmed[0].MaxSeconds > 62 {
		t.Errorf("not confirmed: %v", s.NotConfirmed)
	}
}

func TestWaitForOneThatStops(t *testing.T) {
	clock := &handClock{}
	w := wait{clock: clock, position: latchkey.Position{Revision: 2}}
	if _, done := w.see(0, []latchkey.Registration{{ID: "a", Lease: time.Second, Applied: 1}}); done {
		t.Error("a node is not waited for")
	}
	if _, done := w.see(0, nil); !done {
		t.Error("a node that is not registered any more is waited for")
	}
	if s := w.settlement(); len(s.Confirmed)+len(s.Lapsed)+len(s.NotConfirmed) != 0 {
		t.Errorf("it confirmed nothing, and nothing is said of it: %+v", s)
	}
}

// TestLostChange says again and again that the database has another history.
func TestLostChange(t *testing.T) {
	mine := latchkey.Position{Revision: 7, ChangeID: "mine"}
	clock := &handClock{boot: time.Hour}
	w := wait{clock: clock, committed: clock.boot, position: mine}
	lost := func(rule string, missing latchkey.Position, want bool) {
		t.Helper()
		err := fmt.Errorf("list: %w", &latchkey.AnotherHistoryError{Missing: missing})
		if got := w.lost(err); got != want {
			t.Errorf("%s: lost is %v", rule, got)
		}
	}
	lost("an old primary may have said so", mine, false)
	clock.advance(2*lostTime, 0)
	lost("what another change lost is not this one's", latchkey.Position{Revision: 8}, false)
	w.see(clock.boot, []latchkey.Registration{{ID: "a", Lease: time.Hour}})
	lost("a list in between had it", mine, false)
	clock.advance(lostTime+1, 0)
	lost("it is said for long", mine, true)
	if w.lost(errors.New("no connection")) {
		t.Error("a database that does not answer has lost nothing")
	}
}

// TestTake holds answers that come late and out of turn against what memory is.
func TestTake(t *testing.T) {
	p := func(revision latchkey.Revision, change string) latchkey.Position {
		return latchkey.Position{Revision: revision, ChangeID: change}
	}
	for _, c := range []struct {
		rule                  string
		memory, asked, brings latchkey.Position
		taken                 bool
	}{
		{"an answer to what memory is", p(5, "a"), p(5, "a"), p(7, "x"), true},
		{"one that brings nothing new", p(5, "a"), p(5, "a"), p(5, "a"), true},
		{"one that brings what another has brought", p(7, "x"), p(5, "a"), p(7, "x"), true},
		{"one that is older than memory", p(7, "x"), p(5, "a"), p(6, "y"), false},
		{"one of another history that is newer", p(6, "y"), p(5, "a"), p(7, "x"), false},
		{"one to what memory was before", p(6, "y"), p(5, "a"), p(7, "z"), false},
	} {
		r := &Replica{Clock: &handClock{}}
		r.init()
		r.registration.ID, r.position = "me", c.memory
		_, err := r.take(latchkey.Renewal{ID: "me", Applied: c.asked},
			latchkey.Renewed{Changes: latchkey.Changes{After: c.asked.Revision, Revision: c.brings.Revision, ChangeID: c.brings.ChangeID}}, instant{})
		if (err == nil) != c.taken || (r.lease.Load() != nil) != c.taken {
			t.Errorf("%s: %v, lease %v", c.rule, err, r.lease.Load())
		}
	}
}

// TestTakeForgets holds that a renewal takes out of memory what was purged, and
// nothing that is alive or that ended later.
func TestTakeForgets(t *testing.T) {
	r := &Replica{Node: "n", Lease: time.Second}
	r.init()
	r.registration.ID = "me"
	key := func(n byte, revision latchkey.Revision, ended time.Time) latchkey.Credential {
		return latchkey.Credential{ID: string(rune('a' + n)), TeamID: "team", Kind: latchkey.KindAPIKey, Digest: latchkey.Digest{n}, Ended: ended, Revision: revision}
	}
	take := func(from, to, horizon latchkey.Revision, credentials ...latchkey.Credential) {
		t.Helper()
		ask := latchkey.Renewal{ID: "me", Applied: r.position}
		changes := latchkey.Changes{After: from, Revision: to, ChangeID: fmt.Sprint(to), Horizon: horizon, Credentials: credentials}
		if _, err := r.take(ask, latchkey.Renewed{Changes: changes}, now(r.clock())); err != nil {
			t.Fatal(err)
		}
	}
	take(0, 4, 0, key(0, 2, time.Now()), key(1, 3, time.Time{}), key(2, 4, time.Now()))
	for _, horizon := range []latchkey.Revision{3, 3, 2} {
		take(4, 4, horizon) // nothing has changed, and more or less was purged
		for n, want := range []bool{false, true, true} {
			if _, there := r.keys.read(byte(n))[latchkey.Digest{byte(n)}]; there != want {
				t.Errorf("purged up to %d: credential %d is there: %t, must be %t", horizon, n, there, want)
			}
		}
	}
}

// TestReapOnce reaps by what was seen, on a clock of its own.
func TestReapOnce(t *testing.T) {
	const length = time.Second
	clock := &handClock{}
	leases := &reaped{}
	r := &Replica{Leases: leases, Clock: clock}
	seen := make(map[string]sighting)
	row := latchkey.Registration{ID: "a", Lease: length, Renewals: 3, Renewal: "third"}
	see := func(g latchkey.Registration) { r.reapOnce(t.Context(), []latchkey.Registration{g}, seen) }

	see(row)
	clock.advance(bound(length), 0)
	see(row)
	if leases.ids != nil {
		t.Fatal("a registration was reaped before it was seen unchanged for more than its lease")
	}
	row.Renewal = "another" // on another primary, the count may be the same
	clock.advance(1, 0)
	see(row)
	if leases.ids != nil {
		t.Fatal("a registration was reaped that had been renewed")
	}
	row.StaleOK = time.Minute
	clock.advance(bound(length)+1, 0)
	see(row)
	if leases.ids != nil {
		t.Fatal("a registration was reaped while its node may answer by --stale-ok")
	}
	clock.advance(time.Minute*101/100, 0)
	see(row)
	if len(leases.ids) != 1 || leases.renewal != row.Renewal {
		t.Fatalf("reaped: %v at renewal %q", leases.ids, leases.renewal)
	}
}

type reaped struct {
	latchkey.LeaseStore
	ids     []string
	renewal string
}

func (r *reaped) Reap(_ context.Context, id, renewal string) error {
	r.ids, r.renewal = append(r.ids, id), renewal
	return nil
}

// TestNamesake sees another registration of this node's name, which is renewed.
func TestNamesake(t *testing.T) {
	var log strings.Builder
	r := &Replica{Node: "n1", Leases: &reaped{}, Clock: &handClock{}, Logger: slog.New(slog.NewTextHandler(&log, nil))}
	r.registration = latchkey.Registration{ID: "mine", Node: "n1"}
	seen := make(map[string]sighting)
	for _, renewal := range []string{"1", "2", "3"} {
		r.reapOnce(t.Context(), []latchkey.Registration{{ID: "mine", Node: "n1", Lease: time.Hour, Renewal: renewal},
			{ID: "old", Node: "n1", Lease: time.Hour}, {ID: "other", Node: "n2", Lease: time.Hour, Renewal: renewal}}, seen)
	}
	if log.Len() > 0 {
		t.Fatalf("a node that was started again, or another, is taken for one of the same name: %s", log.String())
	}
	for _, renewal := range []string{"1", "2", "3"} {
		r.reapOnce(t.Context(), []latchkey.Registration{{ID: "other", Node: "n1", Lease: time.Hour, Renewal: renewal}}, seen)
	}
	if strings.Count(log.String(), "ANOTHER NODE HAS THIS NODE'S NAME") != 1 {
		t.Errorf("two nodes of one name: it must be said, once: %q", log.String())
	}
}

func TestUnavailable(t *testing.T) {
	r := &Replica{Leases: &reaped{}, Clock: &handClock{}}
	r.init()
	verdict := func(rule string, want latchkey.Reason) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // it does not wait
		_, err := r.APIKey(ctx, latchkey.Digest{})
		var u *latchkey.Unavailable
		if !errors.As(err, &u) || u.Reason != want {
			t.Errorf("%s: %v", rule, err)
		}
	}
	verdict("without a lease this node cannot tell", latchkey.ReasonLeaseOver)
	alarm := errors.New("another history")
	r.alarm.Store(&alarm)
	verdict("nor with another history", latchkey.ReasonStoreUnavailable)
	r.Leases = nil
	verdict("nor where the store could not be read", latchkey.ReasonStoreUnavailable)
}

// BenchmarkLookUp is what a look-up costs, with a lease that ends and without.
func BenchmarkLookUp(b *testing.B) {
	for name, l := range map[string]*lease{
		"Endless": {endless: true},
		"Lease":   {from: now(System{}), length: time.Hour},
	} {
		b.Run(name, func(b *testing.B) {
			r := &Replica{}
			r.init()
			team := &latchkey.Team{ID: "team"}
			found := &latchkey.Found{Credential: &latchkey.Credential{ID: "key", TeamID: team.ID}}
			digest := latchkey.DigestOf([]byte("key"))
			r.teams.write(map[string]*latchkey.Team{team.ID: team}, r.shardOf, true)
			r.keys.write(map[latchkey.Digest]*latchkey.Found{digest: found}, shardOfDigest, true)
			r.lease.Store(l)
			b.ReportAllocs()
			for b.Loop() {
				if f, err := r.APIKey(b.Context(), digest); err != nil || f.Credential == nil {
					b.Fatal(f, err)
				}
			}
		})
	}
}
