package latchkey

import (
	"errors"
	"fmt"
	"time"
)

// A Code tells the caller what kind of "no" it got. Codes are part of the API.
type Code string

// The codes that an answer can carry.
const (
	CodeMissingCredentials   Code = "missing_credentials"
	CodeMalformedCredentials Code = "malformed_credentials"
	CodeInvalidCredentials   Code = "invalid_credentials"
	CodeTokenExpired         Code = "token_expired"
	CodeTokenNotYetValid     Code = "token_not_yet_valid"
	CodeUnavailable          Code = "unavailable"
	CodeNotFound             Code = "not_found"
	CodeMethodNotAllowed     Code = "method_not_allowed"
	CodeBodyTooLarge         Code = "body_too_large"
	CodeInvalidRequest       Code = "invalid_request"
	CodeUpstreamUnreachable  Code = "upstream_unreachable"
	CodeUpstreamTimeout      Code = "upstream_timeout"
	CodeConflict             Code = "conflict"       // the management API only
	CodeInternal             Code = "internal_error" // a handler panicked, or a fault of ours
)

// A Reason is the exact cause of a verdict. It is for the record and for
// support; the caller sees only the [Code].
type Reason string

// The reasons that a record can hold.
const (
	ReasonOK               Reason = "ok"
	ReasonNoField          Reason = "no_field"
	ReasonManyFields       Reason = "many_fields"
	ReasonBadScheme        Reason = "bad_scheme"
	ReasonTooLong          Reason = "too_long"
	ReasonBasicEncoding    Reason = "basic_encoding"
	ReasonBasicNoColon     Reason = "basic_no_colon"
	ReasonBasicPassword    Reason = "basic_password"
	ReasonJWTForm          Reason = "jwt_form"
	ReasonJWTAlgorithm     Reason = "jwt_algorithm"
	ReasonJWTClaim         Reason = "jwt_claim"
	ReasonKeyUnknown       Reason = "key_unknown"
	ReasonKeyChecksum      Reason = "key_checksum"
	ReasonKeyRolled        Reason = "key_rolled"
	ReasonSecretUnknown    Reason = "secret_unknown"
	ReasonSecretRevoked    Reason = "secret_revoked"
	ReasonBadSignature     Reason = "bad_signature"
	ReasonTeamDisabled     Reason = "team_disabled"
	ReasonExpired          Reason = "expired"
	ReasonNotYetValid      Reason = "not_yet_valid"
	ReasonLeaseOver        Reason = "lease_over"
	ReasonStoreUnavailable Reason = "store_unavailable"
)

// A Denial is "no": a credential that is missing, malformed or does not hold.
// Code and Detail are for the caller and give an attacker nothing; the rest is
// for the record.
type Denial struct {
	Code   Code
	Detail string // how the caller can mend it; empty: nothing is said beyond the code

	Reason       Reason
	Diagnosis    string // the mistake in words, for support; may be empty
	Method       Method // what was tried, as far as it was understood
	TeamID       string // whose credential was tried, where that is known
	CredentialID string
}

// Error gives the code and the reason; it is meant for logs, not for callers.
func (d *Denial) Error() string { return fmt.Sprintf("denied: %s (%s)", d.Code, d.Reason) }

// Unavailable is "could not find out": this node cannot tell at the moment.
type Unavailable struct {
	Reason     Reason        // [ReasonLeaseOver] or [ReasonStoreUnavailable]
	RetryAfter time.Duration // when asking again may help; 0 means one second
	Err        error         // what lies underneath; may be nil
}

// Error gives the reason and what lies underneath.
func (u *Unavailable) Error() string {
	if u.Err == nil {
		return fmt.Sprintf("unavailable: %s", u.Reason)
	}
	return fmt.Sprintf("unavailable: %s: %v", u.Reason, u.Err)
}

// Unwrap returns what lies underneath.
func (u *Unavailable) Unwrap() error { return u.Err }

// An InvalidError is a value that cannot be used. It names the field and the
// rule, and never holds the value.
type InvalidError struct {
	Field   string // as the caller knows it
	Problem string // completes "FIELD …", such as "is empty"
}

// Error returns "FIELD PROBLEM".
func (e *InvalidError) Error() string { return e.Field + " " + e.Problem }

var (
	// ErrNotFound: there is no such team, credential, record or contact.
	ErrNotFound = errors.New("not found")

	// ErrConflict: the change does not go with what is there (a name or a
	// key that is taken, a third API secret, no overlap to end).
	ErrConflict = errors.New("conflict")

	// ErrOutcomeUnknown: a change was sent to the store, and nobody can say
	// yet whether it was committed. It is never reported as failed.
	ErrOutcomeUnknown = errors.New("outcome unknown")
)

// conflict returns an ErrConflict with the given words.
func conflict(format string, args ...any) error {
	return &worded{kind: ErrConflict, text: fmt.Sprintf(format, args...)}
}

// NotFound returns an error that is [ErrNotFound] and reads: no WHAT "name". A name
// that is a credential by its form was given in the wrong place, and is not repeated.
func NotFound(what, name string) error {
	if credential := CredentialIn(name); credential != "" {
		return &worded{kind: ErrNotFound, text: fmt.Sprintf("no %s: what was given has the form of %s, and is not repeated", what, credential)}
	}
	return &worded{kind: ErrNotFound, text: fmt.Sprintf("no %s %q", what, name)}
}

// worded is one of the sentinels, with words of its own in place of theirs.
type worded struct {
	kind error
	text string
}

func (w *worded) Error() string { return w.text }
func (w *worded) Unwrap() error { return w.kind }
