package guard

import (
	"net/http"
	"strings"
	"time"
	"unicode"

	"latchkey"
)

// The longest values that a record keeps of what a caller sent, in bytes.
const (
	maxVerb            = 32
	maxHost            = 255
	maxPath            = 2 << 10
	maxUserAgent       = 512
	maxClientRequestID = 128
)

// describe begins the record of a request with what its header says.
func (g *Guard) describe(r *http.Request, id string, at time.Time) latchkey.Record {
	record := latchkey.Record{
		RequestID:       id,
		Time:            at.UTC().Truncate(time.Microsecond),
		Node:            g.Node,
		Method:          g.kept(r.Method, maxVerb),
		Host:            g.kept(hostOf(r), maxHost),
		Path:            g.kept(recordPath(r), maxPath),
		UserAgent:       g.kept(r.UserAgent(), maxUserAgent),
		ClientRequestID: g.clientRequestID(r.Header),
		TraceID:         traceID(r.Header),
	}
	if ip := g.ClientIP(r); ip.IsValid() {
		record.ClientIP = ip.String()
	}
	return record
}

// recordPath returns the path as it came. A target that is none of a path's
// forms could hold anything, and is left out.
func recordPath(r *http.Request) string {
	if r.Method == http.MethodConnect {
		return ""
	}
	t, err := targetOf(r)
	if err == nil {
		return t.path
	}
	if path, _, _ := strings.Cut(r.RequestURI, "?"); strings.HasPrefix(path, "/") {
		return path
	}
	return ""
}

// kept is what a record keeps of s. A credential is taken out before s is cut:
// half of one would not be known.
func (g *Guard) kept(s string, limit int) string {
	return printable(g.redact(s), limit)
}

// printable cuts s to limit bytes and puts "?" for all that does not print, or
// is no UTF-8, so that one record stays one line wherever it is shown.
func printable(s string, limit int) string {
	return strings.Map(func(c rune) rune {
		if c == unicode.ReplacementChar || !unicode.IsPrint(c) {
			return '?'
		}
		return c
	}, s[:min(len(s), limit)])
}

// clientRequestID returns the caller's own X-Request-Id: of the first field,
// the first 128 visible ASCII characters.
func (g *Guard) clientRequestID(h http.Header) string {
	fields := h[headerRequestID]
	if len(fields) == 0 {
		return ""
	}
	visible := strings.Map(func(c rune) rune {
		if c <= ' ' || c > '~' {
			return -1
		}
		return c
	}, fields[0])
	visible = g.redact(visible)
	return visible[:min(len(visible), maxClientRequestID)]
}

// traceID returns the trace-id of a valid traceparent (W3C Trace Context,
// section 3.2), or "".
func traceID(h http.Header) string {
	fields := h["Traceparent"]
	if len(fields) != 1 {
		return ""
	}
	const version, trace, parent, flags = 2, 32, 16, 2
	const length = version + 1 + trace + 1 + parent + 1 + flags
	s := fields[0]
	if len(s) < length || s[2] != '-' || s[35] != '-' || s[52] != '-' {
		return ""
	}
	// A version to come may say more after another dash.
	if len(s) > length && (s[:2] == "00" || s[length] != '-') {
		return ""
	}
	if s[:2] == "ff" || !isHex(s[:2]) || !isHex(s[3:35]) || !isHex(s[36:52]) || !isHex(s[53:55]) {
		return ""
	}
	if strings.Trim(s[3:35], "0") == "" || strings.Trim(s[36:52], "0") == "" {
		return ""
	}
	return s[3:35]
}

// isHex reports whether s is lower-case hexadecimal.
func isHex(s string) bool {
	for i := range len(s) {
		if (s[i] < '0' || s[i] > '9') && (s[i] < 'a' || s[i] > 'f') {
			return false
		}
	}
	return true
}
