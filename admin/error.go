package admin

import (
	"encoding/json"
	"errors"
	"net/http"

	"latchkey"
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

// describe is the table from errors to answers. An unknown outcome comes first:
// whatever else is said of it, it must not look like a failure.
func describe(err error) *Error {
	var (
		invalid     *latchkey.InvalidError
		unavailable *latchkey.Unavailable
	)
	e := &Error{Detail: err.Error()}
	switch {
	case errors.Is(err, latchkey.ErrOutcomeUnknown):
		e.Status, e.Code = http.StatusGatewayTimeout, CodeOutcomeUnknown
	case errors.As(err, &unavailable):
		e.Status, e.Code = http.StatusServiceUnavailable, latchkey.CodeUnavailable
	case errors.As(err, &invalid):
		e.Status, e.Code = http.StatusBadRequest, latchkey.CodeInvalidRequest
	case errors.Is(err, latchkey.ErrNotFound):
		e.Status, e.Code = http.StatusNotFound, latchkey.CodeNotFound
	case errors.Is(err, latchkey.ErrConflict):
		e.Status, e.Code = http.StatusConflict, latchkey.CodeConflict
	default:
		e.Status, e.Code = http.StatusInternalServerError, latchkey.CodeInternal
	}
	return e
}

func writeError(w http.ResponseWriter, err error) { writeProblem(w, describe(err)) }

// problemBody is the body of RFC 9457, section 3.
type problemBody struct {
	Type   string        `json:"type"`
	Title  string        `json:"title"`
	Status int           `json:"status"`
	Detail string        `json:"detail"`
	Code   latchkey.Code `json:"code"`
}

func writeProblem(w http.ResponseWriter, e *Error) {
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(e.Status)
	_ = json.NewEncoder(w).Encode(problemBody{
		Type: "about:blank", Title: http.StatusText(e.Status), Status: e.Status, Detail: e.Detail, Code: e.Code,
	})
}
