package guard_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"latchkey"
	"latchkey/guard"
)

// TestPanic (M03): a panic is recorded, answered if nothing was yet, and goes on.
func TestPanic(t *testing.T) {
	secret := latchkey.NewAPIKey("lk_").Reveal()
	for _, c := range []struct {
		name    string
		api     http.HandlerFunc
		status  int // of the record
		answers bool
		outcome latchkey.Outcome
	}{
		{"before the answer", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			w.Header().Set("Content-Length", "3")
			panic(secret)
		}, 500, true, latchkey.OutcomeError},
		{"invalid status", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(7) }, 500, true, latchkey.OutcomeError},
		{"in the answer", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(201)
			_ = http.NewResponseController(w).Flush()
			panic(secret)
		}, 201, false, latchkey.OutcomeError},
		{"abort", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 0, false, latchkey.OutcomeError},
		{"exit", func(http.ResponseWriter, *http.Request) { runtime.Goexit() }, 0, false, latchkey.OutcomeError},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := &door{vault: newVault()}
			d.guard = &guard.Guard{Authenticate: d.keyring.Authenticate, Recorder: &d.ledger}
			values := make(chan any, 1)
			wrapped := d.guard.Wrap(c.api)
			d.open(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				defer func() {
					v := recover()
					if values <- v; v != nil {
						panic(http.ErrAbortHandler) // keep the test's log clean
					}
				}()
				wrapped.ServeHTTP(w, r)
			}))
			conn := d.dial(t)
			defer conn.Close()
			fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: h\r\n%s\r\n", authorization(d.bearer()))
			if c.answers {
				got := readAnswer(t, bufio.NewReader(conn), "GET")
				got.problem(t, 500, latchkey.CodeInternal)
				if got.err != nil || got.Header.Get("Content-Encoding") != "" {
					t.Errorf("the answer must be whole: %v %v", got.err, got.Header)
				}
			} else if c.name != "exit" { // which leaves the server's connection open
				_, _ = io.Copy(io.Discard, conn)
			}
			record := d.one(t)
			if record.Status != c.status || record.Outcome != c.outcome || record.Reason != "internal_error" || record.Diagnosis == "" {
				t.Errorf("record: %+v", record)
			}
			text, _ := json.Marshal(record)
			if strings.Contains(string(text), secret) {
				t.Error("the panic's value is in the record")
			}
			if value := <-values; strings.Contains(c.name, "answer") && value != any(secret) {
				t.Error("the panic must go on with the same value")
			}
		})
	}
}

// TestClientGone (F18): whoever leaves before the answer is a 499, and the
// request is cancelled.
func TestClientGone(t *testing.T) {
	both(t, func(t *testing.T, mode string) {
		entered, left := make(chan bool, 1), make(chan bool, 1)
		d := newDoor(t, mode, func(_ http.ResponseWriter, r *http.Request) {
			entered <- true
			<-r.Context().Done()
			left <- true
		}, nil)
		conn := d.dial(t)
		fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: h\r\n%s\r\n", authorization(d.bearer()))
		<-entered
		_ = conn.Close()
		select {
		case <-left:
		case <-time.After(patience):
			t.Fatal("the handler was not told that the client had gone")
		}
		if r := d.one(t); r.Status != 499 || r.Outcome != latchkey.OutcomeAccepted || r.Diagnosis == "" {
			t.Errorf("record: %+v", r)
		}
	})
}
