package guard

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"time"

	"latchkey"
	"latchkey/problem"
)

// DefaultUpstreamTimeout is how long an upstream may keep a request waiting.
const DefaultUpstreamTimeout = 60 * time.Second

// A Gateway says which server stands behind the door.
type Gateway struct {
	Upstream *url.URL // scheme (http or https), host and port; nothing more

	// Timeout bounds each wait for the upstream until its response's header
	// is there: to connect, to take more of the request's body, to answer. 0
	// means [DefaultUpstreamTimeout], below 0 means no bound.
	Timeout time.Duration

	// ForwardAuthorization leaves the caller's credential in the request.
	ForwardAuthorization bool

	// Transport sends the requests. Nil means one over HTTP/1.1 that uses no
	// proxy, follows no redirect and asks for no compression of its own.
	Transport http.RoundTripper
}

// Gateway returns a handler that sends requests on to the upstream once their
// credential held. Target, query and body pass byte for byte, streamed both
// ways, and so does the Host field; the upstream learns who calls from
// X-Latchkey-Team, -Credential, -Method and -Revision and X-Request-Id, which
// nothing that the caller sends can set. Request trailers are dropped. Of
// upgrades only WebSocket passes. A request that has passed this gateway before, or
// one with the same [Guard.Pseudonym], as its Via shows, is answered 502 before its
// credential is looked at.
//
// The target is that of the request line: what a handler in front made of
// Request.URL (http.StripPrefix) does not count.
func (g *Guard) Gateway(c Gateway) (http.Handler, error) {
	if err := validUpstream(c.Upstream); err != nil {
		return nil, err
	}
	p := &proxy{guard: g, gateway: c, pseudonym: cmp.Or(g.Pseudonym, newPseudonym())}
	timeout := c.Timeout
	if timeout == 0 {
		timeout = DefaultUpstreamTimeout
	}
	transport := c.Transport
	if transport == nil {
		transport = newTransport(max(0, timeout))
	}
	p.reverse = &httputil.ReverseProxy{
		Rewrite:        p.rewrite,
		Transport:      &upstream{base: transport, timeout: timeout},
		FlushInterval:  -1,
		ErrorLog:       slog.NewLogLogger(g.logger().Handler(), slog.LevelWarn),
		BufferPool:     &buffers{},
		ModifyResponse: p.cleanResponse,
		ErrorHandler:   p.fail,
	}
	return g.Wrap(p), nil
}

func validUpstream(u *url.URL) error {
	switch {
	case u == nil:
		return errors.New("gateway has no upstream")
	case u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("upstream must begin with http:// or https://, not %q", u.Scheme)
	case u.Hostname() == "":
		return errors.New("upstream names no host")
	case u.User != nil:
		return errors.New("upstream must not hold user information")
	case u.Path != "" && u.Path != "/", u.RawQuery != "", u.Fragment != "", u.Opaque != "", u.ForceQuery:
		return fmt.Errorf("upstream must be %s://HOST[:PORT] alone, without path or query", u.Scheme)
	}
	return nil
}

// newTransport returns what talks to the upstream unless told otherwise. It
// gives connecting up after timeout (0: never); all else is bounded by
// [upstream].
func newTransport(timeout time.Duration) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true) // every upgrade can pass
	return &http.Transport{
		DialContext:            (&net.Dialer{Timeout: timeout, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:    timeout,
		DisableCompression:     true,
		MaxIdleConnsPerHost:    256,
		IdleConnTimeout:        90 * time.Second,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: 1 << 20,
		Protocols:              protocols,
	}
}

// A proxy is the handler behind the door.
type proxy struct {
	guard     *Guard
	gateway   Gateway
	reverse   *httputil.ReverseProxy
	pseudonym string // in Via
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := forwardable(r); err != nil {
		exchangeFrom(r.Context()).remark(p.guard.turnedAway(err, notAsked))
		p.guard.Problems.Write(w, r, err)
		return
	}
	if upgrade := r.Header["Upgrade"]; len(upgrade) > 0 &&
		(len(upgrade) > 1 || !strings.EqualFold(upgrade[0], "websocket")) {
		// A tunnel for another protocol (h2c above all) could carry requests
		// that nobody checks.
		r = r.WithContext(r.Context())
		r.Header = r.Header.Clone()
		r.Header.Del("Upgrade")
	}
	exchangeFrom(r.Context()).proxied = true
	// The server would guess a type where the upstream gives none.
	w.Header()["Content-Type"] = nil
	p.reverse.ServeHTTP(w, r)
}

// forwardable refuses what could not be sent on as it came.
func forwardable(r *http.Request) error {
	t, err := targetOf(r)
	if err != nil {
		return err
	}
	if _, err := t.url(&url.URL{}); err != nil {
		return err
	}
	if strings.ContainsFunc(r.Host, func(c rune) bool { return c <= ' ' || c >= 0x7f || strings.ContainsRune(`/?#@\`, c) }) {
		return badTarget("The host that the request names cannot be one.")
	}
	return nil
}

// url returns the URL of a target at the upstream, such that it is written byte
// for byte as it came.
func (t target) url(upstream *url.URL) (*url.URL, error) {
	u := &url.URL{Scheme: upstream.Scheme, Host: upstream.Host, RawQuery: t.query, ForceQuery: t.hasQuery}
	if !strings.HasPrefix(t.path, "//") {
		u.Opaque = t.path
		return u, nil
	}
	// Of an opaque part that begins so, net/url makes a URL with an authority.
	path, err := url.PathUnescape(t.path)
	u.Path, u.RawPath = path, t.path
	if err != nil || u.EscapedPath() != t.path {
		return nil, badTarget("The request target begins with two slashes and holds characters that must be percent-encoded.")
	}
	return u, nil
}

// rewrite makes the upstream's request of the caller's. ReverseProxy has taken
// the hop-by-hop fields off already, with all that Connection named.
func (p *proxy) rewrite(pr *httputil.ProxyRequest) {
	in, out := pr.In, pr.Out
	if t, err := targetOf(in); err == nil { // checked before, by forwardable
		if u, err := t.url(p.gateway.Upstream); err == nil {
			out.URL = u
		}
	}
	out.Trailer = nil
	h := out.Header
	removeOurs(h)
	for _, name := range []string{"Authorization", "Http2-Settings", "Te"} {
		delete(h, name)
	}
	if p.gateway.ForwardAuthorization {
		h["Authorization"] = in.Header["Authorization"]
	}
	keepOthersCookies(h)
	p.addVia(in, h)
	p.guard.setForwarded(in, h)
	hideIdempotency(out)

	x := exchangeFrom(in.Context())
	principal, _ := latchkey.PrincipalFrom(in.Context()) // Wrap put it there
	h[headerRequestID] = []string{x.record.RequestID}
	setIdentity(h, principal)
}

// cleanResponse takes from the upstream's response what only we may say, and
// what would lead callers past us.
func (p *proxy) cleanResponse(res *http.Response) error {
	if p.heardOfLoop(res) {
		return errLoop
	}
	removeOurs(res.Header)
	delete(res.Header, "Alt-Svc")
	keepOthersSetCookies(res.Header)
	removeOurs(res.Trailer)
	return nil
}

// fail answers for an upstream that did not. Neither the answer nor the record,
// which the team may read, names the upstream; the log does.
func (p *proxy) fail(w http.ResponseWriter, r *http.Request, err error) {
	x := exchangeFrom(r.Context())
	verdict := explain(err)
	if x.clientGone() {
		return // Wrap records it
	}
	if verdict.Code == latchkey.CodeUpstreamUnreachable || verdict.Code == latchkey.CodeUpstreamTimeout {
		diagnosis, cause := upstreamFault(err)
		x.fail(verdict.Code, diagnosis)
		p.guard.logger().Warn("upstream failed", "request_id", x.record.RequestID,
			"code", string(verdict.Code), "upstream", p.gateway.Upstream.Host, "cause", cause)
	} else {
		x.remark(p.guard.turnedAway(verdict, partlySeen))
	}
	if !x.hijacked {
		p.guard.Problems.Write(w, r, verdict)
	}
}

// explain says what a failed round trip is to the caller.
func explain(err error) *problem.Error {
	var (
		tooLarge *http.MaxBytesError
		body     *bodyError
		netErr   net.Error
	)
	switch {
	case errors.As(err, &tooLarge):
		return &problem.Error{Code: latchkey.CodeBodyTooLarge, Err: err, Detail: problem.Writer{}.Body(tooLarge, "").Detail}
	case errors.As(err, &body):
		return &problem.Error{Code: latchkey.CodeInvalidRequest, Err: err,
			Detail: "The body of the request could not be read to its end."}
	case errors.Is(err, errTooSlow), errors.Is(err, context.DeadlineExceeded),
		errors.As(err, &netErr) && netErr.Timeout():
		return &problem.Error{Code: latchkey.CodeUpstreamTimeout, Err: err}
	}
	return &problem.Error{Code: latchkey.CodeUpstreamUnreachable, Err: err}
}

// buffers is a pool of copy buffers.
type buffers struct{ pool sync.Pool }

func (b *buffers) Get() []byte {
	if p, ok := b.pool.Get().(*[]byte); ok {
		return *p
	}
	return make([]byte, 32<<10)
}

func (b *buffers) Put(p []byte) { b.pool.Put(&p) }
