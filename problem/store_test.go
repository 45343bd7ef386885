package problem_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"

	"latchkey"
	"latchkey/problem"
)

// answered is an error as PostgreSQL's driver gives it.
type answered string

func (a answered) Error() string    { return "the database says " + string(a) }
func (a answered) SQLState() string { return string(a) }

// coded is an error as SQLite's driver gives it.
type coded int

func (c coded) Error() string { return fmt.Sprint("SQLite says ", int(c)) }
func (c coded) Code() int     { return int(c) }

// unsent is an error of a question that never left.
type unsent bool

func (u unsent) Error() string     { return "the connection is gone" }
func (u unsent) SafeToRetry() bool { return bool(u) }

// TestStoreOutOfReach: a store that cannot be asked is 503, and a question that
// it cannot make sense of is a fault of ours.
func TestStoreOutOfReach(t *testing.T) {
	refused := &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	for _, c := range []struct {
		rule string
		err  error
		code latchkey.Code
	}{
		{"nobody listens", refused, latchkey.CodeUnavailable},
		{"the connection breaks", io.ErrUnexpectedEOF, latchkey.CodeUnavailable},
		{"a connection that was closed", net.ErrClosed, latchkey.CodeUnavailable},
		{"PostgreSQL is shutting down", answered("57P01"), latchkey.CodeUnavailable},
		{"PostgreSQL is starting up", answered("57P03"), latchkey.CodeUnavailable},
		{"PostgreSQL has no connection left", answered("53300"), latchkey.CodeUnavailable},
		{"PostgreSQL's disk fails", answered("58030"), latchkey.CodeUnavailable},
		{"PostgreSQL is a standby", answered("25006"), latchkey.CodeUnavailable},
		{"a statement that PostgreSQL cannot read", answered("42601"), latchkey.CodeInternal},
		{"a constraint that is broken", answered("23514"), latchkey.CodeInternal},
		{"a state that is none", answered("5"), latchkey.CodeInternal},
		{"SQLite's file is held by another", coded(5), latchkey.CodeUnavailable},
		{"SQLite's disk is full", coded(13), latchkey.CodeUnavailable},
		{"SQLite cannot write: an extended code", coded(10 | 3<<8), latchkey.CodeUnavailable},
		{"a statement that SQLite cannot read", coded(1), latchkey.CodeInternal},
		{"a question that never left", unsent(true), latchkey.CodeUnavailable},
		{"one that may have", unsent(false), latchkey.CodeInternal},
		{"another error", errors.New("a bug"), latchkey.CodeInternal},
		{"an upstream that refuses is no store", &problem.Error{Code: latchkey.CodeUpstreamUnreachable, Err: refused}, latchkey.CodeUpstreamUnreachable},
	} {
		err := fmt.Errorf("read team: %w", c.err)
		if got := problem.CodeOf(err); got != c.code {
			t.Errorf("%s: %s, must be %s", c.rule, got, c.code)
		}
	}
	unknown := fmt.Errorf("commit: %w: %w", latchkey.ErrOutcomeUnknown, refused)
	if got := problem.CodeOf(unknown); got == latchkey.CodeUnavailable {
		t.Error("a change that may have been made is said to be one that was not")
	}
}
