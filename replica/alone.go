package replica

import (
	"context"
	"fmt"
	"time"

	"latchkey"
)

// catchUpEvery is how long the node waits before it tries again to catch up.
const catchUpEvery = 200 * time.Millisecond

// errClosed says that this node has stopped.
var errClosed = fmt.Errorf("replica is closed: %w", &latchkey.Unavailable{Reason: latchkey.ReasonStoreUnavailable})

// settleAlone brings memory up to revision rev (0: to whatever the store holds
// now), where this process owns the data. If the store cannot be read, the node
// stops answering before settleAlone returns, so that it accepts nothing that
// the change ended; it goes on when [Replica.Run] has caught up.
func (r *Replica) settleAlone(ctx context.Context, rev latchkey.Revision) (latchkey.Settlement, error) {
	r.applying.Lock()
	defer r.applying.Unlock()
	if err := r.catchUp(ctx, rev); err != nil {
		return latchkey.Settlement{}, err
	}
	return latchkey.Settlement{Confirmed: []string{r.Node}}, nil
}

// catchUp applies what changed, and then moves the lease. r.applying is held.
func (r *Replica) catchUp(ctx context.Context, rev latchkey.Revision) error {
	r.mu.Lock()
	applied, closed := r.position.Revision, r.closed
	r.mu.Unlock()
	if closed {
		return errClosed
	}
	if l := r.lease.Load(); l != nil && rev != 0 && l.revision >= rev {
		return nil
	}
	changes, err := r.Store.Changes(ctx, applied)
	if err == nil && changes.Revision < max(rev, applied) {
		err = fmt.Errorf("the store has gone back to revision %d, after %d", changes.Revision, max(rev, applied))
	}
	if err != nil {
		r.lease.Store(nil)
		return fmt.Errorf("read changes after revision %d: %w", applied, err)
	}
	r.apply(changes)
	r.forget(changes.Horizon)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.position = position(changes)
	if r.closed {
		return errClosed
	}
	r.lease.Store(&lease{revision: changes.Revision, endless: true})
	return nil
}

// catchUpLater catches up when a change could not, and says in the log when that
// begins and when it is over.
func (r *Replica) catchUpLater(ctx context.Context) {
	failing := false
	for pause(ctx, catchUpEvery) {
		if r.lease.Load() != nil {
			continue
		}
		switch _, err := r.Settle(ctx, latchkey.Change{}); {
		case err == nil:
			failing = false
			r.logger().Info("this node answers again")
		case !failing:
			failing = true
			r.logger().Error("this node cannot answer; it tries again until it can", "error", err)
		}
	}
}
