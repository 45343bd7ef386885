package journal

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/google/uuid"

	"latchkey"
)

const (
	// handInEvery is how often a node says how far its records are in the
	// store, also when it has none.
	handInEvery = 500 * time.Millisecond
	// handInTime bounds one attempt.
	handInTime = 5 * time.Second
	// openAfter is how long a response goes on before the others are told of
	// it: most end before. What goes on for less is not handed in.
	openAfter = 500 * time.Millisecond
	// maxOpened is of how many responses the others are told at a time.
	maxOpened = 1000
)

// A handIn is how far this node has handed in. Only the mover uses it, but for
// done, which is of the Journal's mu.
type handIn struct {
	id    string    // of this journal
	done  time.Time // the moment up to which it has been said
	mark  *mark     // what is to be said next; nil: nothing yet
	clock clock
	open  map[uuid.UUID]struct{} // what the store has as open
	sure  bool                   // and nothing else
}

// A clock is the store's, as far as this node knows it.
type clock struct {
	store time.Time // zero: the node has not joined the others
	local time.Time // no earlier than that
}

// of returns what the store's clock showed at a local time, or a little less.
func (c clock) of(local time.Time) time.Time { return c.store.Add(local.Sub(c.local)) }

// A mark is a moment, and where the records are that ended before it.
type mark struct {
	at       time.Time
	until    time.Time            // at, or when the oldest response began that goes on and is not open
	open     latchkey.OpenRecords // what is to be said of those that go on
	began    []uuid.UUID          // of open.Began
	ended    []uuid.UUID          // of open.Ended
	written  <-chan struct{}      // closed once they are in segments; nil: they are
	sequence uint64               // the segment that they reach into
	end      int64                // and the offset there; set once they are written
}

// identify returns the ID of the journal in a directory, which it gives it if need
// be: a process that is started again speaks for what the one before it has
// left, and a node of the same name does not. Where none can be kept, it is this
// process's.
func (j *Journal) identify() string {
	path := filepath.Join(j.config.Dir, "id")
	held, err := os.ReadFile(path)
	if err == nil && len(held) == len(rand.Text()) {
		return string(held)
	}
	id := rand.Text()
	if err == nil || errors.Is(err, os.ErrNotExist) {
		err = os.WriteFile(path, []byte(id), 0o600)
	}
	if err != nil {
		j.logger.Warn("the journal's ID cannot be kept: after a restart others wait for a while for what this process leaves", "error", err)
	}
	return id
}

// id is the journal's among those that hand in; "" if nobody does.
func (j *Journal) id() string {
	if j.handIn == nil {
		return ""
	}
	return j.handIn.id
}

// An author is one journal of one node: a copy of a data directory has the ID of the
// journal that it was made of.
type author struct{ node, journal string }

func (j *Journal) author() author { return author{j.config.Node, j.id()} }

// of reports whether a hand-in is the author's own.
func (a author) of(h latchkey.HandIn) bool {
	return a.journal != "" && a.journal == h.Journal && a.node == h.Node
}

// join has the others wait for this node, from before its first response. Of
// what an earlier process left behind they know, unless they have given it up.
func (j *Journal) join(ctx context.Context) {
	h := j.handIn
	ctx, cancel := context.WithTimeout(ctx, handInTime)
	defer cancel()
	in := latchkey.HandIn{Node: j.config.Node, Journal: h.id}
	j.mu.Lock()
	if len(j.segments) > 0 {
		in.Until = born(j.segments[0].path)
	}
	j.mu.Unlock()
	now, err := j.config.HandIns.JoinHandIns(ctx, in)
	j.logHandIn(err)
	if err == nil {
		h.clock = clock{store: now, local: time.Now()}
	}
}

// tryHandIn says how far the records are in the store, if it has been a while,
// and the mover has got there. An error is tried again with the next batch.
func (j *Journal) tryHandIn() {
	h := j.handIn
	if h == nil || time.Since(h.done) < handInEvery {
		return
	}
	if h.clock.store.IsZero() {
		if j.join(j.moving); h.clock.store.IsZero() {
			return
		}
	}
	if h.mark == nil {
		h.mark = j.newMark(time.Now())
	}
	if !j.reached(h.mark) {
		return
	}
	ctx, cancel := context.WithTimeout(j.moving, handInTime)
	defer cancel()
	m := h.mark
	// What could not be kept up to then is in the store first.
	err := j.moveGaps(ctx)
	if err == nil {
		until := h.clock.of(m.until).UTC().Truncate(time.Microsecond)
		var now time.Time
		now, err = j.config.HandIns.HandIn(ctx, latchkey.HandIn{Node: j.config.Node, Journal: h.id, Until: until}, m.open)
		h.said(m, now, err)
	}
	if errors.Is(err, latchkey.ErrNotFound) {
		return // a node of this name took it for lost: all is said with the next mark
	}
	j.logHandIn(err)
	if err != nil {
		return
	}
	j.mu.Lock()
	h.done = m.at
	j.mu.Unlock()
}

// said notes what the store has been told. After an error nobody can say what it
// has: it is told all again.
func (h *handIn) said(m *mark, now time.Time, err error) {
	h.mark = nil
	if err != nil {
		h.open, h.sure = nil, false
		return
	}
	h.clock, h.sure = clock{store: now, local: time.Now()}, true
	for _, id := range m.ended {
		delete(h.open, id)
	}
	if h.open == nil {
		h.open = make(map[uuid.UUID]struct{})
	}
	for _, id := range m.began {
		h.open[id] = struct{}{}
	}
}

// newMark marks a moment, which is now.
func (j *Journal) newMark(at time.Time) *mark {
	j.mu.Lock()
	defer j.mu.Unlock()
	m := &mark{at: at, until: at}
	j.markOpen(m)
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

// markOpen notes which responses have gone on for a while, and which of those
// that had have ended. j.mu is held.
func (j *Journal) markOpen(m *mark) {
	type one struct {
		id uuid.UUID
		*live
	}
	var long []one
	for id, l := range j.live {
		if l.ended {
			continue
		}
		if _, said := j.handIn.open[id]; said {
			continue
		}
		if m.at.Sub(l.begun) >= openAfter {
			long = append(long, one{id, l})
		} else if l.begun.Before(m.until) {
			m.until = l.begun // whose caller may have its ID already
		}
	}
	slices.SortFunc(long, func(a, b one) int { return a.begun.Compare(b.begun) })
	if len(long) > maxOpened {
		m.until, long = long[maxOpened].begun, long[:maxOpened]
	}
	m.open.All = !j.handIn.sure
	for _, l := range long {
		m.open.Began = append(m.open.Began, l.record)
		m.began = append(m.began, l.id)
	}
	for id := range j.handIn.open {
		if l := j.live[id]; l == nil || l.ended {
			m.open.Ended = append(m.open.Ended, id.String())
			m.ended = append(m.ended, id)
		}
	}
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
	return j.config.HandIns.ForgetHandIn(ctx, j.config.Node, j.handIn.id)
}
