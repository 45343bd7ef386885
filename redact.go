package latchkey

import (
	"encoding/base64"
	"slices"
	"strings"
)

// maxEscapes is how often a text is freed of percent-encoding: what a client has
// encoded, a proxy may have encoded again.
const maxEscapes = 3

// Redact returns text with "[secret]" in the place of whatever has the form of a
// credential of ours: API keys whose checksum is right, with their prefix or
// without, and those made under another prefix unless a letter or digit comes after
// them; JWTs; 32 base62 characters that stand alone, as an API Secret Key does,
// but for hexadecimal ones; and base64 of a key or of ID||KEY; all of that
// percent-encoded, too. Callers put them where none belongs, such as a path or a
// user agent, and from there they must not get into a record. An imported
// credential has no form to know it by. It takes a time in proportion to text.
func (k *Keyring) Redact(text string) string {
	prefix := k.prefix()
	found := credentialsIn(prefix, text)
	plain, from := text, []int(nil)
	for range maxEscapes {
		var escaped bool
		if plain, from, escaped = unescape(plain, from); !escaped {
			break
		}
		for _, s := range credentialsIn(prefix, plain) {
			found = append(found, stretch{from[s.from], from[s.to]})
		}
	}
	if found == nil {
		return text
	}
	slices.SortFunc(found, func(a, b stretch) int { return a.from - b.from })
	var out strings.Builder
	end := 0 // of what is written, or left out
	for _, s := range found {
		if s.from >= end {
			out.WriteString(text[end:s.from])
			out.WriteString(redacted)
		}
		end = max(end, s.to)
	}
	out.WriteString(text[end:])
	return out.String()
}

// CredentialIn says what text has in it that has the form of a credential of ours,
// such as "an API key", or returns "". It is for what stands where a name or an ID
// belongs. Unlike [Keyring.Redact] it takes most of an API key, alone, for one that
// was cut short.
func CredentialIn(text string) string {
	if rest, ours := strings.CutPrefix(text, DefaultKeyPrefix); ours && len(rest) >= partOfKey && isAll(rest, isBase62) {
		return "an API key"
	}
	if (&Keyring{}).Redact(text) == text {
		return ""
	}
	switch {
	case keysIn(DefaultKeyPrefix, text) != nil, holdsKey(text):
		return "an API key"
	case len(text) == randomChars && isAll(text, isBase62):
		return "an API Secret Key"
	case isAll(text, isTokenByte) && tokenIn(text) == 0:
		return "a JWT"
	}
	return "a credential"
}

// partOfKey is how much of an API key after its prefix is too much to be shown: the
// rest of it must not be found by trying.
const partOfKey = 24

// isAll reports whether all bytes of a text are of one kind.
func isAll(text string, kind func(byte) bool) bool {
	for i := range len(text) {
		if !kind(text[i]) {
			return false
		}
	}
	return true
}

// A stretch is a part of a text.
type stretch struct{ from, to int }

// unescape decodes what is percent-encoded, and leaves alone what only looks so.
// from has the place in the text as it came of each byte, and of the end; nil:
// each is where it is.
func unescape(text string, from []int) (plain string, places []int, escaped bool) {
	if !strings.Contains(text, "%") {
		return text, from, false
	}
	out := make([]byte, 0, len(text))
	places = make([]int, 0, len(text)+1)
	place := func(i int) int {
		if from == nil {
			return i
		}
		return from[i]
	}
	for i := 0; i < len(text); i++ {
		places = append(places, place(i))
		if text[i] == '%' && i+2 < len(text) && isHexDigit(text[i+1]) && isHexDigit(text[i+2]) {
			out = append(out, hexValue(text[i+1])<<4|hexValue(text[i+2]))
			i += 2
			escaped = true
			continue
		}
		out = append(out, text[i])
	}
	return string(out), append(places, place(len(text))), escaped
}

func isHexDigit(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func hexValue(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c&^0x20 - 'A' + 10
}

// credentialsIn returns the parts of text that have the form of a credential.
func credentialsIn(prefix, text string) (found []stretch) {
	for s := range runs(text, isTokenByte) {
		if at := tokenIn(text[s.from:s.to]); at >= 0 {
			found = append(found, stretch{s.from + at, s.to})
		}
	}
	found = append(found, keysIn(prefix, text)...)
	for s := range runs(text, isBase62) {
		if standsAlone(prefix, text[s.from:s.to]) || isSecretAt(text, s) {
			found = append(found, s)
		} else if from := keyAt(text, s); from >= 0 {
			found = append(found, stretch{from, s.to})
		}
	}
	for s := range runs(text, isBase64) {
		if holdsEncoded(prefix, text[s.from:s.to]) {
			found = append(found, s)
		}
	}
	return found
}

// tokenIn returns where in a run of parts with dots between them a JWT begins, or -1.
// Hosts and versions may stand before it, with a dot like its own: it begins with the
// first part that is a JSON object, unless nothing comes after that one. Should that be
// the second part, since the first is glued to something, it is spoilt all the same.
func tokenIn(run string) int {
	if len(run) < leastToken || strings.Count(run, ".") < 2 {
		return -1
	}
	for at := 0; ; {
		part, rest, more := strings.Cut(run[at:], ".")
		if !more || rest == "" {
			return -1
		}
		if isObject(part) {
			return at
		}
		at += len(part) + 1
	}
}

// isObject reports whether a part of a JWT encodes a JSON object that begins with a
// name ("example" decodes to something with a brace). What is glued to the front of one
// hides its beginning, but not the usual one.
func isObject(part string) bool {
	if strings.Contains(part, "eyJ") {
		return true
	}
	const space = " \t\r\n"
	text, err := base64.RawURLEncoding.DecodeString(part)
	inside, found := strings.CutPrefix(strings.TrimLeft(string(text), space), "{")
	return err == nil && found && strings.HasPrefix(strings.TrimLeft(inside, space), `"`)
}

// keysIn returns the API keys of ours in a text, whatever they are glued to.
func keysIn(prefix, text string) (found []stretch) {
	whole := len(prefix) + randomChars + checksumChars
	for at := 0; ; {
		next := strings.Index(text[at:], prefix)
		if next < 0 || at+next+whole > len(text) {
			return found
		}
		at += next
		if formOf(prefix, text[at:at+whole]) == formWhole {
			found = append(found, stretch{at, at + whole})
			at += whole
		} else {
			at++
		}
	}
}

// keyAt returns where in a text a key begins that was made under any prefix and
// ends as a run of base62 does, or -1. A key outlives the prefix that the server
// has now, and a guard may not know it.
func keyAt(text string, run stretch) int {
	random := run.to - randomChars - checksumChars
	if random < run.from {
		return -1
	}
	sum := run.to - checksumChars
	for from := random - 1; from >= max(0, random-maxKeyPrefix) && isPrefixByte(text[from]); from-- {
		if checksum(text[from:sum]) == text[sum:run.to] {
			return from
		}
	}
	return -1
}

// holdsKey reports whether there is a key of any prefix in a text.
func holdsKey(text string) bool {
	for s := range runs(text, isBase62) {
		if keyAt(text, s) >= 0 {
			return true
		}
	}
	return false
}

// runs yields the longest parts of text whose bytes are all of one kind.
func runs(text string, kind func(byte) bool) func(yield func(stretch) bool) {
	return func(yield func(stretch) bool) {
		for i := 0; i < len(text); i++ {
			from := i
			for i < len(text) && kind(text[i]) {
				i++
			}
			if i > from && !yield(stretch{from, i}) {
				return
			}
		}
	}
}

// leastToken is less than the shortest JWT has: its header alone is longer.
const leastToken = 16

func isTokenByte(c byte) bool { return isBase62(c) || c == '-' || c == '_' || c == '.' }

func isBase62(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// isBase64 knows both alphabets, but for "/", which parts a path: no letter, digit
// or sign of a credential comes out as one.
func isBase64(c byte) bool { return isBase62(c) || c == '-' || c == '_' || c == '+' }

// holdsEncoded reports whether a run of base64 has a key or ID||KEY in it, wherever
// the encoded text began.
func holdsEncoded(prefix, run string) bool {
	if base64.RawStdEncoding.DecodedLen(len(run)) <= randomChars+checksumChars {
		return false
	}
	run = strings.NewReplacer("-", "+", "_", "/").Replace(run)
	for shift := range 4 {
		part := run[shift:]
		if len(part)%4 == 1 { // which no encoded text is
			part = part[:len(part)-1]
		}
		decoded, err := base64.RawStdEncoding.DecodeString(part)
		if err != nil {
			continue
		}
		if text := string(decoded); keysIn(prefix, text) != nil || holdsKey(text) || holdsSecret(text) {
			return true
		}
	}
	return false
}

// standsAlone reports whether a run of base62 is an API Secret Key by its length,
// or a key of ours without its prefix.
func standsAlone(prefix, run string) bool {
	switch len(run) {
	case randomChars:
		// One key in thirty million has letters of one case alone; words and hashes have.
		return strings.ToLower(run) != run && strings.ToUpper(run) != run
	case randomChars + checksumChars:
		return formOf(prefix, prefix+run) == formWhole
	}
	return false
}

// isSecretAt reports whether a run of base62 in text is long enough for an API
// Secret Key, and comes after an API Secret ID and a sign or two.
func isSecretAt(text string, run stretch) bool {
	const idLength = 36
	id := strings.TrimRight(text[:run.from], "|:")
	return run.to-run.from >= randomChars && len(id) < run.from && len(id) >= idLength && uuidForm.MatchString(id[len(id)-idLength:])
}

// holdsSecret reports whether there is an API Secret ID in text and, after a sign or
// two, an API Secret Key.
func holdsSecret(text string) bool {
	for s := range runs(text, isBase62) {
		if isSecretAt(text, s) {
			return true
		}
	}
	return false
}
