package journal

import (
	"context"
	"errors"
	"fmt"
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
	found, err := r.Store.Record(ctx, requestID)
	if !errors.Is(err, latchkey.ErrNotFound) {
		return found, err
	}
	id, parseErr := uuid.Parse(requestID)
	if parseErr != nil {
		return latchkey.Record{}, err
	}
	return latchkey.Record{}, r.missing(ctx, id, "", nil)
}

// around is the time of an ID's request.
func around(id uuid.UUID) (from, to time.Time) {
	at := timeOf(id)
	return at.Add(-time.Millisecond), at.Add(2 * time.Millisecond)
}

// missing says why there is no record. A node knows of its own gaps, and has
// looked through its own journal.
func (r Reader) missing(ctx context.Context, id uuid.UUID, node string, gaps []latchkey.Gap) error {
	plain := latchkey.NotFound("request", id.String())
	if id.Version() != 7 {
		return fmt.Errorf("%w; it was not given out here, where IDs are UUIDs of version 7", plain)
	}
	from, to := around(id)
	stored, err := r.Gaps(ctx, from, to)
	if err != nil {
		return err
	}
	if gaps = append(gaps, stored...); len(gaps) > 0 {
		return &latchkey.NotKeptError{RequestID: id.String(), Gap: gaps[0]}
	}
	nodes, err := r.awaited(ctx, id, node)
	if err != nil {
		return err
	}
	if len(nodes) > 0 {
		return &latchkey.NotHandedInError{RequestID: id.String(), Nodes: nodes}
	}
	kept, err := r.Retention(ctx)
	if err != nil {
		return err
	}
	return fmt.Errorf("%w; %s", plain, keeping(kept))
}

// awaited returns the nodes, but for one, that may yet hand in the record of an ID.
func (r Reader) awaited(ctx context.Context, id uuid.UUID, but string) (nodes []latchkey.HandIn, err error) {
	if r.HandIns == nil {
		return nil, nil
	}
	all, err := r.HandIns.HandIns(ctx)
	if err != nil {
		return nil, err
	}
	for _, h := range all {
		if h.Node != but && h.Until.Before(timeOf(id).Add(usualTime)) {
			nodes = append(nodes, h)
		}
	}
	return nodes, nil
}
