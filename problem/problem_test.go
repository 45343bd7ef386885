package problem_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"latchkey"
	"latchkey/problem"
)

const id = "0190a1b2-0000-7000-8000-000000000001"

func write(p problem.Writer, method string, err error, set func(http.Header)) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	if set != nil {
		set(w.Header())
	}
	r := httptest.NewRequest(method, "/", nil)
	p.Write(w, r.WithContext(latchkey.WithRequestID(r.Context(), id)), err)
	return w
}

// TestTable: every error has its code, status, title and detail, and says no
// more than it may.
func TestTable(t *testing.T) {
	const hidden = "disk /dev/x on fire"
	denial := func(code latchkey.Code, detail string) error {
		return &latchkey.Denial{Code: code, Detail: detail, Reason: latchkey.ReasonKeyRolled, Diagnosis: hidden, TeamID: hidden}
	}
	for _, c := range []struct {
		err    error
		status int
		code   latchkey.Code
		detail string // part of it
	}{
		{denial(latchkey.CodeMissingCredentials, "send it"), 401, "missing_credentials", "send it"},
		{denial(latchkey.CodeMalformedCredentials, "no colon"), 401, "malformed_credentials", "no colon"},
		{denial(latchkey.CodeMalformedCredentials, ""), 401, "malformed_credentials", "cannot be read"},
		{denial(latchkey.CodeInvalidCredentials, hidden), 401, "invalid_credentials", "not valid"},
		{denial(latchkey.CodeTokenExpired, "12 s ago"), 401, "token_expired", "12 s ago"},
		{denial(latchkey.CodeTokenNotYetValid, "by 40 s"), 401, "token_not_yet_valid", "by 40 s"},
		{&latchkey.Unavailable{Reason: latchkey.ReasonLeaseOver, Err: errors.New(hidden)}, 503, "unavailable", "Try again"},
		{context.DeadlineExceeded, 503, "unavailable", "Try again"},
		{&latchkey.InvalidError{Field: "phone", Problem: "is empty"}, 400, "invalid_request", "phone is empty."},
		{latchkey.ErrNotFound, 404, "not_found", "nothing here"},
		{latchkey.NotFound("team", hidden), 404, "not_found", "nothing here"},
		{fmt.Errorf("%s: %w", hidden, latchkey.ErrConflict), 409, "conflict", "does not go"},
		{&http.MaxBytesError{Limit: 10}, 413, "body_too_large", "10 bytes"},
		{&problem.Error{Code: latchkey.CodeMethodNotAllowed, Err: errors.New(hidden)}, 405, "method_not_allowed", "Allow"},
		{&problem.Error{Code: latchkey.CodeUpstreamUnreachable}, 502, "upstream_unreachable", "behind"},
		{&problem.Error{Code: latchkey.CodeUpstreamTimeout}, 504, "upstream_timeout", "in time"},
		{&problem.Error{Code: latchkey.CodeNotFound, Detail: "no such page"}, 404, "not_found", "no such page"},
		{&problem.Error{Code: latchkey.CodeConflict, Err: latchkey.ErrNotFound}, 409, "conflict", ""},
		{latchkey.ErrOutcomeUnknown, 500, "internal_error", "not known whether"},
		{errors.Join(latchkey.ErrOutcomeUnknown, &latchkey.Unavailable{}), 500, "internal_error", "not known whether"},
		{errors.New(hidden), 500, "internal_error", "on our side"},
		{context.Canceled, 500, "internal_error", "on our side"},
		{&problem.Error{Code: "unheard_of"}, 500, "unheard_of", "on our side"},
	} {
		for _, err := range []error{c.err, fmt.Errorf("%s: %w", hidden, c.err)} {
			w := write(problem.Writer{}, "GET", err, nil)
			var body problem.Body
			if e := json.Unmarshal(w.Body.Bytes(), &body); e != nil {
				t.Fatal(e)
			}
			if w.Code != c.status || body.Status != c.status || body.Code != c.code ||
				problem.Status(err) != c.status || problem.CodeOf(err) != c.code {
				t.Errorf("%v: %d %+v, want %d %s", err, w.Code, body, c.status, c.code)
			}
			if !strings.Contains(body.Detail, c.detail) || body.Detail == "" || body.Title == "" || body.RequestID != id {
				t.Errorf("%v: %+v, want detail with %q", err, body, c.detail)
			}
			if body.Type != "urn:latchkey:error:"+string(c.code) {
				t.Errorf("type %q", body.Type)
			}
			if all := w.Body.String() + fmt.Sprint(w.Header()); strings.Contains(all, "fire") || strings.Contains(all, "rolled") {
				t.Errorf("%v: the answer says what only the record may: %s", err, all)
			}
			challenged := len(w.Header()["Www-Authenticate"]) == 2
			if challenged != (c.status == 401) || (w.Header().Get("Retry-After") != "") != (c.status == 503) {
				t.Errorf("%v: header %v", err, w.Header())
			}
			if _, allow := w.Header()["Allow"]; allow != (c.status == 405) {
				t.Errorf("%v: a 405, and only that, carries Allow: %v", err, w.Header())
			}
		}
	}
	if problem.Status(nil) != 200 || problem.CodeOf(nil) != "" {
		t.Error("no error is 200 and no code")
	}
}

// TestForm: the bytes and the header of an answer.
func TestForm(t *testing.T) {
	w := write(problem.Writer{Docs: "https://docs.test/errors"}, "GET", latchkey.ErrNotFound, func(h http.Header) {
		for _, name := range []string{"Content-Encoding", "Content-Length", "Content-Disposition", "Etag", "Last-Modified", "Trailer",
			"Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Www-Authenticate", "Retry-After"} {
			h.Set(name, "1")
		}
		h.Set("Cache-Control", "public")
		h.Set("X-Request-Id", id)
	})
	const want = `{"type":"https://docs.test/errors#not_found","title":"Not found","status":404,"detail":"There is nothing here.",` +
		`"code":"not_found","request_id":"` + id + `"}` + "\n"
	if w.Body.String() != want {
		t.Errorf("body\n%s, want\n%s", w.Body, want)
	}
	wantHeader := http.Header{
		"Content-Type": {"application/problem+json"}, "Content-Length": {fmt.Sprint(len(want))},
		"Cache-Control": {"no-store"}, "X-Content-Type-Options": {"nosniff"}, "X-Request-Id": {id},
	}
	if fmt.Sprint(w.Header()) != fmt.Sprint(wantHeader) {
		t.Errorf("header\n%v, want\n%v", w.Header(), wantHeader)
	}
	if head := write(problem.Writer{}, "HEAD", latchkey.ErrNotFound, nil); head.Body.Len() != 0 || head.Header().Get("Content-Length") == "" {
		t.Errorf("HEAD has no body: %q", head.Body)
	}
}

// TestChallenges: RFC 6750, section 3, and RFC 7617, section 2.1.
func TestChallenges(t *testing.T) {
	denial := func(code latchkey.Code, detail string) error { return &latchkey.Denial{Code: code, Detail: detail} }
	for _, c := range []struct {
		realm string
		err   error
		want  string
	}{
		{"", denial(latchkey.CodeMissingCredentials, "send…"), `Bearer realm="latchkey"`},
		{"", denial(latchkey.CodeMalformedCredentials, `say "KEY:" … \ é`),
			`Bearer realm="latchkey", error="invalid_request", error_description="say 'KEY:' ... / ?"`},
		{"", denial(latchkey.CodeInvalidCredentials, ""),
			`Bearer realm="latchkey", error="invalid_token", error_description="The credential is not valid. Support can look up the reason by the request ID."`},
		{`my "API"` + "\r\nX: y", denial(latchkey.CodeTokenExpired, "12 s ago"),
			`Bearer realm="my 'API'??X: y", error="invalid_token", error_description="12 s ago"`},
		{"", denial(latchkey.CodeTokenNotYetValid, "soon"), `Bearer realm="latchkey", error="invalid_token", error_description="soon"`},
	} {
		lines := write(problem.Writer{Realm: c.realm}, "GET", c.err, nil).Header()["Www-Authenticate"]
		if len(lines) != 2 || lines[0] != c.want {
			t.Errorf("challenges %q, want %q", lines, c.want)
			continue
		}
		if !strings.HasPrefix(lines[1], `Basic realm="`) || !strings.HasSuffix(lines[1], `", charset="UTF-8"`) {
			t.Errorf("Basic challenge: %q", lines[1])
		}
	}
}

// TestRetryAfter: whole seconds, rounded up, at least one.
func TestRetryAfter(t *testing.T) {
	for after, want := range map[time.Duration]string{
		0: "1", -time.Hour: "1", time.Millisecond: "1", time.Second: "1", time.Second + 1: "2", time.Minute: "60",
	} {
		w := write(problem.Writer{}, "GET", &latchkey.Unavailable{RetryAfter: after}, nil)
		if got := w.Header().Get("Retry-After"); got != want {
			t.Errorf("%v: %q, want %q", after, got, want)
		}
	}
}

// TestAllow: a 405 names what is allowed, even if that is nothing.
func TestAllow(t *testing.T) {
	for _, allow := range []string{"", "GET, HEAD"} {
		w := write(problem.Writer{}, "GET", &problem.Error{Code: latchkey.CodeMethodNotAllowed, Allow: allow}, nil)
		if got := w.Header()["Allow"]; len(got) != 1 || got[0] != allow {
			t.Errorf("Allow %q, want %q", got, allow)
		}
	}
}

// TestErrorText: for logs it says what lies underneath.
func TestErrorText(t *testing.T) {
	under := errors.New("connection refused")
	e := &problem.Error{Code: latchkey.CodeUpstreamUnreachable, Err: under}
	if e.Error() != "upstream_unreachable: connection refused" || !errors.Is(e, under) {
		t.Errorf("%v", e)
	}
	if got := (&problem.Error{Code: latchkey.CodeNotFound}).Error(); got != "not_found" {
		t.Errorf("%q", got)
	}
}
