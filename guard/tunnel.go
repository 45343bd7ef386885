package guard

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"latchkey"
)

// maxHead is the longest response header that is read on a hijacked connection,
// in bytes. A longer one passes as it is.
const maxHead = 64 << 10

// hijack takes a connection out of the server's hands, and keeps counting.
func (x *exchange) hijack(conn net.Conn, rw *bufio.ReadWriter, err error) (net.Conn, *bufio.ReadWriter, error) {
	if err != nil {
		return conn, rw, err
	}
	x.hijacked = true
	t := &tunnel{Conn: conn, x: x}
	if x.answered {
		t.begun.Store(true)
	} else {
		x.stamp() // for a handler that writes the header map itself
		x.answered = true
	}
	// What the client sent ahead stays buffered, where handlers look for it;
	// but httputil.ReverseProxy looks at the connection only.
	ahead := rw.Reader.Buffered()
	r := bufio.NewReaderSize(&countedReader{rw.Reader, &x.in}, rw.Reader.Size())
	if x.proxied {
		t.ahead = make([]byte, ahead)
		_, _ = io.ReadFull(rw.Reader, t.ahead)
	} else {
		_, _ = r.Peek(ahead)
	}
	rw = bufio.NewReadWriter(r, bufio.NewWriterSize(t, rw.Writer.Size()))
	if c, ok := conn.(closeWriter); ok {
		return &halfTunnel{t, c}, rw, nil
	}
	return t, rw, nil
}

type closeWriter interface{ CloseWrite() error }

// A tunnel is a hijacked connection. It puts the request's ID into the response
// that the handler writes, if that is HTTP/1; then it passes and counts bytes.
// It has neither ReadFrom nor WriteTo, because a count that comes when a copy
// ends would come after the record.
type tunnel struct {
	net.Conn
	x     *exchange
	ahead []byte // to be read before the connection

	begun atomic.Bool // the final response's header is out: the rest just passes
	mu    sync.Mutex
	head  []byte // what was written of a response's header
}

// A halfTunnel is one whose two directions can be closed by themselves.
type halfTunnel struct {
	*tunnel
	half closeWriter
}

// CloseWrite shuts down the writing side.
func (t *halfTunnel) CloseWrite() error { return t.half.CloseWrite() }

// NetConn returns the bare connection. What passes there is not counted, and
// gets no request ID.
func (t *tunnel) NetConn() net.Conn { return t.Conn }

func (t *tunnel) Read(p []byte) (int, error) {
	if len(t.ahead) > 0 {
		n := copy(p, t.ahead)
		t.ahead = t.ahead[n:]
		t.x.in.Add(int64(n))
		return n, nil
	}
	n, err := t.Conn.Read(p)
	t.x.in.Add(int64(n))
	return n, err
}

func (t *tunnel) Write(p []byte) (int, error) {
	if t.begun.Load() {
		n, err := t.Conn.Write(p)
		t.x.out.Add(int64(n))
		return n, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.head = append(t.head, p...)
	if err := t.writeHead(); err != nil {
		return 0, err
	}
	return len(p), nil
}

// writeHead writes what is complete of t.head: informational headers, and the
// final one with all that follows.
func (t *tunnel) writeHead() error {
	for !t.begun.Load() {
		if !couldBeHTTP(t.head) || len(t.head) > maxHead {
			return t.pass(nil, http.StatusSwitchingProtocols) // another protocol
		}
		end := headEnd(t.head)
		if end < 0 {
			return nil
		}
		status := statusOf(t.head[:end])
		stamped := stampHead(t.head[:end], t.x.record.RequestID)
		t.head = t.head[end:]
		if status < 200 && status != http.StatusSwitchingProtocols {
			if _, err := t.Conn.Write(stamped); err != nil {
				return err
			}
			continue
		}
		return t.pass(stamped, status)
	}
	return t.pass(nil, 0)
}

// pass begins the record, if need be, and writes header and what follows it.
func (t *tunnel) pass(header []byte, status int) error {
	rest := t.head
	t.head = nil
	if !t.begun.Swap(true) {
		if err := t.x.begin(status); err != nil {
			t.x.refused = true
			_, _ = io.WriteString(t.Conn, "HTTP/1.1 503 Service Unavailable\r\nX-Request-Id: "+t.x.record.RequestID+
				"\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
			return errors.Join(err, t.Conn.Close())
		}
	}
	_, err := t.Conn.Write(append(header, rest...))
	if err == nil {
		t.x.out.Add(int64(len(rest)))
	}
	return err
}

// Close closes the connection, and ends the record.
func (t *tunnel) Close() error {
	t.mu.Lock()
	if len(t.head) > 0 { // half a header: the client may have it as it is
		_ = t.pass(nil, http.StatusSwitchingProtocols)
	}
	t.mu.Unlock()
	err := t.Conn.Close()
	if !t.begun.Load() {
		t.x.fail(latchkey.CodeInternal, "The handler closed the connection without an answer.")
	}
	t.x.end()
	return err
}

// couldBeHTTP reports whether b may be the beginning of an HTTP/1 response.
func couldBeHTTP(b []byte) bool {
	const version = "HTTP/1."
	n := min(len(b), len(version))
	return string(b[:n]) == version[:n]
}

// headEnd returns the length of a response's header, with the empty line that
// ends it, or -1.
func headEnd(b []byte) int {
	for at := 0; ; {
		length := bytes.IndexByte(b[at:], '\n')
		if length < 0 {
			return -1
		}
		line := b[at : at+length]
		at += length + 1
		if len(bytes.TrimRight(line, "\r")) == 0 {
			return at
		}
	}
}

// statusOf returns the status of a response's header; 101 if it has none.
func statusOf(head []byte) int {
	fields := strings.Fields(string(head[:bytes.IndexByte(head, '\n')]))
	if len(fields) > 1 {
		if status, err := strconv.Atoi(fields[1]); err == nil && status >= 100 && status <= 999 {
			return status
		}
	}
	return http.StatusSwitchingProtocols
}

// stampHead returns a response's header with id as its only X-Request-Id.
func stampHead(head []byte, id string) []byte {
	stamped := make([]byte, 0, len(head)+len(headerRequestID)+len(id)+4)
	for line := range bytes.Lines(head) {
		first := len(stamped) == 0
		name, _, _ := bytes.Cut(line, []byte(":"))
		if !first && sameField(textproto.TrimString(string(name)), foldedRequestID) {
			continue
		}
		stamped = append(stamped, line...)
		if first {
			stamped = append(stamped, headerRequestID+": "+id+"\r\n"...)
		}
	}
	return stamped
}

// A countedReader counts what is read.
type countedReader struct {
	src io.Reader
	n   *atomic.Int64
}

func (r *countedReader) Read(p []byte) (int, error) {
	n, err := r.src.Read(p)
	r.n.Add(int64(n))
	return n, err
}
