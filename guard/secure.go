package guard

import (
	"context"
	"crypto/tls"
	"log"
	"net"
	"net/http"
	"sync"
	"time"
)

// handshakeTimeout bounds a TLS handshake where the server has no bound of its
// own for headers.
const handshakeTimeout = 10 * time.Second

// A secureListener makes the handshakes itself, each beside the others: only
// then is it known which protocol a connection speaks. net/http must see the
// *tls.Conn of HTTP/2, and would not let anything stand around it.
type secureListener struct {
	net.Listener
	guard    *Guard
	config   *tls.Config
	timeout  time.Duration
	errorLog *log.Logger

	server *http.Server
	once   sync.Once

	ready  chan net.Conn
	failed chan error
	ctx    context.Context // of the handshakes: it ends with the listener
	cancel context.CancelFunc
}

func newSecureListener(g *Guard, s *http.Server, ln net.Listener) *secureListener {
	l := &secureListener{Listener: ln, guard: g, config: s.TLSConfig, timeout: s.ReadHeaderTimeout, errorLog: s.ErrorLog,
		server: s, ready: make(chan net.Conn), failed: make(chan error)}
	if l.timeout <= 0 {
		l.timeout = handshakeTimeout
	}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	go l.run()
	return l
}

// run accepts connections until the listener is closed.
func (l *secureListener) run() {
	for {
		c, err := l.Listener.Accept()
		if err == nil {
			go l.shake(c)
			continue
		}
		select {
		case l.failed <- err: // the server waits before it asks again
		case <-l.ctx.Done():
			return
		}
	}
}

// shake makes one handshake.
func (l *secureListener) shake(c net.Conn) {
	ctx, cancel := context.WithTimeout(l.ctx, l.timeout)
	defer cancel()
	secure := tls.Server(c, l.config)
	if err := secure.HandshakeContext(ctx); err != nil {
		defer c.Close()
		if l.ctx.Err() == nil && !l.guard.hintPlain(err) {
			l.logf("http: TLS handshake error from %s: %v", c.RemoteAddr(), err)
		}
		return
	}
	var ready net.Conn = secure
	if secure.ConnectionState().NegotiatedProtocol != "h2" {
		own := &secureConn{conn{Conn: secure, guard: l.guard}}
		own.unasked.Store(true)
		ready = own
	}
	select {
	case l.ready <- ready:
	case <-l.ctx.Done():
		_ = c.Close()
	}
}

func (l *secureListener) Accept() (net.Conn, error) {
	l.once.Do(func() { levelHeaders(l.server) })
	select {
	case c := <-l.ready:
		return c, nil
	case err := <-l.failed:
		return nil, err
	case <-l.ctx.Done():
		return nil, net.ErrClosed
	}
}

func (l *secureListener) Close() error {
	l.cancel()
	return l.Listener.Close()
}

func (l *secureListener) logf(format string, args ...any) {
	if l.errorLog != nil {
		l.errorLog.Printf(format, args...)
		return
	}
	log.Printf(format, args...)
}

// slop is what net/http reads of an HTTP/1 header beyond MaxHeaderBytes.
const slop = 4 << 10

// levelHeaders gives HTTP/2 the bound on headers that HTTP/1 has: net/http has
// one setting, which it rounds up for HTTP/1 alone. It is called by the server
// that has just set HTTP/2 up, before the first connection.
func levelHeaders(s *http.Server) {
	serve := s.TLSNextProto["h2"]
	if serve == nil || s.MaxHeaderBytes <= 0 {
		return
	}
	larger := &http.Server{
		Handler: s.Handler, MaxHeaderBytes: s.MaxHeaderBytes + slop, HTTP2: s.HTTP2, ConnState: s.ConnState, ErrorLog: s.ErrorLog,
		ReadTimeout: s.ReadTimeout, ReadHeaderTimeout: s.ReadHeaderTimeout, WriteTimeout: s.WriteTimeout, IdleTimeout: s.IdleTimeout,
	}
	s.TLSNextProto["h2"] = func(_ *http.Server, c *tls.Conn, h http.Handler) { serve(larger, c, h) }
}
