package journal

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/google/uuid"

	"latchkey"
)

// takeIn opens the segments that a process left behind. It returns the records
// whose responses never ended. What cannot be read is set aside, and counted as
// a gap.
func (j *Journal) takeIn() (orphans []latchkey.Record, err error) {
	paths, err := segmentsIn(j.config.Dir)
	if err != nil {
		return nil, err
	}
	begun := make(map[uuid.UUID]place)
	var lost losses
	for _, path := range paths {
		if err := j.takeInSegment(path, begun, &lost); err != nil {
			return nil, err
		}
	}
	for id, p := range begun {
		r, err := p.segment.recordAt(p.offset, p.segment.end)
		if err != nil {
			j.logger.Error("a record in the journal is damaged", "error", err)
			j.gaps.note(1, timeOf(id), timeOf(id).Add(time.Millisecond), false)
			continue
		}
		j.live[id] = &live{record: r, home: p.segment}
		p.segment.open++
		orphans = append(orphans, unended(r))
	}
	lost.read(time.Now().UTC())
	for _, g := range lost.gaps {
		j.logger.Error("records that were in the journal are lost", "at_most", g.Count, "from", g.From, "to", g.To)
		j.gaps.note(g.Count, g.From, g.To, true)
	}
	return orphans, nil
}

// A place is where an entry is.
type place struct {
	segment *segment
	offset  int64
}

func (j *Journal) takeInSegment(path string, begun map[uuid.UUID]place, lost *losses) error {
	s, err := openSegment(path, j.config.open)
	var other *versionError
	switch {
	case errors.As(err, &other):
		return err // whoever wrote it can read it
	case err != nil:
		j.logger.Error("a segment of the journal cannot be used, and is set aside", "segment", path, "error", err)
		j.giveUpSegment(path, lost)
		return setAside(path)
	}
	j.next = max(j.next, s.sequence+1)
	j.index(s, begun, lost)
	if s.end == segmentHeader && !s.damaged {
		return s.remove()
	}
	j.segments = append(j.segments, s)
	return nil
}

// giveUpSegment counts what was in a segment that cannot be opened.
func (j *Journal) giveUpSegment(path string, lost *losses) {
	info, err := os.Stat(path)
	if err != nil {
		return
	}
	f, err := j.config.open(path)
	if err != nil {
		lost.without(path, nil, info.Size())
		return
	}
	defer f.Close()
	lost.without(path, f, info.Size())
}

// index finds what is in a segment, and cuts off what a kill left half written.
func (j *Journal) index(s *segment, begun map[uuid.UUID]place, lost *losses) {
	b, bad := s.readable(segmentHeader, max(s.end, segmentHeader))
	last := int64(segmentHeader) // the end of the last entry
	end, damaged, _ := entries(b, s.salt, func(offset int, e *entry) error {
		at := segmentHeader + int64(offset)
		if n := max(within(bad, last, at), int64(nonZero(b[last-segmentHeader:offset]))); n > 0 {
			s.damaged = true
			lost.lose(n, born(s.path))
		}
		last = at + int64(e.size)
		lost.read(timeOf(e.id))
		if e.kind == kindBegin {
			begun[e.id] = place{s, at}
			return nil
		}
		r, err := e.record()
		if err != nil {
			return nil
		}
		delete(begun, e.id)
		s.index[e.id] = uint32(at)
		if r.Outcome == latchkey.OutcomeAccepted && r.CredentialID != "" && r.Time.After(j.used[r.CredentialID]) {
			j.used[r.CredentialID] = r.Time
		}
		return nil
	})
	s.end = segmentHeader + int64(end)
	if n := within(bad, s.end, s.size); n > 0 {
		s.damaged = true
		lost.lose(n, born(s.path))
	}
	if damaged > 0 || s.damaged {
		j.logger.Warn("the journal was torn when the process ended, and is repaired: what is damaged is left out",
			"segment", s.path, "bytes", damaged, "unreadable", within(bad, 0, s.size))
	}
	if s.damaged {
		return // it is set aside as it is
	}
	if err := s.file.Truncate(s.end); err != nil {
		j.logger.Warn("the rest of a segment cannot be cut off", "segment", s.path, "error", err)
	}
}

// A versionError is a segment of another latchkey.
type versionError struct{ version byte }

func (e *versionError) Error() string {
	return fmt.Sprintf("made by another latchkey (version %d; this one knows %d)", e.version, segmentVersion)
}
