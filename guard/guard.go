// Package guard is the door: it gives each request an ID, asks whether its
// credential holds, turns away those that may not pass, and records every
// response. [Guard.Wrap] is the door as Go middleware, [Guard.Gateway] in front
// of another server.
//
// The credential comes first: a request that is refused has had no effect, and
// nothing of it was read but its header.
package guard

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"latchkey"
	"latchkey/problem"
)

// A Guard decides which requests pass. Without Authenticate nothing does. Its
// fields must not change once it is in use; it is then safe for concurrent use.
type Guard struct {
	// Authenticate says who the Authorization fields of a request stand for;
	// it is the method of a [latchkey.Keyring]. Its error is a
	// [*latchkey.Denial] or a [*latchkey.Unavailable]; any other is taken as
	// unavailable.
	Authenticate func(ctx context.Context, fields []string) (latchkey.Principal, error)

	// Diagnose is told of each refusal, before its record begins: the
	// request's ID and its Authorization fields, which it must not keep. It
	// must not block. Nil: nobody is told.
	Diagnose func(requestID, clientIP string, fields []string)

	// Redact takes credentials out of what a record keeps of a request's
	// header (method, path, host, user agent, the caller's request ID); it is the
	// method of a [latchkey.Keyring]. Nil means that of the zero Keyring.
	Redact func(string) string

	Recorder latchkey.Recorder // takes a record of each response; nil: nobody does
	Problems problem.Writer    // writes the refusals
	Node     string            // the name of this node, for the records

	// Pseudonym is what this gateway and all others of its cluster call
	// themselves in Via, so that each of them finds a request that has passed one:
	// [latchkey.Sealer.Pseudonym]. It must be hard to guess. "" means one made at
	// random, which finds only what comes back to this very gateway.
	Pseudonym string

	// TrustedProxies are the peers whose Forwarded and X-Forwarded-* fields
	// are believed; nil: nobody's.
	TrustedProxies []netip.Prefix

	MaxBody int64            // the largest request body, in bytes; 0: no limit
	Methods []string         // the methods that pass; nil: all in the IANA registry but CONNECT, TRACE and PRI, which never do
	Now     func() time.Time // the wall clock; nil means time.Now
	Logger  *slog.Logger     // nil means slog.Default()
}

// Wrap returns a handler that lets a request through to next once its
// credential held. The request's context then carries the principal
// ([latchkey.PrincipalFrom]) and, like that of every request, its ID
// ([latchkey.RequestIDFrom]). The request's own fields stay as they came, its
// Authorization field among them.
//
// Every response carries exactly one X-Request-Id, whatever next sets; so does
// an answer that next writes to a hijacked connection, if it is HTTP/1. Such a
// connection counts what passes through it and is no *net.TCPConn; its NetConn
// method returns the bare one.
//
// Each response is one Begin and one End of the Recorder. Where next returned
// without an answer the status is 200, or 499 if the client had gone by then;
// it is 0 where the connection was dropped without an answer. If next panics
// before it answered, the answer is a 500; the panic then goes on with the same
// value.
func (g *Guard) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := g.newExchange(w, r)
		answered := false
		defer func() {
			if answered {
				x.finish()
				return
			}
			v := recover() // nil: the goroutine is exiting
			x.abort(v)
			if v != nil {
				panic(v)
			}
		}()
		g.serve(x, next)
		answered = true
	})
}

// serve is one request, from its header to the end of its handler.
func (g *Guard) serve(x *exchange, next http.Handler) {
	w, r := x.writer(), x.request
	if g.misled(x, next) {
		return
	}
	principal, err := g.judge(x)
	if err == nil {
		if err = g.admit(r); err != nil {
			x.remark(g.turnedAway(err, notAsked))
		}
	}
	if err != nil {
		if x.clientGone() {
			return // nobody is there to hear it
		}
		g.Problems.Write(w, r, err)
		return
	}
	r = r.WithContext(latchkey.WithPrincipal(r.Context(), principal))
	x.request = r
	if r.Body != nil && r.Body != http.NoBody {
		if g.MaxBody > 0 {
			// The server's own writer: it closes the connection then.
			r.Body = http.MaxBytesReader(x.server, r.Body, g.MaxBody)
		}
		r.Body = &countedBody{r.Body, &x.in}
	}
	next.ServeHTTP(w, r)
}

// misled answers what was never meant for this door, before its credential.
func (g *Guard) misled(x *exchange, next http.Handler) bool {
	w, r := x.writer(), x.request
	p, gateway := next.(*proxy)
	switch {
	case isPreface(r):
		x.fail(latchkey.CodeInvalidRequest, priorHTTP2)
		g.Problems.Write(w, r, &problem.Error{Code: latchkey.CodeInvalidRequest, Detail: "HTTP/2 in clear text is not spoken here: use HTTP/1.1, or https."})
	case gateway && p.cameBack(r):
		diagnosis, _ := upstreamFault(errLoop)
		x.fail(latchkey.CodeUpstreamUnreachable, diagnosis)
		w.Header()[headerLoop] = []string{p.pseudonym}
		g.Problems.Write(w, r, &problem.Error{Code: latchkey.CodeUpstreamUnreachable, Err: errLoop})
	default:
		return false
	}
	return true
}

// judge says who sent the request, and writes the verdict into its record.
func (g *Guard) judge(x *exchange) (latchkey.Principal, error) {
	fields := x.request.Header["Authorization"]
	if g.Authenticate == nil {
		return latchkey.Principal{}, g.unavailable(x, errors.New("guard has no Authenticate"))
	}
	p, err := g.Authenticate(x.request.Context(), fields)
	var (
		denial      *latchkey.Denial
		unavailable *latchkey.Unavailable
	)
	switch {
	case err == nil && p.TeamID == "":
		return latchkey.Principal{}, g.unavailable(x, errors.New("authenticate named nobody"))
	case err == nil:
		x.accept(p)
		return p, nil
	case errors.As(err, &denial):
		x.deny(denial)
		if g.Diagnose != nil {
			g.Diagnose(x.record.RequestID, x.record.ClientIP, fields)
		}
		return latchkey.Principal{}, denial
	case errors.As(err, &unavailable):
		x.cannotTell(unavailable)
		return latchkey.Principal{}, unavailable
	}
	return latchkey.Principal{}, g.unavailable(x, err)
}

// unavailable is what an error that is neither "no" nor "could not find out"
// comes to: the door stays shut.
func (g *Guard) unavailable(x *exchange, err error) error {
	if !x.clientGone() {
		g.logger().Error("cannot authenticate", "request_id", x.record.RequestID, "error", err)
	}
	u := &latchkey.Unavailable{Reason: latchkey.ReasonStoreUnavailable, Err: err}
	x.cannotTell(u)
	return u
}

// admit refuses requests that no API behind this door should see, whoever sent
// them.
func (g *Guard) admit(r *http.Request) error {
	if !g.allows(r.Method) {
		return &problem.Error{Code: latchkey.CodeMethodNotAllowed, Allow: strings.Join(g.methods(), ", ")}
	}
	if _, err := targetOf(r); err != nil {
		return err
	}
	if g.MaxBody > 0 && r.ContentLength > g.MaxBody {
		return &http.MaxBytesError{Limit: g.MaxBody}
	}
	return nil
}

// allows reports whether a method may pass. CONNECT would open a tunnel, TRACE
// would send the credential back, PRI is no request.
func (g *Guard) allows(method string) bool {
	switch method {
	case http.MethodConnect, http.MethodTrace, "PRI":
		return false
	}
	return slices.Contains(g.methods(), method)
}

func (g *Guard) methods() []string {
	if g.Methods != nil {
		return g.Methods
	}
	return registered()
}

// registered returns the methods of the IANA registry, the usual ones first,
// without CONNECT, TRACE, PRI and "*".
func registered() []string {
	return []string{
		"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY",
		"ACL", "BASELINE-CONTROL", "BIND", "CHECKIN", "CHECKOUT", "COPY", "LABEL",
		"LINK", "LOCK", "MERGE", "MKACTIVITY", "MKCALENDAR", "MKCOL",
		"MKREDIRECTREF", "MKWORKSPACE", "MOVE", "ORDERPATCH", "PROPFIND",
		"PROPPATCH", "REBIND", "REPORT", "SEARCH", "UNBIND", "UNCHECKOUT",
		"UNLINK", "UNLOCK", "UPDATE", "UPDATEREDIRECTREF", "VERSION-CONTROL",
	}
}

func (g *Guard) now() time.Time {
	if g.Now != nil {
		return g.Now()
	}
	return time.Now()
}

func (g *Guard) redact(s string) string {
	if g.Redact != nil {
		return g.Redact(s)
	}
	return new(latchkey.Keyring).Redact(s)
}

func (g *Guard) logger() *slog.Logger {
	if g.Logger != nil {
		return g.Logger
	}
	return slog.Default()
}
