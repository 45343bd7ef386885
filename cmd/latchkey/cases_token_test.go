package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"

	"latchkey"
)

func itoa(n int) string { return strconv.Itoa(n) }

// casesC are the structure of a JWT, its encoding and its JSON.
func casesC(w *world) []testCase {
	form, alg, claim := latchkey.ReasonJWTForm, latchkey.ReasonJWTAlgorithm, latchkey.ReasonJWTClaim
	good := w.claims(w.now)
	whole := forge(goodHeader, good, w.s)
	part := strings.Split(whole, ".")
	b64 := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	spec := time.Unix(1713225600, 0)
	header := func(h string) string { return w.token(h, good) }
	payload := func(p string) string { return w.token(goodHeader, p) }
	extra := func(json string) string {
		return payload(fmt.Sprintf(`{"iss":"%s","iat":%d,"x":%s}`, w.id, w.now, json))
	}
	cases := []testCase{
		{id: "C01 the specification's form", request: bearer(whole)},
		{id: "C02 299.999 s", request: payload(w.claims(1713225600)), at: spec.Add(299999 * time.Millisecond)},
		{id: "C02 300 s", request: payload(w.claims(1713225600)), at: spec.Add(300 * time.Second), code: expired, reason: latchkey.ReasonExpired},
		{id: "C03 two parts", request: bearer(part[0] + "." + part[1]), code: malformed, reason: form},
		{id: "C03 four parts", request: bearer(whole + ".e30"), code: malformed, reason: form},
		{id: "C03 five parts", request: bearer("a.b.c.d.e"), code: malformed, reason: form},
		{id: "C03 empty header", request: bearer("." + part[1] + "." + part[2]), code: malformed, reason: form},
		{id: "C03 empty payload", request: bearer(part[0] + ".." + part[2]), code: malformed, reason: form},
		{id: "C03 empty signature", request: bearer(part[0] + "." + part[1] + "."), code: malformed, reason: form},
		{id: "C03 trailing dot", request: bearer(whole + "."), code: malformed, reason: form},
		{id: "C03 only dots", request: bearer(".."), code: malformed, reason: form},
		{id: "C04 many dots", request: bearer(strings.Repeat(".", 8000)), code: malformed, reason: form},
		{id: "C04 long header", request: header(`{"alg":"HS256","x":"` + strings.Repeat("x", 4<<10) + `"}`), code: malformed, reason: form},
		{id: "C04 long payload", request: payload(`{"iss":"` + strings.Repeat("x", 4<<10) + `"}`), code: malformed, reason: form},
		{id: "C05 padding behind", request: bearer(whole + "="), code: malformed, reason: form},
		{id: "C05 standard alphabet", request: bearer(part[0] + "." + part[1] + "." + strings.Map(stdAlphabet, pieceWith(w, "-_"))), code: malformed, reason: form},
		{id: "C06 trailing bits in the payload, signed so", request: bearer(signSegments(part[0], b64("{}")[:2]+"B", w.s)), code: malformed, reason: form},
		{id: "C07 trailing bits in the signature", request: bearer(whole[:len(whole)-1] + nextChar(whole[len(whole)-1])), code: malformed, reason: form},
		{id: "C08 JSON serialisation", request: get(auth(`Bearer {"payload":"` + part[1] + `"}`)), code: malformed, reason: latchkey.ReasonBadScheme},
		{id: "C08 nested", request: w.token(`{"alg":"HS256","typ":"JWT","cty":"JWT"}`, whole), code: malformed, reason: form},
		{id: "C10 HS512", request: bearer(forgeWith(sha512New, `{"alg":"HS512","typ":"JWT"}`, good, w.s)), code: malformed, reason: alg},
		{id: "C10 HS384", request: bearer(forgeWith(sha384New, `{"alg":"HS384","typ":"JWT"}`, good, w.s)), code: malformed, reason: alg},
		{id: "C10 HS512 under the name HS256", request: bearer(forgeWith(sha512New, goodHeader, good, w.s)), code: invalid, reason: latchkey.ReasonBadSignature},
		{id: "C10 cut to 128 bits", request: bearer(part[0] + "." + part[1] + "." + part[2][:22-1] + "A"), code: invalid, reason: latchkey.ReasonBadSignature},
		{id: "C11 RS256", request: header(`{"alg":"RS256","jku":"http://127.0.0.1:1/keys"}`), code: malformed, reason: alg},
		{id: "C11 a key in the header", request: bearer(forge(`{"alg":"HS256","jwk":{"kty":"oct","k":"AAAA"}}`, good, "\x00\x00\x00")), code: invalid, reason: latchkey.ReasonBadSignature},
		{id: "C12 escaped alg", request: header(`{"alg":"HS\u003256"}`)},
		{id: "C13 no typ", request: header(`{"alg":"HS256"}`)},
		{id: "C13 jwt", request: header(`{"alg":"HS256","typ":"jwt"}`)},
		{id: "C15 unknown members", request: header(`{"alg":"HS256","kid":"x","foo":[1,{"a":null}]}`)},
		{id: "C16 kid path", request: header(`{"alg":"HS256","kid":"../../dev/null"}`)},
		{id: "C16 kid SQL", request: header(`{"alg":"HS256","kid":"x' UNION SELECT '1';--"}`)},
		{id: "C17 zip with a compressed payload", request: w.token(`{"alg":"HS256","zip":"DEF"}`, "\xab\x56\xca\x2c\x2e\x06\x00"), code: malformed, reason: form},
		{id: "C20 escaped iss", request: payload(fmt.Sprintf(`{"\u0069ss":"%s","iat":%d}`, w.id, w.now))},
		{id: "C20 NUL in iss", request: payload(fmt.Sprintf(`{"iss":"%s\u0000","iat":%d}`, w.id, w.now)), code: invalid, reason: latchkey.ReasonSecretUnknown},
		{id: "C21 white space around", request: payload(" \n\t" + good + "\r\n ")},
		{id: "C21 white space in the header", request: header(" " + goodHeader + " ")},
		{id: "C22 depth 16", request: extra(strings.Repeat("[", 15) + strings.Repeat("]", 15))},
		{id: "C22 depth 17", request: extra(strings.Repeat("[", 16) + strings.Repeat("]", 16)), code: malformed, reason: form},
		{id: "C22 depth 1000", request: extra(strings.Repeat("[", 1000) + strings.Repeat("]", 1000)), code: malformed, reason: form},
	}
	for _, none := range []string{"none", "None", "NONE", "nOnE", "none "} {
		h := `{"alg":"` + none + `"}`
		cases = append(cases,
			testCase{id: "C09 " + none + ", no signature", request: bearer(b64(h) + "." + part[1] + "."), code: malformed, reason: alg},
			testCase{id: "C09 " + none + ", a signature", request: bearer(b64(h) + "." + part[1] + "." + part[2]), code: malformed, reason: alg})
	}
	for _, a := range []string{`{}`, `{"alg":null}`, `{"alg":256}`, `{"alg":["HS256"]}`, `{"alg":"hs256"}`, `{"alg":"HS256 "}`, `{"Alg":"HS256"}`} {
		cases = append(cases, testCase{id: "C12 " + a, request: header(a), code: malformed, reason: alg})
	}
	for _, typ := range []string{`"application/jwt"`, `"at+jwt"`, `1`, `null`, `""`} {
		cases = append(cases, testCase{id: "C13 typ " + typ, request: header(`{"alg":"HS256","typ":` + typ + `}`), code: malformed, reason: form})
	}
	for _, crit := range []string{`["exp"]`, `["bork"]`, `[]`, `"exp"`, `null`, `["b64"],"b64":false`} {
		cases = append(cases, testCase{id: "C14 crit " + crit, request: header(`{"alg":"HS256","crit":` + crit + `}`), code: malformed, reason: form})
	}
	for _, p := range []string{
		`{"iss":"a","iss":"` + w.id + `","iat":1}`, `{"iss":"` + w.id + `","iat":1,"iat":1}`, `null`, `[]`, `"x"`, `1`, "\ufeff" + good, good + "{}", good + "x",
		`{"iss":"` + w.id + `\ud800","iat":1}`, "{\"iss\":\"" + w.id + "\xff\",\"iat\":1}", `{"iss":"a","iat":01}`, `{"iss":"a","iat":1,}`,
	} {
		cases = append(cases, testCase{id: "C18 C20 C21 " + fmt.Sprintf("%q", p), request: payload(p), code: malformed, reason: form})
	}
	for _, p := range []string{`{}`, `{"ISS":"` + w.id + `","iat":1}`, `{"iſſ":"` + w.id + `","iat":1}`, `{"iss":"` + w.id + `","IAT":1}`} {
		cases = append(cases, testCase{id: "C19 C21 " + p, request: payload(p), code: malformed, reason: claim})
	}
	cases = append(cases, testCase{id: "C18 alg twice", request: header(`{"alg":"none","alg":"HS256"}`), code: malformed, reason: form})
	for _, number := range []string{"1e309", "1e-400", "100000000000000000000", "-237462374673276894279832749832423479823246327846"} {
		cases = append(cases, testCase{id: "C24 number " + number, request: extra(number), code: malformed, reason: form})
	}
	return cases
}

// casesD are claims, time and keys.
func casesD(w *world) []testCase {
	claim := latchkey.ReasonJWTClaim
	payload := func(format string, args ...any) string { return w.token(goodHeader, fmt.Sprintf(format, args...)) }
	iat := func(v string) string { return payload(`{"iss":"%s","iat":%s}`, w.id, v) }
	base := time.Unix(w.now, 0)
	var cases []testCase
	for _, v := range []string{"null", `""`, `"1713225600"`, "true", "[]", "{}", "-1", "9223372036854775807", "9223372036854775808", "1e18", itoa(int(w.now)) + "000", "253402300800", "-0.5"} {
		cases = append(cases, testCase{id: "D01 D03 D04 iat " + v, request: iat(v), code: malformed, reason: claim})
	}
	for _, v := range []string{"null", `""`, "[]", "{}", "1", `["` + w.id + `"]`} {
		cases = append(cases, testCase{id: "D12 iss " + v, request: payload(`{"iss":%s,"iat":%d}`, v, w.now), code: malformed, reason: claim})
	}
	for _, v := range []string{"0", "-0", "0.0"} {
		cases = append(cases, testCase{id: "D03 iat " + v, request: iat(v), code: expired, reason: latchkey.ReasonExpired})
	}
	for _, v := range []string{fmt.Sprintf("%d.5", w.now-1), fmt.Sprintf("%d.0", w.now), fmt.Sprintf("%de0", w.now), fmt.Sprintf("%d.%09de9", w.now/1e9, w.now%1e9)} {
		cases = append(cases, testCase{id: "D02 iat " + v, request: iat(v)})
	}
	at := func(d time.Duration) time.Time { return base.Add(d) }
	cases = append(cases,
		testCase{id: "D05 30 s ahead", request: iat(itoa(int(w.now) + 30)), at: at(0)},
		testCase{id: "D05 30 s ahead, and 1 ms", request: iat(itoa(int(w.now) + 30)), at: at(-time.Millisecond), code: early, reason: latchkey.ReasonNotYetValid},
		testCase{id: "D05 ten years", request: iat(itoa(int(w.now) + 315360000)), code: early, reason: latchkey.ReasonNotYetValid},
		testCase{id: "D06 299.999 s", request: iat(itoa(int(w.now))), at: at(299999 * time.Millisecond)},
		testCase{id: "D06 300 s", request: iat(itoa(int(w.now))), at: at(300 * time.Second), code: expired, reason: latchkey.ReasonExpired},
		testCase{id: "D06 300.001 s", request: iat(itoa(int(w.now))), at: at(300001 * time.Millisecond), code: expired, reason: latchkey.ReasonExpired},
		testCase{id: "D07 the clock goes back: the verdict follows", request: iat(itoa(int(w.now))), at: at(299 * time.Second)},
		testCase{id: "D09 exp before", request: payload(`{"iss":"%s","iat":%d,"exp":%d}`, w.id, w.now, w.now-1), at: at(0), code: expired, reason: latchkey.ReasonExpired},
		testCase{id: "D09 exp now", request: payload(`{"iss":"%s","iat":%d,"exp":%d}`, w.id, w.now, w.now), at: at(0), code: expired, reason: latchkey.ReasonExpired},
		testCase{id: "D09 exp after, alive", request: payload(`{"iss":"%s","iat":%d,"exp":%d}`, w.id, w.now, w.now+900), at: at(299 * time.Second)},
		testCase{id: "D09 exp after, dead all the same", request: payload(`{"iss":"%s","iat":%d,"exp":%d}`, w.id, w.now, w.now+900), at: at(300 * time.Second), code: expired, reason: latchkey.ReasonExpired},
		testCase{id: "D09 exp a text", request: payload(`{"iss":"%s","iat":%d,"exp":"x"}`, w.id, w.now), code: malformed, reason: claim},
		testCase{id: "D09 exp twice", request: payload(`{"iss":"%s","iat":%d,"exp":1,"exp":2}`, w.id, w.now), code: malformed, reason: latchkey.ReasonJWTForm},
		testCase{id: "D10 nbf after", request: payload(`{"iss":"%s","iat":%d,"nbf":%d}`, w.id, w.now, w.now+60), at: at(0), code: early, reason: latchkey.ReasonNotYetValid},
		testCase{id: "D10 nbf within the leeway", request: payload(`{"iss":"%s","iat":%d,"nbf":%d}`, w.id, w.now, w.now+30), at: at(0)},
		testCase{id: "D10 nbf a list", request: payload(`{"iss":"%s","iat":%d,"nbf":[]}`, w.id, w.now), code: malformed, reason: claim},
		testCase{id: "D11 another's iss", request: payload(`{"iss":"%s","iat":%d}`, w.otherID, w.now), code: invalid, reason: latchkey.ReasonBadSignature},
		testCase{id: "D11 another's secret", request: bearer(forge(goodHeader, w.claims(w.now), w.otherID+"||"+w.otherSecret)), code: invalid, reason: latchkey.ReasonBadSignature},
		testCase{id: "D15 other claims", request: payload(`{"iss":"%s","iat":%d,"sub":1,"aud":["x"],"jti":{},"azp":"team"}`, w.id, w.now)},
		testCase{id: "D17 SHA-256 of the secret", request: bearer(forge(goodHeader, w.claims(w.now), string(sum(w.s))))},
		testCase{id: "D20 a revoked secret", request: bearer(forge(goodHeader, fmt.Sprintf(`{"iss":"%s","iat":%d}`, w.revokedID, w.now), w.revokedID+"||"+w.revokedSecret)), code: invalid, reason: latchkey.ReasonSecretRevoked},
		testCase{id: "a disabled team, signed", request: bearer(forge(goodHeader, fmt.Sprintf(`{"iss":"%s","iat":%d}`, w.disabledID, w.now), w.disabledID+"||"+w.disabledSecret)), code: invalid, reason: latchkey.ReasonTeamDisabled},
		testCase{id: "time is spoken of only after the signature", request: bearer(forge(goodHeader, w.claims(1), "wrong")), code: invalid, reason: latchkey.ReasonBadSignature},
		testCase{id: "a disabled team's token is not called expired", request: bearer(forge(goodHeader, fmt.Sprintf(`{"iss":"%s","iat":1}`, w.disabledID), w.disabledID+"||"+w.disabledSecret)), code: invalid, reason: latchkey.ReasonTeamDisabled},
	)
	upper := strings.ToUpper(w.id)
	if upper == w.id {
		upper = w.id + "0" // an ID of digits alone
	}
	for _, id := range []string{" " + w.id, w.id + " ", upper, "{" + w.id + "}", "urn:uuid:" + w.id, strings.Repeat("x", 2000), "../../" + w.id} {
		p := fmt.Sprintf(`{"iss":%q,"iat":%d}`, id, w.now)
		cases = append(cases, testCase{id: fmt.Sprintf("D13 iss %.20q", id), request: bearer(forge(goodHeader, p, id+"||"+w.secret)), code: invalid, reason: latchkey.ReasonSecretUnknown})
	}
	for _, key := range []string{
		w.secret, w.id, w.id + "|" + w.secret, w.id + w.secret, w.secret + "||" + w.id, w.id + "||", "||" + w.secret, "",
		base64.StdEncoding.EncodeToString([]byte(w.s)), hexOf(w.s), w.s + "\n", strings.ToLower(w.s) + " ", w.id + ":" + w.secret,
	} {
		cases = append(cases, testCase{id: fmt.Sprintf("D16 signed with %d bytes of another key", len(key)), request: bearer(forge(goodHeader, w.claims(w.now), key)), code: invalid, reason: latchkey.ReasonBadSignature})
	}
	return cases
}

func sum(s string) []byte { d := sha256.Sum256([]byte(s)); return d[:] }

// signSegments signs two segments as they stand.
func signSegments(header, payload, key string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(header + "." + payload))
	return header + "." + payload + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// pieceWith returns a signature that holds one of the characters given, by
// trying tokens.
func pieceWith(w *world, chars string) string {
	for i := w.now; ; i-- {
		t := forge(goodHeader, w.claims(i), w.s)
		if s := t[strings.LastIndexByte(t, '.')+1:]; strings.ContainsAny(s, chars) {
			return s
		}
	}
}

func stdAlphabet(r rune) rune {
	switch r {
	case '-':
		return '+'
	case '_':
		return '/'
	}
	return r
}

// nextChar returns the base64url character after c: the same value but for
// unused bits, as the last character of 32 bytes carries only four.
func nextChar(c byte) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return string(alphabet[strings.IndexByte(alphabet, c)+1])
}
