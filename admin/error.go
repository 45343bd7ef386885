package admin

import (
	"encoding/json"
	"errors"
	"net/http"

	"latchkey"
	"latchkey/problem"
)

// CodeOutcomeUnknown is the code of [latchkey.ErrOutcomeUnknown]: a change was
// sent to the store, and nobody can say yet whether it holds.
const CodeOutcomeUnknown latchkey.Code = "outcome_unknown"

// An Error is an operation that did not succeed, as the client sees it. It
// matches [latchkey.ErrNotFound], [latchkey.ErrConflict] and
// [latchkey.ErrOutcomeUnknown] as its code says, and has the words of the error
// that the server met: here, unlike in the public API, they are for its owner.
type Error struct {
	Status int           // HTTP
	Code   latchkey.Code // not_found, conflict, invalid_request, unavailable, outcome_unknown or internal_error
	Detail string
}

// Error returns the detail, or the code where there is none.
func (e *Error) Error() string {
	if e.Detail == "" {
		return string(e.Code)
	}
	return e.Detail
}

// Unwrap returns the error of package latchkey that the code stands for, or nil.
func (e *Error) Unwrap() error {
	switch e.Code {
	case latchkey.CodeNotFound:
		return latchkey.ErrNotFound
	case latchkey.CodeConflict:
		return latchkey.ErrConflict
	case CodeOutcomeUnknown:
		return latchkey.ErrOutcomeUnknown
	}
	return nil
}

// describe returns the answer to err: what package problem makes of it, with the
// error's own words.
func describe(err error) problem.Body {
	body := problem.Writer{}.Body(err, "")
	if errors.Is(err, latchkey.ErrOutcomeUnknown) {
		// The public API has no changes of credentials, and so no code for this.
		body.Code, body.Status = CodeOutcomeUnknown, http.StatusGatewayTimeout
		body.Title = "It is not known whether the change was made"
	}
	body.Detail = err.Error()
	return body
}

// NotYet answers every operation of a server that is not there yet with
// [latchkey.CodeUnavailable]: nothing was done.
func NotYet(why string) http.Handler {
	body := problem.Writer{}.Body(&problem.Error{Code: latchkey.CodeUnavailable, Detail: why}, "")
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { writeProblem(w, body) })
}

func writeError(w http.ResponseWriter, err error) { writeProblem(w, describe(err)) }

func writeProblem(w http.ResponseWriter, body problem.Body) {
	h := w.Header()
	h.Set("Content-Type", problem.ContentType)
	h.Set("Cache-Control", "no-store")
	if body.Status == http.StatusServiceUnavailable {
		h.Set("Retry-After", "1")
	}
	w.WriteHeader(body.Status)
	_ = json.NewEncoder(w).Encode(body)
}
