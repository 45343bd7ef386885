package journal

import (
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"latchkey"
)

// A finding is what a segment holds. It is found without regard to the others,
// so that all processors can be at it: a server that was killed answers nobody
// until all is found. Records are not decoded for it.
type finding struct {
	path    string
	segment *segment // nil: it cannot be used
	err     error    // why

	begun      map[uuid.UUID]int64  // where records begin that do not end in it
	used       map[string]time.Time // when credentials were last accepted
	trace      trace
	torn       int   // bytes that a kill left half written, or that are damaged
	unreadable int64 // bytes
}

// A finder looks through one segment after the other, in the same memory.
type finder struct {
	bytes []byte
	ended []ending
}

// An ending is where an ended record is.
type ending struct {
	id     uuid.UUID
	offset uint32
}

// findAll finds what is in segments. It changes none of them.
func findAll(paths []string, open func(string) (file, error)) []*finding {
	all := make([]*finding, len(paths))
	var next atomic.Int64
	var working sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(paths)) {
		working.Go(func() {
			var f finder
			for i := next.Add(1) - 1; i < int64(len(paths)); i = next.Add(1) - 1 {
				all[i] = f.find(paths[i], open)
			}
		})
	}
	working.Wait()
	return all
}

// closeFound closes segments that were not taken in.
func closeFound(list []*finding) error {
	var errs []error
	for _, f := range list {
		if f.segment != nil {
			errs = append(errs, f.segment.close())
		}
	}
	return errors.Join(errs...)
}

func (f *finder) find(path string, open func(string) (file, error)) *finding {
	s, err := openSegment(path, open)
	if err != nil {
		return &finding{path: path, err: err}
	}
	r := &finding{path: path, segment: s, begun: make(map[uuid.UUID]int64), used: make(map[string]time.Time)}
	b, bad := s.readable(f.bytes, segmentHeader, max(s.end, segmentHeader))
	f.bytes, f.ended = b, f.ended[:0]
	last := int64(segmentHeader) // the end of the last entry
	end, torn, _ := entries(b, s.salt, func(offset int, e *entry) error {
		at := segmentHeader + int64(offset)
		if n := at - last; n > 0 { // entries follow each other: zeros too were some
			s.damaged = true
			r.trace.lose(n)
		}
		last = at + int64(e.size)
		r.trace.read(timeOf(e.id))
		f.note(r, e, at)
		return nil
	})
	s.end = segmentHeader + int64(end)
	if n := within(bad, s.end, s.size); n > 0 {
		s.damaged = true
		r.trace.lose(n)
	}
	r.torn, r.unreadable = torn, within(bad, 0, s.size)
	s.index = make(map[uuid.UUID]uint32, len(f.ended))
	for _, e := range f.ended {
		s.index[e.id] = e.offset
	}
	return r
}

// note notes where a record begins or ends.
func (f *finder) note(r *finding, e *entry, at int64) {
	if e.kind == kindBegin {
		r.begun[e.id] = at
		return
	}
	l, err := e.layout()
	if err != nil {
		return
	}
	delete(r.begun, e.id)
	f.ended = append(f.ended, ending{e.id, uint32(at)})
	credentialID := e.text(l.texts[textCredentialID])
	if len(credentialID) == 0 || string(e.text(l.texts[textOutcome])) != string(latchkey.OutcomeAccepted) {
		return
	}
	if used := time.UnixMicro(l.numbers[0]).UTC(); used.After(r.used[string(credentialID)]) {
		r.used[string(credentialID)] = used
	}
}
