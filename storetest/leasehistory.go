package storetest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"latchkey"
)

// noted asks that err names a position that the database does not have.
func (x *leaseExam) noted(doing string, err error, missing, current latchkey.Position, acceptances []string) {
	x.Helper()
	var another *latchkey.AnotherHistoryError
	x.rule(errors.As(err, &another), "%s is AnotherHistoryError, not %v", doing, err)
	x.rule(another.Missing == missing, "%s says which position is missing: %+v, not %+v", doing, another.Missing, missing)
	x.rule(another.Current == current, "%s says where the database stands: %+v, not %+v", doing, another.Current, current)
	x.rule(slices.Equal(another.Acceptances, acceptances), "%s gives the acceptances: %q, not %q", doing, another.Acceptances, acceptances)
}

func examAnotherHistory(x *leaseExam) {
	first := x.position(x.a)
	middle := x.change(x.a, "acme")
	last := x.change(x.b, "other")
	r := x.register(x.one, "alpha")
	x.renew(x.two, latchkey.Renewal{ID: r.ID, Applied: middle})
	x.must("accept the history", x.one.AcceptHistory(x.Context(), latchkey.System))
	acceptances := x.renew(x.one, latchkey.Renewal{ID: r.ID, Applied: middle}).Acceptances
	before := x.registrations(x.one)
	for what, missing := range map[string]latchkey.Position{
		"a change that never was":                     {Revision: middle.Revision, ChangeID: "0123456789abcdef0123456789abcdef"},
		"a change of another revision":                {Revision: middle.Revision, ChangeID: last.ChangeID},
		"a revision without a change":                 {Revision: last.Revision},
		"a revision above the current one":            {Revision: last.Revision + 1, ChangeID: last.ChangeID},
		"a revision far above the current one":        {Revision: 1 << 60, ChangeID: "x"},
		"a revision below all":                        {Revision: -1, ChangeID: first.ChangeID},
		"the change of the last revision in its case": {Revision: last.Revision, ChangeID: last.ChangeID + " "},
	} {
		for _, s := range []Cluster{x.one, x.two} {
			_, err := s.Renew(x.Context(), latchkey.Renewal{ID: r.ID, Applied: missing, Known: first})
			x.noted("Renew, which has applied "+what, err, missing, last, acceptances)
			_, err = s.Renew(x.Context(), latchkey.Renewal{ID: r.ID, Known: missing})
			x.noted("Renew, which knows "+what, err, missing, last, acceptances)
			_, err = s.Renew(x.Context(), latchkey.Renewal{ID: r.ID, Applied: last, Known: missing})
			x.noted("Renew, which has applied the last change and knows "+what, err, missing, last, acceptances)
			x.noted("Acknowledge of "+what, s.Acknowledge(x.Context(), r.ID, missing), missing, last, acceptances)
			_, err = s.Registrations(x.Context(), first, missing)
			x.noted("Registrations from a snapshot that has "+what, err, missing, last, acceptances)
			equal(x.exam, "with "+what+" nothing is written", x.registrations(s), before)
		}
	}
	for _, p := range []latchkey.Position{{}, first, middle, last} {
		x.renew(x.one, latchkey.Renewal{ID: r.ID, Applied: last, Known: p})
		x.rule(len(x.registrations(x.two, p, last)) == 1, "every change is in the database's history: that to revision %d", p.Revision)
	}
}

func examAcknowledge(x *leaseExam) {
	first := x.position(x.a)
	middle, last := x.change(x.a, "acme"), x.change(x.b, "other")
	r, other := x.register(x.one, "alpha"), x.register(x.two, "beta")
	for _, step := range []struct {
		applied latchkey.Position
		want    latchkey.Revision
	}{
		{latchkey.Position{}, 0}, {middle, middle.Revision}, {first, middle.Revision},
		{latchkey.Position{}, middle.Revision}, {last, last.Revision}, {middle, last.Revision},
	} {
		x.must("acknowledge", x.two.Acknowledge(x.Context(), r.ID, step.applied))
		got := x.registration(x.one, r.ID)
		x.rule(got.Applied == step.want, "Acknowledge records what was applied, and never less: %d after %d, not %d", got.Applied, step.applied.Revision, step.want)
		x.rule(got.Renewals == 0, "Acknowledge is no renewal: it counts %d", got.Renewals)
	}
	x.rule(x.registration(x.two, other.ID).Applied == 0, "Acknowledge alters no other registration")
	x.rule(x.position(x.b) == last, "Acknowledge is no change: the revision stays at %d", last.Revision)
}

func examReap(x *leaseExam) {
	r, other := x.register(x.one, "alpha"), x.register(x.two, "beta")
	conflict := func(what, id, renewal string) {
		x.Helper()
		before := x.registrations(x.one)
		err := x.two.Reap(x.Context(), id, renewal)
		x.rule(errors.Is(err, latchkey.ErrConflict), "Reap of %s is ErrConflict, not %v", what, err)
		equal(x.exam, "Reap of "+what+" removes nothing", x.registrations(x.one), before)
	}
	conflict("a registration that is not there", "node_unknown", r.Renewal)
	conflict("a registration by another's renewal", r.ID, "another")
	conflict("a registration by no renewal", r.ID, "0")
	x.renew(x.one, latchkey.Renewal{ID: r.ID})
	conflict("a registration that was renewed since", r.ID, r.Renewal)
	seen := x.registration(x.two, r.ID)
	x.renew(x.two, latchkey.Renewal{ID: r.ID})
	conflict("a registration that was renewed since", r.ID, seen.Renewal)
	seen = x.registration(x.two, r.ID)
	x.must("acknowledge", x.one.Acknowledge(x.Context(), r.ID, x.position(x.a)))
	x.must("reap", x.one.Reap(x.Context(), r.ID, seen.Renewal))
	equal(x.exam, "Reap removes a registration that was not renewed since, and no other", x.registrations(x.two), []latchkey.Registration{other})
	conflict("a registration that was removed", r.ID, seen.Renewal)
	_, err := x.two.Renew(x.Context(), latchkey.Renewal{ID: r.ID})
	x.rule(errors.Is(err, latchkey.ErrNotRegistered), "what was removed cannot be renewed: %v", err)
}

// examReapConcurrently lets reapers race with each other, and with a renewal: one
// of them wins.
func examReapConcurrently(x *leaseExam) {
	for range 20 {
		r := x.register(x.one, "alpha")
		var wins, renewed atomic.Int32
		var wg sync.WaitGroup
		for i := range 5 {
			s := []Cluster{x.one, x.two}[i%2]
			wg.Go(func() {
				if i == 4 {
					_, err := s.Renew(x.Context(), latchkey.Renewal{ID: r.ID})
					switch {
					case err == nil:
						renewed.Add(1)
					case !errors.Is(err, latchkey.ErrNotRegistered):
						x.Errorf("rule broken: a renewal beside a reaper is made, or ErrNotRegistered, not %v", err)
					}
					return
				}
				err := s.Reap(x.Context(), r.ID, r.Renewal)
				switch {
				case err == nil:
					wins.Add(1)
				case !errors.Is(err, latchkey.ErrConflict):
					x.Errorf("rule broken: of those who reap at the same time one wins, and the others get ErrConflict, not %v", err)
				}
			})
		}
		wg.Wait()
		x.rule(!x.Failed() && wins.Load()+renewed.Load() == 1, "a registration is renewed or removed, and removed once: %d removals, %d renewals", wins.Load(), renewed.Load())
		x.must("deregister", x.one.Deregister(x.Context(), r.ID))
	}
}

func examAcceptHistory(x *leaseExam) {
	r := x.register(x.one, "alpha")
	before := x.position(x.a)
	by := latchkey.Actor{Name: "examiner", Source: "192.0.2.7"}
	var all []string
	for i := range 3 {
		x.must("accept the history", []Cluster{x.one, x.two}[i%2].AcceptHistory(x.Context(), by))
		for _, s := range []Cluster{x.one, x.two} {
			got := x.renew(s, latchkey.Renewal{ID: r.ID, Applied: before}).Acceptances
			x.rule(len(got) == i+1, "AcceptHistory adds an acceptance, and Renew returns all: %q", got)
			for _, id := range all {
				x.rule(slices.Contains(got, id), "an acceptance stays: %q is not in %q", id, got)
			}
			if s == x.two {
				all = got
			}
		}
	}
	slices.Sort(all)
	x.rule(len(slices.Compact(all)) == 3, "each acceptance has an ID of its own: %q", all)
	x.rule(x.position(x.b) == before, "AcceptHistory does not move the revision")
	events, err := x.two.Events(x.Context(), "", "", 100)
	x.must("read events", err)
	x.rule(len(events) == 3, "AcceptHistory adds an event to the audit: %d of 3", len(events))
	for _, e := range events {
		x.rule(e.Actor == by && e.Action == latchkey.ActionAccept && !e.Time.IsZero(), "the audit says who accepted the history: %s", abridge(e))
	}
}

func examListen(x *leaseExam) {
	ctx, cancel := context.WithCancel(x.Context())
	defer cancel()
	hints, ended := make(chan latchkey.Revision, 10), make(chan error, 1)
	go func() {
		ended <- x.one.Listen(ctx, func(r latchkey.Revision) {
			select {
			case hints <- r:
			default:
			}
		})
	}()
	hint := func(rule string) {
		x.Helper()
		select {
		case r := <-hints:
			now := x.position(x.b).Revision
			x.rule(r == 0 || r == now, "a hint says which revision there is now, or nothing: %d at %d", r, now)
		case err := <-ended:
			x.Fatalf("rule broken: Listen goes on until its context ends: %v", err)
		case <-time.After(20 * time.Second):
			x.Fatalf("rule broken: %s", rule)
		}
	}
	hint("Listen calls hint when it has begun to listen")
	h, _ := x.create(x.b, "acme")
	hint("Listen calls hint after a change through another handle")
	x.update(x.b, h.Team.ID, func(_ time.Time, h *latchkey.Holding) { h.Team.Disabled = true })
	hint("Listen calls hint after each change")
	cancel()
	select {
	case err := <-ended:
		x.rule(err != nil, "Listen says why it ended")
	case <-time.After(20 * time.Second):
		x.Fatal("rule broken: Listen returns when its context ends")
	}
}

// examRenewSnapshot follows the changes by renewals while they are made. Each
// answer must be one moment, which is not before the renewal began.
func examRenewSnapshot(x *leaseExam) {
	teams := []counted{x.counted(0), x.counted(1), x.counted(2)}
	r := x.register(x.one, "alpha")
	start := x.renew(x.one, latchkey.Renewal{ID: r.ID}).Changes
	m := &memory{teams: map[string]latchkey.Team{}, credentials: map[string]latchkey.Credential{}}
	x.must("apply", m.apply(start))
	var acknowledged atomic.Int64 // the last revision that a change has returned
	stop, followed := make(chan struct{}), make(chan error, 1)
	renewals := 0
	go func() {
		for last := false; ; renewals++ {
			select {
			case <-stop:
				last = true
			default:
			}
			at := latchkey.Revision(acknowledged.Load())
			got, err := x.one.Renew(x.Context(), latchkey.Renewal{ID: r.ID, Applied: latchkey.Position{Revision: m.at, ChangeID: m.changeID}})
			if err == nil {
				err = m.apply(got.Changes)
			}
			if err == nil && m.at < at {
				err = errors.New("the snapshot was taken before the renewal began")
			}
			if err = errors.Join(err, m.whole(start.Revision, teams)); err != nil || last {
				followed <- err
				return
			}
		}
	}()
	var wg sync.WaitGroup
	for w := range teams {
		wg.Go(func() {
			for range 40 {
				_, change, err := x.b.UpdateTeam(x.Context(), teams[w].id, countUp)
				if err != nil {
					x.Errorf("concurrent change: %v", err)
					return
				}
				for old := acknowledged.Load(); old < int64(change.Revision) && !acknowledged.CompareAndSwap(old, int64(change.Revision)); {
					old = acknowledged.Load()
				}
			}
		})
	}
	wg.Wait()
	close(stop)
	err := <-followed
	x.rule(err == nil, "Renew reads one snapshot, taken after it began, and whoever follows it misses nothing: %v", err)
	x.rule(renewals > 3, "the follower ran beside the writers: it renewed %d times", renewals)
	for range 10 {
		_, change := x.update(x.b, teams[0].id, func(now time.Time, h *latchkey.Holding) { _ = countUp(now, h) })
		got := x.renew(x.one, latchkey.Renewal{ID: r.ID, Applied: latchkey.Position{Revision: m.at, ChangeID: m.changeID}})
		x.must("apply", m.apply(got.Changes))
		x.rule(m.at == change.Revision && m.changeID == change.ID, "Renew reads a snapshot that is taken after it began: it has revision %d, not %d", m.at, change.Revision)
	}
	all := x.changes(x.b, 0)
	x.rule(m.at == all.Revision && m.changeID == all.ChangeID, "renewals lead to revision %d, not %d", all.Revision, m.at)
	for _, c := range all.Credentials {
		equal(x.exam, "renewals add up to the last state of each credential", m.credentials[c.ID], c)
	}
}

// examRenewConcurrently: a renewal without an answer does not keep the next from
// being sent, so that several may be under way.
func examRenewConcurrently(x *leaseExam) {
	const workers, each = 4, 10
	r := x.register(x.one, "alpha")
	at := x.position(x.a)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range each {
				if _, err := x.one.Renew(x.Context(), latchkey.Renewal{ID: r.ID, Applied: at}); err != nil {
					x.Errorf("rule broken: renewals at the same time are all made: %v", err)
				}
				if err := x.one.Acknowledge(x.Context(), r.ID, at); err != nil {
					x.Errorf("rule broken: an acknowledgement beside a renewal is made: %v", err)
				}
			}
		})
	}
	wg.Wait()
	got := x.registration(x.two, r.ID)
	x.rule(got.Renewals == workers*each, "every renewal is counted: %d of %d", got.Renewals, workers*each)
}

func examRenewEnded(x *leaseExam) {
	r := x.register(x.one, "alpha")
	at := x.position(x.a)
	before := x.registrations(x.two)
	ctx, cancel := context.WithCancel(x.Context())
	cancel()
	_, renewed := x.one.Renew(ctx, latchkey.Renewal{ID: r.ID, Applied: at})
	_, listed := x.one.Registrations(ctx)
	for doing, err := range map[string]error{
		"Renew": renewed, "Registrations": listed,
		"Acknowledge":   x.one.Acknowledge(ctx, r.ID, at),
		"Register":      x.one.Register(ctx, newRegistration("beta")),
		"Deregister":    x.one.Deregister(ctx, r.ID),
		"Reap":          x.one.Reap(ctx, r.ID, r.Renewal),
		"AcceptHistory": x.one.AcceptHistory(ctx, latchkey.System),
	} {
		x.rule(err != nil && !errors.Is(err, latchkey.ErrNotRegistered) && !errors.Is(err, latchkey.ErrConflict),
			"under a context that has ended %s could not find out: %v", doing, err)
	}
	equal(x.exam, "under a context that has ended nothing is written", x.registrations(x.two), before)
	x.rule(len(x.renew(x.one, latchkey.Renewal{ID: r.ID, Applied: at}).Acceptances) == 0, "under a context that has ended nothing is accepted")
}
