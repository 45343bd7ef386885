package console

import (
	"net"
	"net/http"
	"net/netip"
	"strings"

	"latchkey"
	"latchkey/problem"
)

// policy allows a page its own stylesheet, script and icons, forms to this
// console, and nothing else.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// secure sets what every answer carries.
func secure(h http.Header) {
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Content-Type-Options", "nosniff")
	// Under no-referrer, browsers would send "Origin: null" with our own forms.
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
	h.Set("Cache-Control", "no-store")
}

func (v *visit) checkMethod() error {
	switch v.r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost:
		return nil
	}
	return &problem.Error{Code: latchkey.CodeMethodNotAllowed, Allow: "GET, HEAD, POST"}
}

// checkHost refuses names that are not ours. Without TLS, a page of somebody
// else could have its own name lead to this machine, and so be of one origin
// with us (DNS rebinding).
func (v *visit) checkHost() error {
	if v.r.TLS != nil || strings.EqualFold(v.r.Host, v.origin.Host) {
		return nil
	}
	host, _, err := net.SplitHostPort(v.r.Host)
	if err != nil {
		host = strings.Trim(v.r.Host, "[]")
	}
	addr, err := netip.ParseAddr(host)
	if strings.EqualFold(host, "localhost") || (err == nil && addr.IsLoopback()) {
		return nil
	}
	return &refused{"The console does not go by this name. It is at " + v.URL + "."}
}

// checkOrigin refuses a request that could come from another site's page, and
// one that does not say where it comes from.
func (v *visit) checkOrigin() error {
	const why = "The request does not come from a page of this console. Open the console in a browser, and try there."
	site, origin := v.r.Header.Get("Sec-Fetch-Site"), v.r.Header.Get("Origin")
	switch {
	case v.cross.Check(v.r) != nil,
		// An origin that is trusted, our own, outweighs this in net/http.
		site != "" && site != "same-origin" && site != "none",
		site == "" && origin == "",
		origin == "null" && site != "same-origin",
		len(v.r.Header.Values("Origin")) > 1, len(v.r.Header.Values("Sec-Fetch-Site")) > 1:
		return &refused{why}
	}
	return nil
}
