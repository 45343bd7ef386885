package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
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
	if err := j.passAside(); err != nil {
		return nil, err
	}
	found := findAll(paths, j.config.open)
	begun := make(map[uuid.UUID]place)
	var lost losses
	for i, f := range found {
		if err := j.takeInSegment(f, begun, &lost); err != nil {
			return nil, errors.Join(err, closeFound(found[i:]))
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

// passAside keeps the numbers of segments that were set aside from being given
// again.
func (j *Journal) passAside() error {
	files, err := os.ReadDir(j.config.Dir)
	if err != nil {
		return fmt.Errorf("list the journal: %w", err)
	}
	for _, f := range files {
		name, is := strings.CutSuffix(f.Name(), segmentSuffix+asideSuffix)
		if sequence, err := strconv.ParseUint(name, 16, 64); is && err == nil {
			j.next = max(j.next, sequence+1)
		}
	}
	return nil
}

// A place is where an entry is.
type place struct {
	segment *segment
	offset  int64
}

// takeInSegment takes in what was found in a segment, after all before it.
func (j *Journal) takeInSegment(f *finding, begun map[uuid.UUID]place, lost *losses) error {
	var other *versionError
	switch {
	case errors.As(f.err, &other):
		return f.err // whoever wrote it can read it
	case f.err != nil:
		return j.giveUpSegment(f, lost)
	}
	s := f.segment
	j.next = max(j.next, s.sequence+1)
	lost.follow(f.trace, func() time.Time { return born(f.path) })
	for id := range begun {
		if _, ended := s.index[id]; ended {
			delete(begun, id)
		}
	}
	for id, offset := range f.begun {
		begun[id] = place{s, offset}
	}
	for credentialID, at := range f.used {
		if at.After(j.used[credentialID]) {
			j.used[credentialID] = at
		}
	}
	if f.torn > 0 || s.damaged {
		j.logger.Warn("the journal was torn when the process ended, and is repaired: what is damaged is left out",
			"segment", f.path, "bytes", f.torn, "unreadable", f.unreadable)
	}
	if !s.damaged { // else it is set aside as it is
		if err := s.file.Truncate(s.end); err != nil {
			j.logger.Warn("the rest of a segment cannot be cut off", "segment", f.path, "error", err)
		} else {
			s.size = s.end
		}
		if s.end == segmentHeader {
			return s.remove()
		}
	}
	j.segments = append(j.segments, s)
	return nil
}

// giveUpSegment sets a segment aside that cannot be opened, and counts what was
// in it. One that was never begun is deleted.
func (j *Journal) giveUpSegment(found *finding, lost *losses) error {
	sequence, err := strconv.ParseUint(strings.TrimSuffix(filepath.Base(found.path), segmentSuffix), 16, 64)
	if err == nil {
		j.next = max(j.next, sequence+1)
	}
	if info, err := os.Stat(found.path); err == nil {
		f, err := j.config.open(found.path)
		if err != nil {
			lost.without(found.path, nil, info.Size())
		} else {
			empty := lost.without(found.path, f, info.Size())
			if err := f.Close(); err != nil {
				j.logger.Warn("a segment cannot be closed", "segment", found.path, "error", err)
			}
			if empty && errors.Is(found.err, errNoSegment) {
				return os.Remove(found.path)
			}
		}
	}
	j.logger.Error("a segment of the journal cannot be used, and is set aside", "segment", found.path, "error", found.err)
	return setAside(found.path)
}

// A versionError is a segment of another latchkey.
type versionError struct{ version byte }

func (e *versionError) Error() string {
	return fmt.Sprintf("made by another latchkey (version %d; this one knows %d)", e.version, segmentVersion)
}
