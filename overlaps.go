package latchkey

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// overlapsAtOnce is how many teams' overlaps are being ended in the store at the
// same time.
const overlapsAtOnce = 64

// EndOverlaps ends the old keys whose overlap is over by the store's clock, and
// returns when that is true on all nodes. [Overlaps] does not wait for that.
func (k *Keyring) EndOverlaps(ctx context.Context) error {
	o := Overlaps{Keyring: k}
	err := o.End(ctx)
	o.ending.Wait()
	return errors.Join(err, o.failures())
}

// Overlaps ends old keys whose overlap is over, beside whoever calls it. Where a
// node is gone, each end waits for its lease; an overlap that comes due meanwhile,
// of the same team or another, must not wait for that. Keyring must be set.
type Overlaps struct {
	Keyring *Keyring

	once   sync.Once
	turn   chan struct{} // to change the store
	ending sync.WaitGroup

	mu     sync.Mutex
	under  map[string]bool // teams whose change is not in the store yet
	failed []error         // since they were last asked for
}

// End begins to end the old keys whose overlap is over by the store's clock, but for
// those that it is at already. It waits for none. Its error says that it could not
// look for them, or which were not ended since the last call: those are tried again.
// It is called about twice a second, never by two at once, nor after Wait.
func (o *Overlaps) End(ctx context.Context) error {
	o.once.Do(func() { o.turn, o.under = make(chan struct{}, overlapsAtOnce), make(map[string]bool) })
	due, err := o.Keyring.Store.DueOverlaps(ctx)
	if err != nil {
		return errors.Join(fmt.Errorf("look for overlaps that are over: %w", err), o.failures())
	}
	for _, team := range due {
		if o.begin(team) {
			o.ending.Go(func() { o.end(ctx, team) })
		}
	}
	return o.failures()
}

// Wait returns when all that was begun has ended, on all nodes, or ctx has: that is
// its error.
func (o *Overlaps) Wait(ctx context.Context) error {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		o.ending.Wait()
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Busy reports whether a change is under way that the store does not have yet.
func (o *Overlaps) Busy() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.under) > 0
}

// begin reports whether a team's turn is to be taken.
func (o *Overlaps) begin(team string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.under[team] {
		return false
	}
	o.under[team] = true
	return true
}

// end ends a team's overlap. From the change on, the team can be begun anew.
func (o *Overlaps) end(ctx context.Context, team string) {
	done := func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		delete(o.under, team)
	}
	select {
	case o.turn <- struct{}{}:
	case <-ctx.Done():
		done()
		return
	}
	err := o.Keyring.endOverlap(ctx, team, func() { done(); <-o.turn })
	if err != nil {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.failed = append(o.failed, err)
	}
}

// failures returns what failed since the last call.
func (o *Overlaps) failures() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	failed := o.failed
	o.failed = nil
	return errors.Join(failed...)
}

// endOverlap calls changed when the store has answered, and returns when the change
// is true on all nodes.
func (k *Keyring) endOverlap(ctx context.Context, team string, changed func()) error {
	_, s, err := k.settle(ctx, func(ctx context.Context) (Holding, Change, error) {
		defer changed()
		return k.Store.UpdateTeam(ctx, team, func(now time.Time, h *Holding) error {
			old := h.OldAPIKey()
			if old == nil || old.Until.After(now) {
				return ErrNoChange // another node was faster, or the key was rolled again
			}
			old.End(now, System.Name, EndedByOverlap)
			h.note(now, System, ActionOverlapEnd, old.ID, "")
			return nil
		})
	})
	k.observe(ActionOverlapEnd, s, err)
	if err != nil && !errors.Is(err, ErrNoChange) && !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("end overlap of %s: %w", team, err)
	}
	return nil
}
