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
	gaps  bool          // somebody waits for a gap to be written
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
	if len(b.items) > 0 || b.gaps {
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
	if len(b.items) > 0 && time.Since(j.since) < stalledTime {
		j.patience = stallTime
	}
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
			if err := errors.Join(nameless, s.sync()); err != nil {
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
		case it.kind == kindBegin && it.segment == nil && l.home != nil:
			// It was only to be carried over, and stays where it is.
		case it.kind == kindBegin && it.segment == nil:
			l.lost = true
			j.settle(it.id, l)
			lost.add(&l.record)
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
	from, to := span(r)
	if g.Count == 0 || from.Before(g.From) {
		g.From = from
	}
	g.To = latest(g.To, to)
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
