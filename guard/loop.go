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
var errLoop = errors.New("the upstream leads back to this server")

// newPseudonym returns what this gateway calls itself in Via (RFC 9110, section
// 7.6.3). Nobody can guess it: who sends it spoils a request of its own only.
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

// cameBack reports whether a request has passed this gateway before.
func (p *proxy) cameBack(r *http.Request) bool {
	for _, line := range r.Header["Via"] {
		if strings.Contains(line, p.pseudonym) {
			return true
		}
	}
	return false
}

// heardOfLoop reports whether an answer is this gateway's own to what came back.
func (p *proxy) heardOfLoop(res *http.Response) bool {
	own := res.Header[headerLoop]
	return len(own) == 1 && own[0] == p.pseudonym
}
