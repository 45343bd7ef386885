package journal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"latchkey"
)

const (
	// restShare is how much longer than its work the mover rests where nothing
	// waits: a busy processor belongs to the requests.
	restShare = 5
	// moveChunk is how much of a segment is read at a time, in bytes.
	moveChunk = 1 << 20
	// maxCarry is how much is carried over at a time, in bytes, to leave the
	// most of maxPending to what comes.
	maxCarry = 1 << 20
	// moveTime bounds one attempt at the store.
	moveTime = 30 * time.Second
	// maxRetry is how long the mover waits at most after a failure.
	maxRetry = 5 * time.Second
)

// runMover moves ended records to the store, until Close.
func (j *Journal) runMover() {
	tick := time.NewTicker(moveEvery)
	defer tick.Stop()
	retry := moveEvery
	for {
		select {
		case <-j.stop:
			return
		case <-tick.C:
		case <-j.wakeMover:
		}
		for more := true; more && !j.stopping(); {
			began := time.Now()
			n, err := j.move(j.moving)
			j.logMove(err)
			if err != nil {
				j.rest(retry)
				retry = min(2*retry, maxRetry)
				break
			}
			retry = moveEvery
			j.tryHandIn()
			if more = n > 0; more {
				j.rest(j.pause(time.Since(began)))
			}
		}
	}
}

func (j *Journal) stopping() bool {
	select {
	case <-j.stop:
		return true
	default:
		return false
	}
}

func (j *Journal) rest(d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-j.stop:
	case <-t.C:
	}
}

// pause returns how long the mover rests after so much work: the less the more
// waits, and not at all from a quarter of what may wait, or where other nodes
// wait for it.
func (j *Journal) pause(work time.Duration) time.Duration {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.handIn != nil && time.Since(j.handIn.done) > handInEvery {
		return 0
	}
	most := j.config.MaxBytes / 4
	left := max(0, most-(j.held()-j.moved))
	return time.Duration(restShare * float64(work) * float64(left) / float64(max(1, most)))
}

// logMove says once that the store fails, and once that it works again.
func (j *Journal) logMove(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case err != nil && !j.failing.move:
		j.logger.Error("the store does not take records; they wait in the journal", "error", err)
	case err == nil && j.failing.move:
		j.logger.Info("the store takes records again")
	}
	j.failing.move = err != nil
}

// moveAll moves all there is, or as much as ctx allows.
func (j *Journal) moveAll(ctx context.Context) error {
	for {
		if n, err := j.move(ctx); err != nil || n == 0 {
			return err
		}
	}
}

// move takes one batch to the store. It returns 0 when nothing is left.
func (j *Journal) move(ctx context.Context) (n int, err error) {
	ctx, cancel := context.WithTimeout(ctx, moveTime)
	defer cancel()
	if err := j.moveGaps(ctx); err != nil {
		return 0, err
	}
	j.mu.Lock()
	direct := j.direct[:min(len(j.direct), maxBatch):min(len(j.direct), maxBatch)]
	j.mu.Unlock()
	if len(direct) > 0 {
		if err := j.append(ctx, direct); err != nil {
			return 0, err
		}
		j.mu.Lock()
		j.direct = append([]latchkey.Record(nil), j.direct[len(direct):]...)
		j.mu.Unlock()
		return len(direct), nil
	}
	return j.moveSegment(ctx)
}

// moveSegment takes a batch out of the oldest segment, or frees it if there is
// nothing left in it.
func (j *Journal) moveSegment(ctx context.Context) (n int, err error) {
	j.mu.Lock()
	if len(j.segments) == 0 {
		j.mu.Unlock()
		return 0, nil
	}
	s, from := j.segments[0], j.moved
	end, sealed := s.end, s.sealed
	j.mu.Unlock()
	if from >= end {
		if !sealed {
			return 0, nil
		}
		return j.free(s)
	}
	list, to, err := j.collect(s, from, end)
	if err != nil {
		return j.rescue(ctx, s, err)
	}
	if len(list) > 0 {
		if err := j.append(ctx, list); err != nil {
			return 0, err
		}
	}
	j.mu.Lock()
	j.moved = to
	j.mu.Unlock()
	return max(1, len(list)), nil
}

var errFull = errors.New("enough")

// collect reads ended records of a segment, a batch at most, and says where it
// got to. An error says that some of them cannot be read.
func (j *Journal) collect(s *segment, from, end int64) (list []latchkey.Record, to int64, err error) {
	b, err := s.read(from, min(end, from+moveChunk))
	if err != nil {
		return nil, from, err
	}
	next, damaged := 0, false // where the next entry is
	_, _, err = entries(b, s.salt, func(offset int, e *entry) error {
		if len(list) == maxBatch {
			return errFull
		}
		damaged = damaged || offset != next
		next = offset + e.size
		if e.kind != kindEnd {
			return nil
		}
		r, err := e.record()
		if err == nil {
			list = append(list, r)
		}
		damaged = damaged || err != nil
		return nil
	})
	to = from + int64(next)
	if rest := len(b) - next; err == nil && rest > 0 {
		last := from+int64(len(b)) >= end
		if last || next == 0 { // an entry longer than a chunk there is none
			to, damaged = from+int64(len(b)), true
		}
	}
	if len(b) == 0 {
		to, damaged = end, true // the file is shorter than it was
	}
	if damaged && j.misses(s, from, to, list) {
		return nil, from, fmt.Errorf("%s, behind offset %d: %w", s.path, from, errDamaged)
	}
	return list, to, nil
}

// misses reports whether a record that ended between two offsets of a segment is
// not in a list. (What was damaged when a process took it in was counted then.)
func (j *Journal) misses(s *segment, from, to int64, list []latchkey.Record) bool {
	there := make(map[string]bool, len(list))
	for i := range list {
		there[list[i].RequestID] = true
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for id, offset := range s.index {
		if from <= int64(offset) && int64(offset) < to && !there[id.String()] {
			return true
		}
	}
	return false
}

// append gives records to the store. One that it will never take holds up no
// other.
func (j *Journal) append(ctx context.Context, list []latchkey.Record) error {
	err := j.store.AppendRecords(ctx, list)
	var invalid *latchkey.InvalidError
	if !errors.As(err, &invalid) {
		return err
	}
	for i := range list {
		err := j.store.AppendRecords(ctx, list[i:i+1])
		if errors.As(err, &invalid) {
			j.logger.Error("a record cannot be stored", "request_id", list[i].RequestID, "error", err)
			j.mu.Lock()
			from, to := span(&list[i])
			j.gaps.lose(1, from, to)
			j.gaps.end()
			j.mu.Unlock()
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// free deletes the oldest segment, all of whose ended records are in the store.
// Records that began there and go on are first carried over.
func (j *Journal) free(s *segment) (n int, err error) {
	// The batch under way may have begun records here, and have gone on to
	// the next segment: open counts them when it is done.
	j.sealNow(s)
	j.mu.Lock()
	if open := s.open; open > 0 {
		carried := j.carry(s)
		j.mu.Unlock()
		wake(j.wakeWriter)
		if carried == nil {
			return 0, nil // they are about to end
		}
		<-carried.done
		j.mu.Lock()
		if s.open > 0 {
			n = open - s.open
			j.mu.Unlock()
			return n, nil // there are more; or the disk did not take them, and they stay where they are
		}
	}
	j.segments = j.segments[1:]
	j.moved = segmentHeader
	j.mu.Unlock()
	discard := s.remove
	if s.damaged {
		discard = s.setAside
	}
	if err := discard(); err != nil {
		return 0, fmt.Errorf("free a segment: %w", err)
	}
	return 1, nil
}

// carry begins live records of a segment again, in the current one: so many that
// what waits for the writer leaves room for others. j.mu is held.
func (j *Journal) carry(s *segment) (b *batch) {
	before := len(j.pending.bytes)
	for id, l := range j.live {
		if l.home != s || l.ended {
			continue
		}
		if len(j.pending.bytes)-before >= maxCarry || j.enqueue(kindBegin, id, l) == nil {
			break
		}
		b = j.pending
	}
	return b
}

// moveGaps gives the gaps that have ended to the store; and, where other nodes
// look records up, those that have not.
func (j *Journal) moveGaps(ctx context.Context) error {
	j.mu.Lock()
	list, open := j.gaps.closed(), j.gaps.news()
	j.mu.Unlock()
	if j.handIn == nil {
		open = nil
	}
	for _, g := range open {
		j.mu.Lock()
		j.gaps.give(g)
		j.mu.Unlock()
		if err := j.store.AddGap(ctx, g); err != nil {
			return err
		}
		j.mu.Lock()
		j.gaps.gave(g)
		j.mu.Unlock()
	}
	for _, g := range list {
		if err := j.store.AddGap(ctx, g); err != nil {
			return err
		}
		j.mu.Lock()
		j.gaps.forget(g)
		j.mu.Unlock()
		wake(j.wakeWriter)
	}
	return nil
}
