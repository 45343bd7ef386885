package latchkey

import (
	"regexp"
	"strings"
)

// tokenShape is what a JWT begins with ({" in base64url), and its three parts.
var tokenShape = regexp.MustCompile(`eyJ[A-Za-z0-9_-]*(\.[A-Za-z0-9_-]*){2,}`)

// Redact returns text with "[secret]" in the place of whatever has the form of a
// credential of ours: API keys whose checksum is right, and JWTs. Callers put
// them where none belongs, such as a path or a user agent, and from there they
// must not get into a record. An imported key has no form to know it by.
func (k *Keyring) Redact(text string) string {
	if strings.Contains(text, "eyJ") {
		text = tokenShape.ReplaceAllString(text, redacted)
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
