// Package journal takes records from responses to the store.
//
// A record is known to the journal before the first byte of its response
// leaves, and is found by its ID from then on: among the responses that have
// not ended, among those that wait to be written, or in the store. Records are
// written in batches, beside the requests; a store that is slow or down holds
// no request up. What does not fit into memory meanwhile is counted as a gap.
package journal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"latchkey"
)

const (
	// flushEvery is how long an ended record waits for others at most.
	flushEvery = 50 * time.Millisecond
	// maxBatch is how many records are written in one transaction.
	maxBatch = 2000
	// DefaultMaxWaiting is how many ended records wait in memory at most.
	DefaultMaxWaiting = 100_000
)

// A Store is where a journal writes to.
type Store interface {
	latchkey.RecordStore
	latchkey.UsageStore
}

// A Journal is a [latchkey.Recorder], a [latchkey.RecordReader] and a
// [latchkey.UsageReader]. Make it with [New]; it is safe for concurrent use.
type Journal struct {
	store      latchkey.RecordStore
	callers    *Callers
	logger     *slog.Logger
	maxWaiting int

	mu      sync.Mutex
	open    map[string]latchkey.Record // begun, not ended
	waiting map[string]latchkey.Record // ended, not yet known to be in the store
	queue   []string                   // the IDs of waiting, oldest first
	dropped int64                      // ended records that found no room

	wake chan struct{}
	stop chan struct{}
	done chan struct{}
}

// New returns a journal that writes to store. maxWaiting bounds the memory: so
// many ended records are held while the store does not take them; 0 means
// [DefaultMaxWaiting]. A nil logger means slog.Default().
func New(store Store, maxWaiting int, logger *slog.Logger) *Journal {
	if maxWaiting == 0 {
		maxWaiting = DefaultMaxWaiting
	}
	if logger == nil {
		logger = slog.Default()
	}
	j := &Journal{
		store: store, callers: NewCallers(store, logger), logger: logger, maxWaiting: maxWaiting,
		open:    make(map[string]latchkey.Record),
		waiting: make(map[string]latchkey.Record),
		wake:    make(chan struct{}, 1),
		stop:    make(chan struct{}),
		done:    make(chan struct{}),
	}
	go j.run()
	return j
}

// Begin takes a record whose response is about to leave.
func (j *Journal) Begin(r latchkey.Record) {
	j.callers.Count(&r)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.open[r.RequestID] = r
}

// End takes the same record, whole.
func (j *Journal) End(r latchkey.Record) {
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.open, r.RequestID)
	if len(j.queue) >= j.maxWaiting {
		j.dropped++
		return
	}
	j.waiting[r.RequestID] = r
	j.queue = append(j.queue, r.RequestID)
	if len(j.queue) >= maxBatch {
		select {
		case j.wake <- struct{}{}:
		default:
		}
	}
}

// run writes batches until Close.
func (j *Journal) run() {
	defer close(j.done)
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-j.stop:
			return
		case <-tick.C:
		case <-j.wake:
		}
		err := j.flush(context.Background())
		if err != nil && !failing {
			j.logger.Error("records cannot be written; they wait in memory", "error", err)
		}
		if err == nil && failing {
			j.logger.Info("records are written again")
		}
		failing = err != nil
	}
}

// flush writes all that waits, a batch at a time.
func (j *Journal) flush(ctx context.Context) error {
	for {
		batch := j.batch()
		if len(batch) == 0 {
			return nil
		}
		if err := j.store.AppendRecords(ctx, batch); err != nil {
			return err
		}
		j.written(len(batch))
	}
}

// batch returns the oldest waiting records; they stay in memory, where they
// are found, until they are written.
func (j *Journal) batch() []latchkey.Record {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.dropped > 0 {
		j.logger.Error("records were lost: the store did not take them in time", "count", j.dropped)
		j.dropped = 0
	}
	batch := make([]latchkey.Record, 0, min(len(j.queue), maxBatch))
	for _, id := range j.queue[:cap(batch)] {
		batch = append(batch, j.waiting[id])
	}
	return batch
}

// written forgets the n oldest waiting records.
func (j *Journal) written(n int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, id := range j.queue[:n] {
		delete(j.waiting, id)
	}
	j.queue = slices.Delete(j.queue, 0, n)
}

// Close writes what waits, and returns an error that counts what could not be
// written. Responses that have not ended are written as they stand.
func (j *Journal) Close(ctx context.Context) error {
	close(j.stop)
	<-j.done
	callersErr := j.callers.Close(ctx)
	j.mu.Lock()
	for id, r := range j.open {
		delete(j.open, id)
		j.waiting[id] = r
		j.queue = append(j.queue, id)
	}
	j.mu.Unlock()
	if err := j.flush(ctx); err != nil {
		return errors.Join(fmt.Errorf("%d records were not written: %w", len(j.queue), err), callersErr)
	}
	return callersErr
}

// Record finds a record by its request ID, written or not.
func (j *Journal) Record(ctx context.Context, requestID string) (latchkey.Record, error) {
	id := strings.ToLower(requestID)
	j.mu.Lock()
	r, found := j.open[id]
	if !found {
		r, found = j.waiting[id]
	}
	j.mu.Unlock()
	if found {
		return r, nil
	}
	return j.store.Record(ctx, id)
}

// Records returns the records that q selects, newest first, written or not.
func (j *Journal) Records(ctx context.Context, q latchkey.RecordQuery) ([]latchkey.Record, error) {
	limit := q.Limit
	if limit == 0 {
		limit = latchkey.DefaultRecordLimit
	}
	// Memory first: a record that is written in between is seen twice, not missed.
	found := j.unwritten(&q)
	stored, err := j.store.Records(ctx, q)
	if err != nil {
		return nil, err
	}
	found = append(found, stored...)
	slices.SortStableFunc(found, func(a, b latchkey.Record) int { return strings.Compare(b.RequestID, a.RequestID) })
	found = slices.CompactFunc(found, func(a, b latchkey.Record) bool { return a.RequestID == b.RequestID })
	return found[:min(limit, len(found))], nil
}

func (j *Journal) unwritten(q *latchkey.RecordQuery) []latchkey.Record {
	j.mu.Lock()
	defer j.mu.Unlock()
	var found []latchkey.Record
	for _, held := range []map[string]latchkey.Record{j.open, j.waiting} {
		for _, r := range held {
			if q.Matches(&r) {
				found = append(found, r)
			}
		}
	}
	return found
}

// LastUsed returns when each of the credentials was last accepted.
func (j *Journal) LastUsed(ctx context.Context, credentialIDs []string) (map[string]time.Time, error) {
	unwritten := j.unwritten(&latchkey.RecordQuery{Outcome: latchkey.OutcomeAccepted})
	used, err := j.store.LastUsed(ctx, credentialIDs)
	if err != nil && !errors.Is(err, latchkey.ErrNotFound) {
		return nil, err
	}
	if used == nil {
		used = make(map[string]time.Time)
	}
	for _, r := range unwritten {
		if slices.Contains(credentialIDs, r.CredentialID) && r.Time.After(used[r.CredentialID]) {
			used[r.CredentialID] = r.Time
		}
	}
	return used, nil
}
