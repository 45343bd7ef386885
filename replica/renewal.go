package replica

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"latchkey"
)

const (
	// renewTime bounds one renewal: the answer to a connection that is dead
	// must not be waited for for ever.
	renewTime = 4 * time.Second
	// patience is how long a renewal may take before another is sent beside it.
	patience = 500 * time.Millisecond
	// leastPatience is the same for the shortest leases: a database that is only
	// busy must not be asked ever more.
	leastPatience = 150 * time.Millisecond
	// maxFlight is how many renewals may be under way at once.
	maxFlight = 8
	// retry is how long the node waits after a failure before it tries again.
	retry = 100 * time.Millisecond
	// What a full load may take: the first attempt, and the longest.
	loadFirst = 5 * time.Second
	loadLast  = 10 * time.Minute
	// goodbye bounds the removal of the node's registration when it stops.
	goodbye = 2 * time.Second
)

// errSlow says that everything could not be read in the time that was given.
var errSlow = errors.New("the credentials could not be loaded in time; they are given twice as long")

// errJoining says that another renewal is registering this node.
var errJoining = errors.New("this node is being registered")

// A result is what became of a renewal.
type result struct {
	number int
	err    error
}

// keepLease renews: every third of the lease, and whenever it is asked to. A
// renewal that gets no answer does not keep the next from being sent.
func (r *Replica) keepLease(ctx context.Context) {
	var (
		results = make(chan result)
		flight  int
		sent    int  // the number of the last that was sent
		waiting bool // its answer has not come
		failed  bool
		last    = time.Now() // when the last was sent
		wanted  wish
	)
	limit := min(r.length(), renewTime)
	slow := max(min(limit/4, patience), leastPatience)
	send := func() {
		flight, wanted, last = flight+1, wish{}, time.Now()
		sent, waiting = sent+1, true
		number := sent
		go func() { results <- result{number, r.renew(ctx, limit)} }()
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			for ; flight > 0; flight-- {
				<-results
			}
			return
		case <-r.renewals.wake:
			wanted = wanted.and(r.renewals.asked())
		case got := <-results:
			flight--
			waiting = waiting && got.number != sent
			failed = got.err != nil
			r.report(got.err)
		case <-timer.C:
		}
		due := r.length() / 3
		asked := wanted.open(r.held())
		switch {
		case waiting: // those before it may hang: what was sent later says more
			due = slow
		case failed && asked:
			due = retry / 5
		case asked:
			due = 0
		case failed:
			due = min(retry, due)
		}
		rest := due - time.Since(last)
		if rest <= 0 {
			if flight < maxFlight {
				send()
			}
			rest = slow
		}
		timer.Reset(max(rest, time.Millisecond))
	}
}

// renew sends one renewal, applies what it brings, and then moves the lease.
// After limit, no answer is waited for.
func (r *Replica) renew(ctx context.Context, limit time.Duration) error {
	number := r.renewals.begin()
	ask, err := r.member(ctx, limit)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	from := now(r.clock()) // rule t0: before it is sent
	answer, err := r.Leases.Renew(ctx, ask)
	if leftOut("t0") {
		from = now(r.clock())
	}
	var other *latchkey.AnotherHistoryError
	switch {
	case errors.Is(err, latchkey.ErrNotRegistered):
		if leftOut("rowcheck") {
			if answer.Changes, err = r.Store.Changes(ctx, ask.Applied.Revision); err == nil {
				break
			}
		}
		r.leave(ask.ID, false)
		return fmt.Errorf("renew the lease: %w", err)
	case errors.As(err, &other):
		return r.otherHistory(ctx, ask.ID, other)
	case err != nil:
		return fmt.Errorf("renew the lease: %w", err)
	}
	if leftOut("ackafter") {
		_ = r.Leases.Acknowledge(ctx, ask.ID, position(answer.Changes))
	}
	moved, err := r.take(ask, answer, from)
	if err != nil {
		return err
	}
	r.renewals.succeed(number)
	if !moved {
		return nil
	}
	if err := r.Leases.Acknowledge(ctx, ask.ID, position(answer.Changes)); err != nil {
		// A change waits a little longer: the next renewal says it again.
		return fmt.Errorf("acknowledge revision %d: %w", answer.Changes.Revision, err)
	}
	r.renewals.tell(answer.Changes.Revision)
	return nil
}

func position(c latchkey.Changes) latchkey.Position {
	return latchkey.Position{Revision: c.Revision, ChangeID: c.ChangeID}
}

// take applies what a renewal brought, and gives the lease. It reports whether
// there was something to apply.
func (r *Replica) take(ask latchkey.Renewal, answer latchkey.Renewed, from instant) (moved bool, err error) {
	r.applying.Lock()
	defer r.applying.Unlock()
	before, next := ask.Applied, position(answer.Changes)
	r.mu.Lock()
	if r.position == next {
		before = next // another renewal has brought the same
	}
	err = r.follows(ask, before)
	r.mu.Unlock()
	if err != nil {
		return false, err
	}
	unread := r.unread()
	if !unread {
		// First the file: what it could not keep must not be in memory either.
		if err := r.remember(next, answer.Acceptances); err != nil {
			return false, err
		}
		moved = next != before
		if moved || answer.Changes.After != ask.Applied.Revision {
			r.apply(answer.Changes)
		}
		r.forget(answer.Changes.Horizon)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !unread && r.position == before {
		r.position, before = next, next // memory has it, whatever else is wrong by now
	}
	if err := r.follows(ask, before); err != nil {
		return false, err
	}
	if old := r.lease.Load(); old != nil && old.from.boot > from.boot {
		from = old.from // a renewal that was sent later was faster
	}
	r.lease.Store(&lease{revision: r.position.Revision, from: from, length: r.length() + r.StaleOK})
	r.known, r.loaded = latchkey.Position{}, latchkey.Position{}
	r.alarm.Store(nil)
	return moved, nil
}

// follows returns an error if what a renewal brought cannot be applied: it goes with
// the registration that it was made for, and with the memory that is held. r.mu is held.
func (r *Replica) follows(ask latchkey.Renewal, held latchkey.Position) error {
	switch {
	case r.closed:
		return errors.New("this node has stopped")
	case r.registration.ID != ask.ID:
		return latchkey.ErrNotRegistered // another renewal has found out
	case r.position != held:
		return errors.New("another renewal was faster")
	}
	return nil
}

// member returns what a renewal says of this node, after loading everything and
// registering the node if need be.
func (r *Replica) member(ctx context.Context, limit time.Duration) (latchkey.Renewal, error) {
	none := latchkey.Position{}
	ask, ok := r.registered()
	if ok && ask.Applied != none {
		return ask, nil
	}
	if !r.joining.TryLock() {
		return latchkey.Renewal{}, errJoining
	}
	defer r.joining.Unlock()
	if ask, ok = r.registered(); ask.Applied == none {
		if err := r.load(ctx); err != nil {
			return latchkey.Renewal{}, err
		}
	}
	if !ok {
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		if err := r.register(ctx); err != nil {
			return latchkey.Renewal{}, err
		}
	}
	ask, _ = r.registered()
	return ask, nil
}

// held is the revision that memory holds.
func (r *Replica) held() latchkey.Revision {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.position.Revision
}

func (r *Replica) registered() (latchkey.Renewal, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return latchkey.Renewal{ID: r.registration.ID, Applied: r.position, Known: r.known}, r.registration.ID != ""
}

// register adds a registration, a new one each time: rule incarnation. The first
// lease is given by a renewal that is sent after it was committed: rule
// regfirst.
func (r *Replica) register(ctx context.Context) error {
	registration := latchkey.Registration{
		ID: rand.Text(), Node: r.Node, Address: r.Address, Version: r.Version, Lease: r.length(), StaleOK: r.StaleOK,
	}
	if leftOut("incarnation") {
		registration.ID = r.Node
	}
	from := now(r.clock())
	var early latchkey.Changes
	if leftOut("regfirst") {
		var err error
		if early, err = r.Store.Changes(ctx, 0); err != nil {
			return err
		}
	}
	r.claim(registration.ID)
	// Should it never be known whether this one was committed, nobody need wait for it.
	orphans := r.orphans
	r.orphans = append(r.waitedFor(orphans), orphan{registration.ID, r.clock().Boot()})
	err := r.Leases.Register(ctx, registration)
	if leftOut("incarnation") && errors.Is(err, latchkey.ErrConflict) {
		_ = r.Leases.Deregister(ctx, registration.ID)
		err = r.Leases.Register(ctx, registration)
	}
	if err != nil {
		return fmt.Errorf("register this node: %w", err)
	}
	if leftOut("regfirst") {
		r.applying.Lock()
		r.apply(early)
		r.applying.Unlock()
	}
	r.mu.Lock()
	r.registration = registration
	if leftOut("regfirst") {
		r.position = position(early)
		r.lease.Store(&lease{revision: early.Revision, from: from, length: r.length()})
	}
	r.mu.Unlock()
	r.orphans = nil
	if orphans = r.waitedFor(orphans); len(orphans) > 0 {
		r.orphans = r.removeOrphans(ctx, orphans, registration.ID)
	}
	return nil
}

// An orphan is a registration of which it is not known whether it was committed.
type orphan struct {
	id   string
	sent time.Duration // boot time
}

// waitedFor returns those orphans that a change may be waiting for.
func (r *Replica) waitedFor(orphans []orphan) []orphan {
	boot, longest := r.clock().Boot(), bound(r.length()+r.StaleOK)
	return slices.DeleteFunc(slices.Clone(orphans), func(o orphan) bool { return boot-o.sent > longest })
}

// removeOrphans removes registrations, for as long as that goes fast: the node's first
// lease waits for it. It returns those that it did not get to.
func (r *Replica) removeOrphans(ctx context.Context, orphans []orphan, own string) []orphan {
	ctx, cancel := context.WithTimeout(ctx, leastPatience)
	defer cancel()
	for i, o := range orphans {
		if o.id == own {
			continue
		}
		if err := r.Leases.Deregister(ctx, o.id); err != nil {
			return orphans[i:]
		}
	}
	return nil
}

// leave drops the lease with a registration that is gone: rule rowcheck. If
// everything is to be loaded again, what was applied counts for nothing.
func (r *Replica) leave(id string, everything bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.registration.ID != id {
		return
	}
	r.lease.Store(nil)
	r.registration = latchkey.Registration{}
	if everything {
		r.position, r.known = latchkey.Position{}, latchkey.Position{}
	}
	r.renewals.ask(wish{any: true})
}

// otherHistory drops the lease: the database does not have what this node has
// applied. If that was accepted by a person since, everything is loaded again.
func (r *Replica) otherHistory(ctx context.Context, id string, other *latchkey.AnotherHistoryError) error {
	r.mu.Lock()
	switch {
	case r.registration.ID != id:
		// An answer that was overtaken: what it says is of a registration that is gone.
		r.mu.Unlock()
		return other
	case leftOut("nohistory"):
		r.position, r.known = other.Current, latchkey.Position{}
		r.mu.Unlock()
		return other
	case other.Missing == r.loaded:
		// It was read from a primary that has lost it since, and nothing was answered by it.
		r.position, r.loaded = latchkey.Position{}, latchkey.Position{}
		r.mu.Unlock()
		return other
	}
	accepted := r.acceptedSince(other.Acceptances)
	r.lease.Store(nil)
	if !accepted {
		alarm := error(other)
		r.alarm.Store(&alarm)
	}
	r.mu.Unlock()
	if !accepted {
		return other
	}
	r.logger().Warn("another history of the database was accepted: everything is loaded again", "missing_revision", other.Missing.Revision,
		"revision", other.Current.Revision)
	r.leave(id, true)
	if err := r.Leases.Deregister(ctx, id); err != nil {
		return fmt.Errorf("remove the registration of another history: %w", err)
	}
	return other
}

// report says in the log when renewals begin to fail, and when they go on.
func (r *Replica) report(err error) {
	var other *latchkey.AnotherHistoryError
	switch {
	case errors.Is(err, errJoining):
	case err == nil && r.failing:
		r.failing = false
		r.logger().Info("the lease is renewed again")
	case err != nil && !r.failing && errors.As(err, &other) && other.Forgotten:
		r.failing = true
		r.logger().Error("THIS NODE ANSWERS UNAVAILABLE: it was away for longer than the database remembers; "+
			"if the database was not restored from a backup meanwhile, stop this node, remove its history file, and start it again",
			"history_file", r.HistoryFile, "error", err)
	case err != nil && !r.failing && errors.As(err, &other):
		r.failing = true
		r.logger().Error("THIS NODE ANSWERS UNAVAILABLE: a backup was restored, or a standby promoted that had fallen behind; "+
			"if what the database holds now is right, say so: latchkey database accept", "error", err)
	case err != nil && !r.failing:
		r.failing = true
		r.logger().Warn("the lease was not renewed; it is tried again", "error", err)
	}
}
