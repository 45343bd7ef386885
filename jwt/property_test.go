package jwt_test

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"latchkey/jwt"
)

// What is signed verifies, and nothing that differs from it by a byte does.
func TestPropertySignedVerifies(t *testing.T) {
	visible := rapid.StringMatching(`[!-~]{1,200}`)
	rapid.Check(t, func(t *rapid.T) {
		id, secret := visible.Draw(t, "id"), visible.Draw(t, "key")
		iat := time.UnixMicro(rapid.Int64Range(0, jwt.MaxTime*1e6).Draw(t, "iat"))
		age := time.Duration(rapid.Int64Range(0, int64(jwt.Lifetime-time.Second-1)).Draw(t, "age"))
		k := jwt.NewKey(id, secret)
		text := k.Sign(iat)

		var tok jwt.Token
		if err := tok.Parse(text); err != nil {
			t.Fatalf("rule broken: what Sign gives, Parse takes: %v", err)
		}
		if string(tok.Issuer()) != id || tok.IssuedAt().Unix() != iat.Unix() {
			t.Fatalf("rule broken: claims come back as they were: %q at %v", tok.Issuer(), tok.IssuedAt())
		}
		if !k.Verify(&tok) {
			t.Fatal("rule broken: what Sign gives, Verify takes")
		}
		if err := tok.CheckTime(iat.Add(age), leeway); err != nil {
			t.Fatalf("rule broken: a token of age %v is alive: %v", age, err)
		}
		if err := tok.CheckTime(iat.Add(jwt.Lifetime), leeway); err == nil {
			t.Fatal("rule broken: a token is dead five minutes after its iat")
		}

		at := rapid.IntRange(0, len(text)-1).Draw(t, "at")
		changed := []byte(text)
		changed[at] ^= byte(rapid.IntRange(1, 255).Draw(t, "flip"))
		if tok.Parse(string(changed)) == nil && k.Verify(&tok) {
			t.Fatalf("rule broken: a changed token never verifies: byte %d of %s", at, text)
		}
		if other := jwt.NewKey(id, secret+"x"); tok.Parse(text) != nil || other.Verify(&tok) {
			t.Fatal("rule broken: a token verifies under no other key")
		}
	})
}

// number draws a JSON number, with a weight on what lies near a bound.
var number = rapid.Custom(func(t *rapid.T) string {
	whole := rapid.OneOf(
		rapid.StringMatching(`0|[1-9][0-9]{0,22}`),
		rapid.SampledFrom([]string{"253402300799", "253402300800", "9223372036854775807", "18446744073709551615", "18446744073709551616"}),
	).Draw(t, "whole")
	rest := rapid.OneOf(
		rapid.Just(""),
		rapid.StringMatching(`\.[0-9]{1,20}`),
		rapid.StringMatching(`[eE][-+]?[0-9]{1,3}`),
		rapid.StringMatching(`\.[0-9]{1,20}[eE][-+]?[0-9]{1,3}`),
		rapid.StringMatching(`\.0{0,10}[0-9]{1,3}[eE]-?(30[0-9]|32[0-9])`),
	).Draw(t, "rest")
	return rapid.SampledFrom([]string{"", "-"}).Draw(t, "sign") + whole + rest
})

// Times are exact, and ranges are those of the machine's own types: big.Rat and
// strconv say what is right.
func TestPropertyNumbers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := number.Draw(t, "number")
		want := "accepted"
		f, err := strconv.ParseFloat(text, 64)
		if err != nil || f == 0 && strings.Trim(strings.SplitN(strings.ToLower(text), "e", 2)[0], "-0.") != "" {
			want = "form"
		}
		if !strings.ContainsAny(text, ".eE") {
			_, signed := strconv.ParseInt(text, 10, 64)
			if _, unsigned := strconv.ParseUint(text, 10, 64); signed != nil && unsigned != nil {
				want = "form"
			}
		}
		var tok jwt.Token
		got := "accepted"
		if err := tok.Parse(token(header, claims(`,"x":`+text))); err != nil {
			got = err.(*jwt.Error).Kind.String()
		}
		if got != want && math.Abs(f) < 1.7976931348623157e308 && math.Abs(f) > 5e-324 { // the 17th digit decides there
			t.Fatalf("rule broken: a number is refused just if no 64-bit type holds it: %s is %s, want %s", text, got, want)
		}
		if got == "form" {
			return
		}

		exact, _ := new(big.Rat).SetString(text)
		inRange := exact.Sign() >= 0 && exact.Cmp(big.NewRat(jwt.MaxTime, 1)) <= 0
		err = tok.Parse(token(header, issued(text)))
		if (err == nil) != inRange {
			t.Fatalf("rule broken: iat is from 0 to MaxTime: %s: %v", text, err)
		}
		if err == nil {
			exact.Mul(exact, big.NewRat(1e6, 1))
			micros := new(big.Int).Quo(exact.Num(), exact.Denom())
			if micros.Int64() != tok.IssuedAt().UnixMicro() {
				t.Fatalf("rule broken: iat is rounded down to the µs: %s is read as %d µs", text, tok.IssuedAt().UnixMicro())
			}
		}
	})
}

// Any text, however escaped, is read as what it says.
func TestPropertyStrings(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var want, written strings.Builder
		for _, r := range rapid.SliceOfN(rapid.Rune(), 1, 50).Draw(t, "text") {
			want.WriteRune(r)
			switch escape := rapid.Bool().Draw(t, "escape") || r < ' ' || r == '"' || r == '\\'; {
			case escape && r > 0xffff:
				fmt.Fprintf(&written, `\u%04X\u%04x`, 0xd800+(r-0x10000)>>10, 0xdc00+(r-0x10000)&0x3ff)
			case escape:
				fmt.Fprintf(&written, `\u%04x`, r)
			default:
				written.WriteRune(r)
			}
		}
		var tok jwt.Token
		if err := tok.Parse(token(header, issuer(`"`+written.String()+`"`))); err != nil {
			t.Fatalf("%s: %v", written.String(), err)
		}
		if got := string(tok.Issuer()); got != want.String() {
			t.Fatalf("rule broken: strings are compared after unescaping: %s is read as %q", written.String(), got)
		}
	})
}
