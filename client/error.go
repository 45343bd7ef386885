package client

import (
	"bytes"
	"cmp"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"unicode"
)

// The codes of a 401. A Transport acts upon the last three.
const (
	codeMissingCredentials   = "missing_credentials"
	codeMalformedCredentials = "malformed_credentials"
	codeInvalidCredentials   = "invalid_credentials"
	codeTokenExpired         = "token_expired"
	codeTokenNotYetValid     = "token_not_yet_valid"
)

// An Error is an answer that is not a 2xx. Line breaks and other characters that
// do not print are taken out of what the server said.
type Error struct {
	// Code says what kind of error it is, such as "invalid_credentials". It is
	// empty if the server gives no codes.
	Code string

	// Status is the HTTP status, such as 401.
	Status int

	// Detail says in words what is wrong, and where possible how to mend it. If
	// the server says nothing, it is the text of the status.
	Detail string

	// RequestID is the answer's X-Request-Id, by which support finds the
	// request. It is empty if the answer has none.
	RequestID string
}

// Error returns status, code, detail and, at the end, the request ID.
func (e *Error) Error() string {
	line := strconv.Itoa(e.Status)
	if e.Code != "" {
		line += " " + e.Code + ":"
	}
	line += " " + strings.TrimSuffix(e.Detail, ".")
	if e.RequestID == "" {
		return line + "; the answer has no request ID"
	}
	return line + "; request ID " + e.RequestID
}

// ErrorFrom returns the [*Error] that an answer with a status of 400 or more is,
// and nil for any other. It reads at most 64 KiB of the body, and leaves it to the
// caller to close it.
func ErrorFrom(resp *http.Response) error {
	if resp.StatusCode < 400 {
		return nil
	}
	return readError(resp)
}

func readError(resp *http.Response) *Error {
	var p problem
	if isJSON(resp.Header) {
		// An answer that breaks off is an answer without a body.
		body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
		p.parse(body)
	}
	e := &Error{
		Code:      printable(p.Code, 64),
		Status:    resp.StatusCode,
		Detail:    printable(cmp.Or(p.Detail, p.Message, p.Error, p.Title), 1024),
		RequestID: printable(cmp.Or(text(resp.Header.Get("X-Request-Id")), p.RequestID), 128),
	}
	e.Detail = cmp.Or(e.Detail, http.StatusText(e.Status), "unknown status")
	return e
}

// problem is the body of an error: RFC 9457 with code and request_id, or what
// other servers commonly send. A field of another type counts as not there.
type problem struct {
	Code      text `json:"code"`
	Detail    text `json:"detail"`
	Message   text `json:"message"`
	Error     text `json:"error"`
	Title     text `json:"title"`
	RequestID text `json:"request_id"`
}

// text is a string, or empty if the JSON has something else in its place.
type text string

// UnmarshalJSON never fails.
func (t *text) UnmarshalJSON(data []byte) error {
	var s string
	if json.Unmarshal(data, &s) == nil {
		*t = text(s)
	}
	return nil
}

func (p *problem) parse(body []byte) {
	if json.Unmarshal(body, p) != nil {
		*p = problem{}
	}
}

// peekCode returns the code of a 401, and leaves its body as it was. A code that
// is none of ours is none: that server speaks another language.
func peekCode(resp *http.Response) string {
	if !isJSON(resp.Header) {
		return ""
	}
	read, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	rest := io.Reader(resp.Body)
	if err != nil {
		rest = failing{err}
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(read), rest), resp.Body}
	var p problem
	p.parse(read)
	switch p.Code {
	case codeMissingCredentials, codeMalformedCredentials,
		codeInvalidCredentials, codeTokenExpired, codeTokenNotYetValid:
		return string(p.Code)
	}
	return ""
}

// failing is a reader of nothing but an error.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// isJSON reports whether a body is JSON, application/problem+json included.
func isJSON(h http.Header) bool {
	mediaType, _, _ := strings.Cut(strings.ToLower(h.Get("Content-Type")), ";")
	mediaType = strings.TrimSpace(mediaType)
	return mediaType == "application/json" || strings.HasSuffix(mediaType, "+json")
}

// printable returns s in one line, without what could move a terminal's cursor,
// and at most so many bytes of it.
func printable[S ~string](s S, most int) string {
	clean := strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case r == unicode.ReplacementChar || !unicode.IsPrint(r):
			return -1
		}
		return r
	}, string(s))
	if len(clean) > most {
		clean = strings.ToValidUTF8(clean[:most], "")
	}
	return strings.TrimSpace(clean)
}
