package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"latchkey"
)

// Each kind of error reaches the client with its code, its words and its
// identity.
func TestErrors(t *testing.T) {
	everyWay(t, func(t *testing.T, c *Client, a *API, m *memory) {
		ctx := t.Context()
		made := mustChange[NewTeam](t)(c.CreateTeam(ctx, "acme"))
		mustChange[NewSecret](t)(c.CreateSecret(ctx, "acme"))
		change := func(_ any, _ Settlement, err error) error { return err }
		roll := func() error { v, s, err := c.RollKey(ctx, "acme", 0); return change(v, s, err) }

		for _, test := range []struct {
			name   string
			fail   error // of the store
			settle error // of the replica
			do     func() error
			code   latchkey.Code
			status int
			is     error
			words  string // all of them, or as many as end in …
		}{
			{name: "unknown team", do: func() error { _, err := c.Key(ctx, "nobody"); return err },
				code: latchkey.CodeNotFound, status: 404, is: latchkey.ErrNotFound, words: `no team "nobody"`},
			{name: "unknown secret", do: func() error { v, s, err := c.RevokeSecret(ctx, "x"); return change(v, s, err) },
				code: latchkey.CodeNotFound, status: 404, is: latchkey.ErrNotFound, words: `no API secret "x"`},
			{name: "unknown request", do: func() error { _, err := c.Request(ctx, "0198C5E2-7d3a-7b61-9f0e-3c1d5a8b2e41"); return err },
				code: latchkey.CodeNotFound, status: 404, is: latchkey.ErrNotFound, words: `no request "0198c5e2-7d3a-7b61-9f0e-3c1d5a8b2e41"`},
			{name: "records of an unknown team", do: func() error { _, err := c.Requests(ctx, RequestFilter{Team: "nobody"}); return err },
				code: latchkey.CodeNotFound, status: 404, is: latchkey.ErrNotFound, words: `no team "nobody"`},
			{name: "third secret", do: func() error { v, s, err := c.CreateSecret(ctx, "acme"); return change(v, s, err) },
				code: latchkey.CodeConflict, status: 409, is: latchkey.ErrConflict,
				words: `team "acme" has 2 live API secrets already: revoke one first`},
			{name: "no overlap to end", do: func() error { v, s, err := c.RetireKey(ctx, "acme"); return change(v, s, err) },
				code: latchkey.CodeConflict, status: 409, is: latchkey.ErrConflict, words: `team "acme" has no old key in an overlap`},
			{name: "empty name", do: func() error { v, s, err := c.CreateTeam(ctx, ""); return change(v, s, err) },
				code: latchkey.CodeInvalidRequest, status: 400, words: "name is empty"},
			{name: "overlap too long", do: func() error { v, s, err := c.RollKey(ctx, "acme", 25*time.Hour); return change(v, s, err) },
				code: latchkey.CodeInvalidRequest, status: 400, words: "overlap must be between 0 and 24h"},
			{name: "overlap below zero", do: func() error { v, s, err := c.RollKey(ctx, "acme", math.MinInt64); return change(v, s, err) },
				code: latchkey.CodeInvalidRequest, status: 400, words: "overlap must be between 0 and 24h"},
			{name: "status out of range", do: func() error { _, err := c.Requests(ctx, RequestFilter{Status: 99}); return err },
				code: latchkey.CodeInvalidRequest, status: 400, words: "status must be between 100 and 599"},
			{name: "limit out of range", do: func() error { _, err := c.Requests(ctx, RequestFilter{Limit: 1001}); return err },
				code: latchkey.CodeInvalidRequest, status: 400, words: "limit must be between 1 and 1000"},
			{name: "outcome unheard of", do: func() error { _, err := c.Requests(ctx, RequestFilter{Outcome: "lost"}); return err },
				code: latchkey.CodeInvalidRequest, status: 400, words: "outcome must be accepted, denied, unavailable or error"},
			{name: "not a request ID", do: func() error { _, err := c.Request(ctx, "lost"); return err },
				code: latchkey.CodeInvalidRequest, status: 400, words: "request ID is not one of ours…"},
			{name: "store unavailable", fail: &latchkey.Unavailable{Reason: latchkey.ReasonStoreUnavailable}, do: roll,
				code: latchkey.CodeUnavailable, status: 503, words: "unavailable: store_unavailable"},
			{name: "outcome unknown", fail: fmt.Errorf("commit: %w", latchkey.ErrOutcomeUnknown), do: roll,
				code: CodeOutcomeUnknown, status: 504, is: latchkey.ErrOutcomeUnknown, words: "commit: outcome unknown"},
			{name: "outcome unknown, and unavailable", fail: latchkey.ErrOutcomeUnknown, settle: &latchkey.Unavailable{Reason: latchkey.ReasonLeaseOver},
				do: roll, code: CodeOutcomeUnknown, status: 504, is: latchkey.ErrOutcomeUnknown, words: "outcome unknown…"},
			{name: "committed, not settled", settle: &latchkey.Unavailable{Reason: latchkey.ReasonLeaseOver}, do: roll,
				code: CodeOutcomeUnknown, status: 504, is: latchkey.ErrOutcomeUnknown, words: "the change was committed, but not every node is known to follow it…"},
			{name: "fault", do: func() error { _, err := c.Key(ctx, "unreadable"); return err },
				code: latchkey.CodeInternal, status: 500, words: "the disk is gone"},
		} {
			m.fail, m.settleErr = test.fail, test.settle
			err := test.do()
			m.fail, m.settleErr = nil, nil
			var said *Error
			if !errors.As(err, &said) {
				t.Errorf("%s: %v is not an *Error", test.name, err)
				continue
			}
			if said.Code != test.code || said.Status != test.status {
				t.Errorf("%s: %s with status %d, want %s with %d", test.name, said.Code, said.Status, test.code, test.status)
			}
			for _, kind := range []error{latchkey.ErrNotFound, latchkey.ErrConflict, latchkey.ErrOutcomeUnknown} {
				if errors.Is(err, kind) != (kind == test.is) {
					t.Errorf("%s: errors.Is(%q, %q) is %v", test.name, err, kind, errors.Is(err, kind))
				}
			}
			words, more := strings.CutSuffix(test.words, "…")
			if err.Error() != words && !(more && strings.HasPrefix(err.Error(), words)) {
				t.Errorf("%s: it says %q, want %q", test.name, err, test.words)
			}
		}
		expect(t, a, "the team's key after it all", must2(c.Key(ctx, made.Team.ID))(t).APIKey, latchkey.ReasonOK)
	})
}

// What is not understood is refused, and never quoted.
func TestBadQuestions(t *testing.T) {
	a, _ := newAPI(t)
	mustChange[NewTeam](t)(Local(a.Handler()).CreateTeam(t.Context(), "acme"))
	const canary = "CANARY0123456789abcdef"
	for name, test := range map[string]struct {
		method, path, body string
		status             int
	}{
		"no body":                               {"POST", "/key/roll", "", 400},
		"not JSON":                              {"POST", "/key/import", canary, 400},
		"a value in no place":                   {"POST", "/key/import", `{"team":"acme","` + canary + `":1}`, 400},
		"of another type":                       {"POST", "/key/import", `{"team":"acme","api_key":["` + canary + `"]}`, 400},
		"an option of another version":          {"POST", "/key/roll", `{"team":"acme","now":true}`, 400},
		"more than one":                         {"POST", "/key/roll", `{"team":"acme"} {"team":"acme"}`, 400},
		"no object":                             {"POST", "/key/roll", `"` + canary + `"`, 400},
		"too long":                              {"POST", "/key/import", `{"team":"` + strings.Repeat("x", maxBody) + `"}`, 413},
		"a bad key":                             {"POST", "/key/import", `{"team":"acme","api_key":"` + canary + ` ."}`, 400},
		"a bad secret":                          {"POST", "/secret/import", `{"team":"acme","id":"a","key":"` + canary + `\u0000"}`, 400},
		"an overlap so long that it would wrap": {"POST", "/key/roll", `{"team":"acme","overlap_ms":18446744073710}`, 400},
		"GET":                                   {"GET", "/key/show", "", 501},
		"unknown operation":                     {"POST", "/key/forge", `{"` + canary + `":1}`, 501},
	} {
		w := httptest.NewRecorder()
		a.Handler().ServeHTTP(w, httptest.NewRequest(test.method, test.path, strings.NewReader(test.body)))
		if w.Code != test.status {
			t.Errorf("%s: status %d, want %d", name, w.Code, test.status)
		}
		if strings.Contains(w.Body.String(), canary) {
			t.Errorf("%s: the answer quotes what was sent", name)
		}
		if got := w.Header().Get("Content-Type"); got != "application/problem+json" {
			t.Errorf("%s: Content-Type %q, want a problem", name, got)
		}
		if got := w.Header().Get("Cache-Control"); got != "no-store" {
			t.Errorf("%s: Cache-Control %q, want no-store", name, got)
		}
		var p map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, member := range []string{"type", "title", "status", "detail", "code"} {
			if p[member] == nil || p[member] == "" {
				t.Errorf("%s: the problem has no %s", name, member)
			}
		}
	}
}

// A change whose answer does not come whole may have been made.
func TestLostAnswers(t *testing.T) {
	whole := `{"team":{"id":"team_1","name":"a"},"api_key":"k"}`
	for name, answer := range map[string]http.HandlerFunc{
		"nothing": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"half an answer": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, whole)
			panic(http.ErrAbortHandler)
		},
		"no JSON":         func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "k") },
		"somebody else's": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "bad gateway", http.StatusBadGateway) },
		"no settlement":   func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, whole) },
	} {
		t.Run(name, func(t *testing.T) {
			c := Dial(overSocket(t, answer))
			_, _, err := c.RollKey(t.Context(), "a", 0)
			if !errors.Is(err, latchkey.ErrOutcomeUnknown) {
				t.Errorf("a change: %v, want an unknown outcome", err)
			}
			_, err = c.Key(t.Context(), "a")
			if errors.Is(err, latchkey.ErrOutcomeUnknown) || (err == nil) != (name == "no settlement") {
				t.Errorf("a look-up: %v", err)
			}
		})
	}
}

// A change that is given up while the server works on it may be made.
func TestGivenUp(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	release := make(chan struct{})
	c := Dial(overSocket(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		cancel()
		<-release
	})))
	_, _, err := c.DeleteTeam(ctx, "a")
	close(release)
	if !errors.Is(err, latchkey.ErrOutcomeUnknown) || !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want an unknown outcome, and that it was cancelled", err)
	}
}

// Where nobody listens, nothing was done: that is no unknown outcome.
func TestNoServer(t *testing.T) {
	dir, err := os.MkdirTemp("", "admin")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	file, stale := filepath.Join(dir, "file"), filepath.Join(dir, "stale")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false) // as a killed process leaves it
	_ = l.Close()

	for name, path := range map[string]string{
		"no file": filepath.Join(dir, "none"), "no directory": filepath.Join(dir, "none", "s"), "a directory that is a file": filepath.Join(file, "s"),
		"not a socket": file, "a dead server's socket": stale, "a path too long for a socket": filepath.Join(dir, strings.Repeat("x", 200)),
	} {
		_, _, err := Dial(path).RollKey(t.Context(), "a", 0)
		if !errors.Is(err, ErrNoServer) || errors.Is(err, latchkey.ErrOutcomeUnknown) {
			t.Errorf("%s: %v, want %v", name, err, ErrNoServer)
		}
	}
}

func TestActor(t *testing.T) {
	long := strings.Repeat("é", maxActor)
	for given, want := range map[string]string{
		"": "command line", "\x00\x1b": "command line", "command line (uid 1000, ann)": "command line (uid 1000, ann)",
		"a\nb\x1b[31m": "ab[31m", "a\u202eb": "ab", "\xff\xfex": "x", long: strings.Repeat("é", maxActor/2),
	} {
		r := &http.Request{Header: http.Header{actorField: {given}}}
		if got := actor(r); got.Name != want || got.Source != "this machine" {
			t.Errorf("%q: got %q, want %q", given, got, want)
		}
	}
}

func TestTook(t *testing.T) {
	for took, want := range map[time.Duration]float64{0: 0, 999: 0, 1500 * time.Microsecond: 1.5, time.Minute: 60000} {
		if got := settlementOf(latchkey.Settlement{Took: took}).TookMS; got != want {
			t.Errorf("%v is %v ms, want %v", took, got, want)
		}
	}
}

// A node's name is any string; the field that carries it is ASCII.
func TestSettlementField(t *testing.T) {
	everyWay(t, func(t *testing.T, c *Client, _ *API, m *memory) {
		m.settlement = latchkey.Settlement{
			Confirmed:    []string{"nœud 😀\r\n\x7f"},
			NotConfirmed: []latchkey.Unconfirmed{{Node: "b\"\\", MaxSeconds: 12.5}},
		}
		_, s, err := c.CreateTeam(t.Context(), "acme")
		if err != nil {
			t.Fatal(err)
		}
		if s.Confirmed[0] != m.settlement.Confirmed[0] || s.NotConfirmed[0] != m.settlement.NotConfirmed[0] {
			t.Errorf("%+v came as %+v", m.settlement, s)
		}
	})
}
