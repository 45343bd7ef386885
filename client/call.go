package client

import (
	"fmt"
	"io"
	"net/http"
)

// maxErrorBody is how much of an answer's body is read, in bytes, to learn what
// went wrong or to use its connection again.
const maxErrorBody = 64 << 10

// call is one request, sent as often as need be.
type call struct {
	t         *Transport
	req       *http.Request
	authorize bool // with the credential
	sent      bool // the body that came with the request is used up
}

// try sends the request, and again if a 401 can be mended: once with a token by
// the server's clock, once with the other credential.
func (c *call) try() (*http.Response, error) {
	if !c.authorize {
		return c.send("")
	}
	t := c.t
	used := t.active()
	field := used.field(t)
	var otherClock, otherCredential bool
	for {
		resp, err := c.send(field)
		if err != nil {
			return nil, err
		}
		if resp.StatusCode != http.StatusUnauthorized {
			if otherCredential {
				t.prefer(used)
			}
			return resp, nil
		}
		if used.key == nil && t.Second == nil {
			return resp, nil
		}
		code := peekCode(resp)
		switch {
		case !otherClock && used.key != nil && t.learn(resp, code):
			otherClock = true
		case !otherCredential && t.Second != nil && (code == "" || code == codeInvalidCredentials):
			otherCredential = true
			used = t.other(used)
			if !c.replayable() {
				// It cannot be tried on this request, so the next begins with it.
				t.prefer(used)
			}
		default:
			return resp, nil
		}
		refused := field
		if field = used.field(t); field == refused || !c.replayable() {
			return resp, nil
		}
		discard(resp)
	}
}

// send sends a copy of the request with this Authorization header, or none.
func (c *call) send(field string) (*http.Response, error) {
	out := c.req.WithContext(c.req.Context())
	if field != "" {
		if out.Header = c.req.Header.Clone(); out.Header == nil {
			out.Header = make(http.Header, 1)
		}
		out.Header["Authorization"] = []string{field}
	}
	if c.sent && hasBody(c.req) {
		body, err := c.req.GetBody()
		if err != nil {
			return nil, fmt.Errorf("client: get the request's body again: %w", err)
		}
		out.Body = body
	}
	c.sent = true
	resp, err := c.t.base().RoundTrip(out)
	if err != nil {
		return nil, err
	}
	// Whoever prints the answer, or follows its redirect, sees no credential.
	resp.Request = c.req
	return resp, nil
}

// replayable reports whether the request can be sent a second time.
func (c *call) replayable() bool {
	return !hasBody(c.req) || c.req.GetBody != nil
}

func hasBody(req *http.Request) bool {
	return req.Body != nil && req.Body != http.NoBody
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
}

// discard reads what little is left of an answer, so that its connection can be
// used again, and closes it.
func discard(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, maxErrorBody)
	_ = resp.Body.Close()
}
