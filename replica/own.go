package replica

import "latchkey"

// begin begins a renewal, and returns what memory holds: until end, nothing but
// the answer of a renewal is applied.
func (r *Replica) begin() latchkey.Position {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asking++
	r.unsaid = false // this one says it
	return r.position
}

func (r *Replica) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asking--
}

// applyOwn applies a change that this process made, whose commit was confirmed, if
// memory holds just what it was made on, under a lease, and no renewal is under
// way. It returns the registration of this node whose memory has the change then,
// else nothing. The lease stays what it is: memory is only newer than it has to be.
func (r *Replica) applyOwn(c latchkey.Change) (registration string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.lease.Load()
	if c.Wrote == nil || c.Before != r.position || r.asking > 0 || l == nil || r.registration.ID == "" {
		return ""
	}
	if err := r.remember(c.Position(), nil); err != nil {
		return "" // the next renewal says what is wrong
	}
	r.apply(*c.Wrote)
	r.position, r.unsaid = c.Position(), true
	newer := *l
	newer.revision = c.Revision
	r.lease.Store(&newer)
	return r.registration.ID
}
