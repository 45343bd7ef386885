package journal

import (
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"latchkey"
)

// A batch is what the writer takes in one turn.
type batch struct {
	bytes []byte // entries without their checksums
	items []item
	done  chan struct{} // closed when all was written, or could not be
	err   error
}

// An item is an entry of a batch.
type item struct {
	kind       byte
	id         uuid.UUID
	live       *live
	start, end int // in bytes

	segment *segment // where it was written; nil if it was not
	offset  int64
}

func newBatch() *batch { return &batch{done: make(chan struct{})} }

func (b *batch) add(kind byte, id uuid.UUID, l *live) {
	start := len(b.bytes)
	b.bytes = appendEntry(b.bytes, kind, id, &l.record)
	b.items = append(b.items, item{kind: kind, id: id, live: l, start: start, end: len(b.bytes)})
}

func (i *item) size() int64 { return int64(i.end - i.start) }

// endSlack is how much longer a record may be when it ends: it may have got a
// diagnosis.
const endSlack = 512

var (
	errNoRoom = errors.New("there is no room for a segment")
	errBehind = errors.New("the store does not take records, and the journal is as large as it may be")
)

// runWriter writes what is pending, in order, until it is told to finish.
func (j *Journal) runWriter() {
	for {
		finishing := false
		select {
		case <-j.wakeWriter:
		case <-j.finish:
			finishing = true
		}
		j.writeBatch()
		if finishing {
			return
		}
	}
}

func (j *Journal) writeBatch() {
	j.mu.Lock()
	b := j.pending
	if len(b.items) > 0 {
		j.pending = newBatch()
		j.pending.bytes, j.pending.items = j.bytes, j.items
		j.bytes, j.items = nil, nil
	} else {
		b = newBatch() // only the gaps have changed, if anything
	}
	j.writing, j.since = b, time.Now()
	j.mu.Unlock()

	for from := 0; from < len(b.items); {
		from = j.writeRun(b, from)
	}
	if j.config.Strict {
		j.syncBatch(b)
	}

	j.mu.Lock()
	j.account(b)
	changes := j.gaps.changes()
	if len(b.items) > 0 {
		j.logWrite(b.err)
	}
	j.mu.Unlock()
	for offset, slot := range changes {
		// Memory has it too: only a kill before the store has it would tell.
		_, _ = j.gaps.file.WriteAt(slot[:], offset)
	}
	close(b.done)
	j.mu.Lock()
	j.writing = nil
	if cap(b.bytes) > cap(j.bytes) && cap(b.bytes) <= moveChunk {
		clear(b.items)
		j.bytes, j.items = b.bytes[:0], b.items[:0]
	}
	select {
	case <-j.stalled:
		j.stalled = make(chan struct{})
	default:
	}
	j.mu.Unlock()
	if len(b.items) >= maxBatch {
		wake(j.wakeMover)
	}
}

// writeRun writes as many items as fit into the current segment, from the one
// given, and returns which comes next. One that cannot be written is left out.
func (j *Journal) writeRun(b *batch, from int) (next int) {
	s, room, err := j.current(&b.items[from])
	if err != nil {
		b.err = err
		return from + 1
	}
	next = from + 1
	total := b.items[from].size()
	for next < len(b.items) && total+b.items[next].size() <= room {
		total += b.items[next].size()
		next++
	}
	for i := from; i < next; i++ {
		seal(b.bytes[b.items[i].start:b.items[i].end], s.salt)
	}
	j.mu.Lock()
	at := s.end
	j.mu.Unlock()
	if _, err := s.file.WriteAt(b.bytes[b.items[from].start:b.items[next-1].end], at); err != nil {
		b.err = fmt.Errorf("write to the journal: %w", err)
		j.abandon(s)
		return next
	}
	for i := from; i < next; i++ {
		b.items[i].segment, b.items[i].offset = s, at
		at += b.items[i].size()
	}
	j.mu.Lock()
	s.end, s.dirty = at, true
	j.mu.Unlock()
	return next
}

// current returns the segment that an item goes to, and how many bytes it may
// write there. A record does not begin where there would be no room for the ends
// of those that have begun.
func (j *Journal) current(i *item) (s *segment, room int64, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if n := len(j.segments); n > 0 && !j.segments[n-1].sealed {
		s = j.segments[n-1]
	}
	reserve := j.reserved
	if j.spare != nil || i.kind == kindEnd {
		reserve = 0
	}
	switch free := int64(0); {
	case s == nil:
	case s.end+i.size()+reserve <= s.size:
		free = s.size - s.end
		if j.spare == nil && i.kind == kindEnd && free < j.reserved+i.size() {
			free = i.size() // what follows it may be a beginning
		}
		return s, free - reserve, nil
	}
	if err := j.rotate(i.kind == kindBegin); err != nil {
		return nil, 0, err
	}
	s = j.segments[len(j.segments)-1]
	if s.end+i.size() > s.size {
		return nil, 0, fmt.Errorf("a record of %d bytes does not fit into a segment", i.size())
	}
	return s, s.size - s.end, nil
}

// rotate seals the current segment, and begins the next. j.mu is held; it is
// given back while a segment is made. Beginnings are held back by
// Config.MaxBytes; ends are not.
func (j *Journal) rotate(begin bool) error {
	if begin && j.held() > j.config.MaxBytes {
		return errBehind
	}
	if j.spare == nil {
		if err := j.makeSpare(); err != nil {
			return err
		}
	}
	if n := len(j.segments); n > 0 {
		j.segments[n-1].sealed = true
	}
	j.segments = append(j.segments, j.spare)
	j.spare = nil
	wake(j.wakeKeeper)
	wake(j.wakeMover)
	return nil
}

// held returns how many bytes the segments hold. j.mu is held.
func (j *Journal) held() (total int64) {
	for _, s := range j.segments {
		total += s.end
	}
	return total
}

// makeSpare makes the next segment, unless that has just failed. j.mu is held,
// but not while the disk works.
func (j *Journal) makeSpare() error {
	if j.spare != nil {
		return nil
	}
	if time.Now().Before(j.retryAt) {
		return errNoRoom
	}
	sequence := j.next
	j.next++
	j.mu.Unlock()
	s, err := newSegment(j.config.Dir, sequence, j.config.SegmentSize, j.config.create)
	j.mu.Lock()
	switch {
	case err != nil:
		j.retryAt = time.Now().Add(retryEvery)
		return err
	case j.spare != nil:
		return s.remove() // another was faster
	}
	j.spare, j.unnamed = s, true
	return nil
}

// syncNames makes the names of new segments durable.
func (j *Journal) syncNames() error {
	j.mu.Lock()
	unnamed := j.unnamed
	j.unnamed = false
	j.mu.Unlock()
	if !unnamed {
		return nil
	}
	err := syncDir(j.config.Dir)
	if err != nil {
		j.mu.Lock()
		j.unnamed = true
		j.mu.Unlock()
	}
	return err
}

// abandon gives a segment up that could not be written to. What it held before
// is still there.
func (j *Journal) abandon(s *segment) {
	j.mu.Lock()
	defer j.mu.Unlock()
	s.sealed = true
	if s.end == segmentHeader {
		j.retryAt = time.Now().Add(retryEvery) // a disk that fails is not given a file for each request
	}
}

// syncBatch waits until a batch is on disk. What is not, is not written.
func (j *Journal) syncBatch(b *batch) {
	failed := make(map[*segment]bool)
	nameless := j.syncNames()
	for i := range b.items {
		s := b.items[i].segment
		if s == nil {
			continue
		}
		bad, known := failed[s]
		if !known {
			if err := errors.Join(nameless, s.file.Sync()); err != nil {
				// The kernel may have forgotten what it could not write: the
				// next time it would say that all is well.
				b.err = fmt.Errorf("sync the journal: %w", err)
				bad = true
				j.abandon(s)
			}
			failed[s] = bad
		}
		if bad {
			b.items[i].segment = nil
		}
	}
}

// account notes where the items of a batch are, and what was lost. j.mu is held.
func (j *Journal) account(b *batch) {
	var lost gapSlot
	for i := range b.items {
		it := &b.items[i]
		switch l := it.live; {
		case it.kind == kindBegin && it.segment == nil:
			l.lost = true
			if l.home == nil { // else it was only to be carried over
				j.settle(it.id, l)
				lost.add(&l.record)
			}
		case it.kind == kindBegin:
			j.begun(it)
			j.gaps.end()
		case it.live.lost:
		case it.segment == nil:
			j.unplaced(it.id, l)
		default:
			it.segment.index[it.id] = uint32(it.offset)
			j.settle(it.id, l)
		}
	}
	if lost.gap.Count > 0 {
		j.gaps.lose(lost.gap.Count, lost.gap.From, lost.gap.To)
	}
}

// add counts a record that could not be kept.
func (s *gapSlot) add(r *latchkey.Record) {
	g := &s.gap
	if g.Count == 0 || r.Time.Before(g.From) {
		g.From = r.Time
	}
	if r.Time.After(g.To) {
		g.To = r.Time
	}
	g.Count++
}

// begun notes where a live record begins. j.mu is held.
func (j *Journal) begun(it *item) {
	l := it.live
	if j.live[it.id] != l {
		return // it has ended meanwhile
	}
	if l.home != nil {
		l.home.open--
	} else {
		l.room = it.size() + endSlack
		j.reserved += l.room
	}
	l.home = it.segment
	l.home.open++
}

// logWrite says once that the disk fails, and once that it works again. j.mu is
// held.
func (j *Journal) logWrite(err error) {
	switch {
	case err != nil && !j.failing.write:
		j.logger.Error("records cannot be kept; they are counted", "error", err)
	case err == nil && j.failing.write:
		j.logger.Info("records are kept again")
	}
	j.failing.write = err != nil
}

// runWatch looks after the writer, until Close. It asks nothing of the disk, so
// that it goes on when that hangs.
func (j *Journal) runWatch() {
	look := time.NewTicker(stallTime / 20)
	defer look.Stop()
	for {
		select {
		case <-j.stop:
			return
		case <-look.C:
			j.lookAfterWriter()
		}
	}
}

// runKeeper syncs what was written, and keeps a segment ready, until Close.
func (j *Journal) runKeeper() {
	sync := time.NewTicker(syncEvery)
	defer sync.Stop()
	for {
		select {
		case <-j.stop:
			return
		case <-j.wakeKeeper:
			j.mu.Lock()
			_ = j.makeSpare() // the writer will say so if it is missing
			j.mu.Unlock()
		case <-sync.C:
			j.syncSegments()
		}
	}
}

// lookAfterWriter lets go those who wait for a disk that hangs.
func (j *Journal) lookAfterWriter() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.writing == nil || time.Since(j.since) < stallTime {
		return
	}
	select {
	case <-j.stalled:
	default:
		j.logger.Error("the journal's disk hangs; responses do not wait for it", "strict", j.config.Strict)
		close(j.stalled)
	}
}

// syncSegments makes what was written durable.
func (j *Journal) syncSegments() {
	j.mu.Lock()
	var dirty []*segment
	for _, s := range j.segments {
		if s.dirty {
			s.dirty = false
			s.use.RLock()
			dirty = append(dirty, s)
		}
	}
	j.mu.Unlock()
	failed := j.syncNames()
	for _, s := range dirty {
		if err := s.file.Sync(); err != nil {
			failed = fmt.Errorf("sync %s: %w", s.path, err)
		}
		s.use.RUnlock()
	}
	if len(dirty) == 0 {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case failed != nil && !j.failing.sync:
		j.logger.Error("the journal is not on disk: a power cut would take records", "error", failed)
	case failed == nil && j.failing.sync:
		j.logger.Info("the journal is synced again")
	}
	j.failing.sync = failed != nil
}
