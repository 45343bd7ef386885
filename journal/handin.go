package journal

import (
	"context"
	"time"

	"latchkey"
)

const (
	// handInEvery is how often a node says how far its records are in the
	// store, also when it has none: half of the second that it may take.
	handInEvery = 500 * time.Millisecond
	// handInTime bounds one attempt.
	handInTime = 5 * time.Second
	// usualTime is how long after its ID was made a response has usually
	// ended: a node that has handed in what ended by then is not waited for.
	usualTime = 2 * time.Second
)

// A handIn is how far this node has handed in. Only the mover uses it, but for
// done, which is of the Journal's mu.
type handIn struct {
	done time.Time // the moment up to which it has been said
	mark *mark     // what is to be said next; nil: nothing yet
}

// A mark is a moment, and where the records are that ended before it.
type mark struct {
	at       time.Time
	until    time.Time       // at, or the time of the oldest record that had not ended
	written  <-chan struct{} // closed once they are in segments; nil: they are
	sequence uint64          // the segment that they reach into
	end      int64           // and the offset there; set once they are written
}

// tryHandIn says how far the records are in the store, if it has been a while,
// and the mover has got there. An error is tried again with the next batch.
func (j *Journal) tryHandIn() {
	h := j.handIn
	if h == nil || time.Since(h.done) < handInEvery {
		return
	}
	if h.mark == nil {
		h.mark = j.newMark(time.Now())
	}
	if !j.reached(h.mark) {
		return
	}
	ctx, cancel := context.WithTimeout(j.moving, handInTime)
	defer cancel()
	at := h.mark.at
	// What could not be kept up to then is in the store first.
	err := j.moveGaps(ctx)
	if err == nil {
		err = j.config.HandIns.HandIn(ctx, latchkey.HandIn{Node: j.config.Node, Until: h.mark.until.UTC().Truncate(time.Microsecond)})
	}
	j.logHandIn(err)
	if err != nil {
		return
	}
	h.mark = nil
	j.mu.Lock()
	h.done = at
	j.mu.Unlock()
}

// newMark marks a moment, which is now.
func (j *Journal) newMark(at time.Time) *mark {
	j.mu.Lock()
	defer j.mu.Unlock()
	m := &mark{at: at, until: at}
	for _, l := range j.live {
		if !l.ended && l.record.Time.Before(m.until) {
			m.until = l.record.Time // whose caller may have its ID already
		}
	}
	switch {
	case len(j.pending.items) > 0:
		m.written = j.pending.done
	case j.writing != nil:
		m.written = j.writing.done
	default:
		m.place(j)
	}
	return m
}

// place notes where the last entry is. j.mu is held.
func (m *mark) place(j *Journal) {
	m.written = nil
	if n := len(j.segments); n > 0 {
		m.sequence, m.end = j.segments[n-1].sequence, j.segments[n-1].end
	}
}

// reached reports whether all that was marked is in the store.
func (j *Journal) reached(m *mark) bool {
	if m.written != nil {
		select {
		case <-m.written:
		default:
			return false
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if m.written != nil {
		m.place(j)
	}
	if len(j.direct) > 0 {
		return false
	}
	if len(j.segments) == 0 {
		return true
	}
	oldest := j.segments[0]
	return oldest.sequence > m.sequence || oldest.sequence == m.sequence && j.moved >= m.end
}

// logHandIn says once that the others cannot be told, and once that they can.
func (j *Journal) logHandIn(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case err != nil && !j.failing.handIn:
		j.logger.Error("other nodes cannot be told how far the records are in the store", "error", err)
	case err == nil && j.failing.handIn:
		j.logger.Info("other nodes are told again how far the records are in the store")
	}
	j.failing.handIn = err != nil
}

// forgetHandIn is for a clean stop, after everything was moved.
func (j *Journal) forgetHandIn(ctx context.Context) error {
	if j.handIn == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, handInTime)
	defer cancel()
	return j.config.HandIns.ForgetHandIn(ctx, j.config.Node)
}
