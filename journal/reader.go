package journal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"latchkey"
)

// A Reader looks records up in a store that nodes share, for a process that has
// no journal of its own.
type Reader struct {
	Store
	HandIns latchkey.HandInStore // nil: nobody hands in
}

// Record returns a record, or says why there is none, as a [Journal] does.
func (r Reader) Record(ctx context.Context, requestID string) (latchkey.Record, error) {
	id, err := uuid.Parse(requestID)
	if err != nil {
		return latchkey.Record{}, latchkey.NotFound("request", requestID)
	}
	return r.search(ctx, id, author{}, nil)
}

// search finds a record, or waits until it is clear that there is none and says
// why. A node knows of its own gaps, and has looked through its own journal.
func (r Reader) search(ctx context.Context, id uuid.UUID, own author, gaps []latchkey.Gap) (found latchkey.Record, err error) {
	look := func() error {
		found, err = r.find(ctx, id)
		return err
	}
	switch err := look(); {
	case !errors.Is(err, latchkey.ErrNotFound):
		return found, err
	case id.Version() != 7:
		return found, notOurs(id)
	}
	nodes, err := r.await(ctx, id, own, look)
	if err != nil || found.RequestID != "" {
		return found, err
	}
	return found, r.missing(ctx, id, gaps, nodes)
}

// find finds a record, or what a node has open of it.
func (r Reader) find(ctx context.Context, id uuid.UUID) (latchkey.Record, error) {
	found, err := r.Store.Record(ctx, id.String())
	if r.HandIns == nil || id.Version() != 7 || !errors.Is(err, latchkey.ErrNotFound) {
		return found, err
	}
	if found, err = r.HandIns.OpenRecord(ctx, id.String()); !errors.Is(err, latchkey.ErrNotFound) {
		return found, err
	}
	return r.Store.Record(ctx, id.String()) // it may just have ended
}

// around is the time of an ID's request.
func around(id uuid.UUID) (from, to time.Time) {
	at := timeOf(id)
	return at.Add(-time.Millisecond), at.Add(2 * time.Millisecond)
}

// notOurs is the error for an ID that latchkey never gives out.
func notOurs(id uuid.UUID) error {
	return fmt.Errorf("%w; it was not given out here, where IDs are UUIDs of version 7", latchkey.NotFound("request", id.String()))
}

// missing says why there is no record, of which some nodes may yet hand in one.
func (r Reader) missing(ctx context.Context, id uuid.UUID, gaps []latchkey.Gap, nodes []latchkey.HandIn) error {
	from, to := around(id)
	stored, err := r.Gaps(ctx, from, to)
	if err != nil {
		return err
	}
	if gaps = append(gaps, stored...); len(gaps) > 0 {
		return &latchkey.NotKeptError{RequestID: id.String(), Gap: gaps[0]}
	}
	if len(nodes) > 0 {
		return &latchkey.NotHandedInError{RequestID: id.String(), Nodes: nodes}
	}
	kept, err := r.Retention(ctx)
	if err != nil {
		return err
	}
	return fmt.Errorf("%w; %s", latchkey.NotFound("request", id.String()), keeping(kept))
}

const (
	// lookTime is how long a look-up waits for other nodes at most: they hand
	// in about once a second.
	lookTime = 2 * time.Second
	// lookEvery is how often it asks meanwhile.
	lookEvery = 200 * time.Millisecond
	// lateTime is within what time of its request a response begins, and how
	// far a node's clock, of which its IDs are, is off the store's, at most.
	lateTime = 24 * time.Hour
)

// await waits until each journal, but for one, has handed in what it may have
// recorded of an ID before await began, or until look finds it. It returns the
// nodes that have not. One that has not been heard of for long is not waited for.
func (r Reader) await(ctx context.Context, id uuid.UUID, but author, look func() error) (nodes []latchkey.HandIn, err error) {
	if r.HandIns == nil {
		return nil, nil
	}
	var until time.Time
	for deadline := time.Now().Add(lookTime); ; {
		list, now, err := r.HandIns.HandIns(ctx)
		if err != nil {
			return nil, err
		}
		if until.IsZero() {
			until = now
			if late := timeOf(id).Add(lateTime); late.Before(now) {
				until = late
			}
		}
		nodes = slices.DeleteFunc(list, func(h latchkey.HandIn) bool { return but.of(h) || !h.Until.Before(until) })
		if err := look(); !errors.Is(err, latchkey.ErrNotFound) {
			return nil, err
		}
		soon := slices.ContainsFunc(nodes, func(h latchkey.HandIn) bool { return now.Sub(h.Until) < handInLag })
		if !soon || time.Now().After(deadline) {
			return nodes, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(lookEvery):
		}
	}
}
