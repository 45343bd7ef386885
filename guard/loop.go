package guard

import (
	"crypto/rand"
	"errors"
	"net/http"
	"strconv"
	"strings"
)

// headerLoop is how a gateway tells itself that its upstream leads back to it.
const headerLoop = "X-Latchkey-Loop"

// errLoop is why an upstream that leads back here cannot be used.
var errLoop = errors.New("the upstream leads back to this server, or to another of its cluster")

// newPseudonym returns what a gateway that was given no name calls itself in Via
// (RFC 9110, section 7.6.3).
func newPseudonym() string { return "latchkey-" + rand.Text() }

// addVia adds this gateway to those that a request has passed.
func (p *proxy) addVia(in *http.Request, h http.Header) {
	version := strconv.Itoa(in.ProtoMajor)
	if in.ProtoMajor == 1 {
		version += "." + strconv.Itoa(in.ProtoMinor)
	}
	earlier := h["Via"]
	h["Via"] = append(earlier[:len(earlier):len(earlier)], version+" "+p.pseudonym)
}

// cameBack reports whether a request has passed this gateway, or another one of its
// cluster, before. It is asked before the credential is looked at. Callers cannot
// guess the name; one that learns it, since an API shows what it was sent, can have
// requests refused that it sends itself, and nobody else's.
func (p *proxy) cameBack(r *http.Request) bool {
	for _, line := range r.Header["Via"] {
		if strings.Contains(line, p.pseudonym) {
			return true
		}
	}
	return false
}

// heardOfLoop reports whether an answer is this cluster's own to what came back.
// Only the upstream could forge one, which says what the caller gets anyhow.
func (p *proxy) heardOfLoop(res *http.Response) bool {
	own := res.Header[headerLoop]
	return len(own) == 1 && own[0] == p.pseudonym
}
