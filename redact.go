package latchkey

import (
	"encoding/base64"
	"regexp"
	"strings"
)

// tokenShape is three or more parts of base64url with dots between them.
var tokenShape = regexp.MustCompile(`[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+){2,}`)

// maskToken returns "[secret]" for what has a JSON object as its first part, as
// a JWT does, and anything else (a host, a version) as it is.
func maskToken(s string) string {
	first, _, _ := strings.Cut(s, ".")
	header, err := base64.RawURLEncoding.DecodeString(first)
	// What is glued to a token's front hides its beginning, but not the usual one.
	if err == nil && strings.HasPrefix(strings.TrimLeft(string(header), " \t\r\n"), "{") || strings.Contains(first, "eyJ") {
		return redacted
	}
	return s
}

// Redact returns text with "[secret]" in the place of whatever has the form of a
// credential of ours: API keys whose checksum is right, and JWTs. Callers put
// them where none belongs, such as a path or a user agent, and from there they
// must not get into a record. An imported key has no form to know it by.
func (k *Keyring) Redact(text string) string {
	if strings.Count(text, ".") >= 2 {
		text = tokenShape.ReplaceAllStringFunc(text, maskToken)
	}
	prefix := k.prefix()
	whole := len(prefix) + randomChars + checksumChars
	for at := 0; ; {
		found := strings.Index(text[at:], prefix)
		if found < 0 || at+found+whole > len(text) {
			return text
		}
		at += found
		if formOf(prefix, text[at:at+whole]) == formWhole {
			text = text[:at] + redacted + text[at+whole:]
			at += len(redacted)
		} else {
			at++
		}
	}
}
