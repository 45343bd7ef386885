package latchkey

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"latchkey/jwt"
)

// escapeAll percent-encodes each byte.
func escapeAll(s string) string {
	var out strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&out, "%%%02x", s[i])
	}
	return out.String()
}

// disguises are the ways in which a credential is found in a text.
func disguises(key, id, secret string) map[string]string {
	pair := id + "||" + secret
	b64url := base64.RawURLEncoding.EncodeToString
	return map[string]string{
		"a key":                             key,
		"a key with an escape":              strings.Replace(key, "_", "%5F", 1),
		"a key of escapes":                  escapeAll(key),
		"a key of escapes in capitals":      strings.ToUpper(escapeAll(key)),
		"a key escaped twice":               strings.ReplaceAll(escapeAll(key), "%", "%25"),
		"a key for Basic":                   b64(key + ":"),
		"a key for Basic, in the other":     b64url([]byte(key + ":")),
		"a key for Basic, and escaped":      url.PathEscape(b64(key+":x")) + "%3D",
		"a key in base64":                   b64(key),
		"a key as password":                 b64("me:" + key),
		"a key without its prefix":          strings.TrimPrefix(key, DefaultKeyPrefix),
		"a key with its prefix in capitals": "LK_" + strings.TrimPrefix(key, DefaultKeyPrefix),
		"a secret":                          secret,
		"a secret with an escape":           fmt.Sprintf("%%%02X", secret[0]) + secret[1:],
		"a signing secret":                  pair,
		"a signing secret, escaped":         url.PathEscape(pair),
		"a signing secret in base64":        b64(pair),
		"a signing secret in base64url":     b64url([]byte(pair)),
		"a secret for Basic":                b64(id + ":" + secret),
		"a token":                           jwt.Sign(id, secret, time.Unix(1713225600, 0)),
		"a token with spaces":               b64url([]byte(` { "alg": "HS256" }`)) + "." + b64url([]byte(`{ "iss": "`+id+`" }`)) + "." + b64url([]byte(secret)),
	}
}

// holds reports whether a text has half a credential in it, in any disguise.
func holds(text, key, id, secret string) bool {
	for range maxEscapes {
		for _, c := range disguises(key, id, secret) {
			// Of a pair, the ID is no secret.
			if middle := len(c) * 3 / 5; strings.Contains(text, c[middle:min(middle+16, len(c))]) {
				return true
			}
		}
		if text, _ = unescapeLeniently(text); !strings.Contains(text, "%") {
			break
		}
	}
	return false
}

func unescapeLeniently(s string) (string, bool) {
	plain, _, escaped := unescape(s, nil)
	return plain, escaped
}

func newSecrets() (key, id, secret string) {
	key = NewAPIKey(DefaultKeyPrefix).Reveal()
	id, s := NewAPISecret()
	return key, id, s.Reveal()
}

func TestRedactDisguises(t *testing.T) {
	k := &Keyring{}
	key, id, secret := newSecrets()
	for what, c := range disguises(key, id, secret) {
		for _, around := range []string{"%s", "/v1/%s/x", "/v1/%s", "Basic %s", "agent/1.0 (%s) x.y.z", "name=%s;", "a.b/%s?", "/v1.%s", "www.example.com.%s", "/app-1.2.%s.3/"} {
			text := strings.Replace(around, "%s", c, 1)
			got := k.Redact(text)
			if !strings.Contains(got, redacted) || holds(got, key, id, secret) {
				t.Errorf("%s in %q is not masked: %d of %d bytes stay", what, around, len(got), len(text))
			}
			if before, _, _ := strings.Cut(around, "%s"); !strings.HasPrefix(got, before) {
				t.Errorf("%s in %q: what is before it stays, and not %q", what, around, got)
			}
			if k.Redact(got) != got {
				t.Errorf("%s in %q: what is masked stays as it is", what, around)
			}
		}
	}
}

// TestRedactOtherPrefixes: a key that was made under another prefix is known, too.
func TestRedactOtherPrefixes(t *testing.T) {
	k := &Keyring{Prefix: "now_"}
	for _, prefix := range []string{"lk_", "acme-live_", "x", "a/b+c~d-e_f7890/"} {
		key := NewAPIKey(prefix).Reveal()
		for _, c := range []string{key, escapeAll(key), base64.RawStdEncoding.EncodeToString([]byte(key + ":"))} {
			for _, around := range []string{"/v1?%s/x", "(%s)", "%s"} {
				want := strings.Replace(around, "%s", redacted, 1)
				if got := k.Redact(strings.Replace(around, "%s", c, 1)); got != want {
					t.Errorf("a key with the prefix %q in %q is masked as %q", prefix, around, strings.ReplaceAll(got, key[len(prefix):], "KEY"))
				}
			}
		}
	}
}

// TestRedactLeaves: what only looks like a credential stays, to be found by.
func TestRedactLeaves(t *testing.T) {
	k := &Keyring{}
	sum := hex.EncodeToString(make([]byte, 12)) + "0af76519" // 32 hexadecimal digits
	for _, text := range []string{
		"/v1/contacts/019a0000-0000-7000-8000-000000000000", "/objects/" + sum, "/objects/" + strings.ToUpper(sum), "/" + sum + sum,
		"/a%20b/%zz/%", "/caf%C3%A9/100%25", "/v1/" + strings.Repeat("a", 31) + "/" + strings.Repeat("b", 33),
		"/files/" + b64(strings.Repeat("nothing secret ", 20)), "/cursor/" + b64(`{"after":"019a0000-0000-7000-8000-000000000000","limit":100}`),
		"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
		"/v1.2.3/files/archive.tar.gz", "a-service-of-ours.internal.example.com", "example.internal.net:8080",
		strings.Repeat("x", 38), "lk_" + strings.Repeat("x", 38), strings.Repeat("lk_", 1000), "",
	} {
		if got := k.Redact(text); got != text {
			t.Errorf("%q becomes %q", text, got)
		}
	}
}

// TestNamesHoldNoCredential: where a name or an ID belongs, a credential is known for
// what it is, not repeated, and no name of anything.
func TestNamesHoldNoCredential(t *testing.T) {
	key, id, secret := newSecrets()
	own := NewAPIKey("acme-prod_").Reveal()
	foreign := NewAPIKey("k9").Reveal() // the prefix cannot be told from the rest
	token := jwt.Sign(id, secret, time.Unix(1713225600, 0))
	for _, c := range []struct{ rule, text, says string }{
		{"a key", key, "an API key"}, {"a key of another prefix", own, "an API key"}, {"a prefix like the rest", foreign, "an API key"},
		{"a key in words", "the key " + own + ".", "an API key"}, {"a key that is glued", "x" + key + "x", "an API key"},
		{"a key with a typo", key[:len(key)-1] + nextOf(key[len(key)-1]), "an API key"},
		{"a key that is cut short", key[:len(key)-8], "an API key"},
		{"a Secret Key", secret, "an API Secret Key"}, {"a token", token, "a JWT"},
		{"a signing secret", id + "||" + secret, "a credential"}, {"Basic", b64(key + ":"), "a credential"},
	} {
		if got := CredentialIn(c.text); got != c.says {
			t.Errorf("%s is called %q, want %q", c.rule, got, c.says)
		}
		err := NotFound("team", c.text)
		if !errors.Is(err, ErrNotFound) || holds(err.Error(), key, id, secret) || strings.Contains(err.Error(), c.text) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s where a team belongs is answered by: %v", c.rule, err)
		}
		if err := ValidTeamName(c.text); err == nil || strings.Contains(err.Error(), c.text) {
			t.Errorf("%s as a team's name: %v", c.rule, err)
		}
	}
	if _, err := CanonicalEmail(own + "@example.com"); err == nil {
		t.Error("an address may hold an API key")
	}
	words := "production environment of the far north"
	for _, name := range []string{
		words + checksum(words), // no key has a space in it
		"", "acme", "lk_test", "lk_internal-production-environment-eu", newTeamID(), newKeyID(), id,
		"production environment of the north", "ann@example.com",
	} {
		if got := CredentialIn(name); got != "" {
			t.Errorf("%q is called %s", name, got)
		}
	}
	if got, want := NotFound("team", "acme").Error(), `no team "acme"`; got != want {
		t.Errorf("an ordinary name: %s, want %s", got, want)
	}
}

// nextOf returns another base62 character than c.
func nextOf(c byte) string {
	if c == 'a' {
		return "b"
	}
	return "a"
}

// TestRedactCost: the dearest texts cost a time in proportion to their length. What
// did not would take far longer for these, which are four times as long as a header.
func TestRedactCost(t *testing.T) {
	const size = 64 << 10
	k := &Keyring{Prefix: "a"}
	for _, text := range []string{
		strings.Repeat("a", size), strings.Repeat("%61", size/3), strings.Repeat("%2561", size/5), strings.Repeat("a.", size/2),
		strings.Repeat("|", size), strings.Repeat(strings.Repeat("a", 31)+"Z|", size/33), strings.Repeat("eyJ.eyJ.", size/8),
	} {
		best := time.Hour
		for range 3 {
			began := time.Now()
			k.Redact(text)
			best = min(best, time.Since(began))
		}
		if best > 3*time.Second {
			t.Errorf("%q … takes %v", text[:8], best)
		}
	}
}

// FuzzRedact: whatever a credential is glued to, none of it stays, and nothing
// fails.
func FuzzRedact(f *testing.F) {
	seeds := []struct{ before, after string }{
		{"", ""}, {"/", "/x"}, {"lk_", "lk_"}, {"%", "%"}, {"%2", "5F"}, {"abc", "abc"}, {"Basic ", "=="}, {"-", "_"},
		{"a.b.", ".c"}, {"v1.", ""}, {"é", "\xff"}, {"%25", "%2525"}, {"eyJ.", ".x"},
	}
	if len(seeds) != 13 {
		f.Fatalf("%d seeds, must be 13", len(seeds))
	}
	for _, s := range seeds {
		f.Add(s.before, s.after)
	}
	key, id, secret := newSecrets()
	k := &Keyring{}
	f.Fuzz(func(t *testing.T, before, after string) {
		k.Redact(before)
		for what, c := range disguises(key, id, secret) {
			switch what {
			case "a secret", "a secret with an escape", "a key without its prefix", "a key with its prefix in capitals":
				// These are known only where they stand alone.
				c = "/" + c + "/"
			case "a signing secret", "a signing secret, escaped":
				c = "/" + c // its ID is known whole
			}
			if holds(before+after, key, id, secret) {
				return
			}
			if got := k.Redact(before + c + after); holds(got, key, id, secret) {
				t.Errorf("%s between %q and %q is not masked", what, before, after)
			}
		}
	})
}

func BenchmarkRedact(b *testing.B) {
	k := &Keyring{}
	texts := []string{"/v1/contacts/12345", "api.example.com", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36"}
	b.ReportAllocs()
	for b.Loop() {
		for _, text := range texts {
			k.Redact(text)
		}
	}
}
