package storetest_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey"
	"latchkey/sqlite"
	"latchkey/storetest"
)

// TestLeasesExamined examines good leases; in a process that TestLeaseFaults
// started, some with a fault.
func TestLeasesExamined(t *testing.T) {
	plant := func(c storetest.Cluster) storetest.Cluster { return c }
	if name := os.Getenv(faultVariable); name != "" {
		i := slices.IndexFunc(leaseFaults, func(f leaseFault) bool { return f.name == name })
		if i < 0 {
			t.Skipf("%q is a fault of another examination", name)
		}
		plant = leaseFaults[i].plant
	}
	storetest.Leases(t, func(t *testing.T, genesis func(time.Time) (latchkey.Genesis, error)) (a, b storetest.Cluster) {
		s, err := sqlite.Open(t.Context(), sqlite.Config{Dir: t.TempDir(), Genesis: genesis})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		good, err := newMemoryCluster(s)
		if err != nil {
			t.Fatal(err)
		}
		one := plant(good)
		return one, one
	})
}

// TestLeaseFaults shows that the examination of leases can fail.
func TestLeaseFaults(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range leaseFaults {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, self, "-test.run=^TestLeasesExamined$/^"+f.exam+"$", "-test.v")
			cmd.Env = append(os.Environ(), faultVariable+"="+f.name)
			out, err := cmd.CombinedOutput()
			if err == nil {
				t.Fatalf("leases whose fault is %q pass %s", f.name, f.exam)
			}
			for _, want := range []string{"--- FAIL: TestLeasesExamined/" + f.exam, "rule broken: "} {
				if !strings.Contains(string(out), want) {
					t.Errorf("the examination fails, but without %q:\n%.3000s", want, out)
				}
			}
		})
	}
	for _, exam := range storetest.LeaseExams() {
		if !slices.ContainsFunc(leaseFaults, func(f leaseFault) bool { return f.exam == exam }) {
			t.Errorf("no fault shows that exam %s can fail", exam)
		}
	}
}

// A leaseFault breaks one rule of the contract. exam is who must find it.
type leaseFault struct {
	name  string
	exam  string
	plant func(good storetest.Cluster) storetest.Cluster
}

// patchedLeases do as the Cluster below them, but where a function is set.
type patchedLeases struct {
	storetest.Cluster
	register      func(ctx context.Context, r latchkey.Registration) error
	renew         func(ctx context.Context, r latchkey.Renewal) (latchkey.Renewed, error)
	acknowledge   func(ctx context.Context, id string, applied latchkey.Position) error
	deregister    func(ctx context.Context, id string) error
	registrations func(ctx context.Context, has ...latchkey.Position) ([]latchkey.Registration, error)
	reap          func(ctx context.Context, id, renewal string) error
	accept        func(ctx context.Context, by latchkey.Actor) error
	listen        func(ctx context.Context, hint func(latchkey.Revision)) error
}

func (p *patchedLeases) Register(ctx context.Context, r latchkey.Registration) error {
	if p.register != nil {
		return p.register(ctx, r)
	}
	return p.Cluster.Register(ctx, r)
}

func (p *patchedLeases) Renew(ctx context.Context, r latchkey.Renewal) (latchkey.Renewed, error) {
	if p.renew != nil {
		return p.renew(ctx, r)
	}
	return p.Cluster.Renew(ctx, r)
}

func (p *patchedLeases) Acknowledge(ctx context.Context, id string, applied latchkey.Position) error {
	if p.acknowledge != nil {
		return p.acknowledge(ctx, id, applied)
	}
	return p.Cluster.Acknowledge(ctx, id, applied)
}

func (p *patchedLeases) Deregister(ctx context.Context, id string) error {
	if p.deregister != nil {
		return p.deregister(ctx, id)
	}
	return p.Cluster.Deregister(ctx, id)
}

func (p *patchedLeases) Registrations(ctx context.Context, has ...latchkey.Position) ([]latchkey.Registration, error) {
	if p.registrations != nil {
		return p.registrations(ctx, has...)
	}
	return p.Cluster.Registrations(ctx, has...)
}

func (p *patchedLeases) Reap(ctx context.Context, id, renewal string) error {
	if p.reap != nil {
		return p.reap(ctx, id, renewal)
	}
	return p.Cluster.Reap(ctx, id, renewal)
}

func (p *patchedLeases) AcceptHistory(ctx context.Context, by latchkey.Actor) error {
	if p.accept != nil {
		return p.accept(ctx, by)
	}
	return p.Cluster.AcceptHistory(ctx, by)
}

func (p *patchedLeases) Listen(ctx context.Context, hint func(latchkey.Revision)) error {
	if p.listen != nil {
		return p.listen(ctx, hint)
	}
	return p.Cluster.Listen(ctx, hint)
}

// renewing alters what a renewal asks for, and what it brings.
func renewing(ask func(r *latchkey.Renewal), answer func(r *latchkey.Renewed, err *error)) func(storetest.Cluster) storetest.Cluster {
	return func(good storetest.Cluster) storetest.Cluster {
		return &patchedLeases{Cluster: good, renew: func(ctx context.Context, r latchkey.Renewal) (latchkey.Renewed, error) {
			if ask != nil {
				ask(&r)
			}
			got, err := good.Renew(ctx, r)
			if answer != nil {
				answer(&got, &err)
			}
			return got, err
		}}
	}
}

// listing alters the list of registrations.
func listing(f func(list []latchkey.Registration) []latchkey.Registration) func(storetest.Cluster) storetest.Cluster {
	return func(good storetest.Cluster) storetest.Cluster {
		return &patchedLeases{Cluster: good, registrations: func(ctx context.Context, has ...latchkey.Position) ([]latchkey.Registration, error) {
			list, err := good.Registrations(ctx, has...)
			return f(list), err
		}}
	}
}

var leaseFaults = []leaseFault{
	{"what a node says of itself is believed", "Register", listing(func(list []latchkey.Registration) []latchkey.Registration {
		for i := range list {
			list[i].Applied = 99
		}
		return list
	})},
	{"registrations come by their ID", "Register", listing(func(list []latchkey.Registration) []latchkey.Registration {
		slices.SortFunc(list, func(a, b latchkey.Registration) int { return strings.Compare(b.Node, a.Node) })
		return list
	})},
	{"a registration is taken up again", "Register", func(good storetest.Cluster) storetest.Cluster {
		return &patchedLeases{Cluster: good, register: func(ctx context.Context, r latchkey.Registration) error {
			_ = good.Deregister(ctx, r.ID)
			return good.Register(ctx, r)
		}}
	}},
	{"a bound is kept to the microsecond", "Register", listing(func(list []latchkey.Registration) []latchkey.Registration {
		for i := range list {
			list[i].StaleOK = list[i].StaleOK.Truncate(time.Microsecond)
		}
		return list
	})},
	{"the age of a registration stands still", "Age", listing(func(list []latchkey.Registration) []latchkey.Registration {
		for i := range list {
			list[i].Age = 0
		}
		return list
	})},
	{"to remove what is not there is an error", "Deregister", func(good storetest.Cluster) storetest.Cluster {
		return &patchedLeases{Cluster: good, deregister: func(ctx context.Context, id string) error {
			list, err := good.Registrations(ctx)
			if !slices.ContainsFunc(list, func(r latchkey.Registration) bool { return r.ID == id }) {
				return errors.New("there is no such registration")
			}
			return errors.Join(err, good.Deregister(ctx, id))
		}}
	}},
	{"what was applied is not recorded", "Renew", listing(func(list []latchkey.Registration) []latchkey.Registration {
		for i := range list {
			list[i].Applied = 0
		}
		return list
	})},
	{"a renewal looks like the one before", "Renew", listing(func(list []latchkey.Registration) []latchkey.Registration {
		for i := range list {
			list[i].Renewal = "constant"
		}
		return list
	})},
	{"renewals count in twos", "Renew", listing(func(list []latchkey.Registration) []latchkey.Registration {
		for i := range list {
			list[i].Renewals *= 2
		}
		return list
	})},
	{"a renewal misses tombstones", "RenewReadsChanges", renewing(nil, func(r *latchkey.Renewed, _ *error) {
		r.Changes.Credentials = slices.DeleteFunc(r.Changes.Credentials, func(c latchkey.Credential) bool { return !c.Live() })
	})},
	{"the purge horizon is not heeded", "RenewBelowTheHorizon", renewing(nil, func(r *latchkey.Renewed, _ *error) {
		if r.Changes.After == 0 {
			r.Changes.After = 1
		}
	})},
	{"a registration that is gone is made anew", "NotRegistered", func(good storetest.Cluster) storetest.Cluster {
		return &patchedLeases{Cluster: good, renew: func(ctx context.Context, r latchkey.Renewal) (latchkey.Renewed, error) {
			got, err := good.Renew(ctx, r)
			if errors.Is(err, latchkey.ErrNotRegistered) {
				return got, good.Register(ctx, latchkey.Registration{ID: r.ID, Node: "node"})
			}
			return got, err
		}}
	}},
	{"what a node knew is not asked", "AnotherHistory", renewing(func(r *latchkey.Renewal) { r.Known = latchkey.Position{} }, nil)},
	{"the revision is compared, and no change", "AnotherHistory", func(good storetest.Cluster) storetest.Cluster {
		return &patchedLeases{Cluster: good, acknowledge: func(ctx context.Context, id string, applied latchkey.Position) error {
			at, err := good.Changes(ctx, 0)
			if err == nil && applied.Revision > 0 && applied.Revision <= at.Revision {
				return good.Acknowledge(ctx, id, latchkey.Position{Revision: at.Revision, ChangeID: at.ChangeID})
			}
			return good.Acknowledge(ctx, id, applied)
		}}
	}},
	{"registrations are read from any history", "AnotherHistory", func(good storetest.Cluster) storetest.Cluster {
		return &patchedLeases{Cluster: good, registrations: func(ctx context.Context, _ ...latchkey.Position) ([]latchkey.Registration, error) {
			return good.Registrations(ctx)
		}}
	}},
	{"the acceptances are not told", "AnotherHistory", renewing(nil, func(_ *latchkey.Renewed, err *error) {
		if another := (*latchkey.AnotherHistoryError)(nil); errors.As(*err, &another) {
			another.Acceptances = nil
		}
	})},
	{"an acknowledgement is a renewal", "Acknowledge", func(good storetest.Cluster) storetest.Cluster {
		return &patchedLeases{Cluster: good, acknowledge: func(ctx context.Context, id string, applied latchkey.Position) error {
			_, err := good.Renew(ctx, latchkey.Renewal{ID: id, Applied: applied})
			return err
		}}
	}},
	{"an acknowledgement is lost", "Acknowledge", func(good storetest.Cluster) storetest.Cluster {
		return &patchedLeases{Cluster: good, acknowledge: func(context.Context, string, latchkey.Position) error { return nil }}
	}},
	{"a registration that was renewed is reaped", "Reap", func(good storetest.Cluster) storetest.Cluster {
		return &patchedLeases{Cluster: good, reap: func(ctx context.Context, id, renewal string) error {
			err := good.Reap(ctx, id, renewal)
			if errors.Is(err, latchkey.ErrConflict) && len(renewal) > 10 {
				return good.Deregister(ctx, id)
			}
			return err
		}}
	}},
	{"all who reap win", "ReapConcurrently", func(good storetest.Cluster) storetest.Cluster {
		return &patchedLeases{Cluster: good, reap: func(ctx context.Context, id, renewal string) error {
			_ = good.Reap(ctx, id, renewal)
			return nil
		}}
	}},
	{"an acceptance is not in the audit", "AcceptHistory", func(good storetest.Cluster) storetest.Cluster {
		return &patchedLeases{Cluster: good, accept: func(ctx context.Context, _ latchkey.Actor) error {
			return good.AcceptHistory(ctx, latchkey.System)
		}}
	}},
	{"all acceptances are one", "AcceptHistory", renewing(nil, func(r *latchkey.Renewed, _ *error) {
		for i := range r.Acceptances {
			r.Acceptances[i] = "accepted"
		}
	})},
	{"nobody says that he listens", "Listen", func(good storetest.Cluster) storetest.Cluster {
		return &patchedLeases{Cluster: good, listen: func(ctx context.Context, _ func(latchkey.Revision)) error {
			short, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			return good.Listen(short, func(latchkey.Revision) {})
		}}
	}},
	{"a renewal is no snapshot", "RenewIsOneSnapshot", func(good storetest.Cluster) storetest.Cluster {
		return &patchedLeases{Cluster: good, renew: func(ctx context.Context, r latchkey.Renewal) (latchkey.Renewed, error) {
			early, err := good.Renew(ctx, r)
			if err != nil {
				return early, err
			}
			time.Sleep(2 * time.Millisecond) // for a change to come between
			late, err := good.Renew(ctx, r)
			late.Changes.Teams, late.Changes.Credentials = early.Changes.Teams, early.Changes.Credentials
			return late, err
		}}
	}},
	{"a renewal reads what a standby has", "RenewIsOneSnapshot", func(good storetest.Cluster) storetest.Cluster {
		var last *latchkey.Renewed
		return &patchedLeases{Cluster: good, renew: func(ctx context.Context, r latchkey.Renewal) (latchkey.Renewed, error) {
			late, err := good.Renew(ctx, latchkey.Renewal{ID: r.ID})
			if last == nil {
				last = &late
			}
			stale := *last
			last = &late
			stale.Changes.After = r.Applied.Revision
			stale.Changes.Teams = slices.DeleteFunc(slices.Clone(stale.Changes.Teams), func(t latchkey.Team) bool { return t.Revision <= r.Applied.Revision })
			stale.Changes.Credentials = slices.DeleteFunc(slices.Clone(stale.Changes.Credentials), func(c latchkey.Credential) bool { return c.Revision <= r.Applied.Revision })
			return stale, err
		}}
	}},
	{"one of two renewals fails", "RenewConcurrently", func(good storetest.Cluster) storetest.Cluster {
		busy := make(chan struct{}, 1)
		return &patchedLeases{Cluster: good, renew: func(ctx context.Context, r latchkey.Renewal) (latchkey.Renewed, error) {
			select {
			case busy <- struct{}{}:
				defer func() { <-busy }()
				time.Sleep(time.Millisecond)
				return good.Renew(ctx, r)
			default:
				return latchkey.Renewed{}, errors.New("could not serialize access due to concurrent update")
			}
		}}
	}},
	{"a renewal does not end with its context", "EndedContextRenewsNothing", func(good storetest.Cluster) storetest.Cluster {
		return &patchedLeases{Cluster: good, renew: func(ctx context.Context, r latchkey.Renewal) (latchkey.Renewed, error) {
			return good.Renew(context.WithoutCancel(ctx), r)
		}}
	}},
}
