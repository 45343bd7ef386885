package client

import (
	"cmp"
	"encoding/base64"
	"errors"
	"net/http"
	"time"

	"latchkey/jwt"
)

// A Transport is an [http.RoundTripper] that adds a credential to each request.
// Make it with [Bearer], [Basic] or [JWT]. Set its fields before its first
// request; from then on any number of goroutines may use it at once. A copy
// shares the cached token with the original.
//
// It changes no request that it is given: what it sends is a copy. The
// Request of an answer is the one that was given, without the credential.
// It prints as "[secret]".
type Transport struct {
	// Base sends the requests. nil: [http.DefaultTransport].
	Base http.RoundTripper

	// Host is the only host that gets the credential, as in a URL, with the
	// port if it is not the default one. A request for another host is an error,
	// a redirect to one goes without the credential. Empty: any host that the
	// program itself makes a request for.
	Host string

	// AllowClearText lets the credential go over http to hosts other than this
	// machine. Everyone on the way can read and use it.
	AllowClearText bool

	// Retry says whether and how requests are tried again. Zero: they are not.
	Retry Retry

	// Second is for a change-over: if the credential is refused with 401
	// invalid_credentials, or with a 401 that has no code, the one of Second is
	// tried, once, and whichever was accepted last is used first from then on.
	// Nothing but its credential is used. nil: there is none.
	Second *Transport

	// Now is this machine's clock, from which tokens get their iat.
	// nil: [time.Now].
	Now func() time.Time

	credential *credential
}

// Bearer returns a Transport that sends the team API key as a Bearer token (RFC
// 6750 §2.1). A key that no header can carry is an error of each request.
func Bearer(key string) *Transport {
	return fixed("Bearer "+key, checkText("API key", key, ""))
}

// Basic returns a Transport that sends the team API key as the user name of HTTP
// Basic (RFC 7617), with an empty password. A key that is empty, or has a colon
// or anything but visible ASCII in it, is an error of each request.
func Basic(key string) *Transport {
	return fixed("Basic "+base64.StdEncoding.EncodeToString([]byte(key+":")), checkText("API key", key, ":"))
}

// JWT returns a Transport that signs tokens with an API secret and sends them as
// Bearer tokens. A token is kept and used for less than four minutes. A Secret
// ID or Secret Key that is empty or not visible ASCII, an ID with a | in it, or a
// pair that is swapped by its form, is an error of each request.
func JWT(secretID, secretKey string) *Transport {
	return &Transport{credential: &credential{
		err: cmp.Or(checkText("API Secret ID", secretID, "|"), checkText("API Secret Key", secretKey, "")),
		key: jwt.NewKey(secretID, secretKey),
	}}
}

func fixed(field string, err error) *Transport {
	// A closure keeps the value from whatever prints by reflection.
	return &Transport{credential: &credential{err: err, fixed: func() string { return field }}}
}

// RoundTrip sends the request with the credential, or without it after a
// redirect that left the origin (see the package's comment). It sends it again
// after a 401 that another token or the Second credential may mend, and as Retry
// says; in each case only if the request has no body or a GetBody.
//
// It returns an error, and sends nothing, if the credential cannot be used or
// may not go where the request goes.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	authorize, err := t.admit(req)
	if err != nil {
		closeBody(req)
		return nil, err
	}
	c := call{t: t, req: req, authorize: authorize}
	if t.Retry.Max <= 0 || !idempotent(req) || !c.replayable() {
		return c.try()
	}
	return c.retry()
}

// CloseIdleConnections closes the idle connections of Base, if it can, as
// [http.Client.CloseIdleConnections] asks.
func (t *Transport) CloseIdleConnections() {
	if b, ok := t.base().(interface{ CloseIdleConnections() }); ok {
		b.CloseIdleConnections()
	}
}

func (t *Transport) base() http.RoundTripper {
	if t.Base != nil {
		return t.Base
	}
	return http.DefaultTransport
}

// usable returns why no request can be authenticated at all, or nil.
func (t *Transport) usable() error {
	switch {
	case t == nil || t.credential == nil:
		return errors.New("client: the Transport has no credential: make it with Bearer, Basic or JWT")
	case t.credential.err != nil:
		return t.credential.err
	case t.Second == nil:
		return nil
	case t.Second.credential == nil:
		return errors.New("client: Second has no credential: make it with Bearer, Basic or JWT")
	}
	return t.Second.credential.err
}

// active returns the credential to begin with.
func (t *Transport) active() *credential {
	if t.Second != nil && t.credential.turned.Load() {
		return t.Second.credential
	}
	return t.credential
}

// other returns the credential to try after c.
func (t *Transport) other(c *credential) *credential {
	if c == t.credential {
		return t.Second.credential
	}
	return t.credential
}

// prefer makes c the credential to begin with.
func (t *Transport) prefer(c *credential) {
	t.credential.turned.Store(c != t.credential)
}
