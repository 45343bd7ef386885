package guard_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey"
	"latchkey/guard"
)

// TestRequestID (R01, M03, M04): each response carries exactly one X-Request-Id
// whatever the handler does, and the record of it has begun by then.
func TestRequestID(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte(strings.Repeat("x", 100_000)), 0o600); err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	copyFile := func(w http.ResponseWriter, name string) {
		f, err := os.Open(name)
		if err != nil {
			panic(err)
		}
		defer f.Close()
		if _, err := io.Copy(w, f); err != nil {
			panic(err)
		}
	}
	mine := func(w http.ResponseWriter) {
		w.Header().Set("X-Request-Id", "mine")
		w.Header()["x-request-id"] = []string{"mine too"}
		w.Header()["X_Request_Id"] = []string{"and mine"}
	}
	for _, c := range []struct {
		name   string
		method string
		api    http.HandlerFunc
		status int
		length int
	}{
		{"writes", "GET", hello, 200, 5},
		{"writes a string", "GET", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "abc") }, 200, 3},
		{"never writes", "GET", func(http.ResponseWriter, *http.Request) {}, 200, 0},
		{"writes nothing", "GET", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(nil) }, 200, 0},
		{"own ID", "GET", func(w http.ResponseWriter, r *http.Request) { mine(w); hello(w, r) }, 200, 5},
		{"own ID, no body", "GET", func(w http.ResponseWriter, _ *http.Request) { mine(w) }, 200, 0},
		{"own ID, added", "GET", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Add("X-Request-Id", "mine")
			w.WriteHeader(404)
		}, 404, 0},
		{"header cleared", "GET", func(w http.ResponseWriter, r *http.Request) { clear(w.Header()); hello(w, r) }, 200, 5},
		{"204", "GET", func(w http.ResponseWriter, _ *http.Request) { mine(w); w.WriteHeader(204) }, 204, 0},
		{"304", "GET", func(w http.ResponseWriter, _ *http.Request) { mine(w); w.WriteHeader(304) }, 304, 0},
		{"HEAD", "HEAD", func(w http.ResponseWriter, r *http.Request) { mine(w); hello(w, r) }, 200, 0},
		{"500", "GET", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", 500) }, 500, 3},
		{"WriteHeader twice", "GET", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(201); mine(w); w.WriteHeader(500) }, 201, 0},
		{"flush", "GET", func(w http.ResponseWriter, _ *http.Request) {
			mine(w)
			w.(http.Flusher).Flush()
			mine(w)
			fmt.Fprint(w, "later")
		}, 200, 5},
		{"flush by controller", "GET", func(w http.ResponseWriter, _ *http.Request) {
			clear(w.Header())
			if err := http.NewResponseController(w).Flush(); err != nil {
				panic(err)
			}
		}, 200, 0},
		{"1xx", "GET", func(w http.ResponseWriter, r *http.Request) {
			mine(w)
			w.Header().Set("Link", "</a>; rel=preload")
			w.WriteHeader(103)
			w.WriteHeader(102)
			clear(w.Header())
			hello(w, r)
		}, 200, 5},
		{"sendfile", "GET", func(w http.ResponseWriter, _ *http.Request) { mine(w); copyFile(w, file) }, 200, 100_000},
		{"ServeFile", "GET", func(w http.ResponseWriter, r *http.Request) { mine(w); http.ServeFile(w, r, file) }, 200, 100_000},
		{"empty file, then 404", "GET", func(w http.ResponseWriter, _ *http.Request) {
			copyFile(w, empty)
			w.WriteHeader(404)
		}, 404, 0},
		{"trailer", "GET", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Trailer", "X-Sum, X-Request-Id")
			hello(w, r)
			w.Header().Set("X-Sum", "1")
			w.Header().Set("X-Request-Id", "mine")
			w.Header().Set(http.TrailerPrefix+"X-Request-Id", "mine")
		}, 200, 5},
	} {
		t.Run(c.name, func(t *testing.T) {
			both(t, func(t *testing.T, mode string) {
				var d *door
				began := true
				d = newDoor(t, mode, func(w http.ResponseWriter, r *http.Request) {
					if d.hasBegun(w.Header().Get("X-Request-Id")) {
						t.Error("the record began before the handler answered")
					}
					c.api(w, r)
				}, nil)
				checkIDs := func(res *http.Response, err error, ids []string) {
					t.Helper()
					if err != nil {
						t.Fatal(err)
					}
					got := slurp(res)
					id := got.id(t)
					began = began && d.hasBegun(id)
					for _, early := range ids {
						if early != id {
							t.Errorf("a 1xx had ID %s, the answer %s", early, id)
						}
					}
					if _, trailed := got.Trailer["X-Request-Id"]; trailed || got.StatusCode != c.status || len(got.body) != c.length {
						t.Errorf("answer: %d, %d bytes, trailer %v", got.StatusCode, len(got.body), got.Trailer)
					}
					if c.name == "trailer" && got.Trailer.Get("X-Sum") != "1" {
						t.Errorf("other trailers must pass: %v", got.Trailer)
					}
					record := d.one(t)
					if record.RequestID != id || record.Status != c.status || record.BytesOut != int64(c.length) ||
						record.Outcome != latchkey.OutcomeAccepted || record.DurationUS < 0 {
						t.Errorf("record: %+v", record)
					}
				}
				h2, base := d.overHTTP2(t)
				for protocol, client := range map[string]*http.Client{d.server.URL: d.server.Client(), base: h2} {
					var early []string
					ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
						Got1xxResponse: func(_ int, h textproto.MIMEHeader) error {
							early = append(early, h.Values("X-Request-Id")...)
							return nil
						},
					})
					req, _ := http.NewRequestWithContext(ctx, c.method, protocol+"/", nil)
					req.Header.Set("Authorization", d.bearer())
					res, err := client.Do(req)
					checkIDs(res, err, early)
					if c.name == "1xx" && len(early) != 2 {
						t.Errorf("want 2 informational responses with one ID each, got %q", early)
					}
				}
				if !began {
					t.Error("a record begins before the answer leaves")
				}
				d.server.CloseClientConnections()
			})
		})
	}
}

// TestCallersOwnID (R02): the caller's X-Request-Id never becomes ours.
func TestCallersOwnID(t *testing.T) {
	both(t, func(t *testing.T, mode string) {
		var seen http.Header
		d := newDoor(t, mode, func(_ http.ResponseWriter, r *http.Request) { seen = r.Header.Clone() }, nil)
		for _, c := range []struct{ fields, want string }{
			{"X-Request-Id: abc-123\r\n", "abc-123"},
			{"x-request-id: first\r\nX-Request-Id: second\r\n", "first"},
			{"X-Request-Id: " + strings.Repeat("y", 8<<10) + "\r\n", strings.Repeat("y", 128)},
			{"X-Request-Id: <script> =cmd|\x80\xff é\r\n", "<script>=cmd|"},
			{"X-Request-Id:\r\n", ""},
			{"X_Request_Id: alias\r\n", ""},
		} {
			got := d.pass(t, "/", c.fields)
			record := d.one(t)
			if id := got.id(t); record.ClientRequestID != c.want || record.RequestID != id {
				t.Errorf("%.30q: client_request_id %q, want %q", c.fields, record.ClientRequestID, c.want)
			}
			if mode == gateway {
				if ids := seen["X-Request-Id"]; len(ids) != 1 || ids[0] != record.RequestID || seen["X_request_id"] != nil {
					t.Errorf("upstream gets our ID alone: %q", seen)
				}
			}
		}
	})
}

// TestRecord: what a record keeps of a request.
func TestRecord(t *testing.T) {
	both(t, func(t *testing.T, mode string) {
		at := time.Date(2026, 1, 2, 3, 4, 5, 678_912_345, time.FixedZone("", 3600))
		d := newDoor(t, mode, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.WriteHeader(http.StatusTeapot)
			fmt.Fprint(w, "short and stout")
		}, func(g *guard.Guard, _ *guard.Gateway) {
			g.Now = func() time.Time { at = at.Add(time.Millisecond); return at }
		})
		trace := strings.Repeat("0af7651916cd43dd", 2)
		path := "/a%2Fb/" + strings.Repeat("p", 3000)
		got := d.raw(t, "POST "+path+"?secret="+d.key+" HTTP/1.1\r\nHost: API.test:80\r\nContent-Length: 7\r\nCookie: c="+d.key+"\r\n"+
			"User-Agent: \tua\x80\r\nTraceparent: 00-"+trace+"-b7ad6b7169203331-01\r\n"+authorization(d.bearer())+"\r\nabcdefg")
		record := d.one(t)
		if d := record.DurationUS; d < 1000 || record.Time.Nanosecond()%1000 != 0 || record.Time.Location() != time.UTC {
			t.Errorf("duration %d µs, time %v", d, record.Time)
		}
		want := latchkey.Record{
			RequestID: got.id(t), Time: record.Time, Node: "n1", TeamID: "team_a", CredentialID: "key_current",
			Auth: latchkey.MethodBearer, Outcome: latchkey.OutcomeAccepted, Reason: latchkey.ReasonOK,
			Method: "POST", Host: "API.test:80", Path: path[:2048], Status: 418, BytesIn: 7, BytesOut: 15,
			DurationUS: record.DurationUS, ClientIP: "127.0.0.1", UserAgent: "ua?", TraceID: trace,
		}
		if record != want {
			t.Errorf("record\n%+v, want\n%+v", record, want)
		}
		text, _ := json.Marshal(record)
		d.checkNoSecret(t, "the record", string(text))
	})
}

// TestControllerOnly: a writer of somebody's that only Unwraps is no way around
// the stamp and the record.
func TestControllerOnly(t *testing.T) {
	d := &door{vault: newVault()}
	d.guard = &guard.Guard{Authenticate: d.keyring.Authenticate, Recorder: &d.ledger}
	wrapped := d.guard.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		if err := rc.SetWriteDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Error(err)
		}
		if err := rc.EnableFullDuplex(); err != nil {
			t.Error(err)
		}
		clear(w.Header())
		if r.URL.Path == "/flush" {
			if err := rc.Flush(); err != nil || !d.hasBegun(latchkey.RequestIDFrom(r.Context())) {
				t.Errorf("flush: %v, or the record had not begun", err)
			}
			return
		}
		conn, rw, err := rc.Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = rw.WriteString("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		_ = rw.Flush()
		_ = conn.Close()
	}))
	d.open(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		wrapped.ServeHTTP(struct{ unwrapper }{unwrapper{w}}, r)
	}))
	d.pass(t, "/flush", "").id(t)
	d.pass(t, "/hijack", "").id(t)
	d.take(t, 2)
}

type unwrapper struct{ w http.ResponseWriter }

func (u unwrapper) Header() http.Header         { return u.w.Header() }
func (u unwrapper) Write(p []byte) (int, error) { return u.w.Write(p) }
func (u unwrapper) WriteHeader(s int)           { u.w.WriteHeader(s) }
func (u unwrapper) Unwrap() http.ResponseWriter { return u.w }

// TestInterfaces (M03): behind the door a writer can do what it could before.
func TestInterfaces(t *testing.T) {
	var before, behind []string
	list := func(w http.ResponseWriter) (can []string) {
		for name, ok := range map[string]bool{
			"Flusher": is[http.Flusher](w), "Hijacker": is[http.Hijacker](w), "Pusher": is[http.Pusher](w),
			"ReaderFrom": is[io.ReaderFrom](w), "StringWriter": is[io.StringWriter](w),
			"deadline": is[interface{ SetReadDeadline(time.Time) error }](w),
		} {
			if ok {
				can = append(can, name)
			}
		}
		slices.Sort(can)
		return can
	}
	d := &door{vault: newVault()}
	d.guard = &guard.Guard{Authenticate: d.keyring.Authenticate, Recorder: &d.ledger}
	wrapped := d.guard.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { behind = list(w) }))
	d.open(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { before = list(w); wrapped.ServeHTTP(w, r) }))
	h2, base := d.overHTTP2(t)
	for url, client := range map[string]*http.Client{d.server.URL: d.server.Client(), base: h2} {
		req, _ := http.NewRequest("GET", url, nil)
		req.Header.Set("Authorization", d.bearer())
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		slurp(res)
		if !slices.Equal(before, behind) || len(before) < 3 {
			t.Errorf("%s: before %q, behind %q", res.Proto, before, behind)
		}
	}
	d.take(t, 2)
}

func is[T any](w any) bool { _, ok := w.(T); return ok }

// TestServerGivesUp: where the server and not the client ends a request, the
// client hears no false 200.
func TestServerGivesUp(t *testing.T) {
	d := &door{vault: newVault()}
	d.guard = &guard.Guard{Authenticate: d.keyring.Authenticate, Recorder: &d.ledger}
	ctx, cancel := context.WithCancel(t.Context())
	h := d.guard.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { cancel() }))
	w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil).WithContext(ctx)
	r.Header.Set("Authorization", d.bearer())
	h.ServeHTTP(w, r)
	if record := d.one(t); w.Code != 499 || record.Status != 499 {
		t.Errorf("answer %d, record %+v", w.Code, record)
	}
}

// TestTwoGuards (M07): guards share nothing.
func TestTwoGuards(t *testing.T) {
	a := newDoor(t, middleware, hello, func(g *guard.Guard, _ *guard.Gateway) { g.Node, g.Problems.Realm = "a", "a" })
	b := newDoor(t, gateway, hello, func(g *guard.Guard, _ *guard.Gateway) { g.Node, g.Problems.Realm = "b", "b" })
	for _, c := range []struct {
		d, other *door
		realm    string
	}{{a, b, "a"}, {b, a, "b"}} {
		if got := c.d.pass(t, "/", ""); got.StatusCode != 200 {
			t.Error("own key must pass")
		}
		got := c.d.get(t, "/", authorization(c.other.bearer()))
		if got.StatusCode != 401 || !strings.Contains(got.Header.Get("Www-Authenticate"), `realm="`+c.realm+`"`) {
			t.Errorf("the other's key must not: %d %v", got.StatusCode, got.Header)
		}
		for _, r := range c.d.take(t, 2) {
			if r.Node != c.realm {
				t.Errorf("record of node %s at %s", r.Node, c.realm)
			}
		}
	}
}
