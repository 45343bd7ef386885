// Package replica is a node's copy of all credentials, in memory, with its
// leave to answer from it.
//
// A node answers only while it holds a lease. A look-up reads the lease first,
// the credential second, and lets the answer go only if that lease is still
// good: memory never goes back, so what was found is at least as new as what
// the lease was given for.
//
// On SQLite one process owns the data, and its lease has no end: a change is
// settled when this process has applied it. If that fails, the lease is gone,
// and the node answers "unavailable" until it has caught up.
package replica

import (
	"context"
	"fmt"
	"hash/maphash"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"latchkey"
)

// retry is how long the node waits before it tries again to catch up.
const retry = 200 * time.Millisecond

// A Replica implements [latchkey.Replica]. Store, Sealer and Node must be set
// before its first use; [Replica.Settle] with revision 0 fills it.
type Replica struct {
	Store  latchkey.CredentialStore
	Sealer *latchkey.Sealer
	Node   string       // this node's name, as settlements give it
	Logger *slog.Logger // nil: slog.Default()

	lease atomic.Pointer[lease] // nil: this node cannot tell
	seed  maphash.Seed

	keys    table[latchkey.Digest, *latchkey.Found]
	secrets table[string, *latchkey.Found]
	teams   table[string, *latchkey.Team]

	mu      sync.Mutex // one at a time brings memory up to date
	closed  bool
	applied latchkey.Revision
	once    sync.Once
}

// A lease is leave to answer from memory.
type lease struct {
	revision latchkey.Revision // memory held all changes up to this one when it was given
}

// APIKey finds an API key by its digest. It makes no database call.
func (r *Replica) APIKey(_ context.Context, digest latchkey.Digest) (latchkey.Found, error) {
	l := r.lease.Load()
	if l == nil {
		return latchkey.Found{}, errNoLease()
	}
	return r.answer(l, r.keys.read(digest[0])[digest])
}

// APISecret finds an API secret by its ID. It makes no database call.
func (r *Replica) APISecret(_ context.Context, id []byte) (latchkey.Found, error) {
	l := r.lease.Load()
	if l == nil {
		return latchkey.Found{}, errNoLease()
	}
	return r.answer(l, r.secrets.read(uint8(maphash.Bytes(r.seed, id)))[string(id)])
}

// answer completes what was found under a lease.
func (r *Replica) answer(l *lease, f *latchkey.Found) (latchkey.Found, error) {
	found := latchkey.Found{Revision: l.revision}
	if f == nil {
		return found, nil
	}
	// A team that was purged since is gone, and so is what it held.
	if team := r.teams.read(r.shardOf(f.Credential.TeamID))[f.Credential.TeamID]; team != nil {
		found.Credential, found.Key, found.Team = f.Credential, f.Key, team
	}
	return found, nil
}

func errNoLease() error {
	return &latchkey.Unavailable{Reason: latchkey.ReasonStoreUnavailable, RetryAfter: time.Second}
}

func (r *Replica) shardOf(id string) uint8 { return uint8(maphash.String(r.seed, id)) }

func shardOfDigest(d latchkey.Digest) uint8 { return d[0] }

// Settle brings memory up to revision rev (0: to whatever the store holds now)
// and returns this node as the one that confirmed. If the store cannot be read,
// this node stops answering before Settle returns, so that it accepts nothing
// that the change ended; it goes on when [Replica.Run] has caught up.
func (r *Replica) Settle(ctx context.Context, rev latchkey.Revision) (latchkey.Settlement, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.catchUp(ctx, rev); err != nil {
		return latchkey.Settlement{}, err
	}
	return latchkey.Settlement{Confirmed: []string{r.Node}}, nil
}

// catchUp applies what changed, and then moves the lease. r.mu is held.
func (r *Replica) catchUp(ctx context.Context, rev latchkey.Revision) error {
	if r.closed {
		return fmt.Errorf("replica is closed: %w", errNoLease())
	}
	if l := r.lease.Load(); l != nil && rev != 0 && l.revision >= rev {
		return nil
	}
	changes, err := r.Store.Changes(ctx, r.applied)
	if err == nil && changes.Revision < max(rev, r.applied) {
		err = fmt.Errorf("the store has gone back to revision %d, after %d", changes.Revision, max(rev, r.applied))
	}
	if err != nil {
		r.lease.Store(nil)
		return fmt.Errorf("read changes after revision %d: %w", r.applied, err)
	}
	r.apply(changes)
	r.applied = changes.Revision
	r.lease.Store(&lease{revision: changes.Revision})
	return nil
}

// apply puts changes into memory. r.mu is held.
func (r *Replica) apply(changes latchkey.Changes) {
	r.once.Do(func() { r.seed = maphash.MakeSeed() })
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
				// This one secret is refused as a bad signature; all others work.
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

// Run catches up when [Replica.Settle] could not, and watches the clock, until
// ctx ends.
func (r *Replica) Run(ctx context.Context) {
	tick := time.NewTicker(retry)
	defer tick.Stop()
	clock := newClock(time.Now)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if back := clock.steppedBack(); back > 0 {
			r.logger().Error("the system's clock was set back: tokens that had expired may be accepted again until it catches up",
				"by", back.Round(time.Millisecond))
		}
		if r.lease.Load() != nil {
			continue
		}
		if _, err := r.Settle(ctx, 0); err != nil {
			r.logger().Error("this node cannot answer", "error", err)
		} else {
			r.logger().Info("this node answers again")
		}
	}
}

// Close ends the lease: from then on the node answers "unavailable".
func (r *Replica) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	r.lease.Store(nil)
}

func (r *Replica) logger() *slog.Logger {
	if r.Logger != nil {
		return r.Logger
	}
	return slog.Default()
}
