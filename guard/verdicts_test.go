package guard_test

import (
	"encoding/base64"
	"strings"
	"time"

	"latchkey"
	"latchkey/jwt"
)

// A verdict is what a request's field lines lead to. Without a reason, the
// request passes.
type verdict struct {
	name   string
	fields string // field lines, each ended by CRLF
	auth   latchkey.Method
	code   latchkey.Code
	reason latchkey.Reason
}

func authorization(value string) string { return "Authorization: " + value + "\r\n" }

// flip changes one character of a key.
func flip(key string) string {
	last := byte('A')
	if key[len(key)-1] == last {
		last = 'B'
	}
	return key[:len(key)-1] + string(last)
}

// verdictsA is group A of the cases, as far as it concerns the field.
func verdictsA(v *vault) []verdict {
	const (
		missing   = latchkey.CodeMissingCredentials
		malformed = latchkey.CodeMalformedCredentials
		invalid   = latchkey.CodeInvalidCredentials
		bearer    = latchkey.MethodBearer
		none      = latchkey.MethodNone
	)
	k := v.key
	list := []verdict{
		{"A01 no field", "", none, missing, "no_field"},
		{"A02 bearer", authorization("Bearer " + k), bearer, "", ""},
		{"A03 lower", "authorization: bearer " + k + "\r\n", bearer, "", ""},
		{"A03 upper", "AUTHORIZATION: BEARER " + k + "\r\n", bearer, "", ""},
		{"A03 mixed", authorization("bEaReR " + k), bearer, "", ""},
		{"A04 two spaces", authorization("Bearer  " + k), bearer, "", ""},
		{"A04 tab", authorization("Bearer \t" + k), bearer, malformed, "bad_scheme"},
		{"A04 trailing white space", authorization("Bearer " + k + " \t "), bearer, "", ""},
		{"A06 empty", authorization("Bearer"), bearer, malformed, "bad_scheme"},
		{"A06 empty, space", authorization("Bearer "), bearer, malformed, "bad_scheme"},
		{"A12 second is empty", authorization("Bearer "+k) + "Authorization:\r\n", none, malformed, "many_fields"},
		{"A10 twice", strings.Repeat(authorization("Bearer "+k), 2), none, malformed, "many_fields"},
		{"A11 valid, invalid", authorization("Bearer "+k) + authorization("Bearer x"), none, malformed, "many_fields"},
		{"A11 invalid, valid", authorization("Bearer x") + authorization("Bearer "+k), none, malformed, "many_fields"},
		{"A15 UTF-8", authorization("Bearer ключ"), bearer, malformed, "bad_scheme"},
		{"A15 raw bytes", authorization("Bearer \x80\xff"), bearer, malformed, "bad_scheme"},
		{"A16 long", authorization("Bearer " + strings.Repeat("x", 8<<10)), none, malformed, "too_long"},
		{"A16 64 KiB", authorization("Bearer " + strings.Repeat("x", 64<<10)), none, malformed, "too_long"},
		{"A16 900 KiB", authorization("Bearer " + strings.Repeat("x", 900<<10)), none, malformed, "too_long"},
		{"A20 Proxy-Authorization", "Proxy-Authorization: Bearer " + k + "\r\n", none, missing, "no_field"},
		{"A22 named by Connection", "Connection: Authorization\r\n" + authorization("Bearer "+k), bearer, "", ""},
		{"A22 bad, named by Connection", "Connection: Authorization\r\n" + authorization("Bearer "+flip(k)), bearer, invalid, "key_checksum"},
		{"A25 last changed", authorization("Bearer " + flip(k)), bearer, invalid, "key_checksum"},
		{"A25 one more", authorization("Bearer " + k + "A"), bearer, invalid, "key_checksum"},
		{"A25 one less", authorization("Bearer " + k[:len(k)-1]), bearer, invalid, "key_checksum"},
		{"A25 case", authorization("Bearer " + strings.ToUpper(k)), bearer, invalid, "key_unknown"},
		{"A25 unknown", authorization("Bearer " + latchkey.NewAPIKey("lk_").Reveal()), bearer, invalid, "key_unknown"},
		{"A26 secret key", authorization("Bearer " + v.secretKey), bearer, invalid, "key_unknown"},
		{"A26 secret ID", authorization("Bearer " + v.secretID), bearer, invalid, "key_unknown"},
		{"A26 ID||KEY", authorization("Bearer " + v.secretID + "||" + v.secretKey), bearer, malformed, "bad_scheme"},
		{"A27 other team named", authorization("Bearer "+k) + "X-Team: team_off\r\nX-Latchkey-Team: team_off\r\n", bearer, "", ""},
		{"rolled", authorization("Bearer " + v.rolled), bearer, invalid, "key_rolled"},
		{"team disabled", authorization("Bearer " + v.disabled), bearer, invalid, "team_disabled"},
		{"JWT", authorization("Bearer " + v.token()), latchkey.MethodJWT, "", ""},
		{"JWT expired", authorization("Bearer " + jwt.Sign(v.secretID, v.secretKey, time.Now().Add(-time.Hour))),
			latchkey.MethodJWT, latchkey.CodeTokenExpired, "expired"},
		{"JWT from the future", authorization("Bearer " + jwt.Sign(v.secretID, v.secretKey, time.Now().Add(time.Hour))),
			latchkey.MethodJWT, latchkey.CodeTokenNotYetValid, "not_yet_valid"},
		{"JWT bad signature", authorization("Bearer " + jwt.Sign(v.secretID, v.key, time.Now())),
			latchkey.MethodJWT, invalid, "bad_signature"},
		{"JWT unknown issuer", authorization("Bearer " + jwt.Sign("nobody", v.secretKey, time.Now())),
			latchkey.MethodJWT, invalid, "secret_unknown"},
	}
	for _, value := range []string{"Bearer" + k, "Bearer:" + k, "Bearer=" + k, "Token " + k, "ApiKey " + k, k,
		basic(k+":") + ", Bearer " + k} {
		want := verdict{"A07, A09: " + value[:6], authorization(value), none, malformed, "bad_scheme"}
		if strings.HasPrefix(value, "Basic ") {
			want.auth = latchkey.MethodBasic
		}
		list = append(list, want)
	}
	for _, tail := range []string{" extra", ",K2", ";x=y"} {
		list = append(list, verdict{"A08" + tail, authorization("Bearer " + k + tail), bearer, malformed, "bad_scheme"})
	}
	list = append(list, verdict{"A08 quoted", authorization(`Bearer "` + k + `"`), bearer, malformed, "bad_scheme"})
	for _, name := range []string{"X-Api-Key", "Cookie", "Authorization_", "Http-Authorization", "X-Authorization"} {
		list = append(list, verdict{"A19, A21 " + name, name + ": Bearer " + k + "\r\n", none, missing, "no_field"})
	}
	return list
}

// verdictsB is group B of the cases.
func verdictsB(v *vault) []verdict {
	const (
		malformed = latchkey.CodeMalformedCredentials
		invalid   = latchkey.CodeInvalidCredentials
		method    = latchkey.MethodBasic
	)
	k := v.key
	good := basic(k + ":")[len("Basic "):]
	of := func(userinfo string) string { return authorization(basic(userinfo)) }
	return []verdict{
		{"B01", of(k + ":"), method, "", ""},
		{"B02 lower", authorization("basic " + good), method, "", ""},
		{"B02 upper", authorization("BASIC " + good), method, "", ""},
		{"B03 no colon", of(k), method, malformed, "basic_no_colon"},
		{"B04 password", of(k + ":x"), method, malformed, "basic_password"},
		{"B04 space", of(k + ": "), method, malformed, "basic_password"},
		{"B04 key twice", of(k + ":" + k), method, malformed, "basic_password"},
		{"B04 None", of(k + ":None"), method, malformed, "basic_password"},
		{"B05 two colons", of(k + "::"), method, malformed, "basic_password"},
		{"B05 key as password", of(":" + k), method, malformed, "basic_password"},
		{"B05 colon alone", of(":"), method, invalid, "key_unknown"},
		{"B05 nothing", of(""), method, malformed, "bad_scheme"},
		{"B06 ID:KEY", of(v.secretID + ":" + v.secretKey), method, malformed, "basic_password"},
		{"B07 JWT", of(v.token() + ":"), method, invalid, "key_unknown"},
		{"B08 too many =", authorization("Basic " + good + "=="), method, malformed, "basic_encoding"},
		{"B08 no padding", authorization("Basic " + strings.TrimRight(basic("x:"), "=")[len("Basic "):]), method, malformed, "basic_encoding"},
		{"B08 url alphabet", authorization("Basic " + base64.URLEncoding.EncodeToString([]byte("\xff\xfe\xfd:??>>:"))), method, malformed, "basic_encoding"},
		{"B09 trailing bits", authorization("Basic QTp="), method, malformed, "basic_encoding"},
		{"B11 around", "Authorization: \t " + basic(k+":") + " \t\r\n", method, "", ""},
		{"B11 inside", authorization("Basic " + good[:8] + " " + good[8:]), method, malformed, "bad_scheme"},
		{"B12 NUL", of(k + "\x00:"), method, invalid, "key_checksum"},
		{"B13 overlong colon", of(k + "\xc0\xba"), method, malformed, "basic_no_colon"},
		{"B13 BOM", of("\xef\xbb\xbf" + k + ":"), method, invalid, "key_unknown"},
		{"B14 look-alike", of(strings.Replace(k, "k", "к", 1) + ":"), method, invalid, "key_unknown"},
		{"B15 large", of(strings.Repeat("x", 1<<20*3/4) + ":"), latchkey.MethodNone, malformed, "too_long"},
		{"B16 disabled", of(v.disabled + ":"), method, invalid, "team_disabled"},
	}
}
