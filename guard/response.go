package guard

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/felixge/httpsnoop"
)

// foldedRequestID is what every spelling of X-Request-Id folds to; see
// [sameField].
const foldedRequestID = "x-request-id"

// writer returns the server's response writer, with the same interfaces, that
// stamps the ID and begins the record as the status line is written.
func (x *exchange) writer() http.ResponseWriter {
	return httpsnoop.Wrap(x.server, httpsnoop.Hooks{
		WriteHeader: func(httpsnoop.WriteHeaderFunc) httpsnoop.WriteHeaderFunc { return x.writeHeader },
		Write: func(next httpsnoop.WriteFunc) httpsnoop.WriteFunc {
			return func(p []byte) (int, error) {
				if x.implicitHeader(); x.refused {
					return 0, errUnrecorded
				}
				return x.wrote(next(p))
			}
		},
		WriteString: func(next httpsnoop.WriteStringFunc) httpsnoop.WriteStringFunc {
			return func(s string) (int, error) {
				if x.implicitHeader(); x.refused {
					return 0, errUnrecorded
				}
				return x.wrote(next(s))
			}
		},
		Flush: func(next httpsnoop.FlushFunc) httpsnoop.FlushFunc {
			return func() { x.implicitHeader(); next() }
		},
		FlushError: func(next httpsnoop.FlushErrorFunc) httpsnoop.FlushErrorFunc {
			return func() error { x.implicitHeader(); return next() }
		},
		ReadFrom: x.readFrom,
		Hijack: func(next httpsnoop.HijackFunc) httpsnoop.HijackFunc {
			return func() (net.Conn, *bufio.ReadWriter, error) {
				if x.refused {
					return nil, nil, errUnrecorded
				}
				return x.hijack(next())
			}
		},
	})
}

// errUnrecorded is what a handler hears whose answer was withheld.
var errUnrecorded = errors.New("the answer cannot be recorded, and is withheld")

// writeHeader sends an informational response, or begins the final one.
func (x *exchange) writeHeader(status int) {
	if status == http.StatusContinue && x.proxied {
		// The server says it too, when the caller's body is first read, and
		// which of the two comes first is chance.
		return
	}
	final := status >= 200 || status == http.StatusSwitchingProtocols
	if status >= 100 && status <= 999 && !x.answered {
		x.stamp()
		if final {
			if err := x.begin(status); err != nil {
				x.refuse(err)
				return
			}
			x.answered = true
		}
	}
	if x.refused {
		return
	}
	// A status out of range panics there, and a second one is logged.
	x.server.WriteHeader(status)
}

// implicitHeader is the 200 that a body without a status means.
func (x *exchange) implicitHeader() {
	if !x.answered {
		x.writeHeader(http.StatusOK)
	}
}

// wrote counts n bytes of the response's body.
func (x *exchange) wrote(n int, err error) (int, error) {
	x.count(int64(n), err)
	return n, err
}

func (x *exchange) count(n int64, err error) {
	if x.request.Method != http.MethodHead { // whose body the server drops
		x.out.Add(n)
	}
	switch {
	case err == nil, errors.Is(err, http.ErrBodyNotAllowed), errors.Is(err, http.ErrContentLength), errors.Is(err, http.ErrHijacked):
	default:
		x.lost.Store(true)
	}
}

// sniffLen is how much of a body the server looks at to guess its type.
const sniffLen = 512

// readFrom keeps sendfile. The server writes the status line only when it has
// read something: a source that is empty leaves the choice of a status open.
func (x *exchange) readFrom(next httpsnoop.ReadFromFunc) httpsnoop.ReadFromFunc {
	return func(src io.Reader) (n int64, err error) {
		if !x.answered {
			var first [sniffLen]byte
			k, err := io.ReadFull(src, first[:])
			if k > 0 {
				if x.implicitHeader(); x.refused {
					return 0, errUnrecorded
				}
				w, writeErr := x.server.Write(first[:k])
				x.count(int64(w), writeErr)
				n = int64(w)
				if writeErr != nil {
					return n, writeErr
				}
			}
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				return n, nil
			}
			if err != nil {
				return n, err
			}
		}
		if x.refused {
			return n, errUnrecorded
		}
		rest, err := next(src)
		x.count(rest, nil) // an error may be the source's: it says nothing of the client
		return n + rest, err
	}
}

// stamp makes the ID the only X-Request-Id of the header, in any spelling: a
// handler may have set its own, or have cleared the header (as
// httputil.ReverseProxy does after each 1xx).
func (x *exchange) stamp() {
	h := x.server.Header()
	for name := range h {
		if sameField(name, foldedRequestID) && name != headerRequestID {
			delete(h, name)
		}
	}
	h[headerRequestID] = []string{x.record.RequestID}
	if _, announced := h["Trailer"]; announced {
		announceNoID(h)
	}
}

// announceNoID takes X-Request-Id out of the trailers that h announces.
func announceNoID(h http.Header) {
	var kept []string
	for _, line := range h["Trailer"] {
		for name := range strings.SplitSeq(line, ",") {
			if name = strings.TrimSpace(name); name != "" && !sameField(name, foldedRequestID) {
				kept = append(kept, name)
			}
		}
	}
	if len(kept) == 0 {
		delete(h, "Trailer")
		return
	}
	h["Trailer"] = []string{strings.Join(kept, ", ")}
}

// dropTrailers removes an X-Request-Id that a handler set as a trailer that it
// had not announced.
func (x *exchange) dropTrailers() {
	h := x.server.Header()
	for name := range h {
		if trailer, is := strings.CutPrefix(name, http.TrailerPrefix); is && sameField(trailer, foldedRequestID) {
			delete(h, name)
		}
	}
}

// controllable returns w with the methods that http.ResponseController finds by
// unwrapping it: what a writer that somebody put around the server's can do
// only in that way would pass us by. HTTP/2 has no Hijack.
func controllable(w http.ResponseWriter, r *http.Request) http.ResponseWriter {
	_, wraps := w.(interface{ Unwrap() http.ResponseWriter })
	_, flushes := w.(http.Flusher)
	_, flushesToo := w.(interface{ FlushError() error })
	_, hijacks := w.(http.Hijacker)
	if !wraps || (flushes || flushesToo) && (hijacks || r.ProtoMajor != 1) {
		return w
	}
	return &controlled{w, http.NewResponseController(w)}
}

// controlled is a writer that flushes and hijacks by its controller.
type controlled struct {
	http.ResponseWriter
	controller *http.ResponseController
}

func (c *controlled) Unwrap() http.ResponseWriter { return c.ResponseWriter }
func (c *controlled) FlushError() error           { return c.controller.Flush() }
func (c *controlled) Flush()                      { _ = c.controller.Flush() }
func (c *controlled) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return c.controller.Hijack()
}
