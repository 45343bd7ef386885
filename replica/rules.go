//go:build !mutant

package replica

import (
	"context"

	"latchkey"
)

// leftOut reports whether a rule of the protocol is left out. Only a binary
// that is built to show that the tests notice can leave one out.
func leftOut(string) bool { return false }

// checkedEarly reports whether the lease was checked before the request had
// come: never.
func checkedEarly(context.Context) bool { return false }

// joined looks up for one request: none shares another's answer.
func (r *Replica) joined(_ string, look func() (latchkey.Found, error)) (latchkey.Found, error) {
	return look()
}

// hinted is called when the database has said that something changed.
func (r *Replica) hinted() {}

// unread reports whether a renewal is not to be read, because there was no hint:
// never.
func (r *Replica) unread() bool { return false }

// reapTooSoon removes registrations by the time of a commit: never.
func (r *Replica) reapTooSoon(context.Context, []latchkey.Registration) {}
