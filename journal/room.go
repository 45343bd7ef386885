package journal

import (
	"errors"
	"fmt"
	"time"
)

var (
	errNoRoom = errors.New("there is no room for a segment")
	errBehind = errors.New("the store does not take records, and the journal is as large as it may be")
)

// reserveShare is the part of a segment, one in so many, that is kept free for
// the ends of live records at most. Ends that find no place there go to the
// store past the segments.
const reserveShare = 4

// current returns the segment that an item goes to, and how many bytes it may
// write there. A record does not begin where there would be no room for the ends
// of those that have begun; but however many these are, most of a segment is for
// beginnings.
func (j *Journal) current(i *item) (s *segment, room int64, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if n := len(j.segments); n > 0 && !j.segments[n-1].sealed {
		s = j.segments[n-1]
	}
	if s != nil && s.unsyncable && j.spare != nil && j.held() <= j.config.MaxBytes {
		s = nil
	}
	if s != nil {
		need, reserve := i.size(), j.reserve()
		if i.kind == kindBegin {
			need += reserve
		}
		if free := s.size - s.end; need <= free {
			return s, max(i.size(), free-reserve), nil // what follows an end may be a beginning
		}
	}
	if err := j.rotate(i.kind == kindBegin); err != nil {
		return nil, 0, err
	}
	s = j.segments[len(j.segments)-1]
	free := s.size - s.end
	if i.size() > free {
		return nil, 0, fmt.Errorf("a record of %d bytes does not fit into a segment", i.size())
	}
	return s, max(i.size(), free-j.reserve()), nil
}

// reserve returns how much of the current segment is kept for ends: nothing if
// the next one is there. j.mu is held.
func (j *Journal) reserve() int64 {
	if j.spare != nil {
		return 0
	}
	return min(j.reserved, j.config.SegmentSize/reserveShare)
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

// held returns how many bytes the segments hold: of the current one what was
// written, of the others what they take on disk, however little that is of
// records. j.mu is held.
func (j *Journal) held() (total int64) {
	for _, s := range j.segments {
		if s.sealed {
			total += s.size
		} else {
			total += s.end
		}
	}
	return total
}

// makeSpare makes the next segment, unless that has just failed. j.mu is held,
// but not while the disk works. One is made at a time: the order of their names
// is the order in which they are written.
func (j *Journal) makeSpare() error {
	if j.spare != nil {
		return nil
	}
	j.mu.Unlock()
	j.making.Lock()
	defer j.making.Unlock()
	j.mu.Lock()
	switch {
	case j.spare != nil:
		return nil // another was faster
	case time.Now().Before(j.retryAt):
		return errNoRoom
	}
	sequence := j.next
	j.next++
	j.mu.Unlock()
	s, err := newSegment(j.config.Dir, sequence, j.config.SegmentSize, j.config.create)
	j.mu.Lock()
	if err != nil {
		j.retryAt = time.Now().Add(retryEvery)
		return err
	}
	j.spare, j.unnamed = s, true
	return nil
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
