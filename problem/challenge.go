package problem

import (
	"strings"

	"latchkey"
)

// challenges returns the WWW-Authenticate lines of a 401: what the server takes
// (RFC 9110, section 11.6.1). The Bearer line names the error unless no
// credential came (RFC 6750, section 3.1).
func (p Writer) challenges(code latchkey.Code, detail string) []string {
	realm := "latchkey"
	if p.Realm != "" {
		realm = quotable(p.Realm)
	}
	bearer := `Bearer realm="` + realm + `"`
	if code != latchkey.CodeMissingCredentials {
		kind := "invalid_token"
		if code == latchkey.CodeMalformedCredentials {
			kind = "invalid_request"
		}
		if detail == "" {
			detail = entryOf(code).detail
		}
		bearer += `, error="` + kind + `", error_description="` + quotable(detail) + `"`
	}
	return []string{bearer, `Basic realm="` + realm + `", charset="UTF-8"`}
}

// quotable returns text as RFC 6750 lets an error_description be: visible ASCII
// and spaces, without the two characters that a quoted string must escape.
func quotable(text string) string {
	text = strings.NewReplacer("…", "...", "–", "-", `"`, "'", `\`, "/").Replace(text)
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, text)
}
