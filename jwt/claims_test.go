package jwt_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"latchkey/jwt"
)

// issuer and issued are payloads with this iss, or this iat, as JSON.
func issuer(iss string) string { return `{"iss":` + iss + `,"iat":1713225600}` }
func issued(iat string) string { return `{"iss":"` + exampleID + `","iat":` + iat + `}` }

// payloadCases have the example's header and a good signature, and are judged
// ten seconds after the example's iat: groups C and D of the cases.
var payloadCases = []struct {
	id, rule, payload, want string
}{
	{"C18", "iss twice is refused", claims(`,"iss":"x"`), "form"},
	{"C18", "iss twice is refused, the good one last", `{"iss":"x",` + payload[1:], "form"},
	{"C18", "iat twice is refused", claims(`,"iat":1`), "form"},
	{"C18", "iat twice is refused, the good one last", `{"iat":1,` + payload[1:], "form"},
	{"C18", "iat twice is refused, once escaped", claims(`,"i\u0061t":1`), "form"},
	{"C19", "ISS is not iss", `{"ISS":"` + exampleID + `","iat":1713225600}`, "claim"},
	{"C19", "Iss is not iss", `{"Iss":"` + exampleID + `","iat":1713225600}`, "claim"},
	{"C19", "a long s does not fold to s", `{"iſſ":"` + exampleID + `","iat":1713225600}`, "claim"},
	{"C19", "IAT is not iat", `{"iss":"` + exampleID + `","IAT":1713225600}`, "claim"},
	{"C19", "ISS beside iss is ignored", claims(`,"ISS":"x","iſſ":"y","IAT":1,"EXP":1`), "accepted"},
	{"C20", "an escaped iss is iss", `{"\u0069ss":"` + exampleID + `","iat":1713225600}`, "accepted"},
	{"C20", "an escaped value of iss is read", issuer(`"\u0037` + exampleID[1:] + `"`), "accepted"},
	{"C20", "NUL in iss is not refused for its form", issuer(`"\u0000"`), "accepted"}, // the key is found by iss, which no ID equals
	{"C20", "a lone surrogate in iss is refused", issuer(`"\ud800"`), "form"},
	{"C20", "a byte that is no UTF-8 in iss is refused", issuer("\"\xff\""), "form"},

	{"D01", "iat must be there", `{"iss":"` + exampleID + `"}`, "claim"},
	{"D01", "iat is not null", issued(`null`), "claim"},
	{"D01", "iat is not an empty string", issued(`""`), "claim"},
	{"D01", "iat is not a string", issued(`"1713225600"`), "claim"},
	{"D01", "iat is not true", issued(`true`), "claim"},
	{"D01", "iat is not an array", issued(`[]`), "claim"},
	{"D01", "iat is not an array of one number", issued(`[1713225600]`), "claim"},
	{"D01", "iat is not an object", issued(`{}`), "claim"},
	{"D02", "iat may have a fraction", issued(`1713225600.5`), "accepted"},
	{"D02", "iat may have a fraction of zero", issued(`1713225600.0`), "accepted"},
	{"D02", "iat may have an exponent", issued(`1.7132256e9`), "accepted"},
	{"D02", "iat may have a negative exponent", issued(`17132256000000E-4`), "accepted"},
	{"D02", "iat may have a long fraction", issued(`1713225600.` + strings.Repeat("9", 1000)), "accepted"},
	{"D02", "iat may be a fraction with an exponent", issued(`0.000017132256e+14`), "accepted"},
	{"D02", "iat may have 1100 zeros and an exponent to match", issued(`0.` + strings.Repeat("0", 1100) + `17132256e1110`), "accepted"},
	{"D03", "iat is not negative", issued(`-1`), "claim"},
	{"D03", "iat is not negative, not by the least", issued(`-0.0000000001`), "claim"},
	{"D03", "0 is a time long past", issued(`0`), "expired"},
	{"D03", "-0 is 0", issued(`-0`), "expired"},
	{"D03", "-0.0e5 is 0", issued(`-0.0e5`), "expired"},
	{"D03", "1e-300 is as good as 0", issued(`1e-300`), "expired"},
	{"D03", "1e309 is no number", issued(`1e309`), "form"},
	{"D03", "1e400 is no number", issued(`1e400`), "form"},
	{"D03", "1e308 is out of range", issued(`1e308`), "claim"},
	{"D03", "the largest int64 is out of range", issued(`9223372036854775807`), "claim"},
	{"D03", "one over the largest int64 is out of range", issued(`9223372036854775808`), "claim"},
	{"D03", "the largest uint64 is out of range", issued(`18446744073709551615`), "claim"},
	{"D03", "one over the largest uint64 is no number", issued(`18446744073709551616`), "form"},
	{"D03", "2^64 and the time does not wrap round", issued(`18446744075422777216`), "form"},
	{"D03", "1e18 is out of range", issued(`1e18`), "claim"},
	{"D03", "NaN is no number", issued(`NaN`), "form"},
	{"D03", "the end of the year 9999 is in range", issued(`253402300799`), "early"},
	{"D03", "a second later is out of range", issued(`253402300800`), "claim"},
	{"D03", "half a second later is out of range", issued(`253402300799.5`), "claim"},
	{"D04", "milliseconds are out of range", issued(`1713225600000`), "claim"},
	{"D05", "ten years ahead is too early", issued(`2028758400`), "early"},

	{"D09", "exp in the past is dead", claims(`,"exp":1713225609`), "expired"},
	{"D09", "exp at this moment is dead", claims(`,"exp":1713225610`), "expired"},
	{"D09", "exp a microsecond ahead is alive", claims(`,"exp":1713225610.000001`), "accepted"},
	{"D09", "exp far ahead is alive", claims(`,"exp":253402300799`), "accepted"},
	{"D09", "exp 0 is a time long past", claims(`,"exp":0`), "expired"},
	{"D09", "exp is not a string", claims(`,"exp":"1713225900"`), "claim"},
	{"D09", "exp is not null", claims(`,"exp":null`), "claim"},
	{"D09", "exp is not false", claims(`,"exp":false`), "claim"},
	{"D09", "exp is not negative", claims(`,"exp":-1`), "claim"},
	{"D09", "exp is in range", claims(`,"exp":253402300800`), "claim"},
	{"D09", "exp twice is refused", claims(`,"exp":1713225900,"exp":1713225900`), "form"},
	{"D10", "nbf in the past is alive", claims(`,"nbf":0`), "accepted"},
	{"D10", "nbf ahead by the leeway is alive", claims(`,"nbf":1713225640`), "accepted"},
	{"D10", "nbf ahead by more is too early", claims(`,"nbf":1713225640.000001`), "early"},
	{"D10", "nbf after the token's death is too early", claims(`,"nbf":1713226000`), "early"},
	{"D10", "nbf is not a string", claims(`,"nbf":"0"`), "claim"},
	{"D10", "nbf is not null", claims(`,"nbf":null`), "claim"},
	{"D10", "nbf is not an array", claims(`,"nbf":[0]`), "claim"},
	{"D10", "nbf is in range", claims(`,"nbf":1e12`), "claim"},

	{"D12", "iss must be there", `{"iat":1713225600}`, "claim"},
	{"D12", "iss is not null", issuer(`null`), "claim"},
	{"D12", "iss is not empty", issuer(`""`), "claim"},
	{"D12", "iss is not an array", issuer(`["` + exampleID + `"]`), "claim"},
	{"D12", "iss is not an array of two", issuer(`["` + exampleID + `","x"]`), "claim"},
	{"D12", "iss is not an object", issuer(`{"id":"` + exampleID + `"}`), "claim"},
	{"D12", "iss is not a number", issuer(`74`), "claim"},
	{"D12", "iss is not a boolean", issuer(`true`), "claim"},
	{"D12", "iss in an inner object is not iss", `{"x":{"iss":"` + exampleID + `"},"iat":1713225600}`, "claim"},

	{"D15", "other claims are ignored", claims(`,"sub":"root","aud":["x"],"jti":7,"azp":null,"scope":{"admin":true}`), "accepted"},
}

func TestPayload(t *testing.T) {
	for _, c := range payloadCases {
		t.Run(c.id+" "+c.rule, func(t *testing.T) {
			if got, detail := judge(t, token(header, c.payload), now); got != c.want {
				t.Errorf("rule broken: %s: the verdict on %s is %s (%s), want %s", c.rule, c.payload, got, detail, c.want)
			}
		})
	}
}

// The issuer comes out exactly as the JSON says it: D13 rests on that, since the
// key is found by comparing bytes.
func TestIssuer(t *testing.T) {
	for _, c := range []struct{ id, json, want string }{
		{"D12", `"` + exampleID + `"`, exampleID},
		{"D13", `" ` + exampleID + ` "`, " " + exampleID + " "},
		{"D13", `"` + strings.ToUpper(exampleID) + `"`, strings.ToUpper(exampleID)},
		{"D13", `"{` + exampleID + `}"`, "{" + exampleID + "}"},
		{"D13", `"urn:uuid:` + exampleID + `"`, "urn:uuid:" + exampleID},
		{"D13", `"` + exampleID + `\u0000"`, exampleID + "\x00"},
		{"D13", `"` + strings.Repeat("x", 2000) + `"`, strings.Repeat("x", 2000)},
		{"C20", `"\u0037\u0034"`, "74"},
		{"C20", `"a\"b\\c\/d\be\ff\ng\rh\ti"`, "a\"b\\c/d\be\ff\ng\rh\ti"},
		{"C20", `"\u00e9\u20AC\ud834\udd1e"`, "é€𝄞"},
		{"C20", `"é\u00e9€𝄞\uD834\uDD1Ez"`, "éé€𝄞𝄞z"},
		{"C20", `"\ufffd�"`, "��"},
	} {
		var tok jwt.Token
		if err := tok.Parse(token(header, issuer(c.json))); err != nil {
			t.Errorf("%s: %s: %v", c.id, c.json, err)
		} else if got := string(tok.Issuer()); got != c.want {
			t.Errorf("%s: rule broken: iss is compared byte by byte after unescaping: %s is read as %q, want %q", c.id, c.json, got, c.want)
		}
	}
}

func TestIssuerCannotGrowIntoTheBuffer(t *testing.T) {
	var tok jwt.Token
	if err := tok.Parse(exampleToken); err != nil {
		t.Fatal(err)
	}
	if iss := tok.Issuer(); cap(iss) != len(iss) {
		t.Error("an append to the issuer would write over the token's buffer")
	}
}

// Times are kept to the microsecond, rounded down.
func TestTimes(t *testing.T) {
	for _, c := range []struct {
		number string
		micros int64
	}{
		{`0`, 0},
		{`-0.0`, 0},
		{`1713225600`, 1713225600_000000},
		{`1713225600.123456`, 1713225600_123456},
		{`1713225600.1234569999`, 1713225600_123456},
		{`1713225600.9999999`, 1713225600_999999},
		{`1.713225600123456e9`, 1713225600_123456},
		{`1713225600123456e-6`, 1713225600_123456},
		{`0.1713225600123456E+10`, 1713225600_123456},
		{`0.0000001`, 0},
		{`0.000001`, 1},
		{`1e-6`, 1},
		{`9e-7`, 0},
		{`0.000000001e3`, 1},
		{`12e1`, 120_000000},
		{`1e0`, 1_000000},
		{`253402300799`, 253402300799_000000},
		{`253402300798.999999`, 253402300798_999999},
		{`0.` + strings.Repeat("0", 500) + `1e501`, 1_000000},
		{`1` + strings.Repeat("0", 500) + `.0e-500`, 1_000000},
		{`100.` + strings.Repeat("0", 500) + `1`, 100_000000},
	} {
		var tok jwt.Token
		text := `{"iss":"x","iat":` + c.number + `,"nbf":` + c.number + `,"exp":` + c.number + `}`
		if err := tok.Parse(token(header, text)); err != nil {
			t.Errorf("%s: %v", c.number, err)
			continue
		}
		exp, hasExp := tok.ExpiresAt()
		nbf, hasNbf := tok.NotBefore()
		if !hasExp || !hasNbf {
			t.Errorf("%s: exp there: %v, nbf there: %v", c.number, hasExp, hasNbf)
		}
		for name, got := range map[string]time.Time{"iat": tok.IssuedAt(), "exp": exp, "nbf": nbf} {
			if got.UnixMicro() != c.micros || got.Nanosecond()%1000 != 0 || got.Location() != time.UTC {
				t.Errorf("rule broken: times are rounded down to the µs, in UTC: %s %s is read as %v", name, c.number, got)
			}
		}
	}

	var tok jwt.Token
	if err := tok.Parse(exampleToken); err != nil {
		t.Fatal(err)
	}
	if _, there := tok.ExpiresAt(); there {
		t.Error("the example has no exp")
	}
	if _, there := tok.NotBefore(); there {
		t.Error("the example has no nbf")
	}
}

// What is wrong is said in words that help, and repeat nothing of the token.
func TestDetail(t *testing.T) {
	for _, c := range []struct {
		id, compact string
		kind        jwt.Kind
		detail      string
	}{
		{"C04", strings.Repeat("A", 4097), jwt.Form, "the token is longer than 4096 bytes"},
		{"C03", "canary.canary", jwt.Form, "a token has three parts with a dot between them: header.payload.signature"},
		{"C03", exampleToken + ".canary", jwt.Form, "a token has three parts with a dot between them: header.payload.signature"},
		{"C08", "canary....", jwt.Form, "the token has five parts, as an encrypted one has; it must be a signed one, which has three"},
		{"C03", "." + p64 + ".AA", jwt.Form, "the header is empty"},
		{"C03", h64 + "." + p64 + ".", jwt.Form, "the signature is empty"},
		{"C05", h64 + ".canary==.AA", jwt.Form, "the payload is padded with =; leave the padding out"},
		{"C05", h64 + ".canary+/.AA", jwt.Form, "the payload is in standard base64; use base64url, which has - and _ for + and /"},
		{"C05", h64 + "." + p64 + ".canary\n", jwt.Form, "the signature holds white space; leave it out"},
		{"C05", h64 + ".canary!.AA", jwt.Form, "the payload is not base64url; use the alphabet with - and _, and put nothing else in it"},
		{"C09", token(`{"alg":"canary"}`, payload), jwt.Algorithm, "the header's alg must be the string HS256, exactly"},
		{"C13", token(`{"alg":"HS256","typ":"canary"}`, payload), jwt.Form, "the header's typ must be JWT, or left out"},
		{"C14", token(`{"alg":"HS256","crit":["canary"]}`, payload), jwt.Form, "the header has a crit, and no extension is supported; leave it out"},
		{"C18", token(header, claims(`,"canary":1,"canary":2`)), jwt.Form, "the payload is not strict JSON: a name stands twice in one object"},
		{"C21", token("\ufeff"+header, payload), jwt.Form, "the header is not strict JSON: it begins with a byte order mark; leave that out"},
		{"C21", token(header, `["canary"]`), jwt.Form, "the payload is not strict JSON: it must be an object in braces"},
		{"C21", token(header, payload+"canary"), jwt.Form, "the payload is not strict JSON: something stands after the object"},
		{"C22", token(header, claims(`,"canary":`+strings.Repeat("[", 16))), jwt.Form, "the payload is not strict JSON: objects and arrays are nested deeper than 16 levels"},
		{"D01", token(header, `{"iss":"canary"}`), jwt.Claim, "iat is missing; it must be the time of signing in seconds since 1970"},
		{"D01", token(header, issued(`"canary"`)), jwt.Claim, "iat is a string; send a number, without quotes"},
		{"D01", token(header, issued(`["canary"]`)), jwt.Claim, "iat must be a number of seconds since 1970"},
		{"D03", token(header, issued(`-1`)), jwt.Claim, "iat is out of range; it must be in seconds since 1970, from 0 to 253402300799"},
		{"D03", token(header, issued(`-1713225600000`)), jwt.Claim, "iat is out of range; it must be in seconds since 1970, from 0 to 253402300799"},
		{"D03", token(header, issued(`1e20`)), jwt.Claim, "iat is out of range; it must be in seconds since 1970, from 0 to 253402300799"},
		{"D04", token(header, issued(`1713225600000`)), jwt.Claim, "iat is in milliseconds; it must be in seconds"},
		{"D04", token(header, issued(`300000000000`)), jwt.Claim, "iat is in milliseconds; it must be in seconds"},
		{"D04", token(header, issued(`1.7132256e12`)), jwt.Claim, "iat is in milliseconds; it must be in seconds"},
		{"D04", token(header, issued(`99999999999999.9`)), jwt.Claim, "iat is in milliseconds; it must be in seconds"},
		{"D04", token(header, issued(`1e14`)), jwt.Claim, "iat is in microseconds; it must be in seconds"},
		{"D04", token(header, issued(`1713225600000000`)), jwt.Claim, "iat is in microseconds; it must be in seconds"},
		{"D04", token(header, issued(`99999999999999999.9`)), jwt.Claim, "iat is in microseconds; it must be in seconds"},
		{"D04", token(header, issued(`1713225600000000000`)), jwt.Claim, "iat is in nanoseconds; it must be in seconds"},
		{"D04", token(header, issued(`1.7132256e18`)), jwt.Claim, "iat is in nanoseconds; it must be in seconds"},
		{"D04", token(header, claims(`,"exp":1713225900000`)), jwt.Claim, "exp is in milliseconds; it must be in seconds"},
		{"D10", token(header, claims(`,"nbf":"canary"`)), jwt.Claim, "nbf is a string; send a number, without quotes"},
		{"D12", token(header, `{"canary":1,"iat":1713225600}`), jwt.Claim, "iss is missing; it must be the API Secret ID"},
		{"D12", token(header, issuer(`["canary"]`)), jwt.Claim, "iss must be a string, the API Secret ID, and not empty"},
	} {
		var tok jwt.Token
		var refused *jwt.Error
		if !errors.As(tok.Parse(c.compact), &refused) {
			t.Errorf("%s: the token is not refused; the detail should be: %s", c.id, c.detail)
		} else if refused.Kind != c.kind || refused.Detail != c.detail {
			t.Errorf("%s: rule broken: a refusal says how to mend it:\n got %v: %s\nwant %v: %s", c.id, refused.Kind, refused.Detail, c.kind, c.detail)
		} else if strings.Contains(refused.Error(), "canary") {
			t.Errorf("%s: rule broken: a refusal repeats nothing of the token: %v", c.id, refused)
		}
	}
}
