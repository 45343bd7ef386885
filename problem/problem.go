// Package problem turns errors into HTTP answers: application/problem+json (RFC
// 9457), with a code that the caller can act on and the request's ID. It is the
// one place that knows which error is which status.
//
// What an error says in words never leaves, but for the parts that are written
// for callers: the detail of a [latchkey.Denial] or an [Error], and the field
// that a [latchkey.InvalidError] names.
package problem

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"latchkey"
)

// ContentType is the media type of every answer.
const ContentType = "application/problem+json"

// A Writer writes errors as HTTP answers. The zero value works.
type Writer struct {
	Realm string // of WWW-Authenticate; "" means "latchkey"
	Docs  string // URL of the page that explains the codes; "" means that type is a urn:latchkey:error
}

// A Body is what an answer says, in JSON.
type Body struct {
	Type      string        `json:"type"`
	Title     string        `json:"title"`
	Status    int           `json:"status"`
	Detail    string        `json:"detail"`
	Code      latchkey.Code `json:"code"`
	RequestID string        `json:"request_id"`
}

// An Error is an answer that HTTP itself asks for: no such path, a method that
// is not allowed, a body too large, an upstream that failed.
type Error struct {
	Code   latchkey.Code
	Detail string // for the caller; "" means the code's own words
	Err    error  // what lies underneath: for logs, never sent; may be nil
	Allow  string // with method_not_allowed: the value of the Allow field
}

// Error gives the code and what lies underneath; it is meant for logs.
func (e *Error) Error() string {
	if e.Err == nil {
		return string(e.Code)
	}
	return fmt.Sprintf("%s: %v", e.Code, e.Err)
}

// Unwrap returns what lies underneath.
func (e *Error) Unwrap() error { return e.Err }

// Status returns the HTTP status that answers err: 200 for nil, 500 for an
// error that is none of ours.
func Status(err error) int {
	if err == nil {
		return http.StatusOK
	}
	return entryOf(CodeOf(err)).status
}

// CodeOf returns the code that answers err: "" for nil,
// [latchkey.CodeInternal] for an error that is none of ours.
func CodeOf(err error) latchkey.Code {
	if err == nil {
		return ""
	}
	code, _ := judge(err)
	return code
}

// Body returns what the answer to err says.
func (p Writer) Body(err error, requestID string) Body {
	code, detail := judge(err)
	e := entryOf(code)
	if detail == "" {
		detail = e.detail
	}
	return Body{
		Type: p.typeOf(code), Title: e.title, Status: e.status,
		Detail: detail, Code: code, RequestID: requestID,
	}
}

func (p Writer) typeOf(code latchkey.Code) string {
	if p.Docs == "" {
		return "urn:latchkey:error:" + string(code)
	}
	return p.Docs + "#" + string(code)
}

// Write answers a request with err, which must not be nil. The ID is that of
// the request's context, whose record is told of err ([latchkey.Report]). Fields
// that described another body are removed from w's header, and so is every CORS
// field: a browser must not hold a key.
func (p Writer) Write(w http.ResponseWriter, r *http.Request, err error) {
	latchkey.Report(r.Context(), err)
	body := p.Body(err, latchkey.RequestIDFrom(r.Context()))
	text, encodeErr := json.Marshal(body)
	if encodeErr != nil { // six plain fields: cannot be
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	text = append(text, '\n')
	h := w.Header()
	clean(h)
	p.Header(h, err)
	h.Set("Content-Type", ContentType)
	h.Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(body.Status)
	if r.Method != http.MethodHead {
		// The status is out: a caller that has gone is all that can fail.
		_, _ = w.Write(text)
	}
}

// Header sets the fields that belong to the answer to err whatever its body:
// Cache-Control and X-Content-Type-Options, and WWW-Authenticate, Retry-After
// or Allow where the status asks for them.
func (p Writer) Header(h http.Header, err error) {
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	code, detail := judge(err)
	switch entryOf(code).status {
	case http.StatusUnauthorized:
		h["Www-Authenticate"] = p.challenges(code, detail)
	case http.StatusServiceUnavailable:
		h.Set("Retry-After", strconv.Itoa(retryAfter(err)))
	case http.StatusMethodNotAllowed:
		var e *Error
		if errors.As(err, &e) {
			h.Set("Allow", e.Allow)
		}
	}
}

// clean removes what a handler may have said of a body that will not come.
func clean(h http.Header) {
	for name := range h {
		switch name {
		case "Accept-Ranges", "Allow", "Etag", "Expires", "Last-Modified", "Retry-After",
			"Trailer", "Transfer-Encoding", "Www-Authenticate":
			delete(h, name)
			continue
		}
		if strings.HasPrefix(name, "Content-") || strings.HasPrefix(name, "Access-Control-") ||
			strings.HasPrefix(name, http.TrailerPrefix) {
			delete(h, name)
		}
	}
}

// retryAfter returns whole seconds, at least one.
func retryAfter(err error) int {
	var u *latchkey.Unavailable
	if !errors.As(err, &u) {
		return 1
	}
	return max(1, int((u.RetryAfter+time.Second-1)/time.Second))
}

// judge says which code answers err, and what more its detail says than the
// code's own words ("": nothing).
func judge(err error) (latchkey.Code, string) {
	var (
		explicit    *Error
		denial      *latchkey.Denial
		unavailable *latchkey.Unavailable
		invalid     *latchkey.InvalidError
		tooLarge    *http.MaxBytesError
	)
	switch {
	case errors.As(err, &explicit):
		return explicit.Code, explicit.Detail
	case errors.As(err, &denial):
		if denial.Code == latchkey.CodeInvalidCredentials {
			return denial.Code, "" // whatever the reason, the same bytes
		}
		return denial.Code, denial.Detail
	case errors.Is(err, latchkey.ErrOutcomeUnknown):
		// Before unavailable, which may be what made it unknown.
		return latchkey.CodeInternal, "It is not known whether the change was made. Look before you try again."
	case errors.As(err, &unavailable):
		return latchkey.CodeUnavailable, ""
	case errors.As(err, &invalid):
		return latchkey.CodeInvalidRequest, invalid.Error() + "."
	case errors.Is(err, latchkey.ErrNotFound):
		return latchkey.CodeNotFound, ""
	case errors.Is(err, latchkey.ErrConflict):
		return latchkey.CodeConflict, ""
	case errors.As(err, &tooLarge):
		return latchkey.CodeBodyTooLarge, fmt.Sprintf("The body may have at most %d bytes.", tooLarge.Limit)
	case errors.Is(err, context.DeadlineExceeded), outOfReach(err):
		return latchkey.CodeUnavailable, ""
	}
	return latchkey.CodeInternal, ""
}
