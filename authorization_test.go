package latchkey

import (
	"encoding/base64"
	"strings"
	"testing"
)

// b64 is how a client makes a Basic token.
func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func TestReadAuthorization(t *testing.T) {
	key := NewAPIKey(DefaultKeyPrefix).Reveal()
	many := strings.Repeat("a", MaxAuthorization)
	for _, c := range []struct {
		rule   string
		fields []string
		method Method
		reason Reason // "" means that it reads
		token  string
	}{
		{"A01 no field", nil, "", ReasonNoField, ""},
		{"A02 Bearer", []string{"Bearer " + key}, MethodBearer, "", key},
		{"A03 the scheme has no case", []string{"bEaReR " + key}, MethodBearer, "", key},
		{"A04 two spaces", []string{"Bearer  " + key}, MethodBearer, "", key},
		{"A04 a tab after the scheme", []string{"Bearer \t" + key}, "", ReasonBadScheme, ""},
		{"A04 only a tab after the scheme", []string{"Bearer\t" + key}, "", ReasonBadScheme, ""},
		{"A05 space around the value", []string{" \tBearer " + key + " \t"}, MethodBearer, "", key},
		{"A06 no token", []string{"Bearer"}, "", ReasonBadScheme, ""},
		{"A06 an empty token", []string{"Bearer "}, "", ReasonBadScheme, ""},
		{"A07 no space", []string{"Bearer" + key}, "", ReasonBadScheme, ""},
		{"A07 a colon", []string{"Bearer:" + key}, "", ReasonBadScheme, ""},
		{"A07 an equals sign", []string{"Bearer=" + key}, "", ReasonBadScheme, ""},
		{"A07 another scheme", []string{"Token " + key}, "", ReasonBadScheme, ""},
		{"A07 the bare key", []string{key}, "", ReasonBadScheme, ""},
		{"A08 something after the token", []string{"Bearer " + key + " extra"}, "", ReasonBadScheme, ""},
		{"A08 a comma", []string{"Bearer " + key + "," + key}, "", ReasonBadScheme, ""},
		{"A08 a parameter", []string{"Bearer " + key + ";x=y"}, "", ReasonBadScheme, ""},
		{"A08 quotes", []string{`Bearer "` + key + `"`}, "", ReasonBadScheme, ""},
		{"A09 two credentials in one field", []string{"Basic " + b64(key+":") + ", Bearer " + key}, "", ReasonBadScheme, ""},
		{"A10 two fields", []string{"Bearer " + key, "Bearer " + key}, "", ReasonManyFields, ""},
		{"A12 a second, empty field", []string{"Bearer " + key, ""}, "", ReasonManyFields, ""},
		{"an empty field", []string{""}, "", ReasonBadScheme, ""},
		{"A14 a control character", []string{"Bearer " + key[:8] + "\x01" + key[8:]}, "", ReasonBadScheme, ""},
		{"A15 not ASCII", []string{"Bearer ключ"}, "", ReasonBadScheme, ""},
		{"A16 over 8 KiB", []string{"Bearer " + many}, "", ReasonTooLong, ""},
		{"A16 exactly 8 KiB", []string{"Bearer " + many[len("Bearer "):]}, MethodBearer, "", many[len("Bearer "):]},
		{"a dot makes a JWT", []string{"Bearer a.b"}, MethodJWT, "", "a.b"},
		{"only dots are a JWT too", []string{"Bearer .."}, MethodJWT, "", ".."},
		{"= only at the end", []string{"Bearer ab=cd"}, "", ReasonBadScheme, ""},
		{"= alone is no token", []string{"Bearer =="}, "", ReasonBadScheme, ""},
		{"= at the end", []string{"Bearer abcd=="}, MethodBearer, "", "abcd=="},
		{"B02 BASIC", []string{"BASIC " + b64(key+":")}, MethodBasic, "", b64(key + ":")},
		{"B10 a line break in base64", []string{"Basic " + b64(key + ":")[:4] + "\r\n" + b64(key + ":")[4:]}, "", ReasonBadScheme, ""},
	} {
		a, denial := ReadAuthorization(c.fields)
		switch {
		case c.reason == "" && denial != nil:
			t.Errorf("%s: refused with %s", c.rule, denial.Reason)
		case c.reason == "" && (a.Method != c.method || a.token != c.token):
			t.Errorf("%s: read as %q, or the token is another", c.rule, a.Method)
		case c.reason != "" && denial == nil:
			t.Errorf("%s: accepted as %q, must be %s", c.rule, a.Method, c.reason)
		case c.reason != "" && denial.Reason != c.reason:
			t.Errorf("%s: reason %s, must be %s", c.rule, denial.Reason, c.reason)
		}
		if denial == nil {
			continue
		}
		want := CodeMalformedCredentials
		if c.reason == ReasonNoField {
			want = CodeMissingCredentials
		}
		if denial.Code != want {
			t.Errorf("%s: code %s, must be %s", c.rule, denial.Code, want)
		}
		if denial.Detail == "" || strings.Contains(denial.Detail, key) {
			t.Errorf("%s: the detail must say how to mend it, without the credential", c.rule)
		}
	}
}

func TestBasicKey(t *testing.T) {
	key := NewAPIKey(DefaultKeyPrefix).Reveal()
	for _, c := range []struct {
		rule, token string
		reason      Reason
		key         string
	}{
		{"B01 key and colon", b64(key + ":"), "", key},
		{"B03 no colon", b64(key), ReasonBasicNoColon, ""},
		{"B04 a password", b64(key + ":x"), ReasonBasicPassword, ""},
		{"B04 a space as password", b64(key + ": "), ReasonBasicPassword, ""},
		{"B04 the key as password", b64(key + ":" + key), ReasonBasicPassword, ""},
		{"the word None", b64(key + ":None"), ReasonBasicPassword, ""},
		{"B05 two colons", b64(key + "::"), ReasonBasicPassword, ""},
		{"B05 the key after the colon", b64(":" + key), ReasonBasicPassword, ""},
		{"B05 a colon alone", b64(":"), "", ""},
		{"B08 no padding", strings.TrimRight(b64(key+":a="), "="), ReasonBasicEncoding, ""},
		{"B08 too much padding", b64("abc") + "==", ReasonBasicEncoding, ""},
		{"B08 the URL alphabet", "_-" + b64(key + ":")[2:], ReasonBasicEncoding, ""},
		{"B09 non-zero trailing bits", "QTp=", ReasonBasicEncoding, ""},
		{"B09 the same with zero bits", "QTo=", "", "A"},
		{"B12 a NUL is part of the name", b64(key + "\x00:"), "", key + "\x00"},
		{"B13 an overlong colon is no colon", b64(key + "\xc0\xba"), ReasonBasicNoColon, ""},
		{"B13 a byte order mark is part of the name", b64("\ufeff" + key + ":"), "", "\ufeff" + key},
	} {
		got, denial := basicKey(nil, c.token)
		switch {
		case c.reason == "" && denial != nil:
			t.Errorf("%s: refused with %s", c.rule, denial.Reason)
		case c.reason == "" && string(got) != c.key:
			t.Errorf("%s: the key that was read is another", c.rule)
		case c.reason != "" && (denial == nil || denial.Reason != c.reason):
			t.Errorf("%s: %v, must be %s", c.rule, denial, c.reason)
		}
	}
}

// TestMalformedDetail: where nothing secret is at stake, the caller is told what
// is wrong as exactly as the record.
func TestMalformedDetail(t *testing.T) {
	key := NewAPIKey(DefaultKeyPrefix).Reveal()
	const password, empty = ReasonBasicPassword, "header is empty; is the variable"
	for _, c := range []struct {
		rule, field string
		reason      Reason
		detail      string // must be part of it
	}{
		{"an empty field", "", ReasonBadScheme, empty},
		{"a field of white space", " \t", ReasonBadScheme, empty},
		{"another scheme", "Token " + key, ReasonBadScheme, "must begin with Bearer or Basic"},
		{"nothing after Basic", "Basic", ReasonBadScheme, "Nothing follows Basic"},
		{"no colon", "Basic " + b64(key), ReasonBasicNoColon, "no colon"},
		{"a line break as password", "Basic " + b64(key+":\n"), password, "white space and must be empty. Use printf before base64: echo adds a line break."},
		{"a space as password", "Basic " + b64(key+": "), password, "white space"},
		{"None as password", "Basic " + b64(key+":None"), password, "the word None"},
		{"null as password", "Basic " + b64(key+":null"), password, "the word null"},
		{"nil as password", "Basic " + b64(key+":nil"), password, "the word nil"},
		{"undefined as password", "Basic " + b64(key+":undefined"), password, "the word undefined"},
		{"the key as password", "Basic " + b64(":"+key), password, "the API key is the user name, not the password"},
		{"any other password", "Basic " + b64(key+":swordfish"), password, "password must be empty"},
		{"a word and more", "Basic " + b64(key+":None1"), password, "password must be empty"},
	} {
		a, denial := ReadAuthorization([]string{c.field})
		if denial == nil {
			_, denial = basicKey(nil, a.token)
		}
		switch {
		case denial == nil:
			t.Errorf("%s: accepted", c.rule)
		case denial.Code != CodeMalformedCredentials || denial.Reason != c.reason:
			t.Errorf("%s: %s (%s), must be malformed (%s)", c.rule, denial.Code, denial.Reason, c.reason)
		case !strings.Contains(denial.Detail, c.detail):
			t.Errorf("%s: the caller is told %q, must be told %q", c.rule, denial.Detail, c.detail)
		case strings.Contains(denial.Detail, key) || strings.Contains(denial.Detail, "swordfish"):
			t.Errorf("%s: the caller's credential is repeated", c.rule)
		}
	}
}

// authorizationSeeds are fields that the fuzzers start from.
var authorizationSeeds = []string{
	"", "Bearer", "Bearer ", "Bearer abc", "bearer  abc==", "Bearer a.b.c", "Bearer a=b", "Basic QTo=", "Basic QTp=",
	"Basic QQ==", "BASIC Ojo6", "Basic", "Bearer \tabc", "Token abc", "Bearer abc, Basic QTo=", " Bearer abc ", "Bearer \x00",
	"Basic QTpOb25l", "Bearer ключ", "Bearer " + strings.Repeat("a", 600),
	" \t", "Basic " + b64("A:\n"), "Basic " + b64("A:null"), "Basic " + b64(":A"),
}

func FuzzReadAuthorization(f *testing.F) {
	if len(authorizationSeeds) != 24 {
		f.Fatalf("%d seeds, must be 24", len(authorizationSeeds))
	}
	for _, s := range authorizationSeeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, field string) {
		a, denial := ReadAuthorization([]string{field})
		if denial != nil {
			if denial.Reason == "" || denial.Detail == "" {
				t.Error("a refusal without a reason or a detail")
			}
			return
		}
		if !isToken68(a.token) || len(a.token) > MaxAuthorization {
			t.Error("what was read is no token68 of at most 8 KiB")
		}
		if (a.Method == MethodJWT) != (strings.Contains(a.token, ".") && a.Method != MethodBasic) {
			t.Error("a dot makes a Bearer token a JWT, and nothing else does")
		}
		// What is read must be what a server that knows RFC 9110 alone would read.
		scheme, rest, ok := strings.Cut(strings.Trim(field, " \t"), " ")
		if !ok || strings.TrimLeft(rest, " ") != a.token || !strings.EqualFold(scheme, "Bearer") && !strings.EqualFold(scheme, "Basic") {
			t.Error("the token is not what follows the scheme")
		}
	})
}

func FuzzBasicKey(f *testing.F) {
	seeds := []string{"QTo=", "QTp=", "QQ==", "Ojo6", "QTpOb25l", "Og==", "", "____", "QTo", "QTo==", b64(strings.Repeat("k", 600) + ":"), b64("A:\n"), b64("A: "), b64("A:undefined"), b64(":A")}
	if len(seeds) != 15 {
		f.Fatalf("%d seeds, must be 15", len(seeds))
	}
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, token string) {
		if !isToken68(token) {
			return // never reaches basicKey
		}
		key, denial := basicKey(nil, token)
		if denial == nil && b64(string(key)+":") != token {
			t.Error("one key has two spellings in Basic")
		}
	})
}
