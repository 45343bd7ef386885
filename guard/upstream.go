package guard

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"sync"
	"time"

	"latchkey"
)

// errTooSlow is why a request to the upstream is given up.
var errTooSlow = errors.New("upstream took too long")

// A bodyError is a failure to read the body that the caller sends.
type bodyError struct{ err error }

func (e *bodyError) Error() string { return "read request body: " + e.err.Error() }
func (e *bodyError) Unwrap() error { return e.err }

// An upstream is a transport with a bound on waiting.
type upstream struct {
	base    http.RoundTripper
	timeout time.Duration // below 0: none
}

// RoundTrip sends a request, and returns when the response's header is there.
func (u *upstream) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	w := &watch{timeout: u.timeout, cancel: cancel}
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		// Called before ReverseProxy's own, which sends it to the caller.
		Got1xxResponse: func(_ int, h textproto.MIMEHeader) error {
			removeOurs(h)
			return nil
		},
	})
	req = req.WithContext(ctx)
	if req.Body != nil && req.Body != http.NoBody {
		req.Body = &watchedBody{req.Body, w}
	}
	w.start()
	res, err := u.base.RoundTrip(req)
	tooSlow, unread := w.stop()
	switch {
	case tooSlow:
		if err == nil {
			_ = res.Body.Close()
		}
		return nil, errTooSlow
	case err != nil && unread != nil:
		cancel(nil)
		return nil, &bodyError{unread}
	case err != nil:
		cancel(nil)
		return nil, err
	}
	if res.StatusCode != http.StatusSwitchingProtocols {
		res.Body = &answerBody{res.Body, res, exchangeFrom(req.Context()), cancel}
	}
	return res, nil
}

// A watch gives a request up when the upstream lets it wait. It stands still
// while it is the caller's body that is waited for.
type watch struct {
	timeout time.Duration
	cancel  context.CancelCauseFunc

	mu    sync.Mutex
	timer *time.Timer
	done  bool
	fired bool
	body  error // what reading the caller's body ended with, but for io.EOF
}

func (w *watch) start() {
	if w.timeout < 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer = time.AfterFunc(w.timeout, w.expire)
}

func (w *watch) expire() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.done {
		w.done, w.fired = true, true
		w.cancel(errTooSlow)
	}
}

// pause stops the clock; resume starts it anew.
func (w *watch) pause() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer != nil {
		w.timer.Stop()
	}
}

func (w *watch) resume(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil && err != io.EOF && w.body == nil {
		w.body = err
	}
	if w.timer != nil && !w.done {
		w.timer.Reset(w.timeout)
	}
}

// stop reports whether the time was over, and what reading the body ended with.
func (w *watch) stop() (tooSlow bool, body error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done = true
	if w.timer != nil {
		w.timer.Stop()
	}
	return w.fired, w.body
}

// A watchedBody is the caller's body on its way to the upstream.
type watchedBody struct {
	io.ReadCloser
	watch *watch
}

func (b *watchedBody) Read(p []byte) (int, error) {
	b.watch.pause()
	n, err := b.ReadCloser.Read(p)
	b.watch.resume(err)
	return n, err
}

// An answerBody is the upstream's body on its way to the caller.
type answerBody struct {
	io.ReadCloser
	response *http.Response
	exchange *exchange
	cancel   context.CancelCauseFunc
}

func (b *answerBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF && !b.exchange.clientGone() {
		b.exchange.fail(latchkey.CodeUpstreamUnreachable, "The upstream broke off its answer"+brokenHow(err)+".")
	}
	return n, err
}

// Close closes the body. Its trailers are known then.
func (b *answerBody) Close() error {
	err := b.ReadCloser.Close()
	removeOurs(b.response.Trailer)
	b.cancel(nil)
	return err
}
