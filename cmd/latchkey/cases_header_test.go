package main

import (
	"encoding/base64"
	"strings"

	"latchkey"
)

const (
	missing   = latchkey.CodeMissingCredentials
	malformed = latchkey.CodeMalformedCredentials
	invalid   = latchkey.CodeInvalidCredentials
	expired   = latchkey.CodeTokenExpired
	early     = latchkey.CodeTokenNotYetValid
)

// casesA are the Authorization field and its scheme. A13, A14 and A17 belong to
// what net/http answers by itself.
func casesA(w *world) []testCase {
	flip := func(s string) string {
		return strings.Map(func(r rune) rune {
			switch {
			case 'a' <= r && r <= 'z':
				return r - 32
			case 'A' <= r && r <= 'Z':
				return r + 32
			}
			return r
		}, s)
	}
	k := w.key
	return []testCase{
		{id: "A01 no field", request: get(), code: missing, reason: latchkey.ReasonNoField},
		{id: "A02 Bearer", request: bearer(k)},
		{id: "A03 lower case", request: get("authorization: bearer " + k)},
		{id: "A03 upper case", request: get("AUTHORIZATION: BEARER " + k)},
		{id: "A03 mixed case", request: get(auth("bEaReR " + k))},
		{id: "A04 two spaces", request: get(auth("Bearer  " + k))},
		{id: "A04 tab", request: get(auth("Bearer \t" + k)), code: malformed, reason: latchkey.ReasonBadScheme},
		{id: "A04 spaces behind", request: get(auth("Bearer " + k + " \t "))},
		{id: "A06 scheme alone", request: get(auth("Bearer")), code: malformed, reason: latchkey.ReasonBadScheme},
		{id: "A06 empty token", request: get(auth("Bearer ")), code: malformed, reason: latchkey.ReasonBadScheme},
		{id: "A06 empty field", request: get("Authorization:"), code: malformed, reason: latchkey.ReasonBadScheme},
		{id: "A07 no space", request: get(auth("Bearer" + k)), code: malformed, reason: latchkey.ReasonBadScheme},
		{id: "A07 colon", request: get(auth("Bearer:" + k)), code: malformed, reason: latchkey.ReasonBadScheme},
		{id: "A07 equals", request: get(auth("Bearer=" + k)), code: malformed, reason: latchkey.ReasonBadScheme},
		{id: "A07 Token", request: get(auth("Token " + k)), code: malformed, reason: latchkey.ReasonBadScheme},
		{id: "A07 ApiKey", request: get(auth("ApiKey " + k)), code: malformed, reason: latchkey.ReasonBadScheme},
		{id: "A07 bare", request: get(auth(k)), code: malformed, reason: latchkey.ReasonBadScheme},
		{id: "A08 more", request: bearer(k + " extra"), code: malformed, reason: latchkey.ReasonBadScheme},
		{id: "A08 comma", request: bearer(k + "," + k), code: malformed, reason: latchkey.ReasonBadScheme},
		{id: "A08 semicolon", request: bearer(k + ";x=y"), code: malformed, reason: latchkey.ReasonBadScheme},
		{id: "A08 quotes", request: bearer(`"` + k + `"`), code: malformed, reason: latchkey.ReasonBadScheme},
		{id: "A09 a list", request: get(auth("Basic " + base64.StdEncoding.EncodeToString([]byte(k+":")) + ", Bearer " + k)), code: malformed, reason: latchkey.ReasonBadScheme},
		{id: "A10 twice", request: get(auth("Bearer "+k), auth("Bearer "+k)), code: malformed, reason: latchkey.ReasonManyFields},
		{id: "A11 good, bad", request: get(auth("Bearer "+k), auth("Bearer x")), code: malformed, reason: latchkey.ReasonManyFields},
		{id: "A11 bad, good", request: get(auth("Bearer x"), auth("Bearer "+k)), code: malformed, reason: latchkey.ReasonManyFields},
		{id: "A12 good, empty", request: get(auth("Bearer "+k), "Authorization:"), code: malformed, reason: latchkey.ReasonManyFields},
		{id: "A15 UTF-8", request: bearer("ключ"), code: malformed, reason: latchkey.ReasonBadScheme},
		{id: "A15 byte 0xFF", request: bearer(k + "\xff"), code: malformed, reason: latchkey.ReasonBadScheme},
		{id: "A16 8 KiB and more", request: bearer(strings.Repeat("a", 8<<10)), code: malformed, reason: latchkey.ReasonTooLong},
		{id: "A16 600 bytes", request: bearer(strings.Repeat("a", 600)), code: invalid, reason: latchkey.ReasonKeyUnknown},
		{id: "A18 in a trailer", request: "POST /v1/contacts HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nTrailer: Authorization\r\n\r\n2\r\nhi\r\n0\r\nAuthorization: Bearer " + k + "\r\n\r\n", code: missing, reason: latchkey.ReasonNoField},
		{id: "A19 query", request: strings.Replace(get(), "/v1/contacts", "/v1/contacts?api_key="+k+"&access_token="+k, 1), code: missing, reason: latchkey.ReasonNoField},
		{id: "A19 cookie", request: get("Cookie: api_key=" + k), code: missing, reason: latchkey.ReasonNoField},
		{id: "A19 X-Api-Key", request: get("X-Api-Key: " + k), code: missing, reason: latchkey.ReasonNoField},
		{id: "A19 form", request: "POST /v1/contacts HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: " + itoa(len("access_token="+k)) + "\r\n\r\naccess_token=" + k, code: missing, reason: latchkey.ReasonNoField},
		{id: "A20 Proxy-Authorization", request: get("Proxy-Authorization: Bearer " + k), code: missing, reason: latchkey.ReasonNoField},
		{id: "A21 Authorization_", request: get("Authorization_: Bearer " + k), code: missing, reason: latchkey.ReasonNoField},
		{id: "A21 Http-Authorization", request: get("Http-Authorization: Bearer " + k), code: missing, reason: latchkey.ReasonNoField},
		{id: "A21 X-Authorization", request: get("X-Authorization: Bearer " + k), code: missing, reason: latchkey.ReasonNoField},
		{id: "A22 Connection names it", request: "GET / HTTP/1.1\r\nHost: a\r\nConnection: close, Authorization\r\nAuthorization: Bearer " + k + "\r\n\r\n"},
		{id: "A22 Connection names it, bad key", request: "GET / HTTP/1.1\r\nHost: a\r\nConnection: close, Authorization\r\nAuthorization: Bearer " + w.rolled + "\r\n\r\n", code: invalid, reason: latchkey.ReasonKeyRolled},
		{id: "A23 CONNECT", request: "CONNECT upstream:443 HTTP/1.1\r\nHost: upstream:443\r\nConnection: close\r\nAuthorization: Bearer " + k + "\r\n\r\n", code: latchkey.CodeMethodNotAllowed, status: 405},
		{id: "A23 TRACE", request: "TRACE / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer " + k + "\r\n\r\n", code: latchkey.CodeMethodNotAllowed, status: 405},
		{id: "A23 unknown method", request: "BREW / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer " + k + "\r\n\r\n", code: latchkey.CodeMethodNotAllowed, status: 405},
		{id: "A23 CONNECT without credential", request: "CONNECT upstream:443 HTTP/1.1\r\nHost: upstream:443\r\nConnection: close\r\n\r\n", code: missing, reason: latchkey.ReasonNoField},
		{id: "A23 OPTIONS without credential", request: "OPTIONS /v1/contacts HTTP/1.1\r\nHost: a\r\nConnection: close\r\nOrigin: https://x.example\r\nAccess-Control-Request-Method: GET\r\n\r\n", code: missing, reason: latchkey.ReasonNoField},
		{id: "A24 HTTP/1.0", request: "GET / HTTP/1.0\r\nAuthorization: Bearer " + k + "\r\n\r\n"},
		{id: "A25 case flipped", request: bearer(flip(k)), code: invalid, reason: latchkey.ReasonKeyUnknown},
		{id: "A25 one more", request: bearer(k + "A"), code: invalid, reason: latchkey.ReasonKeyChecksum},
		{id: "A25 one less", request: bearer(k[:len(k)-1]), code: invalid, reason: latchkey.ReasonKeyChecksum},
		{id: "A25 last character", request: bearer(k[:len(k)-1] + other(k[len(k)-1])), code: invalid, reason: latchkey.ReasonKeyChecksum},
		{id: "A26 Secret Key", request: bearer(w.secret), code: invalid, reason: latchkey.ReasonKeyUnknown},
		{id: "A26 Secret ID", request: bearer(w.id), code: invalid, reason: latchkey.ReasonKeyUnknown},
		{id: "A26 ID||KEY", request: bearer(w.s), code: malformed, reason: latchkey.ReasonBadScheme},
		{id: "A27 another team's key is that team", request: bearer(w.otherKey)},
		{id: "a rolled key", request: bearer(w.rolled), code: invalid, reason: latchkey.ReasonKeyRolled},
		{id: "an imported key of 512 bytes", request: bearer(w.importedKey)},
	}
}

// casesB are HTTP Basic.
func casesB(w *world) []testCase {
	k := w.key
	raw := func(token string) string { return get(auth("Basic " + token)) }
	std := base64.StdEncoding.EncodeToString([]byte(k + ":"))
	return []testCase{
		{id: "B01 key and colon", request: basic(k + ":")},
		{id: "B02 basic", request: get(auth("basic " + std))},
		{id: "B02 BASIC", request: get(auth("BASIC " + std))},
		{id: "B03 no colon", request: basic(k), code: malformed, reason: latchkey.ReasonBasicNoColon},
		{id: "B04 password", request: basic(k + ":x"), code: malformed, reason: latchkey.ReasonBasicPassword},
		{id: "B04 space", request: basic(k + ": "), code: malformed, reason: latchkey.ReasonBasicPassword},
		{id: "B04 key twice", request: basic(k + ":" + k), code: malformed, reason: latchkey.ReasonBasicPassword},
		{id: "B04 None", request: basic(k + ":None"), code: malformed, reason: latchkey.ReasonBasicPassword},
		{id: "B05 two colons", request: basic(k + "::"), code: malformed, reason: latchkey.ReasonBasicPassword},
		{id: "B05 the key as password", request: basic(":" + k), code: malformed, reason: latchkey.ReasonBasicPassword},
		{id: "B05 a colon", request: basic(":"), code: invalid, reason: latchkey.ReasonKeyUnknown},
		{id: "B05 nothing", request: raw(""), code: malformed, reason: latchkey.ReasonBadScheme},
		{id: "B06 ID:KEY", request: basic(w.id + ":" + w.secret), code: malformed, reason: latchkey.ReasonBasicPassword},
		{id: "B06 ID:", request: basic(w.id + ":"), code: invalid, reason: latchkey.ReasonKeyUnknown},
		{id: "B07 a JWT", request: basic(forge(goodHeader, w.claims(w.now), w.s) + ":"), code: invalid, reason: latchkey.ReasonKeyUnknown},
		{id: "B08 no padding", request: raw(strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(k+":"+pad(k))), "=")), code: malformed, reason: latchkey.ReasonBasicEncoding},
		{id: "B08 padding too long", request: raw(std + "=="), code: malformed, reason: latchkey.ReasonBasicEncoding},
		{id: "B08 URL alphabet", request: raw("-_" + std[2:]), code: malformed, reason: latchkey.ReasonBasicEncoding},
		{id: "B09 trailing bits", request: raw("QTp="), code: malformed, reason: latchkey.ReasonBasicEncoding},
		{id: "B11 spaces around", request: get("Authorization: \t Basic   " + std + " \t")},
		{id: "B11 spaces inside", request: raw(std[:8] + " " + std[8:]), code: malformed, reason: latchkey.ReasonBadScheme},
		{id: "B12 NUL in the name", request: basic(k + "\x00:"), code: invalid, reason: latchkey.ReasonKeyChecksum},
		{id: "B12 control character in the password", request: basic(k + ":\x07"), code: malformed, reason: latchkey.ReasonBasicPassword},
		{id: "B13 overlong colon", request: basic(k + "\xc0\xba"), code: malformed, reason: latchkey.ReasonBasicNoColon},
		{id: "B13 byte order mark", request: basic("\ufeff" + k + ":"), code: invalid, reason: latchkey.ReasonKeyUnknown},
		{id: "B14 look-alike", request: basic(strings.Replace(k, "lk_", "lк_", 1) + ":"), code: invalid, reason: latchkey.ReasonKeyUnknown},
		{id: "B15 5 KiB of user name", request: basic(strings.Repeat("u", 5<<10) + ":"), code: invalid, reason: latchkey.ReasonKeyUnknown},
		{id: "B16 disabled team", request: basic(w.disabledKey + ":"), code: invalid, reason: latchkey.ReasonTeamDisabled},
		{id: "B16 deleted team", request: basic(w.deletedKey + ":"), code: invalid, reason: latchkey.ReasonTeamDisabled},
		{id: "a rolled key by Basic", request: basic(w.rolled + ":"), code: invalid, reason: latchkey.ReasonKeyRolled},
		{id: "an imported key of 512 bytes by Basic", request: basic(w.importedKey + ":")},
	}
}

// pad makes KEY: and the result a length whose base64 needs padding.
func pad(k string) string { return strings.Repeat("a", 3-(len(k)+1)%3+1) }

// other returns another base62 character.
func other(c byte) string {
	if c == 'A' {
		return "B"
	}
	return "A"
}
