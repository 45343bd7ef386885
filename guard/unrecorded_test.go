package guard_test

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"latchkey/guard"
)

// TestWithheld holds that an answer that must be recorded and cannot be (Begin
// returns an error) is withheld: the caller gets 503 and nothing of the
// handler's, however the handler answers.
func TestWithheld(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"status and body": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Set-Cookie", "a=b")
			w.WriteHeader(http.StatusCreated)
			_, err := io.WriteString(w, "the handler's body")
			if err == nil {
				t.Error("the handler is not told that its body went nowhere")
			}
		},
		"body alone": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("the handler's body")) },
		"a copy": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.Copy(w, strings.NewReader(strings.Repeat("the handler's body", 1000)))
		},
		"nothing": func(http.ResponseWriter, *http.Request) {},
		"breaks off when it hears": func(w http.ResponseWriter, _ *http.Request) {
			if _, err := io.WriteString(w, "the handler's body"); err != nil {
				panic(http.ErrAbortHandler)
			}
		},
		"hijacks": func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 18\r\n\r\nthe handler's body")
		},
		"hijacks afterwards": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusOK)
			if _, _, err := http.NewResponseController(w).Hijack(); err == nil {
				t.Error("a connection is given away after its answer was withheld")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVault()
			book := &ledger{full: errors.New("the disk is full")}
			g := &guard.Guard{Authenticate: v.keyring.Authenticate, Recorder: book, Logger: slog.New(slog.DiscardHandler)}
			server := httptest.NewServer(g.Wrap(handler))
			defer server.Close()
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/v1/contacts", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", v.bearer())
			response, err := server.Client().Do(r)
			if err != nil {
				t.Fatalf("the caller gets an answer: %v", err)
			}
			defer response.Body.Close()
			body, err := io.ReadAll(response.Body)
			if err != nil || response.StatusCode != http.StatusServiceUnavailable || strings.Contains(string(body), "handler's") {
				t.Errorf("status %d, body %q, %v: must be 503 and nothing of the handler's", response.StatusCode, body, err)
			}
			if ids := response.Header["X-Request-Id"]; len(ids) != 1 || response.Header.Get("Retry-After") == "" || response.Header.Get("Set-Cookie") != "" {
				t.Errorf("header %v: must have one ID, and Retry-After", response.Header)
			}
		})
	}
}
