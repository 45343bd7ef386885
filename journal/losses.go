package journal

import (
	"bytes"
	"time"

	"latchkey"
)

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
// lost. It reports whether nothing was ever in it: a process was killed while it
// made it.
func (l *losses) without(path string, f file, size int64) (empty bool) {
	since := born(path)
	if f == nil {
		l.lose(size, since)
		return false
	}
	s := &segment{path: path, file: f}
	b, bad := s.readable(nil, 0, size)
	n := len(bytes.TrimRight(b[min(len(b), segmentHeader):], "\x00"))
	if n == 0 && len(bad) == 0 {
		return true
	}
	l.lose(max(int64(n), within(bad, 0, size)), since)
	return false
}

// A trace is the order in which a segment was read, for [losses]: what is lost
// between two records is counted once all that was before it is known.
type trace []stride

// A stride is records that could be read, and what is lost behind them.
type stride struct {
	first, newest time.Time // of the records; zero: there are none
	lost          int64     // in bytes
}

// read notes a record that was read.
func (t *trace) read(at time.Time) {
	if n := len(*t); n == 0 || (*t)[n-1].lost > 0 {
		*t = append(*t, stride{first: at, newest: at})
		return
	}
	if s := &(*t)[len(*t)-1]; at.After(s.newest) {
		s.newest = at
	}
}

// lose notes bytes that are lost behind it.
func (t *trace) lose(bytes int64) {
	if n := len(*t); n == 0 || (*t)[n-1].lost > 0 {
		*t = append(*t, stride{})
	}
	(*t)[len(*t)-1].lost = bytes
}

// follow counts what a trace says, of a segment that was made at a time.
func (l *losses) follow(t trace, since func() time.Time) {
	for _, s := range t {
		if !s.first.IsZero() {
			l.read(s.first)
			l.read(s.newest)
		}
		if s.lost > 0 {
			l.lose(s.lost, since())
		}
	}
}
