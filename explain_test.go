package latchkey_test

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"latchkey"
	"latchkey/jwt"
)

// A scene is one keyring with a credential of each kind of fate.
type scene struct {
	*ring
	key, old, dead, disabledKey string // API keys: live, in an overlap, rolled, of a disabled team
	id, secret                  string // a live API secret
	revokedID, revoked          string
	disabledID, disabled        string
	values                      []string // every secret value that there is
}

func newScene(t testing.TB) *scene {
	t.Helper()
	s, ctx := &scene{ring: newRing(t)}, t.Context()
	s.dead = s.first.APIKey.Reveal()
	first, _, err := s.RollKey(ctx, "first", 0, tester)
	must(t, err)
	s.old = first.APIKey.Reveal()
	second, _, err := s.RollKey(ctx, "first", time.Hour, tester)
	must(t, err)
	s.key = second.APIKey.Reveal()
	s.id, s.secret = s.first.SecretID, s.first.SecretKey.Reveal()
	var revoked latchkey.Secret
	s.revokedID, revoked, _, err = s.CreateSecret(ctx, "first", tester)
	must(t, err)
	s.revoked = revoked.Reveal()
	_, _, err = s.RevokeSecret(ctx, s.revokedID, tester)
	must(t, err)
	other, _, err := s.CreateTeam(ctx, "other", tester)
	must(t, err)
	s.disabledKey, s.disabledID, s.disabled = other.APIKey.Reveal(), other.SecretID, other.SecretKey.Reveal()
	_, _, err = s.DisableTeam(ctx, "other", tester)
	must(t, err)
	s.values = []string{s.key, s.old, s.dead, s.disabledKey, s.secret, s.revoked, s.disabled}
	return s
}

// reason is what Authenticate puts into the record.
func (s *scene) reason(t testing.TB, fields []string) latchkey.Reason {
	_, err := s.Authenticate(context.Background(), fields)
	var denial *latchkey.Denial
	switch {
	case err == nil:
		return latchkey.ReasonOK
	case errors.As(err, &denial):
		return denial.Reason
	}
	t.Fatalf("neither yes nor no: %v", err)
	return ""
}

// sign makes a token of any payload, signed with any secret.
func sign(payload, secret string) string {
	return signOver(payload, secret, "")
}

func signOver(payload, secret, more string) string {
	b64 := base64.RawURLEncoding
	input := b64.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + b64.EncodeToString([]byte(payload))
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(input + more))
	return input + "." + b64.EncodeToString(mac.Sum(nil))
}

func claims(id string, iat int64) string { return fmt.Sprintf(`{"iss":%q,"iat":%d}`, id, iat) }

func basic(s string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(s)) }

// A slip is a mistake that people make, and what must be said of it.
type slip struct {
	name    string
	field   string
	reason  latchkey.Reason
	mistake string // must be part of it
	mend    string // must be part of it
}

// slips are the mistakes of issue 5, point 5, and their like.
func (s *scene) slips() []slip {
	now := s.now().Unix()
	c := claims(s.id, now)
	token := func(secret string) string { return "Bearer " + sign(c, secret) }
	whole := s.id + "||" + s.secret
	b64, b64url := base64.StdEncoding, base64.RawURLEncoding
	typo := []byte(s.key)
	typo[10] = map[bool]byte{true: 'b', false: 'a'}[typo[10] == 'a']
	const bad = latchkey.ReasonBadSignature
	const right = "two bars and the API Secret Key, as they are: ID||KEY"
	return []slip{
		{"signed with KEY alone", token(s.secret), bad, "signed with the API Secret Key alone", right},
		{"signed with ID:KEY", token(s.id + ":" + s.secret), bad, "ID:KEY", right},
		{"signed with ID|KEY", token(s.id + "|" + s.secret), bad, "one bar", right},
		{"signed with IDKEY", token(s.id + s.secret), bad, "without the two bars", right},
		{"signed with KEY||ID", token(s.secret + "||" + s.id), bad, "wrong way round", right},
		{"signed with base64 of it", token(b64.EncodeToString([]byte(whole))), bad, "ID||KEY in base64", right},
		{"signed with base64url of it", token(b64url.EncodeToString([]byte(whole))), bad, "ID||KEY in base64", right},
		{"signed with hex of it", token(hex.EncodeToString([]byte(whole))), bad, "hexadecimal", right},
		{"signed with base64 of it and a newline", token(b64.EncodeToString([]byte(whole)) + "\n"), bad, "in base64, and a newline", right},
		{"signed with hex of it in capitals", token(strings.ToUpper(hex.EncodeToString([]byte(whole)))), bad, "hexadecimal", right},
		{"signed with hex of KEY in capitals", token(strings.ToUpper(hex.EncodeToString([]byte(s.secret)))), bad, "Key in hexadecimal", right},
		{"signed with a newline behind it", token(whole + "\n"), bad, "newline (use printf or echo -n)", right},
		{"signed with nothing", token(""), bad, "empty secret", right},
		{"signed with base64 of KEY", token(b64.EncodeToString([]byte(s.secret))), bad, "API Secret Key in base64", right},
		{"signed with spaces around the bars", token(s.id + " || " + s.secret), bad, "spaces around", right},
		{"signed with another secret", token(s.id + "||" + s.revoked), bad, "not made with this API secret's ID||KEY", "belongs to this ID"},
		{"signed over a line break", "Bearer " + signOver(c, whole, "\n"), bad, "a line break", "printf"},
		{"the signature in hex", "Bearer " + hexSignature(token(whole)), bad, "in hexadecimal", "-binary"},
		{"the signature cut short", strings.TrimSuffix(token(whole), token(whole)[len(token(whole))-3:]), bad, "one by HS256 has 32", "complete"},

		{"iat in milliseconds", "Bearer " + sign(claims(s.id, now*1000), whole), latchkey.ReasonJWTClaim, "iat is in milliseconds", "seconds"},
		{"iat in microseconds", "Bearer " + sign(claims(s.id, now*1e6), whole), latchkey.ReasonJWTClaim, "iat is in microseconds", "seconds"},
		{"iat in nanoseconds", "Bearer " + sign(claims(s.id, now*1e9), whole), latchkey.ReasonJWTClaim, "iat is in nanoseconds", "seconds"},
		{"iat as text", "Bearer " + sign(fmt.Sprintf(`{"iss":%q,"iat":"%d"}`, s.id, now), whole), latchkey.ReasonJWTClaim, "iat is a string", "number"},
		{"iat missing", "Bearer " + sign(fmt.Sprintf(`{"iss":%q}`, s.id), whole), latchkey.ReasonJWTClaim, "iat is missing", "time of signing"},
		{"clock ahead", "Bearer " + sign(claims(s.id, now+600), whole), latchkey.ReasonNotYetValid, "s in the future", "NTP"},
		{"clock ahead by a time zone", "Bearer " + sign(claims(s.id, now+7200), whole), latchkey.ReasonNotYetValid, "s in the future", "local time"},
		{"clock behind, or kept too long", "Bearer " + sign(claims(s.id, now-600), whole), latchkey.ReasonExpired, "expired 300 s ago", "600 s behind"},
		{"its own exp", "Bearer " + sign(fmt.Sprintf(`{"iss":%q,"iat":%d,"exp":%d}`, s.id, now-9, now-5), whole), latchkey.ReasonExpired, "5 s ago, by its own exp", "leave exp out"},

		{"revoked secret", "Bearer " + sign(claims(s.revokedID, now), s.revokedID+"||"+s.revoked), latchkey.ReasonSecretRevoked, "revoked. It was revoked at 2", "live API secret"},
		{"secret of a disabled team", "Bearer " + sign(claims(s.disabledID, now), s.disabledID+"||"+s.disabled), latchkey.ReasonTeamDisabled, "disabled", "Ask"},
		{"unknown iss", "Bearer " + sign(claims("my-app", now), whole), latchkey.ReasonSecretUnknown, "iss names no API secret", "74f80a77"},
		{"the key as iss", "Bearer " + sign(claims(s.secret, now), whole), latchkey.ReasonSecretUnknown, "looks like the API Secret Key", "Replace"},
		{"the signing secret as iss", "Bearer " + sign(claims(whole, now), whole), latchkey.ReasonSecretUnknown, "the signing secret", "Replace"},
		{"the API key as iss", "Bearer " + sign(claims(s.key, now), whole), latchkey.ReasonSecretUnknown, "is the API key", "Replace"},

		{"dead key", "Bearer " + s.dead, latchkey.ReasonKeyRolled, "dead. It was rolled at 2", "current API key"},
		{"dead key by Basic", basic(s.dead + ":"), latchkey.ReasonKeyRolled, "by tester", "current API key"},
		{"key of a disabled team", "Bearer " + s.disabledKey, latchkey.ReasonTeamDisabled, "disabled", "Ask"},
		{"secret key as Bearer key", "Bearer " + s.secret, latchkey.ReasonKeyUnknown, "looks like an API Secret Key", "never sent"},
		{"secret ID as Bearer key", "Bearer " + s.id, latchkey.ReasonKeyUnknown, "looks like an API Secret ID", "sign a JWT"},
		{"key cut short", "Bearer " + s.key[:30], latchkey.ReasonKeyChecksum, "cut short: it has 30 of 41", "all of it"},
		{"key without its first character", "Bearer " + s.key[1:], latchkey.ReasonKeyUnknown, "cut short: its first character is missing", "all of it"},
		{"key without its first two", "Bearer " + s.key[2:], latchkey.ReasonKeyUnknown, "cut short: its first 2 characters are missing", "all of it"},
		{"key without its prefix", "Bearer " + s.key[3:], latchkey.ReasonKeyUnknown, "prefix lk_ is missing", "all of it"},
		{"key without its prefix, by Basic", basic(s.key[3:] + ":"), latchkey.ReasonKeyUnknown, "prefix lk_ is missing", "all of it"},
		{"key with its prefix in capitals", "Bearer LK_" + s.key[3:], latchkey.ReasonKeyUnknown, "prefix lk_ is written in another case", "capital and small"},
		{"key in small letters", "Bearer " + strings.ToLower(s.key), latchkey.ReasonKeyChecksum, "letters are written in another case", "capital and small"},
		{"key in capitals", "Bearer " + strings.ToUpper(s.key), latchkey.ReasonKeyUnknown, "letters are written in another case", "capital and small"},
		{"key with a typo", "Bearer " + string(typo), latchkey.ReasonKeyChecksum, "typing mistake", "Copy"},
		{"key pasted twice", "Bearer " + s.key + s.key, latchkey.ReasonKeyChecksum, "too long: it has 82", "twice"},
		{"key in base64", "Bearer " + b64.EncodeToString([]byte(s.key)), latchkey.ReasonKeyUnknown, "in base64", "as it is"},
		{"a key of ours from elsewhere", "Bearer " + latchkey.NewAPIKey("lk_").Reveal(), latchkey.ReasonKeyUnknown, "No team has", "another installation"},
		{"a key's ID", "Bearer key_0123456789ABCDEFGHIJKL", latchkey.ReasonKeyUnknown, "the ID of an API key", "itself"},
		{"a placeholder", "Bearer YOUR_API_KEY", latchkey.ReasonKeyUnknown, "placeholder", "variable"},
		{"an unset variable", "Bearer undefined", latchkey.ReasonKeyUnknown, "placeholder", "variable"},
		{"a full stop behind the key", "Bearer " + s.key + ".", latchkey.ReasonJWTForm, "dot in the API key", "full stop"},
		{"Stripe's key", "Bearer sk_live_" + s.secret, latchkey.ReasonKeyUnknown, "another service (Stripe)", "API key of this API"},
		{"GitHub's key", "Bearer ghp_" + s.secret, latchkey.ReasonKeyUnknown, "another service (GitHub)", "API key of this API"},
		{"SendGrid's key", "Bearer SG." + s.secret + "." + s.revoked, latchkey.ReasonJWTForm, "another service (SendGrid)", "API key of this API"},

		{"GitHub's key and scheme", "token ghp_" + s.secret, latchkey.ReasonBadScheme, "another service (GitHub)", "API key of this API"},
		{"GitHub's key without a scheme", "ghp_" + s.secret, latchkey.ReasonBadScheme, "another service (GitHub)", "API key of this API"},
		{"SendGrid's key without a scheme", "SG." + s.secret + "." + s.revoked, latchkey.ReasonBadScheme, "another service (SendGrid)", "API key of this API"},
		{"GitHub's key as password", basic("me:ghp_" + s.secret), latchkey.ReasonBasicPassword, "another service (GitHub)", "API key of this API"},
		{"GitHub's key not encoded", "Basic ghp_" + s.secret, latchkey.ReasonBasicEncoding, "another service (GitHub)", "API key of this API"},
		{"GitHub's key without colon", basic("ghp_" + s.secret), latchkey.ReasonBasicNoColon, "another service (GitHub)", "API key of this API"},
		{"Stripe's key and a password", basic("sk_live_" + s.secret + ":x"), latchkey.ReasonBasicPassword, "another service (Stripe)", "API key of this API"},
		{"Basic without colon", basic(s.key), latchkey.ReasonBasicNoColon, "no colon", `-u "KEY:"`},
		{"Basic with password", basic(s.key + ":swordfish"), latchkey.ReasonBasicPassword, "There is a password", "nothing after the colon"},
		{"Basic with None", basic(s.key + ":None"), latchkey.ReasonBasicPassword, "the word None", "empty string"},
		{"Basic with a line break", basic(s.key + ":\n"), latchkey.ReasonBasicPassword, "line break", "printf"},
		{"Basic with ID:KEY", basic(s.id + ":" + s.secret), latchkey.ReasonBasicPassword, "API Secret ID, with a password", "signs JWTs"},
		{"Basic with the key as password", basic(":" + s.key), latchkey.ReasonBasicPassword, "key is the password", "as user name"},
		{"Basic not encoded", "Basic " + s.key, latchkey.ReasonBasicEncoding, "not encoded", "base64"},
		{"Basic not encoded, with a colon", "Basic " + s.key + ":", latchkey.ReasonBadScheme, "not encoded", "base64"},
		{"Basic of nothing", basic(":"), latchkey.ReasonKeyUnknown, "user name is empty", "variable"},
		{"Basic with a JWT", basic(sign(c, whole) + ":"), latchkey.ReasonKeyUnknown, "looks like a JWT", "as a Bearer token"},

		{"ID||KEY itself", "Bearer " + whole, latchkey.ReasonBadScheme, "the signing secret ID||KEY itself", "never sent"},
		{"no word Bearer", s.key, latchkey.ReasonBadScheme, "Bearer is missing", "before the credential"},
		{"Bearer twice", "Bearer Bearer " + s.key, latchkey.ReasonBadScheme, "Two schemes", "alone"},
		{"another scheme", "Token " + s.key, latchkey.ReasonBadScheme, "first word is Token", "Bearer in its place"},
		{"a secret as scheme", s.secret + " x", latchkey.ReasonBadScheme, "neither Bearer nor Basic", "Write Bearer"},
		{"no space", "Bearer:" + s.key, latchkey.ReasonBadScheme, "must come a space", "one space"},
		{"quotes", `Bearer "` + s.key + `"`, latchkey.ReasonBadScheme, "quotes", "without"},
		{"an unfilled variable", "Bearer $API_KEY", latchkey.ReasonBadScheme, "placeholder", "double quotes"},
		{"nothing after Bearer", "Bearer ", latchkey.ReasonBadScheme, "Nothing follows Bearer", "empty"},
		{"the header's name in its value", "Authorization: Bearer " + s.key, latchkey.ReasonBadScheme, "header's name", "value alone"},
		{"an ellipsis", "Bearer " + s.key[:9] + "…", latchkey.ReasonBadScheme, "not visible ASCII", "ellipsis"},
		{"no key is so long", "Bearer " + strings.Repeat("a", 600), latchkey.ReasonKeyUnknown, "longer than any API key", "again"},
		{"too long", "Bearer " + strings.Repeat("a", 9000), latchkey.ReasonTooLong, "longer than 8 KiB", "look"},
		{"an empty header", "", latchkey.ReasonBadScheme, "is empty", "variable"},
	}
}

// hexSignature writes a token's signature as openssl does without -binary.
func hexSignature(field string) string {
	compact := strings.TrimPrefix(field, "Bearer ")
	cut := strings.LastIndexByte(compact, '.')
	raw, _ := base64.RawURLEncoding.DecodeString(compact[cut+1:])
	return compact[:cut+1] + hex.EncodeToString(raw)
}

func TestExplainSlips(t *testing.T) {
	s := newScene(t)
	for _, c := range s.slips() {
		fields := []string{c.field}
		if got := s.reason(t, fields); got != c.reason {
			t.Errorf("%s: Authenticate gives %s, must be %s", c.name, got, c.reason)
		}
		e := s.Explain(t.Context(), latchkey.Question{Fields: fields})
		if e.Reason != c.reason || e.Verdict != latchkey.VerdictFails {
			t.Errorf("%s: Explain gives %s (%s), must be fails (%s)", c.name, e.Verdict, e.Reason, c.reason)
		}
		if !strings.Contains(e.Mistake, c.mistake) || !strings.Contains(e.Mend, c.mend) {
			t.Errorf("%s: must say %q … %q, and says\n\t%s\n\t%s", c.name, c.mistake, c.mend, e.Mistake, e.Mend)
		}
		sentence(t, c.name, e)
		s.silent(t, c.name, c.field, e)
	}
}

// sentence holds what is said to the form of sentences.
func sentence(t *testing.T, name string, e latchkey.Explanation) {
	t.Helper()
	for _, text := range append(e.Facts, e.Mistake, e.Mend) {
		if text == "" {
			continue
		}
		if last := text[len(text)-1:]; last != "." && last != "?" || text != strings.TrimSpace(text) || strings.Contains(text, "  ") || strings.Contains(text, "..") {
			t.Errorf("%s: %q is no sentence", name, text)
		}
		if len(text) > 300 {
			t.Errorf("%s: a sentence of %d bytes", name, len(text))
		}
	}
	want := ""
	if e.Mistake != "" {
		want = strings.TrimSpace(e.Mistake + " " + e.Mend)
	}
	if e.Diagnosis() != want {
		t.Errorf("%s: the diagnosis is not mistake and mend: %q", name, e.Diagnosis())
	}
}

// silent searches an explanation for secret values, and for parts of the
// credential that was sent.
func (s *scene) silent(t testing.TB, name, field string, e latchkey.Explanation) {
	t.Helper()
	said := fmt.Sprintf("%+v", e)
	for _, v := range s.values {
		for _, part := range []string{v, v[len(v)-16:], base64.StdEncoding.EncodeToString([]byte(v))[:16]} {
			if strings.Contains(said, part) {
				t.Errorf("%s: the explanation holds a secret value", name)
			}
		}
	}
	_, sent, _ := strings.Cut(field, " ")
	if len(sent) >= 24 && (strings.Contains(said, sent[:12]) || strings.Contains(said, sent[len(sent)-12:])) {
		t.Errorf("%s: the explanation repeats what was sent", name)
	}
}

func TestExplainWhatPasses(t *testing.T) {
	s := newScene(t)
	now := s.now()
	for name, field := range map[string]string{
		"an API key":            "Bearer " + s.key,
		"an old key":            "bearer  " + s.old,
		"an API key by Basic":   basic(s.key + ":"),
		"a JWT":                 "Bearer " + jwt.Sign(s.id, s.secret, now),
		"a JWT within leeway":   "Bearer " + jwt.Sign(s.id, s.secret, now.Add(25*time.Second)),
		"white space around it": " \tBearer " + s.key + "\t ",
	} {
		e := s.Explain(t.Context(), latchkey.Question{Fields: []string{field}})
		if e.Verdict != latchkey.VerdictPasses || e.Reason != latchkey.ReasonOK || e.Mistake != "" || e.Diagnosis() != "" || s.reason(t, []string{field}) != latchkey.ReasonOK {
			t.Errorf("%s: %s (%s), %q: must pass", name, e.Verdict, e.Reason, e.Mistake)
		}
		sentence(t, name, e)
		s.silent(t, name, field, e)
	}
}

// TestExplainAgrees holds Explain to Authenticate: whatever is sent, both give
// the same reason, and a refusal always comes with words.
func TestExplainAgrees(t *testing.T) {
	s := newScene(t)
	slips := s.slips()
	mutate := func(rt *rapid.T, field string) string {
		for range rapid.IntRange(0, 3).Draw(rt, "mutations") {
			at := rapid.IntRange(0, len(field)).Draw(rt, "at")
			switch rapid.IntRange(0, 3).Draw(rt, "kind") {
			case 0:
				field = field[:at] // cut
			case 1:
				field = field[:at] + rapid.SampledFrom([]string{" ", ".", ":", "=", "\n", "\t", "|", "||", "a", "_", "+", "é", "\x00", "\"", "lk_", "Bearer ", "Basic "}).Draw(rt, "insert") + field[at:]
			case 2:
				field = field[at:]
			case 3:
				field = strings.ToUpper(field[:at]) + field[at:]
			}
		}
		return field
	}
	user := rapid.SampledFrom([]string{s.key, s.dead, s.secret, s.id, "", "lk_", "a.b.c", "lk_a.b", s.key + "\n", strings.Repeat("x", 600), "lk_" + strings.Repeat("x", 600), s.id + "||" + s.secret})
	rapid.Check(t, func(rt *rapid.T) {
		var fields []string
		for range rapid.SampledFrom([]int{0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2}).Draw(rt, "fields") {
			field := rapid.SampledFrom(slips).Draw(rt, "slip").field
			switch rapid.IntRange(0, 4).Draw(rt, "origin") {
			case 0:
				field = basic(mutate(rt, user.Draw(rt, "user")) + mutate(rt, ":"))
			case 1:
				payload := fmt.Sprintf(`{"iss":%q,"iat":%d}`, rapid.SampledFrom([]string{s.id, s.revokedID, s.disabledID, "x"}).Draw(rt, "iss"), s.now().Unix()+rapid.Int64Range(-700, 700).Draw(rt, "iat"))
				field = "Bearer " + sign(mutate(rt, payload), rapid.SampledFrom([]string{s.id + "||" + s.secret, s.secret, ""}).Draw(rt, "secret"))
			case 2:
				field = rapid.SampledFrom([]string{"Bearer ", "Basic ", "", "Token "}).Draw(rt, "scheme") + rapid.StringN(0, 40, 80).Draw(rt, "text")
			}
			fields = append(fields, mutate(rt, field))
		}
		want := s.reason(t, fields)
		e := s.Explain(context.Background(), latchkey.Question{Fields: fields})
		if e.Reason != want {
			rt.Fatalf("Authenticate says %s, Explain says %s", want, e.Reason)
		}
		if refused := want != latchkey.ReasonOK; refused != (e.Verdict == latchkey.VerdictFails) || refused != (e.Mistake != "") || refused != (e.Mend != "") {
			rt.Fatalf("%s: verdict %s, mistake %q, mend %q", want, e.Verdict, e.Mistake, e.Mend)
		}
		for _, v := range s.values {
			if strings.Contains(fmt.Sprint(e), v) {
				rt.Fatal("the explanation holds a secret value")
			}
		}
	})
}

// TestExplainPasted is about text that somebody pasted, without the server's
// knowledge.
func TestExplainPasted(t *testing.T) {
	s := newScene(t)
	now := s.now()
	secret := func(id string) latchkey.Known {
		if id == s.id {
			return latchkey.Known{Reason: latchkey.ReasonOK, Key: latchkey.NewSecret(s.secret)}
		}
		return latchkey.Known{Reason: latchkey.ReasonSecretUnknown, Words: "It is not the one that you gave."}
	}
	good, bad := jwt.Sign(s.id, s.secret, now), sign(claims(s.id, now.Unix()), s.secret)
	const passes, fails, unknown = latchkey.VerdictPasses, latchkey.VerdictFails, latchkey.VerdictUnknown
	for _, c := range []struct {
		name    string
		text    string
		known   bool
		verdict latchkey.Verdict
		mistake string
	}{
		{"nothing", " \n", true, fails, "no credential"},
		{"a bare token", good + "\n", true, passes, ""},
		{"a value", "Bearer " + good, true, passes, ""},
		{"a header", "authorization : Bearer " + good + "\r\n", true, passes, ""},
		{"what a program shows", "> GET / HTTP/1.1\n> Host: x\n> Authorization: Bearer " + good + "\n> Accept: */*\n", true, passes, ""},
		{"an argument of curl's", `curl https://api.example.com/v1/contacts -H 'Accept: */*' -H 'Authorization: Bearer ` + good + "' \\\n -o x", true, passes, ""},
		{"an argument in double quotes", `-H "authorization: Bearer ` + good + `"`, true, passes, ""},
		{"two arguments", `-H "Authorization: Bearer ` + good + `" -H 'Authorization: Basic eDo='`, true, fails, "more than one"},
		{"a variable in an argument", `-H 'Authorization: Bearer $KEY'`, true, fails, "placeholder"},
		{"source code", `headers: { 'Accept': 'x', 'Authorization': 'Bearer ` + good + `' }`, true, passes, ""},
		{"other source code", `h["Authorization"] = "Bearer ` + good + `"`, true, passes, ""},
		{"a key and a colon", s.key + ":\n", false, unknown, ""},
		{"curl's user argument", `curl -u "` + s.key + `:" https://api.example.com/`, false, unknown, ""},
		{"curl's user argument, no colon", "curl https://api.example.com/ --user " + s.key, false, fails, "no colon"},
		{"curl's user argument after an agent", `curl --user-agent foo -u ` + s.key + `: https://api.example.com/`, false, unknown, ""},
		{"curl's agent alone", `curl --user-agent foo:bar https://api.example.com/?key=` + s.key, false, fails, "the query of a URL"},
		{"curl as another user", `sudo -u www-data curl -u ` + s.key + `: https://api.example.com/`, false, unknown, ""},
		{"another user behind curl", `curl -u ` + s.key + `: https://api.example.com/ | sudo -u www-data tee x`, false, unknown, ""},
		{"another user behind curl, and no argument", `curl https://api.example.com/?key=` + s.key + ` | sudo -u www-data tee x`, false, fails, "the query of a URL"},
		{"curl by its path", `/usr/bin/curl -sSu ` + s.key + `: https://api.example.com/`, false, unknown, ""},
		{"curl on Windows", `C:\Windows\System32\curl.exe --user "` + s.key + `:" https://api.example.com/`, false, unknown, ""},
		{"curl over many lines", "sudo -u a env \\\n curl \\\r\n  https://api.example.com/ \\\n  -u \\\n  '" + s.key + ":'\n", false, unknown, ""},
		{"curl over many lines on Windows", "curl ^\r\n  -u ^\r\n  " + s.key + ": https://api.example.com/\r\n", false, unknown, ""},
		{"curl in a substitution", `KEYS=$(curl -u ` + s.key + `: https://api.example.com/)`, false, unknown, ""},
		{"curl in a quoted text", `sh -c 'curl -u ` + s.key + `: https://api.example.com/'`, false, unknown, ""},
		{"curl's user argument without a space", `curl -u` + s.key + `: https://api.example.com/`, false, unknown, ""},
		{"curl's user argument with =", `curl --user=` + s.key + `: https://api.example.com/`, false, unknown, ""},
		{"curl's user argument with a quote", `curl --user"` + s.key + `:" https://api.example.com/`, false, unknown, ""},
		{"curl's user argument in a header's value", `curl -A 'it is -u foo:bar' -u ` + s.key + `: https://api.example.com/`, false, unknown, ""},
		{"two user arguments, one with a colon", `curl -u foo https://login.example.com/ && curl -u ` + s.key + `: https://api.example.com/`, false, unknown, ""},
		{"an ID and its key", s.id + ":" + s.secret, false, fails, "API Secret ID, with a password"},
		{"X-Api-Key", "X-Api-Key: " + s.key, false, fails, "a header named X-Api-Key"},
		{"X-API-Key as an argument", `curl -H "X-API-Key: ` + s.key + `" https://api.example.com/`, false, fails, "a header named X-API-Key"},
		{"a key in a URL", "https://api.example.com/v1/contacts?limit=2&api_key=" + s.key, false, fails, "the query of a URL"},
		{"iss in capitals", jwt.Sign(strings.ToUpper(s.id), s.secret, now), true, fails, "iss has capital letters"},
		{"ISS for iss", sign(fmt.Sprintf(`{"ISS":%q,"iat":%d}`, s.id, now.Unix()), s.id+"||"+s.secret), true, fails, "iss is missing; there is ISS instead"},
		{"Iat for iat", sign(fmt.Sprintf(`{"iss":%q,"Iat":%d}`, s.id, now.Unix()), s.id+"||"+s.secret), true, fails, "iat is missing; there is Iat instead"},
		{"two headers", "Authorization: Bearer " + good + "\nAuthorization: Basic eDo=\n", true, fails, "more than one"},
		{"a bad signature", bad, true, fails, "the API Secret Key alone"},
		{"another secret's token", jwt.Sign(s.revokedID, s.revoked, now), true, fails, "not the one that you gave"},
		{"a good token, no secret", good, false, unknown, ""},
		{"a bad token, no secret", bad, false, unknown, ""},
		{"an old token, no secret", jwt.Sign(s.id, s.secret, now.Add(-time.Hour)), false, fails, "expired"},
		{"a whole key", s.key, false, unknown, ""},
		{"a broken key", s.key[:40], false, fails, "cut short"},
		{"what could be an imported key", strings.Repeat("ab", 20), false, unknown, ""},
		{"a key that looks foreign", "sk_live_" + s.secret, false, unknown, "Stripe"},
		{"Basic", basic(s.key + ":"), false, unknown, ""},
		{"Basic without a colon", basic(s.key), false, fails, "no colon"},
		{"the signing secret", s.id + "||" + s.secret, false, fails, "signing secret"},
		{"a line break inside", s.key[:20] + "\n" + s.key[20:], false, fails, "line break"},
		{"far too long", strings.Repeat("Authorization: x\n", 1<<16), false, fails, "8 KiB"},
	} {
		q := latchkey.Question{Text: c.text, Now: now}
		if c.known {
			q.APISecret = secret
		}
		e := latchkey.Explain(q)
		if e.Verdict != c.verdict || !strings.Contains(e.Mistake, c.mistake) || (c.mistake == "") != (e.Mistake == "") {
			t.Errorf("%s: %s, %q; must be %s, %q", c.name, e.Verdict, e.Mistake, c.verdict, c.mistake)
		}
		if e.Verdict == unknown && (e.Mend == "" || e.Reason != "") {
			t.Errorf("%s: what cannot be told must say who can, and have no reason: %q, %q", c.name, e.Mend, e.Reason)
		}
		if strings.HasPrefix(c.mistake, "expired") && e.Reason != "" {
			t.Errorf("%s: of a token whose secret is not known, nobody can say what a record would hold", c.name)
		}
		if len(e.Facts) == 0 {
			t.Errorf("%s: nothing is said about what it is", c.name)
		}
		sentence(t, c.name, e)
		s.silent(t, c.name, c.text, e)
	}
}

// TestExplainHidesIssuer: somebody may have put a secret where the ID belongs.
func TestExplainHidesIssuer(t *testing.T) {
	value := rand.Text()
	e := latchkey.Explain(latchkey.Question{Text: jwt.Sign(value, "whatever-it-is", time.Now())})
	if strings.Contains(fmt.Sprint(e), value) {
		t.Error("an iss that could be a secret is shown")
	}
	e = latchkey.Explain(latchkey.Question{Text: jwt.Sign("74f80a77-9b3f-44ac-b3ad-ab68cfb548fa", "whatever-it-is", time.Now())})
	if !strings.Contains(fmt.Sprint(e), "74f80a77-9b3f-44ac-b3ad-ab68cfb548fa") {
		t.Error("an iss of the form of an API Secret ID is not shown")
	}
}

// TestExplainCannotTell: a node that may not answer says nothing either.
func TestExplainCannotTell(t *testing.T) {
	s := newScene(t)
	keyring := &latchkey.Keyring{Store: s.Store, Audit: s.Audit, Replica: mute{}, Sealer: s.Sealer, Now: s.now}
	for name, field := range map[string]string{"key": "Bearer " + latchkey.NewAPIKey("lk_").Reveal(), "token": "Bearer " + jwt.Sign(s.id, "any other secret", s.now())} {
		e := keyring.Explain(t.Context(), latchkey.Question{Fields: []string{field}})
		if e.Verdict != latchkey.VerdictUnknown || e.Reason != "" || e.Diagnosis() != "" {
			t.Errorf("%s: %s (%s) %q: a node without a lease cannot tell", name, e.Verdict, e.Reason, e.Mistake)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	e := s.Explain(ctx, latchkey.Question{Fields: []string{"Bearer " + jwt.Sign(s.id, "any other secret", s.now())}})
	if e.Verdict != latchkey.VerdictUnknown || e.Reason != "" {
		t.Errorf("%s (%s): without the API Secret Key, the signature cannot be judged", e.Verdict, e.Reason)
	}
}

// mute is a replica without a lease.
type mute struct{ latchkey.Replica }

func (mute) APIKey(context.Context, latchkey.Digest) (latchkey.Found, error) {
	return latchkey.Found{}, &latchkey.Unavailable{Reason: latchkey.ReasonLeaseOver}
}

func (mute) APISecret(context.Context, []byte) (latchkey.Found, error) {
	return latchkey.Found{}, &latchkey.Unavailable{Reason: latchkey.ReasonLeaseOver}
}

// BenchmarkExplain is the dearest question: a token of 4 KiB that no try fits.
func BenchmarkExplain(b *testing.B) {
	s := newScene(b)
	payload := fmt.Sprintf(`{"iss":%q,"iat":%d,"x":%q}`, s.id, s.now().Unix(), strings.Repeat("x", 2800))
	fields := []string{"Bearer " + sign(payload, "none of ours")}
	b.ReportAllocs()
	for b.Loop() {
		if e := s.Explain(b.Context(), latchkey.Question{Fields: fields}); e.Reason != latchkey.ReasonBadSignature {
			b.Fatal(e.Reason)
		}
	}
}
