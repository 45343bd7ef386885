package storetest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey"
)

// A Cluster is what the nodes of a cluster share, as far as [Leases] examines
// it.
type Cluster interface {
	latchkey.CredentialStore
	latchkey.LeaseStore

	// Events is [latchkey.AuditStore]'s.
	Events(ctx context.Context, teamID, before string, limit int) ([]latchkey.Event, error)
}

// leaseExams are all there are of a LeaseStore, each on a store of its own.
var leaseExams = []struct {
	name string
	run  func(x *leaseExam)
}{
	{"Register", examRegister},
	{"Deregister", examDeregister},
	{"Renew", examRenew},
	{"RenewReadsChanges", examRenewReads},
	{"RenewBelowTheHorizon", examRenewHorizon},
	{"NotRegistered", examNotRegistered},
	{"AnotherHistory", examAnotherHistory},
	{"Acknowledge", examAcknowledge},
	{"Reap", examReap},
	{"ReapConcurrently", examReapConcurrently},
	{"AcceptHistory", examAcceptHistory},
	{"Listen", examListen},
	{"RenewIsOneSnapshot", examRenewSnapshot},
	{"Age", examAge},
	{"RenewConcurrently", examRenewConcurrently},
	{"EndedContextRenewsNothing", examRenewEnded},
}

// Leases examines the LeaseStore of the store that open makes with the genesis
// given: two handles on it, as two nodes hold them.
func Leases(t *testing.T, open func(t *testing.T, genesis func(time.Time) (latchkey.Genesis, error)) (a, b Cluster)) {
	for _, e := range leaseExams {
		t.Run(e.name, func(t *testing.T) {
			x := &leaseExam{}
			x.exam = newExam(t, func(t *testing.T, genesis func(time.Time) (latchkey.Genesis, error), _ func() time.Time) (a, b Store) {
				x.one, x.two = open(t, genesis)
				return credentials{CredentialStore: x.one}, credentials{CredentialStore: x.two}
			})
			e.run(x)
		})
	}
}

// credentials is a Store of which nothing but the credentials is asked for.
type credentials struct {
	latchkey.CredentialStore
	latchkey.RecordStore
	latchkey.RecordKeeper
	latchkey.ContactStore
	latchkey.AuditStore
	latchkey.UserStore
	latchkey.SessionStore
	latchkey.UsageStore
}

// A leaseExam is one new store, and two handles on it.
type leaseExam struct {
	*exam
	one, two Cluster // as a and b of exam
}

func newRegistration(node string) latchkey.Registration {
	return latchkey.Registration{
		ID: "node_" + rand.Text(), Node: node, Address: "https://" + node + ".example.com:8443", Version: "v1.2.3",
		Lease: latchkey.DefaultLease, StaleOK: time.Minute + time.Nanosecond,
	}
}

// register adds a registration, and returns it as the store gives it back.
func (x *leaseExam) register(s Cluster, node string) latchkey.Registration {
	x.Helper()
	r := newRegistration(node)
	x.must("register", s.Register(x.Context(), r))
	return x.registration(s, r.ID)
}

func (x *leaseExam) registrations(s Cluster, has ...latchkey.Position) []latchkey.Registration {
	x.Helper()
	list, err := s.Registrations(x.Context(), has...)
	x.must("read registrations", err)
	for i := range list {
		list[i].Age = 0 // it differs each time: see examAge
	}
	return list
}

// registration returns one that must be there.
func (x *leaseExam) registration(s Cluster, id string) latchkey.Registration {
	x.Helper()
	list := x.registrations(s)
	i := slices.IndexFunc(list, func(r latchkey.Registration) bool { return r.ID == id })
	x.rule(i >= 0, "a registration is there until it is removed: %s", id)
	return list[i]
}

// renew renews a lease, which must be possible.
func (x *leaseExam) renew(s Cluster, r latchkey.Renewal) latchkey.Renewed {
	x.Helper()
	got, err := s.Renew(x.Context(), r)
	x.must("renew", err)
	return got
}

// change makes a change, and returns its position.
func (x *leaseExam) change(s Store, name string) latchkey.Position {
	x.Helper()
	_, change := x.create(s, name)
	return latchkey.Position{Revision: change.Revision, ChangeID: change.ID}
}

func (x *leaseExam) position(s Store) latchkey.Position {
	x.Helper()
	all := x.changes(s, 0)
	return latchkey.Position{Revision: all.Revision, ChangeID: all.ChangeID}
}

func examRegister(x *leaseExam) {
	x.rule(len(x.registrations(x.one)) == 0, "a new store has no registrations")
	want := newRegistration("beta")
	given := want
	given.Applied, given.Renewals = 99, 99
	x.must("register", x.one.Register(x.Context(), given))
	for _, s := range []Cluster{x.one, x.two} {
		got := x.registration(s, want.ID)
		x.rule(!got.Renewed.IsZero(), "a registration says when it was renewed")
		got.Renewed, got.Renewal = time.Time{}, ""
		equal(x.exam, "a registration is kept as it was given; Applied and Renewals begin at 0", got, want)
	}

	before := x.registrations(x.two)
	twin := newRegistration("another")
	twin.ID = want.ID
	for _, s := range []Cluster{x.one, x.two} {
		err := s.Register(x.Context(), twin)
		x.rule(errors.Is(err, latchkey.ErrConflict), "an ID that is there already is ErrConflict, not %v", err)
		equal(x.exam, "a conflict changes nothing", x.registrations(x.one), before)
	}

	x.register(x.two, "alpha")
	x.register(x.one, "gamma")
	x.register(x.two, "beta") // an incarnation of its own
	var nodes []string
	for _, r := range x.registrations(x.one) {
		nodes = append(nodes, r.Node)
	}
	equal(x.exam, "registrations come by the name of their node", nodes, []string{"alpha", "beta", "beta", "gamma"})
	for _, s := range hostile {
		odd := newRegistration("odd" + s)
		odd.Address, odd.Version = s, s
		x.must("register", x.two.Register(x.Context(), odd))
		got := x.registration(x.one, odd.ID)
		x.rule(got.Node == kept(odd.Node) && got.Address == kept(s) && got.Version == kept(s), "hostile texts are kept: %q", s)
	}
}

func examDeregister(x *leaseExam) {
	r, other := x.register(x.one, "alpha"), x.register(x.one, "beta")
	x.must("deregister", x.two.Deregister(x.Context(), r.ID))
	equal(x.exam, "Deregister removes a registration, and no other", x.registrations(x.one), []latchkey.Registration{other})
	x.must("deregister what is not there", x.one.Deregister(x.Context(), r.ID))
	x.must("deregister what never was there", x.one.Deregister(x.Context(), "' OR 1=1"))
	equal(x.exam, "Deregister removes a registration, and no other", x.registrations(x.two), []latchkey.Registration{other})
	_, err := x.one.Renew(x.Context(), latchkey.Renewal{ID: r.ID})
	x.rule(errors.Is(err, latchkey.ErrNotRegistered), "what was removed cannot be renewed: %v", err)
}

// examAge goes by differences: the store's clock need not be this process's.
func examAge(x *leaseExam) {
	age := func(s Cluster, id string) time.Duration {
		list, err := s.Registrations(x.Context())
		x.must("read registrations", err)
		i := slices.IndexFunc(list, func(r latchkey.Registration) bool { return r.ID == id })
		return list[i].Age
	}
	const tick = time.Millisecond // clocks may be adjusted a little
	began := time.Now()
	r := x.register(x.one, "alpha")
	first := age(x.two, r.ID)
	x.rule(first >= 0 && first <= time.Since(began)+tick, "Age counts from the registration: %v", first)
	read := time.Now()
	time.Sleep(30 * time.Millisecond)
	least := time.Since(read)
	x.rule(age(x.one, r.ID) >= first+least-tick, "Age is how long ago it was when it is read")
	renewed := time.Now()
	x.renew(x.two, latchkey.Renewal{ID: r.ID})
	second := age(x.one, r.ID)
	x.rule(second >= 0 && second <= time.Since(renewed)+tick, "Age counts from the last renewal: %v", second)
}

func examRenew(x *leaseExam) {
	r, other := x.register(x.one, "alpha"), x.register(x.two, "beta")
	first := x.position(x.a)
	last := x.change(x.a, "acme")
	seen := map[string]bool{r.Renewal: true}
	for i, applied := range []latchkey.Position{{}, first, last, last} {
		x.renew([]Cluster{x.one, x.two}[i%2], latchkey.Renewal{ID: r.ID, Applied: applied, Known: first})
		got := x.registration(x.two, r.ID)
		x.rule(got.Renewals == int64(i+1), "Renew counts the renewals up: %d, not %d", got.Renewals, i+1)
		x.rule(got.Applied == applied.Revision, "Renew records what was applied: %d, not %d", got.Applied, applied.Revision)
		x.rule(got.Renewal != "" && !seen[got.Renewal], "each renewal has a random text of its own: %q", got.Renewal)
		x.rule(!got.Renewed.Before(r.Renewed), "Renew says when it was")
		seen[got.Renewal] = true
		got.Renewals, got.Renewal, got.Renewed, got.Applied = r.Renewals, r.Renewal, r.Renewed, r.Applied
		equal(x.exam, "Renew alters nothing else", got, r)
	}
	equal(x.exam, "Renew alters no other registration", x.registration(x.one, other.ID), other)
	x.rule(x.position(x.b) == last, "Renew is no change: the revision stays at %d", last.Revision)
}

// examRenewReads holds what Renew reads against what Changes reads.
func examRenewReads(x *leaseExam) {
	r := x.register(x.one, "alpha")
	positions := []latchkey.Position{{}, x.position(x.a)}
	h, change := x.create(x.a, "acme")
	positions = append(positions, latchkey.Position{Revision: change.Revision, ChangeID: change.ID}, x.change(x.b, "other"))
	_, change = x.update(x.b, h.Team.ID, func(now time.Time, h *latchkey.Holding) {
		h.Credentials[0].End(now, "examiner", latchkey.EndedByRoll)
	})
	positions = append(positions, latchkey.Position{Revision: change.Revision, ChangeID: change.ID})
	for _, applied := range positions {
		for _, s := range []Cluster{x.one, x.two} {
			got := x.renew(s, latchkey.Renewal{ID: r.ID, Applied: applied, Known: positions[1]}).Changes
			slices.SortFunc(got.Teams, func(a, b latchkey.Team) int { return strings.Compare(a.ID, b.ID) })
			got.Credentials = sorted(got.Credentials)
			equal(x.exam, fmt.Sprintf("Renew returns what changed after revision %d, as Changes does", applied.Revision), got, x.changes(x.a, applied.Revision))
		}
	}
}

// examRenewHorizon: what was purged cannot be told apart from what never was.
func examRenewHorizon(x *leaseExam) {
	r := x.register(x.one, "alpha")
	early := x.position(x.a)
	h, _ := x.create(x.a, "acme")
	_, change := x.update(x.a, h.Team.ID, func(now time.Time, h *latchkey.Holding) {
		h.Credentials[0].End(now, "examiner", latchkey.EndedByRoll)
	})
	horizon := latchkey.Position{Revision: change.Revision, ChangeID: change.ID}
	n, err := x.b.PurgeTombstones(x.Context(), 0)
	x.must("purge", err)
	x.rule(n == 1, "PurgeTombstones returns how many credentials it forgot: %d", n)
	got := x.renew(x.one, latchkey.Renewal{ID: r.ID, Applied: early})
	x.rule(got.Changes.After == 0 && len(got.Changes.Teams) == 2, "below the purge horizon Renew returns everything: after %d, %d teams", got.Changes.After, len(got.Changes.Teams))
	x.rule(x.registration(x.two, r.ID).Applied == early.Revision, "below the purge horizon Renew renews, too")
	got = x.renew(x.two, latchkey.Renewal{ID: r.ID, Applied: horizon})
	x.rule(got.Changes.After == horizon.Revision && len(got.Changes.Teams) == 0, "from the purge horizon on Renew returns what changed: %s", abridge(got.Changes))
}

func examNotRegistered(x *leaseExam) {
	at := x.position(x.a)
	gone, other := x.register(x.one, "alpha"), x.register(x.two, "beta")
	x.must("deregister", x.two.Deregister(x.Context(), gone.ID))
	for _, id := range append([]string{gone.ID, "", other.ID + " ", strings.ToLower(other.ID)}, hostile...) {
		for _, applied := range []latchkey.Position{{}, at} {
			_, err := x.one.Renew(x.Context(), latchkey.Renewal{ID: id, Applied: applied, Known: at})
			x.rule(errors.Is(err, latchkey.ErrNotRegistered), "Renew of a registration that is not there (%.40q) is ErrNotRegistered, not %v", id, err)
			err = x.two.Acknowledge(x.Context(), id, applied)
			x.rule(errors.Is(err, latchkey.ErrNotRegistered), "Acknowledge of a registration that is not there (%.40q) is ErrNotRegistered, not %v", id, err)
		}
	}
	equal(x.exam, "where a registration is not there nothing is written", x.registrations(x.one), []latchkey.Registration{other})
}
