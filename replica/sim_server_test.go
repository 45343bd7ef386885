package replica_test

import (
	"errors"
	"slices"
	"time"

	"latchkey"
)

var (
	// errRetry: another change of the team came between; it is tried again.
	errRetry = errors.New("another change of the team came between")
	// errDown: the connection was refused or reset.
	errDown = errors.New("connection refused")
	// errWarned: the commit came with a warning.
	errWarned = errors.New("committed here, and on no standby")
)

// How a server's commits reach its standby.
type replication int

const (
	alone        replication = iota // there is none
	synchronous                     // a commit is confirmed, and seen, when the standby has it
	asynchronous                    // the standby has it later
)

// A server is a database server of the simulation. What is called on it happens
// at one moment; a commit with a synchronous standby happens when that has it.
type server struct {
	w       *world
	name    string
	seen    *state // what transactions see
	mode    replication
	standby *server
	parted  bool // from its standby
	down    bool
	epoch   int           // it counts the crashes: connections of an earlier one are broken
	lag     time.Duration // of the standby, at most

	pending   []*commit // in order: the standby has confirmed none of them
	last      time.Time // when the standby gets the latest
	listeners map[*listener]bool
}

// A commit is a transaction that writes. run is called once on each server that
// gets it, in the same order. All of a server happens under the world's lock.
type commit struct {
	run     func(s *state) (any, error)
	reply   func(any, error)
	lease   bool // it renews a lease
	durable bool
	done    bool // the primary has replied
}

// A listener is a connection that hears of changes.
type listener struct {
	hint   func(latchkey.Revision)
	broken func()
}

func (v *server) now() time.Time { return time.Now().Add(v.w.dbAhead).Truncate(time.Microsecond) }

// write commits c, sooner or later or never.
func (v *server) write(c *commit) {
	switch {
	case v.mode == alone:
		v.show(c, nil)
	case v.mode == asynchronous:
		v.ship(c)
		v.show(c, nil)
	case !c.durable || c.lease && v.w.leftOut("durablelease"):
		v.ship(c)
		v.show(c, nil)
	default:
		v.pending = append(v.pending, c)
		v.ship(c)
		// The session's statement time-out cancels the wait for the standby.
		v.w.after(v.w.cancelAfter, func() {
			if !c.done {
				v.flush(c)
			}
		})
	}
}

// ship sends a commit to the standby, in order. With a synchronous standby the
// way back confirms it.
func (v *server) ship(c *commit) {
	at := time.Now().Add(v.w.span(v.lag))
	if !at.After(v.last) {
		at = v.last.Add(time.Nanosecond)
	}
	v.last = at
	standby := v.standby
	v.w.after(time.Until(at), func() {
		if v.parted || v.standby != standby {
			return // and so are all after it
		}
		_, _ = c.run(standby.seen)
		standby.notify()
		if v.mode == synchronous && !c.done {
			v.w.after(v.w.span(v.lag), func() {
				if !v.parted && !v.down {
					v.confirm(c)
				}
			})
		}
	})
}

// confirm shows a commit, and those before it: the standby has them.
func (v *server) confirm(c *commit) {
	at := slices.Index(v.pending, c)
	for _, p := range v.pending[:at+1] {
		v.show(p, nil)
	}
	v.pending = slices.Delete(v.pending, 0, at+1)
}

// flush shows a commit that was cancelled, and those before it, on this server
// alone: their callers get a warning.
func (v *server) flush(c *commit) {
	at := slices.Index(v.pending, c)
	for _, p := range v.pending[:at+1] {
		v.show(p, errWarned)
	}
	if v != v.w.primary {
		v.w.noteRift(v.seen, v.w.primary.seen) // nodes may have read it
	}
	v.pending = slices.Delete(v.pending, 0, at+1)
	v.w.stats.fault("local commit with a warning")
}

func (v *server) show(c *commit, warning error) {
	before := len(v.seen.log)
	answer, err := c.run(v.seen)
	c.done = true
	if v.w.tracing {
		v.w.trace("%s shows a commit, its standby has it: %v; registrations %+v", v.name, warning == nil, v.seen.list())
	}
	if len(v.seen.log) != before {
		v.notify()
	}
	if err == nil && warning != nil {
		err = warning
	}
	c.reply(answer, err)
}

// notify tells those who listen that something changed.
func (v *server) notify() {
	for l := range v.listeners {
		l.hint(v.seen.position().Revision)
	}
}

// crash breaks all connections. What was committed stays.
func (v *server) crash() {
	v.down = true
	v.epoch++
	for l := range v.listeners {
		l.broken()
	}
}

func (v *server) restart() { v.down = false }

// newStandby gives the server a standby that has everything.
func (v *server) newStandby(mode replication, name string) *server {
	v.mode = mode
	v.standby = &server{w: v.w, name: name, seen: v.seen.clone(), listeners: make(map[*listener]bool)}
	return v.standby
}

// update commits a holding for a caller.
func (v *server) update(h latchkey.Holding, seen latchkey.Revision, op *operation, changeID string, reply func(latchkey.Change, error)) {
	at := v.now()
	v.write(&commit{durable: true,
		run: func(s *state) (any, error) {
			e, err := s.commit(h, seen, changeID)
			if err != nil {
				return nil, err
			}
			v.w.committed(op, latchkey.Revision(len(s.log)), e)
			return latchkey.Change{Revision: latchkey.Revision(len(s.log)), ID: changeID, At: at}, nil
		},
		reply: func(c any, err error) {
			change, _ := c.(latchkey.Change)
			reply(change, err)
		},
	})
}
