package jwt_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/jwt"
)

// The specification's example, to the byte.
func TestSpecificationExample(t *testing.T) {
	signed := time.Unix(signedAt, 0)
	if got := jwt.Sign(exampleID, exampleKey, signed); got != exampleToken {
		t.Errorf("rule broken: Sign gives the specification's example:\n got %s\nwant %s", got, exampleToken)
	}
	if got := key.Sign(signed.Add(999 * time.Millisecond)); got != exampleToken {
		t.Errorf("rule broken: iat is in whole seconds, rounded down:\n got %s\nwant %s", got, exampleToken)
	}
	if got, detail := judge(t, exampleToken, signed); got != "accepted" {
		t.Errorf("rule broken: the specification's example passes: %s (%s)", got, detail)
	}
}

// A token is good under its own secret alone.
func TestVerifyOtherSecrets(t *testing.T) {
	sum := sha256.Sum256(exampleSecret)
	for _, c := range []struct{ id, name, secret string }{
		{"D11", "another secret", "other||" + exampleKey},
		{"D16", "the key alone", exampleKey},
		{"D16", "the ID alone", exampleID},
		{"D16", "one bar", exampleID + "|" + exampleKey},
		{"D16", "three bars", exampleID + "|||" + exampleKey},
		{"D16", "no bar", exampleID + exampleKey},
		{"D16", "the wrong way round", exampleKey + "||" + exampleID},
		{"D16", "an empty key", exampleID + "||"},
		{"D16", "an empty ID", "||" + exampleKey},
		{"D16", "nothing", ""},
		{"D16", "base64", base64.StdEncoding.EncodeToString(exampleSecret)},
		{"D16", "hexadecimal", hex.EncodeToString(exampleSecret)},
		{"D16", "a line feed after it", string(exampleSecret) + "\n"},
		{"D16", "a NUL after it", string(exampleSecret) + "\x00"},
		{"D16", "lower case", strings.ToLower(string(exampleSecret))},
		{"D17", "the digest in hexadecimal", hex.EncodeToString(sum[:])},
	} {
		input := h64 + "." + p64
		if got, _ := judge(t, input+"."+mac([]byte(c.secret), input), now); got != "signature" {
			t.Errorf("%s: rule broken: the key is ID||KEY and nothing else: a token signed with %s is judged %s", c.id, c.name, got)
		}
	}

	// HMAC replaces a key of over 64 bytes by its digest (RFC 2104 §2), so that
	// digest is as good as the secret, and nothing may ever show it.
	input := h64 + "." + p64
	if got, _ := judge(t, input+"."+mac(sum[:], input), now); got != "accepted" {
		t.Errorf("D17: SHA-256 of a long secret is the same HMAC key: the verdict is %s", got)
	}
}

// Whatever byte of a good token is changed, it is good no more.
func TestEveryByteCounts(t *testing.T) {
	for i := range exampleToken {
		for _, flip := range []byte{0x01, 0x20, 0x80, 0xff} {
			changed := []byte(exampleToken)
			changed[i] ^= flip
			if got, _ := judge(t, string(changed), now); got == "accepted" || got == "expired" || got == "early" {
				t.Errorf("rule broken: no changed token verifies: byte %d as %#x is judged %s", i, changed[i], got)
			}
		}
	}
}

func TestVerifyOfNothing(t *testing.T) {
	var tok jwt.Token
	if key.Verify(&tok) {
		t.Error("a Token that never parsed verifies")
	}
	if err := tok.Parse(exampleToken); err != nil || !key.Verify(&tok) {
		t.Fatalf("the example does not verify (%v)", err)
	}
	if tok.Parse(exampleToken+".") == nil || key.Verify(&tok) {
		t.Error("a Token verifies by what it was before a failed Parse")
	}
}

// An ID that has to be escaped comes back as it was.
func TestSignEscapes(t *testing.T) {
	for _, id := range []string{"plain", `with "quotes"`, `back\slash`, `\u0041`, "<&>'", "!~", "tab\tand\nline", "é", strings.Repeat("x", 2850)} {
		k := jwt.NewKey(id, "key")
		var tok jwt.Token
		if err := tok.Parse(k.Sign(now)); err != nil {
			t.Errorf("the token of %q: %v", id, err)
		} else if string(tok.Issuer()) != id || !k.Verify(&tok) || !tok.IssuedAt().Equal(now) {
			t.Errorf("the token of %q has issuer %q and time %v", id, tok.Issuer(), tok.IssuedAt())
		}
	}
	const visible = `{"iss":"a<b>&'c","iat":0}`
	if got := jwt.Sign("a<b>&'c", "key", time.Unix(0, 0)); strings.Split(got, ".")[1] != encode(visible) {
		t.Error("only what must be escaped is escaped")
	}
}

// Neither a key nor a token shows when it is printed, however deep it stands.
func TestNothingSecretIsPrinted(t *testing.T) {
	var tok jwt.Token
	if err := tok.Parse(exampleToken); err != nil {
		t.Fatal(err)
	}
	key.Verify(&tok)
	type holder struct {
		Key   *jwt.Key
		Token *jwt.Token
	}
	type hidden struct{ key *jwt.Key }

	var out bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&out, nil))
	logger.Info("m", "key", key, "token", tok, "pointer", &tok, "holder", holder{key, &tok})
	slog.New(slog.NewTextHandler(&out, nil)).Info("m", "key", key, "token", tok, "holder", holder{key, &tok})
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%c"} {
		direct := fmt.Sprintf(verb, key) + fmt.Sprintf(verb, tok) + fmt.Sprintf(verb, &tok)
		if direct != "[secret][secret][secret]" {
			t.Errorf("rule broken: a key and a token print as [secret]: %s gives %.80s", verb, direct)
		}
		fmt.Fprintf(&out, verb+verb+verb, holder{key, &tok}, &hidden{key}, []any{key, tok})
	}
	fmt.Fprint(&out, key.String(), key.GoString())
	if err := json.NewEncoder(&out).Encode([]any{key, tok, holder{key, &tok}}); err != nil {
		t.Error(err)
	}

	bytesOf := func(s string) string { return strings.Trim(fmt.Sprint([]byte(s)), "[]") }
	for _, part := range []string{exampleKey, exampleToken[40:60], exampleToken[len(exampleToken)-20:]} {
		for _, form := range []string{part, hex.EncodeToString([]byte(part)), strings.ToUpper(hex.EncodeToString([]byte(part))), bytesOf(part),
			base64.StdEncoding.EncodeToString([]byte(part))[:len(part)]} {
			if strings.Contains(out.String(), form) {
				t.Errorf("rule broken: nothing secret is printed: %s shows", form)
			}
		}
	}
}

// A Key is for many goroutines at once.
func TestKeyConcurrently(t *testing.T) {
	k := jwt.NewKey(exampleID, exampleKey)
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			var tok jwt.Token
			for i := range 200 {
				iat := time.Unix(int64(signedAt+1000*g+i), 0)
				text := k.Sign(iat)
				bad := text[:len(text)-5] + "AAAAA"[:4] + text[len(text)-1:]
				if tok.Parse(text) != nil || !k.Verify(&tok) || !tok.IssuedAt().Equal(iat) {
					t.Errorf("%s does not verify", text)
				}
				if tok.Parse(bad) != nil || k.Verify(&tok) {
					t.Errorf("%s verifies", bad)
				}
			}
		})
	}
	all.Wait()
}

// The accepting path allocates nothing.
func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes a sync.Pool drop what it is given")
	}
	for _, text := range []string{
		exampleToken,
		token(header, claims(`,"\u0061":"\ud83d\ude39é","b":[1.5e300,5e-324,18446744073709551615],"exp":1713225900.5,"nbf":1e9`)),
		sized(jwt.MaxLength),
	} {
		var tok jwt.Token
		if n := testing.AllocsPerRun(1000, func() {
			if tok.Parse(text) != nil || len(tok.Issuer()) == 0 || !key.Verify(&tok) || tok.CheckTime(now, leeway) != nil {
				t.Error("refused")
			}
		}); n != 0 {
			t.Errorf("rule broken: Parse, Verify and CheckTime allocate nothing: %v allocations for a token of %d bytes", n, len(text))
		}
	}
	if n := testing.AllocsPerRun(1000, func() {
		var tok jwt.Token
		if tok.Parse(exampleToken) != nil || !key.Verify(&tok) || tok.CheckTime(now, leeway) != nil {
			t.Error("refused")
		}
	}); n != 0 {
		t.Errorf("rule broken: a Token can stay on the stack: %v allocations", n)
	}
}
