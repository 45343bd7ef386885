package guard

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"latchkey"
)

// Serve is s.Serve, or with s.TLSConfig, which must then hold a certificate,
// s.ServeTLS. What s answers by itself over HTTP/1, before any handler runs (a
// malformed request 400, an expectation 417, a header too large 431, an unknown
// transfer coding 501), carries an X-Request-Id and leaves a record, too; such an
// answer over HTTP/2 is out of reach. The handler of s must lead through the
// door. Serve is called once for s, and sets its hooks for connections.
func (g *Guard) Serve(s *http.Server, ln net.Listener) error {
	next, state, connContext := s.Handler, s.ConnState, s.ConnContext
	s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, ok := r.Context().Value(connKey{}).(*conn); ok {
			c.unasked.Store(false)
		}
		next.ServeHTTP(w, r)
	})
	s.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if connContext != nil {
			ctx = connContext(ctx, c)
		}
		if own, ok := c.(interface{ bare() *conn }); ok {
			ctx = context.WithValue(ctx, connKey{}, own.bare())
		}
		return ctx
	}
	s.ConnState = func(c net.Conn, to http.ConnState) {
		if own, ok := c.(interface{ bare() *conn }); ok && to == http.StateIdle {
			own.bare().unasked.Store(true)
		}
		if state != nil {
			state(c, to)
		}
	}
	if s.TLSConfig == nil {
		return s.Serve(&listener{ln, g})
	}
	s.TLSConfig = s.TLSConfig.Clone()
	if s.TLSConfig.NextProtos == nil {
		s.TLSConfig.NextProtos = []string{"h2", "http/1.1"}
	}
	return s.Serve(newSecureListener(g, s, ln))
}

type connKey struct{}

// A listener puts a conn around each connection.
type listener struct {
	net.Listener
	guard *Guard
}

func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	own := &plainConn{conn: conn{Conn: c, guard: l.guard}}
	own.unasked.Store(true)
	return own, nil
}

// A conn is a connection of HTTP/1. What is written to it while no handler was
// asked is the server's own answer.
type conn struct {
	net.Conn
	guard   *Guard
	unasked atomic.Bool // no handler has been asked since the last answer ended
	misled  string      // what the client spoke in place of HTTP/1, in a sentence; may be empty
}

func (c *conn) bare() *conn { return c }

// NetConn returns the connection underneath.
func (c *conn) NetConn() net.Conn { return c.Conn }

// CloseWrite lets the other side read the last answer before it is cut off.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

func (c *conn) Write(p []byte) (int, error) {
	if !c.unasked.Load() {
		return c.Conn.Write(p)
	}
	return c.answer(p)
}

// answer writes an answer of the server's own. It comes in one piece, since it
// is short; it is the last one on its connection.
func (c *conn) answer(p []byte) (int, error) {
	status, rest, ok := bytes.Cut(p, []byte("\r\n"))
	if !ok || !bytes.HasPrefix(status, []byte("HTTP/1.")) {
		return c.Conn.Write(p)
	}
	c.unasked.Store(false)
	id := uuid.Must(uuid.NewV7()).String() // crypto/rand does not fail
	text := make([]byte, 0, len(p)+len(headerRequestID)+len(id)+4)
	text = append(append(text, status...), "\r\n"+headerRequestID+": "+id+"\r\n"...)
	text = append(text, rest...)
	if err := c.guard.bare(id, c.RemoteAddr(), string(status), c.misled, func() error { return write(c.Conn, text) }); err != nil {
		return 0, err
	}
	return len(p), nil
}

func write(w io.Writer, p []byte) error {
	_, err := w.Write(p)
	return err
}

// bare records an answer that no handler made, as send sends it. why says what
// was wrong; "" stands for what the status means.
func (g *Guard) bare(id string, peer net.Addr, statusLine, why string, send func() error) error {
	x := &exchange{guard: g, start: g.now()}
	x.record = latchkey.Record{
		RequestID: id, Time: x.start.UTC().Truncate(time.Microsecond), Node: g.Node,
		Outcome: latchkey.OutcomeError, Reason: latchkey.Reason(latchkey.CodeInvalidRequest),
	}
	if addr, err := netip.ParseAddrPort(peer.String()); err == nil {
		x.record.ClientIP = addr.Addr().Unmap().WithZone("").String()
	}
	_, code, _ := strings.Cut(statusLine, " ")
	code, words, _ := strings.Cut(code, " ")
	status, _ := strconv.Atoi(code) // it is the server's own
	x.record.Diagnosis = cmp.Or(why, unreadable(status)) + " No credential was looked at."
	if words != "" {
		x.record.Diagnosis += " The answer was: " + printable(words, maxHost) + "."
	}
	if err := x.begin(status); err != nil {
		return err
	}
	defer x.end()
	return send()
}

// A plainConn is a conn in clear text: the kernel may copy files into it.
type plainConn struct {
	conn
	heard bool // something was read
}

func (c *plainConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 && !c.heard {
		const handshake = 0x16 // the first byte of TLS (RFC 8446, section 5.1)
		if c.heard = true; p[0] == handshake {
			c.misled = tlsToClear
		}
	}
	return n, err
}

func (c *plainConn) ReadFrom(r io.Reader) (int64, error) { return io.Copy(c.Conn, r) }

// A secureConn is a conn over TLS.
type secureConn struct{ conn }

// ConnectionState is what [http.Request] has as TLS.
func (c *secureConn) ConnectionState() tls.ConnectionState {
	return c.Conn.(*tls.Conn).ConnectionState()
}

// hintPlain answers a client that speaks clear text to TLS, if err says so.
func (g *Guard) hintPlain(err error) bool {
	var record tls.RecordHeaderError
	if !errors.As(err, &record) || record.Conn == nil {
		return false
	}
	switch string(record.RecordHeader[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO", "PATCH", "DELET", "PRI *":
	default:
		return false
	}
	id := uuid.Must(uuid.NewV7()).String()
	const status = "HTTP/1.0 400 Bad Request"
	_ = g.bare(id, record.Conn.RemoteAddr(), status, clearToTLS, func() error {
		return write(record.Conn, []byte(status+"\r\n"+headerRequestID+": "+id+"\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"+
			"Client sent an HTTP request to an HTTPS server. Use https, and replace a credential that was sent.\n"))
	})
	return true
}
