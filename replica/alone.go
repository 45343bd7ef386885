package replica

import (
	"context"
	"fmt"
	"time"

	"latchkey"
)

// catchUpEvery is how long the node waits before it tries again to catch up.
const catchUpEvery = 200 * time.Millisecond

// settleAlone brings memory up to revision rev (0: to whatever the store holds
// now), where this process owns the data. If the store cannot be read, the node
// stops answering before settleAlone returns, so that it accepts nothing that
// the change ended; it goes on when [Replica.Run] has caught up.
func (r *Replica) settleAlone(ctx context.Context, rev latchkey.Revision) (latchkey.Settlement, error) {
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
		return fmt.Errorf("replica is closed: %w", &latchkey.Unavailable{Reason: latchkey.ReasonStoreUnavailable})
	}
	if l := r.lease.Load(); l != nil && rev != 0 && l.revision >= rev {
		return nil
	}
	applied := r.position.Revision
	changes, err := r.Store.Changes(ctx, applied)
	if err == nil && changes.Revision < max(rev, applied) {
		err = fmt.Errorf("the store has gone back to revision %d, after %d", changes.Revision, max(rev, applied))
	}
	if err != nil {
		r.lease.Store(nil)
		return fmt.Errorf("read changes after revision %d: %w", applied, err)
	}
	r.apply(changes)
	r.position = position(changes)
	r.lease.Store(&lease{revision: changes.Revision, endless: true})
	return nil
}

// catchUpLater catches up when a change could not.
func (r *Replica) catchUpLater(ctx context.Context) {
	for pause(ctx, catchUpEvery) {
		if r.lease.Load() != nil {
			continue
		}
		if _, err := r.Settle(ctx, latchkey.Change{}); err != nil {
			r.logger().Error("this node cannot answer", "error", err)
		} else {
			r.logger().Info("this node answers again")
		}
	}
}
