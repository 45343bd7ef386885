package journal

import (
	"cmp"
	"context"
	"errors"
	"io"
	"maps"
	"slices"
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
// place of what cannot. The bytes are in room if there is enough.
func (s *segment) readable(room []byte, from, to int64) (b []byte, bad []stretch) {
	b = slices.Grow(room[:0], int(to-from))
	if n, err := s.file.ReadAt(b[:to-from], from); err == nil || errors.Is(err, io.EOF) {
		return b[:n], nil
	}
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
	}
	// What was found is in the store, and may not be readable here.
	maps.DeleteFunc(s.index, func(_ uuid.UUID, offset uint32) bool { return int64(offset) >= from })
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
	b, _ := s.readable(nil, from, end)
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
