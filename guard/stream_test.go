package guard_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"latchkey"
	"latchkey/guard"
)

const upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

// frame is an unmasked text frame (RFC 6455, section 5.2).
func frame(text string) []byte { return append([]byte{0x81, byte(len(text))}, text...) }

// echo upgrades and sends each frame back, in three ways that handlers have.
func echo(how string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		const rest = "Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
		if how == "after an early hint" {
			w.WriteHeader(http.StatusEarlyHints)
		}
		if how == "status first" {
			w.Header().Set("Upgrade", "websocket")
			w.Header().Set("Connection", "Upgrade")
			w.WriteHeader(http.StatusSwitchingProtocols)
		}
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		defer conn.Close()
		switch how {
		case "status first":
		case "on the connection":
			// In pieces, with an ID of its own.
			for _, s := range []string{"HTTP/1.1 101 Switch", "ing Protocols\r\nX-Request-Id: mine\r\nx-request-id: mine\r", "\n" + rest} {
				_, _ = io.WriteString(conn, s)
			}
		default:
			_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nX_Request_Id: mine\r\n" + rest)
			_ = rw.Flush()
		}
		var head [2]byte
		for {
			if _, err := io.ReadFull(rw, head[:]); err != nil {
				return
			}
			payload := make([]byte, head[1])
			_, _ = io.ReadFull(rw, payload)
			_, _ = conn.Write(frame(string(payload)))
		}
	}
}

// TestWebSocket (F13): an upgrade passes, its 101 has our ID, and its record
// ends when the tunnel closes, with the bytes that went through.
func TestWebSocket(t *testing.T) {
	for _, how := range []string{"status first", "on the connection", "on the buffer", "after an early hint"} {
		both(t, func(t *testing.T, mode string) {
			t.Run(how, func(t *testing.T) {
				d := newDoor(t, mode, echo(how), nil)
				conn := d.dial(t)
				// The first frame comes right behind the request.
				fmt.Fprintf(conn, "GET /ws HTTP/1.1\r\nHost: h\r\n%s%s\r\n%s", upgrade, authorization(d.bearer()), frame("ahead"))
				r := bufio.NewReader(conn)
				got := readAnswer(t, r, "GET")
				id := got.id(t)
				if got.StatusCode == http.StatusEarlyHints {
					if got = readAnswer(t, r, "GET"); got.id(t) != id {
						t.Error("one ID for all answers")
					}
				}
				if got.StatusCode != 101 || !d.hasBegun(id) {
					t.Fatalf("got %d, record begun: %v", got.StatusCode, d.hasBegun(id))
				}
				for _, text := range []string{"ahead", "one", "two"} {
					if text != "ahead" {
						_, _ = conn.Write(frame(text))
					}
					back := make([]byte, len(text)+2)
					if _, err := io.ReadFull(r, back); err != nil || !bytes.Equal(back, frame(text)) {
						t.Fatalf("echo of %q is %q: %v", text, back, err)
					}
				}
				d.mu.Lock()
				if len(d.ended) != 0 {
					t.Error("the record ended before the tunnel")
				}
				d.mu.Unlock()
				_ = conn.Close()
				if rec := d.one(t); rec.Status != 101 || rec.BytesIn != 17 || rec.BytesOut != 17 || rec.RequestID != id ||
					rec.Outcome != latchkey.OutcomeAccepted {
					t.Errorf("record: %+v", rec)
				}
			})
		})
	}
}

// TestNoTunnel (F14): there is no tunnel with a bad credential, nor unless the
// upstream says 101, and what follows is judged by itself.
func TestNoTunnel(t *testing.T) {
	both(t, func(t *testing.T, mode string) {
		d := newDoor(t, mode, hello, nil)
		d.get(t, "/ws", upgrade).problem(t, 401, latchkey.CodeMissingCredentials)
		d.one(t)
		if d.reached.Load() != 0 {
			t.Error("the API was reached")
		}
		conn := d.dial(t)
		defer conn.Close()
		fmt.Fprintf(conn, "GET /ws HTTP/1.1\r\nHost: h\r\n%s%s\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n", upgrade, authorization(d.bearer()))
		r := bufio.NewReader(conn)
		if got := readAnswer(t, r, "GET"); got.StatusCode != 200 {
			t.Errorf("got %d", got.StatusCode)
		}
		readAnswer(t, r, "GET").problem(t, 401, latchkey.CodeMissingCredentials)
		d.take(t, 2)
	})
	t.Run("101 that nobody asked for", func(t *testing.T) {
		up := newWire(t, always("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"))
		d := newDoor(t, middleware, nil, up.to())
		d.pass(t, "/", "").problem(t, 502, latchkey.CodeUpstreamUnreachable)
		d.one(t)
	})
}

// TestHijack: a handler may speak what it likes, or nothing.
func TestHijack(t *testing.T) {
	for _, c := range []struct {
		name, writes, want string
		status             int
		outcome            latchkey.Outcome
	}{
		{"another protocol", "SSH-2.0-x\r\n", "SSH-2.0-x\r\n", 101, latchkey.OutcomeAccepted},
		{"a status of its own", "HTTP/1.0 418 T\n\nrest", "HTTP/1.0 418 T\nX-Request-Id: ID\r\n\nrest", 418, latchkey.OutcomeAccepted},
		{"half a header", "HTTP/1.1 200 OK\r\nA: b", "HTTP/1.1 200 OK\r\nA: b", 101, latchkey.OutcomeAccepted},
		{"begins like HTTP", "HTTP", "HTTP", 101, latchkey.OutcomeAccepted},
		{"endless header", "HTTP/1.1 200 OK\r\n" + strings.Repeat("A: b\r\n", 20_000), "", 101, latchkey.OutcomeAccepted},
		{"nothing", "", "", 0, latchkey.OutcomeError},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDoor(t, middleware, func(w http.ResponseWriter, _ *http.Request) {
				conn, _, err := w.(http.Hijacker).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				if _, ok := conn.(interface{ CloseWrite() error }); !ok {
					t.Error("the connection's halves can no longer be closed by themselves")
				}
				if _, ok := conn.(interface{ NetConn() net.Conn }).NetConn().(*net.TCPConn); !ok {
					t.Error("NetConn is not the bare connection")
				}
				_, _ = io.WriteString(conn, c.writes)
				_ = conn.Close()
				_ = conn.Close()
			}, nil)
			conn := d.dial(t)
			defer conn.Close()
			fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: h\r\n%s\r\n", authorization(d.bearer()))
			got, _ := io.ReadAll(conn)
			rec := d.one(t)
			if c.name == "endless header" {
				c.want = c.writes
			}
			if text := strings.ReplaceAll(string(got), rec.RequestID, "ID"); text != c.want {
				t.Errorf("the client got %.200q, want %.200q", text, c.want)
			}
			if rec.Status != c.status || rec.Outcome != c.outcome {
				t.Errorf("record: %+v", rec)
			}
		})
	}
}

// TestStreaming (F15, F16): what either side sends arrives before it has ended.
func TestStreaming(t *testing.T) {
	both(t, func(t *testing.T, mode string) {
		d := newDoor(t, mode, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			_ = http.NewResponseController(w).EnableFullDuplex()
			_ = http.NewResponseController(w).Flush()
			line := bufio.NewReader(r.Body)
			for {
				event, err := line.ReadString('\n')
				if err != nil {
					return
				}
				fmt.Fprintf(w, "data: %s\n", event)
				_ = http.NewResponseController(w).Flush()
			}
		}, func(g *guard.Guard, _ *guard.Gateway) {})
		h2, base := d.overHTTP2(t)
		body, send := io.Pipe()
		req, _ := http.NewRequestWithContext(t.Context(), "POST", base, body)
		req.Header.Set("Authorization", d.bearer())
		res, err := h2.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		events := bufio.NewReader(res.Body)
		for i := range 3 {
			fmt.Fprintf(send, "%d\n", i)
			// The next is sent only when this one has come back.
			if got, err := events.ReadString('\n'); err != nil || got != fmt.Sprintf("data: %d\n", i) {
				t.Fatalf("event %d: %q %v", i, got, err)
			}
			_, _ = events.ReadString('\n')
		}
		_ = send.Close()
		slurp(res)
		if rec := d.one(t); rec.BytesIn != 6 || rec.BytesOut != 27 || rec.Status != 200 {
			t.Errorf("record: %+v", rec)
		}
	})
}

// TestMaxBody: a body over the limit is a 413, by its announced length before
// anything is done, else as it is read.
func TestMaxBody(t *testing.T) {
	both(t, func(t *testing.T, mode string) {
		d := newDoor(t, mode, nil, nil)
		d = newDoor(t, mode, func(w http.ResponseWriter, r *http.Request) {
			n, err := io.Copy(io.Discard, r.Body)
			if err != nil && mode == middleware {
				d.guard.Problems.Write(w, r, err)
				return
			}
			fmt.Fprint(w, n)
		}, func(g *guard.Guard, _ *guard.Gateway) { g.MaxBody = 10 })
		const head = "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"
		key := authorization(d.bearer())
		if got := d.raw(t, head+key+"Content-Length: 10\r\n\r\n0123456789"); got.body != "10" {
			t.Errorf("a body of the limit must pass: %d %s", got.StatusCode, got.body)
		}
		d.one(t)
		d.reached.Store(0)
		d.raw(t, head+key+"Content-Length: 11\r\n\r\n").problem(t, 413, latchkey.CodeBodyTooLarge)
		if rec := d.one(t); d.reached.Load() != 0 || rec.Diagnosis != "The body is larger than this server takes (10 bytes). The API was not asked." {
			t.Errorf("an announced body over the limit must not reach the API, and the record says so: %+v", rec)
		}
		d.raw(t, head+"Content-Length: 11\r\n\r\n").problem(t, 401, latchkey.CodeMissingCredentials)
		d.one(t)
		got := d.raw(t, head+key+"Transfer-Encoding: chunked\r\n\r\n14\r\n01234567890123456789\r\n0\r\n\r\n")
		if got.problem(t, 413, latchkey.CodeBodyTooLarge); !strings.Contains(got.body, "The body may have at most 10 bytes.") {
			t.Errorf("the answer names the limit: %s", got.body)
		}
		if rec := d.one(t); rec.Status != 413 || rec.Outcome != latchkey.OutcomeAccepted || rec.Reason != latchkey.ReasonOK ||
			rec.Diagnosis != "The body is larger than this server takes (10 bytes). Its beginning may have been passed on." {
			t.Errorf("record: %+v", rec)
		}
	})
}

// TestBadBody: a body that cannot be read is the caller's fault, not the
// upstream's.
func TestBadBody(t *testing.T) {
	d := newDoor(t, gateway, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }, nil)
	d.raw(t, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n"+authorization(d.bearer())+"\r\nzz\r\n").
		problem(t, 400, latchkey.CodeInvalidRequest)
	if rec := d.one(t); rec.Outcome != latchkey.OutcomeAccepted ||
		rec.Diagnosis != "The body of the request could not be read to its end. Its beginning may have been passed on." {
		t.Errorf("record: %+v", rec)
	}
}

// TestExpect (F17): a refused caller is not asked for its body; one that passes
// is.
func TestExpect(t *testing.T) {
	both(t, func(t *testing.T, mode string) {
		d := newDoor(t, mode, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }, nil)
		const head = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n"
		d.raw(t, head+"\r\n").problem(t, 401, latchkey.CodeMissingCredentials)
		d.one(t)
		conn := d.dial(t)
		defer conn.Close()
		fmt.Fprint(conn, head+authorization(d.bearer())+"\r\n")
		r := bufio.NewReader(conn)
		if got := readAnswer(t, r, "POST"); got.StatusCode != 100 {
			t.Fatalf("got %d, want 100", got.StatusCode)
		}
		fmt.Fprint(conn, "ok")
		if got := readAnswer(t, r, "POST"); got.StatusCode != 200 || got.body != "ok" {
			t.Errorf("got %d %q", got.StatusCode, got.body)
		}
		d.one(t)
	})
}

// TestLeavesMidway (F18): a client that leaves while it is answered.
func TestLeavesMidway(t *testing.T) {
	both(t, func(t *testing.T, mode string) {
		left := make(chan bool, 1)
		d := newDoor(t, mode, func(w http.ResponseWriter, _ *http.Request) {
			for {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					break
				}
			}
			left <- true
		}, nil)
		conn := d.dial(t)
		fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: h\r\n%s\r\n", authorization(d.bearer()))
		_, _ = io.ReadFull(conn, make([]byte, 1<<20))
		_ = conn.Close()
		select {
		case <-left:
		case <-time.After(patience):
			t.Fatal("the API was not told")
		}
		rec := d.one(t)
		if rec.Status != 200 || rec.Outcome != latchkey.OutcomeAccepted || !strings.Contains(rec.Diagnosis, "went away") {
			t.Errorf("record: %+v", rec)
		}
	})
}
