package journal

import (
	"bytes"
	"cmp"
	"context"
	"time"

	"github.com/google/uuid"

	"latchkey"
)

const (
	// readPiece is how much is given up where a disk cannot be read, in bytes.
	readPiece = 4 << 10
	// minEntry is less than any entry has, in bytes: so many records at most
	// were in what cannot be read.
	minEntry = 56
)

// EndUnread is the diagnosis of a record whose end could not be read again.
const EndUnread = "The end of this record could not be read from the journal: bytes and duration are missing."

// A stretch is a part of a segment, from an offset to another.
type stretch struct{ from, to int64 }

// within returns how many bytes of the stretches lie between two offsets.
func within(list []stretch, from, to int64) (n int64) {
	for _, s := range list {
		n += max(0, min(s.to, to)-max(s.from, from))
	}
	return n
}

// readable returns what can be read from an offset to another, with zeros in
// place of what cannot.
func (s *segment) readable(from, to int64) (b []byte, bad []stretch) {
	if b, err := s.read(from, to); err == nil {
		return b, nil
	}
	b = make([]byte, 0, to-from)
	for at := from; at < to; at += readPiece {
		end := min(at+readPiece, to)
		piece, err := s.read(at, end)
		if err != nil {
			bad = append(bad, stretch{at, end})
			piece = nil
		}
		b = append(append(b, piece...), make([]byte, int(end-at)-len(piece))...)
	}
	return b, bad
}

// rescue takes from the oldest segment, which cannot be read, what can be, a
// batch at most after the other, and counts the rest as a gap. The segment is
// set aside in the end: the next one must not wait for it.
func (j *Journal) rescue(ctx context.Context, s *segment, cause error) (n int, err error) {
	j.sealNow(s)
	j.mu.Lock()
	from, end := j.moved, s.end
	ended := make(map[uuid.UUID]bool)
	for id, offset := range s.index {
		if int64(offset) >= from {
			ended[id] = true
		}
	}
	j.mu.Unlock()
	list := salvage(s, from, end, ended)
	for rest := list; len(rest) > 0; rest = rest[min(len(rest), maxBatch):] {
		if err := j.append(ctx, rest[:min(len(rest), maxBatch)]); err != nil {
			return 0, err // again, from the beginning: the store has some already
		}
	}
	var lost gapSlot
	j.mu.Lock()
	defer j.mu.Unlock()
	for id := range ended { // what is left there was not found
		lost.add(&latchkey.Record{Time: timeOf(id)})
		delete(s.index, id)
	}
	j.moved = end
	if lost.gap.Count > 0 {
		s.damaged = true
		j.gaps.note(lost.gap.Count, lost.gap.From, lost.gap.To.Add(time.Millisecond), false)
	}
	j.logger.Error("a segment of the journal cannot be read; what could not be kept is counted",
		"segment", s.path, "saved", len(list), "lost", lost.gap.Count, "error", cause)
	wake(j.wakeWriter) // which writes the gaps
	return max(1, len(list)), nil
}

// sealNow keeps the writer from appending to a segment any more.
func (j *Journal) sealNow(s *segment) {
	j.mu.Lock()
	s.sealed = true
	writing := j.writing
	j.mu.Unlock()
	if writing != nil {
		<-writing.done
	}
}

// salvage returns the ended records that can be read, and those whose beginning
// can be, and takes them out of ended.
func salvage(s *segment, from, end int64, ended map[uuid.UUID]bool) (list []latchkey.Record) {
	b, _ := s.readable(from, end)
	begun := make(map[uuid.UUID]latchkey.Record)
	_, _, _ = entries(b, s.salt, func(_ int, e *entry) error {
		r, err := e.record()
		switch {
		case err != nil || !ended[e.id]:
		case e.kind == kindBegin:
			begun[e.id] = r
		default:
			delete(ended, e.id)
			list = append(list, r)
		}
		return nil
	})
	for id, r := range begun {
		if ended[id] {
			delete(ended, id)
			r.Diagnosis = cmp.Or(r.Diagnosis, EndUnread)
			list = append(list, r)
		}
	}
	return list
}

// timeOf returns the time in a UUIDv7, to the millisecond.
func timeOf(id uuid.UUID) time.Time {
	sec, nsec := id.Time().UnixTime()
	return time.Unix(sec, nsec).UTC()
}

// losses counts what segments that were left behind cannot give back. What is
// between two records that can be read was lost between their times.
type losses struct {
	last  time.Time // of the newest record that was read
	from  time.Time // of what is being counted
	count int64     // at most so many
	gaps  []latchkey.Gap
}

// lose counts the records that so many bytes can have held, since a time if
// nothing was read before.
func (l *losses) lose(bytes int64, since time.Time) {
	if l.count == 0 {
		l.from = l.last
		if l.from.IsZero() {
			l.from = since
		}
	}
	l.count += bytes/minEntry + 1
}

// read notes a record that was read, or the end of all.
func (l *losses) read(at time.Time) {
	if l.count > 0 {
		to := at
		if to.Before(l.from) {
			to = l.from
		}
		l.gaps = append(l.gaps, latchkey.Gap{From: l.from, To: to, Count: l.count, AtMost: true})
		l.count = 0
	}
	if at.After(l.last) {
		l.last = at
	}
}

// without takes a segment that has no header, or none that can be read, for
// lost, unless nothing was ever in it.
func (l *losses) without(path string, f file, size int64) {
	since := born(path)
	if f == nil {
		l.lose(size, since)
		return
	}
	s := &segment{path: path, file: f}
	b, bad := s.readable(0, size)
	// Of a segment that was never begun not even the header is whole.
	if n := len(bytes.TrimRight(b[min(len(b), segmentHeader):], "\x00")); n > 0 || len(bad) > 0 {
		l.lose(max(int64(n), within(bad, 0, size)), since)
	}
}
