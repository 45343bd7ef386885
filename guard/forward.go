package guard

import (
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"latchkey"
)

// The fields by which an upstream learns who calls.
const (
	headerTeam       = "X-Latchkey-Team"
	headerCredential = "X-Latchkey-Credential"
	headerMethod     = "X-Latchkey-Method"
	headerRevision   = "X-Latchkey-Revision"

	foldedIdentity = "x-latchkey-" // what all of their spellings begin with; see hasFieldPrefix
)

// cookiePrefix begins the names of the console's cookies.
const cookiePrefix = "__Host-latchkey"

// setIdentity sets all four fields, always: an upstream that copies them must
// never find a caller's in the place of one that is missing.
func setIdentity(h http.Header, p latchkey.Principal) {
	h[headerTeam] = []string{p.TeamID}
	h[headerCredential] = []string{p.CredentialID}
	h[headerMethod] = []string{string(p.Method)}
	h[headerRevision] = []string{strconv.FormatInt(int64(p.Revision), 10)}
}

// removeOurs removes the fields that only we may set, in any spelling.
func removeOurs[H ~map[string][]string](h H) {
	for name := range h {
		if hasFieldPrefix(name, foldedIdentity) || sameField(name, foldedRequestID) {
			delete(h, name)
		}
	}
}

// keepOthersCookies removes the console's cookies from a request, and leaves
// the others as they are.
func keepOthersCookies(h http.Header) {
	var kept []string
	for _, line := range h["Cookie"] {
		if strings.Contains(strings.ToLower(line), strings.ToLower(cookiePrefix)) {
			if line = othersCookies(line); line == "" {
				continue
			}
		}
		kept = append(kept, line)
	}
	if len(kept) == 0 {
		delete(h, "Cookie")
		return
	}
	h["Cookie"] = kept
}

func othersCookies(line string) string {
	var kept []string
	for pair := range strings.SplitSeq(line, ";") {
		if !isConsoleCookie(pair) {
			kept = append(kept, pair)
		}
	}
	return strings.Trim(strings.Join(kept, ";"), " \t")
}

// keepOthersSetCookies removes from a response what would set the console's
// cookies: they are the same for all ports of a host.
func keepOthersSetCookies(h http.Header) {
	lines, there := h["Set-Cookie"]
	if !there {
		return
	}
	var kept []string
	for _, line := range lines {
		if !isConsoleCookie(line) {
			kept = append(kept, line)
		}
	}
	if len(kept) == 0 {
		delete(h, "Set-Cookie")
		return
	}
	h["Set-Cookie"] = kept
}

func isConsoleCookie(pair string) bool {
	pair = strings.Trim(pair, " \t\"")
	return len(pair) >= len(cookiePrefix) && strings.EqualFold(pair[:len(cookiePrefix)], cookiePrefix)
}

// setForwarded says on whose behalf a request comes. What an untrusted peer
// said of that is replaced; a trusted proxy's is kept, and the proxy added to
// it.
func (g *Guard) setForwarded(in *http.Request, h http.Header) {
	peer := peerOf(in)
	trusted := g.trusts(peer)
	for name := range h {
		if isForwarding(name) && (!trusted || strings.ContainsFunc(name, notOfField)) {
			delete(h, name)
		}
	}
	proto := "http"
	if in.TLS != nil {
		proto = "https"
	}
	// ReverseProxy has removed these four.
	for name, own := range map[string]string{"X-Forwarded-Host": in.Host, "X-Forwarded-Proto": proto} {
		h[name] = []string{own}
		if theirs := in.Header[name]; trusted && len(theirs) > 0 {
			h[name] = theirs
		}
	}
	if !peer.IsValid() {
		return
	}
	chain := []string{peer.String()}
	if theirs := in.Header["X-Forwarded-For"]; trusted && len(theirs) > 0 {
		chain = append(theirs[:len(theirs):len(theirs)], chain...)
	}
	h["X-Forwarded-For"] = []string{strings.Join(chain, ", ")}
	if theirs := in.Header["Forwarded"]; trusted && len(theirs) > 0 {
		h["Forwarded"] = []string{strings.Join(theirs, ", ") + ", for=" + node(peer) + ";proto=" + proto}
	}
}

// node writes an address as RFC 7239, section 6, asks.
func node(a netip.Addr) string {
	if a.Is4() {
		return a.String()
	}
	return `"[` + a.String() + `]"`
}

// isForwarding reports whether a field says on whose behalf a request comes, in
// any spelling.
func isForwarding(name string) bool {
	return sameField(name, "forwarded") || sameField(name, "x-real-ip") ||
		sameField(name, "x-forwarded") || hasFieldPrefix(name, "x-forwarded-")
}

// notOfField reports whether c is in no name that a proxy would write.
func notOfField(c rune) bool {
	return foldByte(byte(min(c, 0x7f))) == '-' && c != '-'
}

// hideIdempotency keeps the transport from sending a request twice because it
// carries an Idempotency-Key: whether that is wanted is the caller's choice.
// The transport looks for the usual spelling; to the upstream all are the same.
func hideIdempotency(out *http.Request) {
	switch out.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return
	}
	for _, name := range []string{"Idempotency-Key", "X-Idempotency-Key"} {
		if values, ok := out.Header[name]; ok {
			delete(out.Header, name)
			out.Header[strings.ToLower(name)] = values
		}
	}
}
