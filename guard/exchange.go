package guard

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"latchkey"
	"latchkey/problem"
)

// ErrStopping is the cause with which a server that stops ends the contexts of
// requests that are still under way (context.WithCancelCause over
// http.Server.BaseContext): the door then answers 503 where it still can, and
// the records say that it was not the client who went away.
var ErrStopping = errors.New("server is stopping")

// statusClientGone is the status of a record whose client had gone before there
// was an answer. The number is nginx's; nobody hears it.
const statusClientGone = 499

// headerRequestID is the field that carries the request's ID.
const headerRequestID = "X-Request-Id"

// An exchange is one request and what became of it.
type exchange struct {
	guard    *Guard
	server   http.ResponseWriter // what the server gave us
	request  *http.Request
	start    time.Time
	answered bool // the status line of the final response is out, or the connection hijacked
	refused  bool // the answer could not be recorded, and another one went out in its place
	hijacked bool
	proxied  bool        // by a gateway
	lost     atomic.Bool // a write of the response failed

	in, out atomic.Int64 // bytes of the bodies, or of a tunnel

	// A hijacked connection may be closed by another goroutine than the
	// handler's.
	mu     sync.Mutex
	record latchkey.Record
	begun  bool
	ended  bool
}

type exchangeKey struct{}

// exchangeFrom returns the exchange that a request belongs to. There is one in
// every request that [Guard.Wrap] let through.
func exchangeFrom(ctx context.Context) *exchange {
	x, _ := ctx.Value(exchangeKey{}).(*exchange)
	return x
}

func (g *Guard) newExchange(w http.ResponseWriter, r *http.Request) *exchange {
	x := &exchange{guard: g, server: controllable(w, r), start: g.now()}
	id := uuid.Must(uuid.NewV7()).String() // crypto/rand does not fail
	x.record = g.describe(r, id, x.start)
	ctx := context.WithValue(r.Context(), exchangeKey{}, x)
	ctx = latchkey.WithReport(ctx, x.report)
	x.request = r.WithContext(latchkey.WithRequestID(ctx, id))
	w.Header()[headerRequestID] = []string{id}
	return x
}

func (x *exchange) accept(p latchkey.Principal) {
	r := &x.record
	r.Outcome, r.Reason = latchkey.OutcomeAccepted, latchkey.ReasonOK
	r.TeamID, r.CredentialID, r.Auth = p.TeamID, p.CredentialID, p.Method
}

func (x *exchange) deny(d *latchkey.Denial) {
	r := &x.record
	r.Outcome, r.Reason, r.Diagnosis = latchkey.OutcomeDenied, d.Reason, d.Diagnosis
	r.TeamID, r.CredentialID, r.Auth = d.TeamID, d.CredentialID, d.Method
}

func (x *exchange) cannotTell(u *latchkey.Unavailable) {
	r := &x.record
	r.Outcome, r.Reason = latchkey.OutcomeUnavailable, u.Reason
	if a, denial := latchkey.ReadAuthorization(x.request.Header["Authorization"]); denial == nil {
		r.Auth = a.Method
	}
}

// report says that the credential held, and that what lies behind the door
// answers with a fault of ours, or to a body that is too large. A verdict that
// stands already stays.
func (x *exchange) report(err error) {
	var tooLarge *http.MaxBytesError
	code := problem.CodeOf(err)
	switch {
	case code == latchkey.CodeBodyTooLarge && errors.As(err, &tooLarge):
		x.remark(x.guard.tooLarge(tooLarge) + " " + partlySeen)
		return
	case problem.Status(err) < http.StatusInternalServerError:
		return
	}
	gone, stopping := x.clientGone(), x.stopping()
	x.mu.Lock()
	defer x.mu.Unlock()
	r := &x.record
	var u *latchkey.Unavailable
	switch {
	case r.Outcome != latchkey.OutcomeAccepted:
	case code == latchkey.CodeUnavailable:
		r.Outcome, r.Reason = latchkey.OutcomeUnavailable, latchkey.ReasonStoreUnavailable
		if errors.As(err, &u) && u.Reason != "" {
			r.Reason = u.Reason
		}
	case gone && !stopping: // which made the handler fail
	default:
		r.Outcome, r.Reason, r.Diagnosis = latchkey.OutcomeError, latchkey.Reason(code), fault(err)
	}
}

// fail says that the credential held, but what lay behind the door did not.
func (x *exchange) fail(code latchkey.Code, diagnosis string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.record.Outcome, x.record.Reason = latchkey.OutcomeError, latchkey.Reason(code)
	x.record.Diagnosis = diagnosis
}

// clientGone reports whether the server has given the request up.
func (x *exchange) clientGone() bool {
	return x.lost.Load() || errors.Is(x.request.Context().Err(), context.Canceled)
}

// begin hands in what is known just before a status line leaves. Status 0 says
// that none will. An error says that this one must not leave.
func (x *exchange) begin(status int) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.begun {
		return nil
	}
	x.begun = true
	x.record.Status = status
	if x.guard.Recorder == nil {
		return nil
	}
	err := x.guard.Recorder.Begin(x.record)
	if err == nil {
		return nil
	}
	if status != 0 {
		x.guard.logger().Error("an answer is withheld, because it cannot be recorded", "request_id", x.record.RequestID, "error", err)
	}
	x.record.Status = http.StatusServiceUnavailable
	x.record.Outcome, x.record.Reason = latchkey.OutcomeUnavailable, latchkey.ReasonStoreUnavailable
	return &latchkey.Unavailable{Reason: latchkey.ReasonStoreUnavailable, Err: err}
}

// refuse answers in place of an answer that could not be recorded.
func (x *exchange) refuse(err error) {
	x.refused, x.answered = true, true
	h := x.server.Header()
	for name := range h {
		if name != headerRequestID {
			delete(h, name)
		}
	}
	x.guard.Problems.Write(x.server, x.request, err)
	// A handler that hears of it may break off, and the connection with it.
	_ = http.NewResponseController(x.server).Flush()
}

// end hands in the whole record, once.
func (x *exchange) end() {
	_ = x.begin(0) // does nothing if there was an answer
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.ended {
		return
	}
	x.ended = true
	x.record.BytesIn, x.record.BytesOut = x.in.Load(), x.out.Load()
	x.record.DurationUS = max(0, x.guard.now().Sub(x.start).Microseconds())
	if x.guard.Recorder != nil {
		x.guard.Recorder.End(x.record)
	}
}

// finish ends an exchange whose handler returned.
func (x *exchange) finish() {
	if x.hijacked {
		return // it ends when the connection is closed
	}
	switch gone := x.clientGone(); {
	case !x.answered && gone && x.stopping():
		x.fail(latchkey.CodeInternal, "The server was stopped before there was an answer.")
		x.guard.Problems.Write(x.writer(), x.request, &latchkey.Unavailable{})
	case !x.answered && gone:
		x.remark("The client went away before there was an answer.")
		// If it was the server that gave up, the client hears no false 200.
		x.writeHeader(statusClientGone)
	case !x.answered:
		x.writeHeader(http.StatusOK)
	case x.lost.Load():
		x.brokenOff()
	}
	x.dropTrailers()
	x.end()
}

// stopping reports whether it is the server that gives requests up.
func (x *exchange) stopping() bool {
	return errors.Is(context.Cause(x.request.Context()), ErrStopping)
}

// brokenOff says why an answer has no end.
func (x *exchange) brokenOff() {
	if x.stopping() {
		x.fail(latchkey.CodeInternal, "The server was stopped before the answer ended.")
		return
	}
	x.remark("The client went away before the answer ended.")
}

// remark adds a diagnosis to a record that has none.
func (x *exchange) remark(diagnosis string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.record.Diagnosis == "" {
		x.record.Diagnosis = diagnosis
	}
}

// abort ends an exchange whose handler panicked with v, or left with
// runtime.Goexit (nil).
func (x *exchange) abort(v any) {
	if x.refused {
		x.end()
		return
	}
	silent := v == nil || v == http.ErrAbortHandler
	switch gone := x.clientGone(); {
	case silent && gone && !x.answered:
		x.remark("The client went away before there was an answer.")
		_ = x.begin(statusClientGone) // there is nothing to withhold
	case silent && gone:
		x.brokenOff()
	case silent && x.failed():
	case silent:
		x.fail(latchkey.CodeInternal, "The handler broke off.")
	case x.answered:
		x.fail(latchkey.CodeInternal, "The handler panicked in the middle of its answer.")
	default:
		x.fail(latchkey.CodeInternal, "The handler panicked.")
		w := x.writer()
		x.guard.Problems.Write(w, x.request, errPanicked)
		// What is not flushed now is lost with the connection.
		_ = http.NewResponseController(w).Flush()
	}
	x.end()
}

var errPanicked = errors.New("handler panicked")

func (x *exchange) failed() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.record.Outcome == latchkey.OutcomeError
}

// A countedBody counts what is read of a request's body.
type countedBody struct {
	io.ReadCloser
	n *atomic.Int64
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.n.Add(int64(n))
	return n, err
}
