// Package replica is a node's copy of all credentials, in memory, with its
// leave to answer from it.
//
// A node answers only while it holds a lease. A look-up reads the lease first,
// the credential second and the clock last, and the answer goes out only if that
// lease is still good: memory never goes back, so what was found is at least as
// new as what the lease was given for.
//
// Nodes that share a database renew their leases by the protocol of
// docs/protocol.md, which goes back to Gray & Cheriton (Leases, SOSP 1989):
// whoever changes something waits until each registered node has applied it, or
// its lease must be over.
//
// On SQLite one process owns the data, and its lease has no end: a change is
// settled when this process has applied it. If that fails, the lease is gone,
// and the node answers "unavailable" until it has caught up.
package replica

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"latchkey"
)

// A Replica implements [latchkey.Replica]. Store, Sealer and Node must be set
// before its first use. A node that answers requests calls [Replica.Join] and
// then [Replica.Run]; a process that only changes something on a shared database
// needs neither.
type Replica struct {
	Store  latchkey.CredentialStore
	Sealer *latchkey.Sealer
	Node   string       // this node's name, as settlements give it
	Logger *slog.Logger // nil: slog.Default()

	// Leases is the database that this node shares with others; nil: one
	// process owns the data. The fields below matter only with it.
	Leases      latchkey.LeaseStore
	Address     string        // where others reach this node's API, a URL; may be empty
	Version     string        // of the software
	Lease       time.Duration // latchkey.MinLease … MaxLease; 0: DefaultLease
	StaleOK     time.Duration // for how long after its lease the node may answer; 0: not at all
	HistoryFile string        // where the node keeps what it applied last; "": nowhere, which only tests may want
	Clock       Clock         // nil: [System]

	// Witness names a lock that the process holds, and that no two hold at once: the
	// same name is the same lock. Whoever kept the history file under the same one has
	// ended, or was closed, and its registration is removed. "": there is none, and
	// changes wait for that registration's lease.
	Witness string

	lease atomic.Pointer[lease] // nil: this node cannot tell
	alarm atomic.Pointer[error] // set: the database has another history
	seed  maphash.Seed

	keys    table[latchkey.Digest, *latchkey.Found]
	secrets table[string, *latchkey.Found]
	teams   table[string, *latchkey.Team]

	once     sync.Once
	renewals renewals
	roster   roster

	joining  sync.Mutex    // one at a time loads everything and registers this node
	loadTime time.Duration // what the last load was given, if it took too long; of joining
	orphans  []orphan      // registrations that may have been committed; of joining
	failing  bool          // renewals fail, and the log says so; of the loop that renews

	namesake bool // another node has this one's name, and the log says so; of the loop that reaps

	// One at a time brings memory up to date, and keeps on disk what it holds. It may
	// take as long as the disk hangs; whoever has both locks took this one first.
	applying sync.Mutex
	history  history           // of applying
	horizon  latchkey.Revision // of applying: what ended up to here is forgotten

	mu           sync.Mutex // of what follows; nobody waits for anything while holding it
	closed       bool
	registration latchkey.Registration // without an ID: none
	position     latchkey.Position     // what memory holds
	known        latchkey.Position     // what this node held before it was started; until the first lease
	loaded       latchkey.Position     // what was loaded outside any renewal: its commit may not be durable
	accepted     []string              // the acceptances of histories that were known when it was applied
}

// A Status is how a node stands.
type Status struct {
	Registration latchkey.Registration // without an ID: it has none
	Revision     latchkey.Revision     // what its memory holds
	Remaining    time.Duration         // for how long it can answer, by its lease and StaleOK; 0: it cannot. [Endless] where one process owns the data
	Stale        time.Duration         // how much of that comes after its lease, at most StaleOK; all of it: the lease is over
	Alarm        error                 // the database has another history; nil: it has not
}

// Endless is what remains of a lease without end.
const Endless = time.Duration(1<<63 - 1)

// APIKey finds an API key by its digest. It makes no database call.
func (r *Replica) APIKey(ctx context.Context, digest latchkey.Digest) (latchkey.Found, error) {
	find := func() *latchkey.Found { return r.keys.read(digest[0])[digest] }
	if leftOut("singleflight") {
		return r.joined(string(digest[:]), func() (latchkey.Found, error) { return r.look(ctx, find) })
	}
	return r.look(ctx, find)
}

// APISecret finds an API secret by its ID. It makes no database call.
func (r *Replica) APISecret(ctx context.Context, id []byte) (latchkey.Found, error) {
	return r.look(ctx, func() *latchkey.Found { return r.secrets.read(uint8(maphash.Bytes(r.seed, id)))[string(id)] })
}

// answer completes what was found under a lease.
func (r *Replica) answer(l *lease, f *latchkey.Found) latchkey.Found {
	found := latchkey.Found{Revision: l.revision}
	if f == nil {
		return found
	}
	// A team that was purged since is gone, and so is what it held.
	if team := r.teams.read(r.shardOf(f.Credential.TeamID))[f.Credential.TeamID]; team != nil {
		found.Credential, found.Key, found.Team = f.Credential, f.Key, team
	}
	return found
}

func (r *Replica) shardOf(id string) uint8 { return uint8(maphash.String(r.seed, id)) }

func shardOfDigest(d latchkey.Digest) uint8 { return d[0] }

func (r *Replica) init() {
	r.once.Do(func() {
		r.seed = maphash.MakeSeed()
		r.renewals.init()
		r.roster.init()
	})
}

// joinTime is for how long a node that starts tries again to load everything, while
// that fails: the database may be busy.
const joinTime = 10 * time.Second

// leaselessEvery is how often the log says why a node has no lease yet.
const leaselessEvery = 10 * time.Second

// Join loads everything, registers this node, and takes its first lease. Until
// then a look-up is "unavailable". A database with another history is no error: the
// node goes on to answer so, and [Replica.Status] says why.
func (r *Replica) Join(ctx context.Context) error {
	r.init()
	if r.Leases == nil {
		_, err := r.Settle(ctx, latchkey.Change{})
		return err
	}
	if r.HistoryFile != "" {
		if err := r.history.open(r.HistoryFile); err != nil {
			return err
		}
		r.known, r.accepted = r.history.state.Position, r.history.state.Acceptances
		r.removeFormer(ctx)
	}
	if err := r.loadPatiently(ctx); err != nil {
		return err
	}
	return r.firstLease(ctx)
}

func (r *Replica) firstLease(ctx context.Context) error {
	var failed error // why, the last time that it was not broken off
	for began, said := time.Now(), time.Now(); ; {
		err := r.renew(ctx, min(r.length(), renewTime))
		r.report(err)
		if err == nil || r.alarm.Load() != nil {
			return nil
		}
		if ctx.Err() == nil || failed == nil {
			failed = err
		}
		if !pause(ctx, retry) {
			return fmt.Errorf("take the first lease: %w", failed)
		}
		if time.Since(said) >= leaselessEvery {
			said = time.Now()
			r.logger().Warn("this node has no lease yet, and answers unavailable; it is tried again", "since", time.Since(began).Round(time.Second).String(), "error", err)
		}
	}
}

// loadPatiently loads everything, and tries again where that fails.
func (r *Replica) loadPatiently(ctx context.Context) error {
	var failing time.Time // since when it does; zero after a load that was only too slow
	for {
		err := r.load(ctx)
		slow, begins := errors.Is(err, errSlow), failing.IsZero()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil || !slow && !begins && time.Since(failing) > joinTime:
			return err
		case slow:
			failing = time.Time{}
		case begins:
			failing = time.Now()
		}
		if slow || begins {
			r.logger().Warn("the credentials were not loaded; it is tried again", "error", err)
		}
		if !pause(ctx, retry) {
			return err
		}
	}
}

// load reads everything. It may take longer than any lease, so it comes before a
// registration, and gives no lease. A connection may hang, too: each time that it
// took too long, it may take twice as long.
func (r *Replica) load(ctx context.Context) error {
	limit := min(max(2*r.loadTime, loadFirst), loadLast)
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	everything, err := r.Store.Changes(bounded, 0)
	switch {
	case err != nil && bounded.Err() != nil && ctx.Err() == nil:
		r.loadTime = limit
		return fmt.Errorf("%w: %w", errSlow, err)
	case err != nil:
		return fmt.Errorf("load the credentials: %w", err)
	}
	r.loadTime = 0
	r.applying.Lock()
	defer r.applying.Unlock()
	r.apply(everything)
	r.horizon = everything.Horizon
	r.mu.Lock()
	defer r.mu.Unlock()
	r.position = position(everything)
	r.loaded = r.position
	return nil
}

// Run keeps memory and lease up to date until ctx ends.
func (r *Replica) Run(ctx context.Context) {
	r.init()
	var background sync.WaitGroup
	defer background.Wait()
	background.Go(func() { r.watchClock(ctx) })
	if r.Leases == nil {
		r.catchUpLater(ctx)
		return
	}
	background.Go(func() { r.listen(ctx) })
	background.Go(func() { r.reap(ctx) })
	r.keepLease(ctx)
}

// Close ends the lease: from then on the node answers "unavailable". Then it
// removes the node's registration, so that no change waits for it. [Replica.Run]
// must have returned.
func (r *Replica) Close() error {
	r.init()
	r.mu.Lock()
	again, id := r.closed, r.registration.ID
	r.closed = true
	r.lease.Store(nil)
	r.registration = latchkey.Registration{}
	r.mu.Unlock()
	if again {
		return nil
	}
	if id != "" {
		ctx, cancel := context.WithTimeout(context.Background(), goodbye)
		defer cancel()
		if err := r.Leases.Deregister(ctx, id); err != nil {
			r.logger().Warn("this node's registration was not removed: changes wait for its lease once", "error", err)
		}
	}
	r.applying.Lock()
	defer r.applying.Unlock()
	return r.history.close()
}

// Status returns how the node stands.
func (r *Replica) Status() Status {
	r.mu.Lock()
	s := Status{Registration: r.registration, Revision: r.position.Revision}
	r.mu.Unlock()
	s.Registration.Applied = s.Revision
	if alarm := r.alarm.Load(); alarm != nil {
		s.Alarm = *alarm
	}
	switch l := r.lease.Load(); {
	case l == nil:
	case l.endless:
		s.Remaining = Endless
	case l.good(r.clock()):
		elapsed, _ := now(r.clock()).after(l.from)
		s.Remaining = max(0, l.length-elapsed) // it may have ended just now
		s.Stale = min(s.Remaining, r.StaleOK)
	}
	return s
}

// apply puts changes into memory. r.applying is held.
func (r *Replica) apply(changes latchkey.Changes) {
	teams := make(map[string]*latchkey.Team, len(changes.Teams))
	for i := range changes.Teams {
		teams[changes.Teams[i].ID] = &changes.Teams[i]
	}
	keys := make(map[latchkey.Digest]*latchkey.Found)
	secrets := make(map[string]*latchkey.Found)
	for _, c := range changes.Credentials {
		found := &latchkey.Found{}
		if c.Kind == latchkey.KindAPISecret && c.Live() {
			key, err := r.Sealer.TokenKey(&c)
			if err != nil {
				// For this one secret the node cannot tell; all others work.
				r.logger().Error("an API secret cannot be opened", "credential_id", c.ID, "error", err)
			}
			found.Key = key
		}
		c.Sealed = nil // memory needs no value of an API key
		found.Credential = &c
		if c.Kind == latchkey.KindAPIKey {
			keys[c.Digest] = found
		} else {
			secrets[c.ID] = found
		}
	}
	fresh := changes.After == 0
	// Teams first: a credential must never be found without its team.
	r.teams.write(teams, r.shardOf, fresh)
	r.keys.write(keys, shardOfDigest, fresh)
	r.secrets.write(secrets, r.shardOf, fresh)
}

// forget takes out of memory what the store has purged: as after a restart, nobody
// knows then that it ever was. What is alive stays. r.applying is held.
func (r *Replica) forget(horizon latchkey.Revision) {
	if horizon <= r.horizon {
		return
	}
	r.horizon = horizon
	dead := func(f *latchkey.Found) bool { return !f.Credential.Live() && f.Credential.Revision <= horizon }
	r.keys.remove(dead)
	r.secrets.remove(dead)
	r.teams.remove(func(t *latchkey.Team) bool { return !t.Deleted.IsZero() && t.Revision <= horizon })
}

// listen asks for a renewal whenever the database says that something changed.
// Nothing depends on it.
func (r *Replica) listen(ctx context.Context) {
	for ctx.Err() == nil {
		err := r.Leases.Listen(ctx, func(revision latchkey.Revision) {
			r.hinted()
			r.renewals.ask(wish{any: revision == 0, revision: revision})
		})
		if err != nil && ctx.Err() == nil {
			r.logger().Debug("the database's hints stopped; they are asked for again", "error", err)
		}
		pause(ctx, r.length()/3)
	}
}

// watchClock says when the wall clock was set back.
func (r *Replica) watchClock(ctx context.Context) {
	w := watch{clock: r.clock(), last: now(r.clock())}
	for pause(ctx, time.Second) {
		if back := w.setBack(); back > 0 {
			r.logger().Error("the system's clock was set back: tokens that had expired may be accepted again until it catches up",
				"by", back.Round(time.Millisecond))
		}
	}
}

// pause waits, and reports whether ctx goes on.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

func (r *Replica) length() time.Duration { return cmp.Or(r.Lease, latchkey.DefaultLease) }

func (r *Replica) clock() Clock {
	if r.Clock != nil {
		return r.Clock
	}
	return System{}
}

func (r *Replica) logger() *slog.Logger {
	if r.Logger != nil {
		return r.Logger
	}
	return slog.Default()
}
