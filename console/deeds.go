package console

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"latchkey"
)

// A deed is what became of a form. The value is only for the one whose request
// did it: it is not kept.
type deed struct {
	id         string
	settlement latchkey.Settlement
	value      latchkey.Secret
}

// deeds remembers what was done lately, so that the same form does it once. The
// zero value works.
type deeds struct {
	mu   sync.Mutex
	done map[string]*pending
}

type pending struct {
	at    time.Time
	ready chan struct{}
	deed  deed
	err   error
}

// deedTime is how long a form that is sent again is recognised.
const deedTime = 10 * time.Minute

// errDeedFailed is what became of a form whose request broke off.
var errDeedFailed = errors.New("the same form was sent before, and its request broke off")

// once does a deed, or returns what became of it when it was done before: it
// waits for that as long as ctx lives. One that failed may be tried again.
func (d *deeds) once(ctx context.Context, key string, now time.Time, do func() (deed, error)) (result deed, err error) {
	p, first := d.begin(key, now)
	if !first {
		select {
		case <-p.ready:
			return p.deed, p.err
		case <-ctx.Done():
			return deed{}, fmt.Errorf("wait for the same form, sent before: %w", ctx.Err())
		}
	}
	p.err = errDeedFailed // what stands if do panics
	defer func() {
		if p.err != nil {
			d.forget(key)
		}
		close(p.ready)
	}()
	result, err = do()
	p.deed, p.err = deed{id: result.id, settlement: result.settlement}, err
	return result, err
}

// begin returns what is known of a deed, and whether it is the caller's to do.
func (d *deeds) begin(key string, now time.Time) (p *pending, first bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if before, ok := d.done[key]; ok {
		return before, false
	}
	if d.done == nil {
		d.done = make(map[string]*pending)
	}
	for k, old := range d.done {
		if now.Sub(old.at) > deedTime {
			delete(d.done, k)
		}
	}
	p = &pending{at: now, ready: make(chan struct{})}
	d.done[key] = p
	return p, true
}

func (d *deeds) forget(key string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.done, key)
}
