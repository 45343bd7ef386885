package client

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// admit reports whether the request gets the credential, or returns why it must
// not be sent.
func (t *Transport) admit(req *http.Request) (bool, error) {
	if err := t.usable(); err != nil {
		return false, err
	}
	if req.URL == nil {
		return false, errors.New("client: the request has no URL")
	}
	if !stayed(req) {
		return false, nil
	}
	if req.URL.Host == "" {
		return false, errors.New("client: the request's URL names no host: is the API's address set, with http:// or https://?")
	}
	if t.Host != "" && !strings.EqualFold(withPort(req.URL.Scheme, t.Host), withPort(req.URL.Scheme, req.URL.Host)) {
		return false, fmt.Errorf("client: the credential is for %s, and the request goes to %s", t.Host, req.URL.Host)
	}
	if req.URL.Scheme != "https" && !t.AllowClearText && !loopback(req.URL.Hostname()) {
		return false, fmt.Errorf("client: the credential does not go to %s in clear text: use https, or set AllowClearText", req.URL.Host)
	}
	for name := range req.Header {
		if strings.EqualFold(name, "Authorization") {
			return false, errors.New("client: the request has a credential already: " +
				"leave out the Authorization header, and the user name in the URL")
		}
	}
	return true, nil
}

// stayed reports whether no redirect on the way to req left the origin. Once
// away, all that follows was chosen by a stranger, the way back too.
func stayed(req *http.Request) bool {
	for req.Response != nil {
		from := req.Response.Request
		if from == nil || from.URL == nil || !stays(from.URL, req.URL) {
			return false
		}
		req = from
	}
	return true
}

// stays reports whether a redirect from one URL to the other stays with the same
// server: scheme, host and port are the same, or it goes from http to https, both
// on their own ports.
func stays(from, to *url.URL) bool {
	if !strings.EqualFold(from.Hostname(), to.Hostname()) {
		return false
	}
	if from.Scheme == to.Scheme {
		return port(from) == port(to)
	}
	return from.Scheme == "http" && port(from) == "80" && to.Scheme == "https" && port(to) == "443"
}

func port(u *url.URL) string {
	if p := u.Port(); p != "" {
		return p
	}
	switch u.Scheme {
	case "http":
		return "80"
	case "https":
		return "443"
	}
	return ""
}

// withPort returns the host of a URL with its port.
func withPort(scheme, host string) string {
	u := url.URL{Scheme: scheme, Host: host}
	return u.Hostname() + ":" + port(&u)
}

// loopback reports whether the host is this machine. A name other than localhost
// is whatever some server for names says.
func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}
