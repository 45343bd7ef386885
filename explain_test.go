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
		{"signed with ID||undefined", token(s.id + "||undefined"), bad, "ID||undefined: the variable that holds the API Secret Key is not set", right},
		{"signed with ID||null", token(s.id + "||null"), bad, "ID||null: the variable", right},
		{"signed with ID||None", token(s.id + "||None"), bad, "ID||None: the variable", right},
		{"signed with ID||nil", token(s.id + "||nil"), bad, "ID||nil: the variable", right},
		{"signed with None||KEY", token("None||" + s.secret), bad, "None||KEY: the variable that holds the API Secret ID is not set", right},
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
		{"an unset variable as iss", "Bearer " + sign(claims("undefined", now), whole), latchkey.ReasonSecretUnknown, "placeholder stands in place of the API Secret ID", "variable that holds it set"},
		{"null as iss", "Bearer " + sign(claims("null", now), whole), latchkey.ReasonSecretUnknown, "placeholder stands in place of the API Secret ID", "variable that holds it set"},
		{"None as iss", "Bearer " + sign(claims("None", now), whole), latchkey.ReasonSecretUnknown, "placeholder stands in place of the API Secret ID", "variable that holds it set"},
		{"the console's example as iss", "Bearer " + sign(claims("YOUR_API_SECRET_ID", now), whole), latchkey.ReasonSecretUnknown, "placeholder stands in place of the API Secret ID", "variable that holds it set"},
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
		{"Basic with null", basic(s.key + ":null"), latchkey.ReasonBasicPassword, "the word null", "empty string"},
		{"Basic with undefined", basic(s.key + ":undefined"), latchkey.ReasonBasicPassword, "the word undefined", "empty string"},
		{"Basic with a password alone", basic(":swordfish"), latchkey.ReasonBasicPassword, "user name is empty", "not the password"},
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

// TestExplainWrongWayRound: who gave ID and key the wrong way round is told so,
// and the token is judged by the right pair all the same.
func TestExplainWrongWayRound(t *testing.T) {
	id, key, now := "74f80a77-9b3f-44ac-b3ad-ab68cfb548fa", strings.Repeat("aB3", 11)[:32], time.Now()
	const words = "You gave ID and Key the wrong way round."
	const swapped = "iss is the API Secret Key: the program that signs has ID and Key swapped."
	const md5 = "0cc175b9c0f1b6a831c399e269772661"      // an ID
	const uuid = "5d1f0f6e-2c1b-4e0a-8a54-90c7d3a1be42" // a key
	for _, c := range []struct {
		name      string
		id, key   string // as given
		token     string
		verdict   latchkey.Verdict
		mistake   string
		wrongWays bool
	}{
		{"the right way", id, key, jwt.Sign(id, key, now), latchkey.VerdictPasses, "", false},
		{"another's token", id, key, jwt.Sign("0a7e4c52-8d3f-4b1a-9c6e-5f2d1b0a9e8c", key, now), latchkey.VerdictFails, "It is not the API Secret ID that you gave.", false},
		{"a good token", key, id, jwt.Sign(id, key, now), latchkey.VerdictPasses, "", true},
		{"a bad token", key, id, jwt.Sign(id, "whatever", now), latchkey.VerdictFails, "not made with this API secret's", true},
		{"a token of the same mistake", key, id, jwt.Sign(key, id, now), latchkey.VerdictFails, swapped + " " + words, true},
		{"a program's mistake", id, key, jwt.Sign(key, id, now), latchkey.VerdictFails, swapped, false},
		{"a program's mistake, in iss alone", id, key, sign(claims(key, now.Unix()), id+"||"+key), latchkey.VerdictFails, swapped, false},
		{"a program's mistake, in small letters", id, key, jwt.Sign(strings.ToLower(key), id, now), latchkey.VerdictFails, swapped, false},
		{"an imported secret", "swordfish-swordfish", "my-app", jwt.Sign("my-app", "swordfish-swordfish", now), latchkey.VerdictPasses, "", true},
		{"an imported secret in a program's mistake", "my-app", "swordfish-swordfish", jwt.Sign("swordfish-swordfish", "my-app", now), latchkey.VerdictFails, swapped, false},
		{"an imported UUID in a program's mistake", "my-app", uuid, jwt.Sign(uuid, "my-app", now), latchkey.VerdictFails, swapped, false},
		{"an imported secret the right way", "my-application-2", "swordfish-swordfish", jwt.Sign("my-application-2", "swordfish-swordfish", now), latchkey.VerdictPasses, "", false},
		{"an imported ID of 32 digits", md5, uuid, jwt.Sign(md5, uuid, now), latchkey.VerdictPasses, "", false},
		{"an imported secret, and either mistake", "my-application-2", "swordfish-swordfish", jwt.Sign("swordfish-swordfish", "my-application-2", now), latchkey.VerdictUnknown, "", false},
	} {
		e := latchkey.Explain(latchkey.Question{Text: c.token, Now: now, APISecret: latchkey.OneSecret(c.id, latchkey.NewSecret(c.key))})
		said := strings.Join(append(e.Facts, e.Mistake), " ")
		if e.Verdict != c.verdict || !strings.Contains(e.Mistake, c.mistake) || (c.mistake == "") != (e.Mistake == "") || strings.Contains(said, words) != c.wrongWays {
			t.Errorf("%s: %s: %s", c.name, e.Verdict, said)
		}
		if (c.mistake == swapped) != strings.Contains(e.Mend, "Revoke this API secret: its key has leaked into every token") && !c.wrongWays {
			t.Errorf("%s: what to do about a leak: %s", c.name, e.Mend)
		}
		all := strings.ToLower(fmt.Sprintf("%+v", e))
		for _, secret := range []string{key, "swordfish", uuid} {
			if strings.Contains(all, strings.ToLower(secret)) {
				t.Errorf("%s: the API Secret Key is shown: %+v", c.name, e)
			}
		}
		sentence(t, c.name, e)
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
