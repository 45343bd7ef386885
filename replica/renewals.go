package replica

import (
	"context"
	"sync"
	"time"

	"latchkey"
)

// renewals tells those who wait for a lease of renewals that were sent since.
type renewals struct {
	mu           sync.Mutex
	sent         uint64            // how many
	done         uint64            // the last of them that gave a lease
	changed      chan struct{}     // closed when done has moved
	acknowledged latchkey.Revision // by this node
	wish         wish              // what was asked for since
	wake         chan struct{}
}

// A wish is what a renewal is asked for.
type wish struct {
	any      bool              // for itself
	revision latchkey.Revision // for this one, unless memory has it
}

func (a wish) and(b wish) wish { return wish{a.any || b.any, max(a.revision, b.revision)} }

// open reports whether a renewal is wanted still, where memory holds a revision.
func (a wish) open(held latchkey.Revision) bool { return a.any || a.revision > held }

func (w *renewals) init() {
	w.changed, w.wake = make(chan struct{}), make(chan struct{}, 1)
}

// ask makes a renewal be sent soon.
func (w *renewals) ask(a wish) {
	w.mu.Lock()
	w.wish = w.wish.and(a)
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default: // it was asked for already
	}
}

// asked returns what was asked for since the last call.
func (w *renewals) asked() (a wish) {
	w.mu.Lock()
	defer w.mu.Unlock()
	a, w.wish = w.wish, wish{}
	return a
}

// wait asks for a renewal, and reports whether one that was sent since the call
// gave a lease before ctx ended.
func (w *renewals) wait(ctx context.Context) bool {
	w.mu.Lock()
	need, done, changed := w.sent+1, w.done, w.changed
	w.mu.Unlock()
	w.ask(wish{any: true})
	for done < need {
		select {
		case <-ctx.Done():
			return false
		case <-changed:
		}
		w.mu.Lock()
		done, changed = w.done, w.changed
		w.mu.Unlock()
	}
	return true
}

func (w *renewals) begin() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent++
	return w.sent
}

// tell says that this node has acknowledged a revision.
func (w *renewals) tell(revision latchkey.Revision) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.acknowledged = max(w.acknowledged, revision)
	close(w.changed)
	w.changed = make(chan struct{})
}

// told returns when this node has acknowledged a revision, or after a while.
func (w *renewals) told(ctx context.Context, revision latchkey.Revision, atMost time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	for {
		w.mu.Lock()
		told, changed := w.acknowledged, w.changed
		w.mu.Unlock()
		if told >= revision {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
	}
}

func (w *renewals) succeed(number uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if number > w.done {
		w.done = number
		close(w.changed)
		w.changed = make(chan struct{})
	}
}
