package guard_test

import (
	"bufio"
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

// TestUpstreamFails (F19, F22, F24): each failure has its answer, its record
// and its log line, and none of them says too much.
func TestUpstreamFails(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := closed.Addr().String()
	_ = closed.Close()
	reset := func(_ string, conn net.Conn) string {
		_ = conn.(*net.TCPConn).SetLinger(0)
		return ""
	}
	hang := func(_ string, conn net.Conn) string {
		_, _ = io.Copy(io.Discard, conn) // until the gateway gives up
		return ""
	}
	const (
		secret   = "upstream-secret"
		eitherOr = "The upstream broke off before it answered, or its answer could not be read."
		garbled  = "The upstream's answer could not be read: it is not HTTP/1 as it should be, or its header is too long."
	)
	for _, c := range []struct {
		name   string
		answer func(string, net.Conn) string
		status int
		code   latchkey.Code
		says   string // the record
	}{
		{"refused", nil, 502, latchkey.CodeUpstreamUnreachable, "The upstream could not be reached: connection refused."},
		{"closed", always(""), 502, latchkey.CodeUpstreamUnreachable, "The upstream broke off before it answered: it closed the connection."},
		{"reset", reset, 502, latchkey.CodeUpstreamUnreachable, "The upstream broke off before it answered: connection reset by peer."},
		{"silent", hang, 504, latchkey.CodeUpstreamTimeout, "The upstream did not answer in time."},
		{"not HTTP", always(secret + "\r\n\r\n"), 502, latchkey.CodeUpstreamUnreachable, garbled},
		{"bad header", always("HTTP/1.1 200 OK\r\nSet-Cookie " + secret + "\r\n\r\n"), 502, latchkey.CodeUpstreamUnreachable, garbled},
		{"huge header", always("HTTP/1.1 200 OK\r\nA: " + strings.Repeat("a", 2<<20) + "\r\n\r\n"), 502, latchkey.CodeUpstreamUnreachable, garbled},
		{"1xx without end", always(strings.Repeat("HTTP/1.1 103 E\r\nA: "+strings.Repeat("a", 1000)+"\r\n\r\n", 3000)), 504, latchkey.CodeUpstreamTimeout, "The upstream did not answer in time."},
	} {
		for _, body := range []string{"", "x"} {
			t.Run(strings.TrimSuffix(c.name+", sent "+body, ", sent "), func(t *testing.T) {
				up := newWire(t, c.answer)
				addr := up.url.Host
				if c.answer == nil {
					addr = nobody
				}
				d := newDoor(t, middleware, nil, up.to(func(_ *guard.Guard, g *guard.Gateway) {
					if g.Timeout = patience; c.status == http.StatusGatewayTimeout {
						g.Timeout = 300 * time.Millisecond
					}
					up.url.Host = addr
				}))
				conn := d.dial(t)
				defer conn.Close()
				fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n%s\r\n%s", len(body), authorization(d.bearer()), body)
				r := bufio.NewReader(conn)
				got := readAnswer(t, r, "POST")
				for got.StatusCode == 103 {
					got = readAnswer(t, r, "POST")
				}
				got.problem(t, c.status, c.code)
				if strings.Contains(got.body, addr) || strings.Contains(got.body, "127.0.0.1") {
					t.Errorf("the answer names the upstream: %s", got.body)
				}
				log := d.log.String()
				if !strings.Contains(log, addr) || !strings.Contains(log, got.id(t)) || strings.Contains(log, secret) {
					t.Errorf("the log names upstream and request, and quotes nothing: %s", log)
				}
				if rec := d.one(t); rec.Outcome != latchkey.OutcomeError || rec.Reason != latchkey.Reason(c.code) || rec.TeamID != "team_a" {
					t.Errorf("record: %+v", rec)
				} else if says := rec.Diagnosis; says != c.says && (body == "" || says != eitherOr) {
					t.Errorf("the record says %q, must say %q", says, c.says)
				}
			})
		}
	}
}

// TestUpstreamOwnTransport: a time limit of a transport that was given is told as
// such in the record and in the log.
func TestUpstreamOwnTransport(t *testing.T) {
	up := newWire(t, func(_ string, conn net.Conn) string {
		_, _ = io.Copy(io.Discard, conn)
		return ""
	})
	d := newDoor(t, middleware, nil, up.to(func(_ *guard.Guard, g *guard.Gateway) {
		g.Transport = &http.Transport{ResponseHeaderTimeout: 50 * time.Millisecond}
	}))
	d.pass(t, "/", "").problem(t, 504, latchkey.CodeUpstreamTimeout)
	if rec := d.one(t); rec.Diagnosis != "The upstream did not answer in time." {
		t.Errorf("record: %+v", rec)
	}
	if log := d.log.String(); !strings.Contains(log, `cause="upstream took too long"`) {
		t.Errorf("the log says what the record says: %s", log)
	}
}

// TestUpstreamBreaksOff: an answer that stops half-way is recorded as what it is.
func TestUpstreamBreaksOff(t *testing.T) {
	up := newWire(t, func(_ string, conn net.Conn) string {
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
		return ""
	})
	d := newDoor(t, middleware, nil, up.to())
	if got := d.pass(t, "/", ""); got.err == nil || got.body != "half" {
		t.Errorf("the caller must see that it is not whole: %q %v", got.body, got.err)
	}
	if rec := d.one(t); rec.Status != 200 || rec.Outcome != latchkey.OutcomeError || rec.Reason != "upstream_unreachable" ||
		rec.Diagnosis != "The upstream broke off its answer: it closed the connection." {
		t.Errorf("record: %+v", rec)
	}
}

// TestOnce (F22): what is not idempotent is sent to the upstream at most once.
func TestOnce(t *testing.T) {
	up := newWire(t, func(head string, _ net.Conn) string {
		if strings.HasPrefix(head, "POST /second") {
			return ""
		}
		return ok
	})
	d := newDoor(t, middleware, nil, up.to())
	const rest = " HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nIdempotency-Key: k\r\n"
	d.raw(t, "POST /first"+rest+authorization(d.bearer())+"\r\n")
	d.raw(t, "POST /second"+rest+authorization(d.bearer())+"\r\n").problem(t, 502, latchkey.CodeUpstreamUnreachable)
	if n := len(up.requests); n != 2 {
		t.Errorf("the upstream saw %d requests, want 2", n)
	}
	if keys := values(<-up.requests, "Idempotency-Key"); len(keys) != 1 || keys[0] != "k" {
		t.Errorf("the key must reach the upstream: %q", keys)
	}
	d.take(t, 2)
}

// TestSlowCaller: the upstream's time does not run while the caller is slow.
func TestSlowCaller(t *testing.T) {
	const timeout = 200 * time.Millisecond
	d := newDoor(t, gateway, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body)
	}, func(_ *guard.Guard, c *guard.Gateway) { c.Timeout = timeout })
	conn := d.dial(t)
	defer conn.Close()
	fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n%s\r\n", authorization(d.bearer()))
	for range 2 {
		time.Sleep(2 * timeout)
		_, _ = io.WriteString(conn, "x")
	}
	if got := readAnswer(t, bufio.NewReader(conn), "POST"); got.StatusCode != 200 || got.body != "xx" {
		t.Errorf("got %d %s", got.StatusCode, got.body)
	}
	d.one(t)
}

// TestSlowReader: an upstream that takes no more of the body is too slow.
func TestSlowReader(t *testing.T) {
	done := make(chan bool)
	up := newWire(t, func(string, net.Conn) string { <-done; return "" })
	t.Cleanup(func() { close(done) })
	d := newDoor(t, middleware, nil, up.to(func(_ *guard.Guard, c *guard.Gateway) { c.Timeout = 300 * time.Millisecond }))
	const size = 64 << 20
	conn := d.dial(t)
	defer conn.Close()
	fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n%s\r\n", size, authorization(d.bearer()))
	go func() { _, _ = io.CopyN(conn, zeros{}, size) }()
	readAnswer(t, bufio.NewReader(conn), "POST").problem(t, 504, latchkey.CodeUpstreamTimeout)
	d.one(t)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
