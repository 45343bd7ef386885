package jwt_test

import (
	"runtime"
	"strings"
	"testing"
	"time"

	"latchkey/jwt"
)

// h64 and p64 are the encoded parts that most cases of form begin with.
var h64, p64 = encode(header), encode(payload)

// formCases are whole tokens: group C of the cases, where the fault lies outside
// the JSON. The want is a verdict of judge.
var formCases = []struct {
	id, rule, compact, want string
}{
	{"C01", "the specification's example passes", exampleToken, "accepted"},
	{"C01", "the order of members does not matter", token(`{"typ":"JWT","alg":"HS256"}`, `{"iat":1713225600,"iss":"`+exampleID+`"}`), "accepted"},

	{"C03", "an empty token is no token", "", "form"},
	{"C03", "one part is too few", h64, "form"},
	{"C03", "two parts are too few", h64 + "." + p64, "form"},
	{"C03", "four parts are too many", exampleToken + "." + p64, "form"},
	{"C03", "five parts are too many", exampleToken + "." + p64 + "." + p64, "form"},
	{"C03", "a trailing dot is a fourth part", exampleToken + ".", "form"},
	{"C03", "a leading dot is a fourth part", "." + exampleToken, "form"},
	{"C03", "dots alone are no token", "..", "form"},
	{"C03", "the header must not be empty", seal("." + p64), "form"},
	{"C03", "the payload must not be empty", seal(h64 + "."), "form"},
	{"C03", "the signature must not be empty", h64 + "." + p64 + ".", "form"},

	{"C04", "a token has at most 4096 bytes", sized(4097), "form"},
	{"C04", "a token of 4096 bytes passes", sized(4096), "accepted"},
	{"C04", "a million dots are refused", strings.Repeat(".", 1e6), "form"},
	{"C04", "900 KiB of header are refused", strings.Repeat("A", 900<<10) + "." + p64 + ".AAAA", "form"},
	{"C04", "900 KiB of payload are refused", h64 + "." + strings.Repeat("A", 900<<10) + ".AAAA", "form"},

	{"C05", "the header is not padded", seal(encode(`{"alg":"HS256" }`) + "==." + p64), "form"},
	{"C05", "the payload is not padded", seal(h64 + "." + encode(payload+" ") + "="), "form"},
	{"C05", "the signature is not padded", exampleToken + "=", "form"},
	{"C05", "padding alone is no part", seal(h64 + ".===="), "form"},
	{"C05", "the alphabet has - and not +", seal(h64 + "." + strings.ReplaceAll(encode(claims(`,"x":"~~~>>>"`)), "-", "+")), "form"},
	{"C05", "the alphabet has _ and not /", seal(h64 + "." + strings.ReplaceAll(encode(claims(`,"x":"???ooo"`)), "_", "/")), "form"},
	{"C05", "- and _ are in the alphabet", token(header, claims(`,"x":"~~~>>>???ooo"`)), "accepted"},
	{"C05", "a space before a token is refused", " " + exampleToken, "form"},
	{"C05", "a space after a token is refused", exampleToken + " ", "form"},
	{"C05", "a line feed after a token is refused", exampleToken + "\n", "form"},
	{"C05", "a line feed in the header is refused", seal(h64[:8] + "\n" + h64[8:] + "." + p64), "form"},
	{"C05", "a carriage return in the payload is refused", seal(h64 + "." + p64[:8] + "\r" + p64[8:]), "form"},
	{"C05", "four line feeds in the payload are refused", seal(h64 + "." + p64[:8] + "\n\n\n\n" + p64[8:]), "form"},
	{"C05", "line breaks in the signature are refused", exampleToken[:len(exampleToken)-4] + "\r\n" + exampleToken[len(exampleToken)-4:], "form"},
	{"C05", "a signature of line breaks alone is refused", h64 + "." + p64 + ".\n\n\n\n", "form"},
	{"C05", "a tab is refused", seal(h64 + "." + p64[:8] + "\t" + p64[8:]), "form"},
	{"C05", "a question mark is refused", seal(h64 + "." + p64[:8] + "?" + p64[8:]), "form"},
	{"C05", "a hash sign is refused", seal(h64 + "." + p64 + "#"), "form"},
	{"C05", "a percent escape is refused", seal(h64 + "." + p64 + "%3D"), "form"},
	{"C05", "NUL is refused", seal(h64 + "." + p64 + "\x00"), "form"},
	{"C05", "bytes outside ASCII are refused", seal(h64 + "." + p64 + "é"), "form"},
	{"C05", "a full-width letter is refused", seal("ｅ" + h64[1:] + "." + p64), "form"},
	{"C05", "one character over groups of four encodes nothing", seal(h64 + "." + encode(payload+"  ") + "A"), "form"},

	{"C06", "unused bits of the payload are zero", seal(h64 + "." + bump(encode(payload+" "))), "form"},
	{"C06", "unused bits of the header are zero", seal(bump(encode(header+" ")) + "." + p64), "form"},
	{"C07", "unused bits of the signature are zero", bump(exampleToken), "form"},

	{"C08", "the JSON serialization is refused", `{"payload":"` + p64 + `","protected":"` + h64 + `","signature":"AA"}`, "form"},
	{"C08", "the JSON serialization is refused with two dots in it", `{"payload":"` + p64 + `","signature":"A.A.A"}`, "form"},
	{"C08", "an encrypted token is refused", encode(`{"alg":"dir","enc":"A128GCM"}`) + "..AAAA.AAAA.AAAA", "form"},
	{"C08", "a nested token is refused", token(`{"alg":"HS256","cty":"JWT"}`, exampleToken), "form"},

	{"C10", "a MAC cut to 128 bits does not verify", exampleToken[:len(exampleToken)-43+22-1] + "A", "signature"},
	{"C10", "a signature of one byte does not verify", h64 + "." + p64 + ".AA", "signature"},
	{"C10", "a signature with a byte more does not verify", h64 + "." + p64 + "." + strings.Repeat("A", 44), "signature"},
	{"C10", "a signature of 2000 bytes does not verify", h64 + "." + p64 + "." + strings.Repeat("AAAA", 600), "signature"},

	{"C17", "a compressed payload is not JSON", token(`{"alg":"HS256","zip":"DEF"}`, "\xab\x56\xca\x2c\x2e\x56\xb2\x52\x02\x00"), "form"},

	{"C21", "JSON white space around header and payload passes", token(" \t\r\n"+header+" \t\r\n", "\n "+payload+"\r\t"), "accepted"},
	{"C21", "white space within passes", token("{ \"alg\" :\t\"HS256\"\n,\r\n\"typ\" : \"JWT\" }", claims(" ,\n\"a\" : [ 1 , 2 ] , \"b\":{ } , \"c\" : [ ] ")), "accepted"},
	{"C21", "a payload of white space is no object", token(header, "   "), "form"},
	{"C21", "a form feed is no JSON white space", token(header, "\f"+payload), "form"},
	{"C21", "a no-break space is no JSON white space", token(header, payload+"\u00a0"), "form"},
	{"C21", "a BOM before the payload is refused", token(header, "\ufeff"+payload), "form"},
	{"C21", "a BOM before the header is refused", token("\ufeff"+header, payload), "form"},
	{"C21", "a second object is refused", token(header, payload+"{}"), "form"},
	{"C21", "garbage after the object is refused", token(header, payload+"x"), "form"},
	{"C21", "NUL after the object is refused", token(header, payload+"\x00"), "form"},
	{"C21", "a comma after the object is refused", token(header, payload+","), "form"},
	{"C21", "garbage after the header is refused", token(header+"}", payload), "form"},
}

// sized is a good token of exactly n bytes: its header and payload grow by white
// space, 3 bytes for 4 characters, and 1 for the last 2 or 3.
func sized(n int) string {
	for pad := range 4096 {
		for more := range 4 {
			text := token(header+strings.Repeat(" ", more), payload+strings.Repeat(" ", pad))
			if len(text) == n {
				return text
			}
			if len(text) > n+8 {
				panic("no token has that length")
			}
		}
	}
	panic("no token has that length")
}

// bump adds one to the last character, which changes bits that encode nothing.
func bump(encoded string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	if len(encoded[strings.LastIndexByte(encoded, '.')+1:])%4 == 0 {
		panic("the last character has no unused bits")
	}
	last := len(encoded) - 1
	return encoded[:last] + string(alphabet[strings.IndexByte(alphabet, encoded[last])+1])
}

func TestForm(t *testing.T) {
	for _, c := range formCases {
		t.Run(c.id+" "+c.rule, func(t *testing.T) {
			if got, detail := judge(t, c.compact, now); got != c.want {
				t.Errorf("rule broken: %s: the verdict is %s (%s), want %s", c.rule, got, detail, c.want)
			}
		})
	}
}

// headerCases have the example's payload and a good signature.
var headerCases = []struct {
	id, rule, header, want string
}{
	{"C09", "none is no algorithm", `{"alg":"none"}`, "algorithm"},
	{"C09", "None is no algorithm", `{"alg":"None"}`, "algorithm"},
	{"C09", "NONE is no algorithm", `{"alg":"NONE","typ":"JWT"}`, "algorithm"},
	{"C09", "nOnE is no algorithm", `{"alg":"nOnE"}`, "algorithm"},
	{"C09", "none with a space is no algorithm", `{"alg":"none "}`, "algorithm"},
	{"C09", "an empty alg is no algorithm", `{"alg":""}`, "algorithm"},
	{"C10", "HS384 is refused", `{"alg":"HS384"}`, "algorithm"},
	{"C10", "HS512 is refused", `{"alg":"HS512"}`, "algorithm"},
	{"C11", "RS256 is refused", `{"alg":"RS256","jwk":{"kty":"RSA","n":"AQAB","e":"AQAB"}}`, "algorithm"},
	{"C11", "ES256 is refused", `{"alg":"ES256","jku":"https://example.com/keys"}`, "algorithm"},
	{"C11", "PS256 is refused", `{"alg":"PS256","x5u":"https://example.com/cert"}`, "algorithm"},
	{"C11", "EdDSA is refused", `{"alg":"EdDSA","x5c":["AAAA"]}`, "algorithm"},
	{"C11", "a key in the header is ignored", `{"alg":"HS256","jwk":{"kty":"oct","k":"AAAA"},"jku":"https://example.com/keys"}`, "accepted"},
	{"C12", "alg must be there", `{"typ":"JWT"}`, "algorithm"},
	{"C12", "an empty header has no alg", `{}`, "algorithm"},
	{"C12", "alg is not null", `{"alg":null}`, "algorithm"},
	{"C12", "alg is not a number", `{"alg":256}`, "algorithm"},
	{"C12", "alg is not a boolean", `{"alg":true}`, "algorithm"},
	{"C12", "alg is not an array", `{"alg":["HS256"]}`, "algorithm"},
	{"C12", "alg is not an object", `{"alg":{"HS256":"HS256"}}`, "algorithm"},
	{"C12", "alg is compared with case", `{"alg":"hs256"}`, "algorithm"},
	{"C12", "alg has no space after it", `{"alg":"HS256 "}`, "algorithm"},
	{"C12", "alg has no NUL after it", `{"alg":"HS256\u0000"}`, "algorithm"},
	{"C12", "alg is compared after unescaping", `{"alg":"HS\u0032\u00356"}`, "accepted"},
	{"C12", "alg is compared after unescaping, its name too", `{"\u0061lg":"\u0048S256"}`, "accepted"},
	{"C12", "a full-width digit is not a digit", `{"alg":"HS25６"}`, "algorithm"},
	{"C12", "ALG is not alg", `{"ALG":"HS256"}`, "algorithm"},
	{"C12", "alg in an inner object is not alg", `{"x":{"alg":"HS256"}}`, "algorithm"},
	{"C13", "typ may be missing", `{"alg":"HS256"}`, "accepted"},
	{"C13", "typ may be lower case", `{"alg":"HS256","typ":"jwt"}`, "accepted"},
	{"C13", "typ may be mixed case", `{"typ":"jWt","alg":"HS256"}`, "accepted"},
	{"C13", "typ is compared after unescaping", `{"alg":"HS256","typ":"\u004aWT"}`, "accepted"},
	{"C13", "typ is not application/jwt", `{"alg":"HS256","typ":"application/jwt"}`, "form"},
	{"C13", "typ is not at+jwt", `{"alg":"HS256","typ":"at+jwt"}`, "form"},
	{"C13", "typ is not empty", `{"alg":"HS256","typ":""}`, "form"},
	{"C13", "typ has no space", `{"alg":"HS256","typ":"JWT "}`, "form"},
	{"C13", "typ is not a number", `{"alg":"HS256","typ":1}`, "form"},
	{"C13", "typ is not null", `{"alg":"HS256","typ":null}`, "form"},
	{"C13", "typ is not an array", `{"alg":"HS256","typ":["JWT"]}`, "form"},
	{"C13", "alg is judged before typ", `{"alg":"none","typ":1}`, "algorithm"},
	{"C14", "crit is refused", `{"alg":"HS256","crit":["exp"],"exp":1}`, "form"},
	{"C14", "an unknown crit is refused", `{"alg":"HS256","crit":["bork"],"bork":true}`, "form"},
	{"C14", "an empty crit is refused", `{"alg":"HS256","crit":[]}`, "form"},
	{"C14", "a crit that is a string is refused", `{"alg":"HS256","crit":"exp"}`, "form"},
	{"C14", "a crit that is null is refused", `{"alg":"HS256","crit":null}`, "form"},
	{"C14", "a crit that is false is refused", `{"alg":"HS256","crit":false}`, "form"},
	{"C14", "a crit twice is refused", `{"alg":"HS256","crit":[],"crit":[]}`, "form"},
	{"C14", "b64 false with its crit is refused", `{"alg":"HS256","b64":false,"crit":["b64"]}`, "form"},
	{"C14", "an escaped crit is a crit", `{"alg":"HS256","c\u0072it":["exp"]}`, "form"},
	{"C15", "unknown members are ignored", `{"alg":"HS256","kid":"1","foo":[{"bar":null}]}`, "accepted"},
	{"C15", "64 unknown members are ignored", `{"alg":"HS256"` + members(64) + `}`, "accepted"},
	{"C16", "a kid that is a path is ignored", `{"alg":"HS256","kid":"../../dev/null"}`, "accepted"},
	{"C16", "a kid that is a query is ignored", `{"alg":"HS256","kid":"x' UNION SELECT '1';--"}`, "accepted"},
	{"C16", "a kid that is a command is ignored", `{"alg":"HS256","kid":"|sleep 10"}`, "accepted"},
	{"C18", "alg twice is refused, none last", `{"alg":"HS256","alg":"none"}`, "form"},
	{"C18", "alg twice is refused, none first", `{"alg":"none","alg":"HS256"}`, "form"},
	{"C18", "alg twice is refused, though equal", `{"alg":"HS256","alg":"HS256"}`, "form"},
	{"C18", "alg twice is refused, once escaped", `{"alg":"HS256","\u0061\u006c\u0067":"HS256"}`, "form"},
	{"C18", "a name twice is refused in an inner object", `{"alg":"HS256","x":{"y":1,"y":1}}`, "form"},
	{"C21", "the header is not null", `null`, "form"},
	{"C21", "the header is not an array", `[{"alg":"HS256"}]`, "form"},
	{"C21", "the header is not a string", `"alg"`, "form"},
}

// members are n different members after a comma.
func members(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(`,"m` + string(rune('a'+i/26)) + string(rune('a'+i%26)) + `":1`)
	}
	return b.String()
}

func TestHeader(t *testing.T) {
	for _, c := range headerCases {
		t.Run(c.id+" "+c.rule, func(t *testing.T) {
			if got, detail := judge(t, token(c.header, payload), now); got != c.want {
				t.Errorf("rule broken: %s: the verdict on %s is %s (%s), want %s", c.rule, c.header, got, detail, c.want)
			}
			if c.want != "algorithm" {
				return
			}
			if got, detail := judge(t, encode(c.header)+"."+p64+".", now); got != c.want {
				t.Errorf("rule broken: %s, and without a signature it must be told so too: the verdict is %s (%s)", c.rule, got, detail)
			}
		})
	}
}

// No input makes the package allocate more than its error, or work long.
func TestHostileInputIsCheap(t *testing.T) {
	for _, c := range []struct{ id, rule, compact string }{
		{"C04", "10 MB of letters", strings.Repeat("A", 10<<20)},
		{"C04", "10 MB of dots", strings.Repeat(".", 10<<20)},
		{"C04", "4096 dots", strings.Repeat(".", jwt.MaxLength)},
		{"C22", "an unknown claim of 900 open brackets", token(header, claims(`,"x":`+strings.Repeat("[", 900)))},
		{"C22", "an unknown claim of 500 open objects", token(header, claims(`,"x":`+strings.Repeat(`{"":`, 500)))},
		{"C23", "as many names as fit, all short", token(header, claims(shortNames(2860)))},
		{"C23", "as many names as fit, all alike at the start", token(header, claims(alikeNames(2860)))},
		{"D03", "an integer of 2800 digits", token(header, claims(`,"x":`+strings.Repeat("1", 2800)))},
		{"D03", "2800 digits around the largest float64", token(header, claims(`,"x":1.7976931348623158`+strings.Repeat("0", 2800)+`e308`))},
		{"D03", "many numbers around the smallest float64", token(header, claims(`,"x":[`+strings.Repeat("3e-324,", 400)+`1]`))},
		{"D03", "an exponent of 2800 digits", token(header, claims(`,"x":1e`+strings.Repeat("9", 2800)))},
	} {
		t.Run(c.id+" "+c.rule, func(t *testing.T) {
			var tok jwt.Token
			var before, after runtime.MemStats
			best := time.Hour
			runtime.ReadMemStats(&before)
			for range 10 {
				start := time.Now()
				_ = tok.Parse(c.compact)
				best = min(best, time.Since(start))
			}
			runtime.ReadMemStats(&after)
			if spent := (after.TotalAlloc - before.TotalAlloc) / 10; spent > 8<<10 {
				t.Errorf("rule broken: no input may allocate more than a few KiB: it took %d bytes", spent)
			}
			if best > time.Millisecond && !raceEnabled {
				t.Errorf("rule broken: no input may work longer than 1 ms: it took %v at best", best)
			}
			t.Logf("%v", best)
		})
	}
}

// shortNames are members with names of one and two characters, in n bytes at most.
func shortNames(n int) string {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	var b strings.Builder
	for i := range letters {
		b.WriteString(`,"` + letters[i:i+1] + `":1`)
	}
	for i := 0; b.Len()+7 <= n; i++ {
		b.WriteString(`,"` + letters[i/62:i/62+1] + letters[i%62:i%62+1] + `":1`)
	}
	return b.String()
}

// alikeNames are members whose names begin with the same four characters.
func alikeNames(n int) string {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	var b strings.Builder
	for i := 0; b.Len()+11 <= n; i++ {
		b.WriteString(`,"same` + letters[i/62:i/62+1] + letters[i%62:i%62+1] + `":1`)
	}
	return b.String()
}
