package guard_test

import (
	"bufio"
	"io"
	"net"
	"net/url"
	"strings"
	"testing"

	"latchkey/guard"
)

// A wire is an upstream that reads one request after another, byte for byte.
type wire struct {
	url      *url.URL
	requests chan string // header and body as they came
}

// newWire opens an upstream that gives each request to answer and closes the
// connection if that returns "".
func newWire(t *testing.T, answer func(head string, conn net.Conn) string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	w := &wire{&url.URL{Scheme: "http", Host: l.Addr().String()}, make(chan string, 100)}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = conn.Close() })
			go w.serve(conn, answer)
		}
	}()
	return w
}

func (w *wire) serve(conn net.Conn, answer func(string, net.Conn) string) {
	defer conn.Close()
	r := bufio.NewReader(conn)
	for {
		var head strings.Builder
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			head.WriteString(line)
			if line == "\r\n" {
				break
			}
		}
		w.requests <- head.String()
		text := answer(head.String(), conn)
		if text == "" {
			return
		}
		if _, err := io.WriteString(conn, text); err != nil {
			return
		}
	}
}

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

func always(text string) func(string, net.Conn) string {
	return func(string, net.Conn) string { return text }
}

// to returns a setting that points a gateway at w.
func (w *wire) to(set ...func(*guard.Guard, *guard.Gateway)) func(*guard.Guard, *guard.Gateway) {
	return func(g *guard.Guard, c *guard.Gateway) {
		c.Upstream = w.url
		for _, s := range set {
			s(g, c)
		}
	}
}
