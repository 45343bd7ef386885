package guard

import (
	"net/http"
	"strings"

	"latchkey"
	"latchkey/problem"
)

// A target is a request target (RFC 9112, section 3.2) as it came, byte for
// byte, reduced to its path and query. Whatever authority it named is gone, and
// with it any user information.
type target struct {
	path     string // begins with "/", or is "*"
	query    string // without the "?"
	hasQuery bool   // there was a "?", even if nothing came after it
}

// targetOf reads the target of a request that is not CONNECT. Its error is a
// [*problem.Error] for the caller.
func targetOf(r *http.Request) (target, error) {
	raw := r.RequestURI
	if raw == "" { // a request that no server read
		raw = r.URL.RequestURI()
	}
	switch {
	case strings.ContainsFunc(raw, func(c rune) bool { return c <= ' ' || c == 0x7f }):
		// HTTP/2 lets them through, and HTTP/1 would end the line there.
		return target{}, badTarget("The request target holds a space or a control character.")
	case raw == "*" && r.Method == http.MethodOptions:
		return target{path: raw}, nil
	case strings.HasPrefix(raw, "/"):
	case r.ProtoMajor >= 2:
		return target{}, badTarget("The request target must begin with a slash.") // RFC 9113, section 8.3.1
	default:
		scheme, rest, found := strings.Cut(raw, "://")
		if !found || strings.ContainsAny(scheme, "/?#") {
			return target{}, badTarget("The request target is neither a path nor a URL.")
		}
		raw = "/"
		if end := strings.IndexAny(rest, "/?#"); end >= 0 {
			raw = rest[end:]
		}
		if raw[0] != '/' {
			raw = "/" + raw
		}
	}
	var t target
	t.path, t.query, t.hasQuery = strings.Cut(raw, "?")
	return t, nil
}

func badTarget(detail string) error {
	return &problem.Error{Code: latchkey.CodeInvalidRequest, Detail: detail}
}

// hostOf returns the host that was asked for, without user information.
func hostOf(r *http.Request) string {
	return r.Host[strings.LastIndexByte(r.Host, '@')+1:]
}

// sameField reports whether name, however an application may fold it, is the
// field that is called folded: lower case, and "-" for every character that is
// neither letter nor digit. CGI and its heirs make X_Request_Id of
// X-Request-Id, and cannot tell which one came.
func sameField(name, folded string) bool {
	return len(name) == len(folded) && hasFieldPrefix(name, folded)
}

// hasFieldPrefix reports whether name, folded as in [sameField], begins with
// folded.
func hasFieldPrefix(name, folded string) bool {
	if len(name) < len(folded) {
		return false
	}
	for i := range len(folded) {
		if foldByte(name[i]) != folded[i] {
			return false
		}
	}
	return true
}

func foldByte(c byte) byte {
	switch {
	case 'A' <= c && c <= 'Z':
		return c + ('a' - 'A')
	case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		return c
	}
	return '-'
}
