package jwt_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"strings"
	"testing"
	"time"

	golang "github.com/golang-jwt/jwt/v5"

	"latchkey/jwt"
)

// BenchmarkVerify is all that a server does with a token.
func BenchmarkVerify(b *testing.B) {
	var tok jwt.Token
	b.ReportAllocs()
	for b.Loop() {
		if tok.Parse(exampleToken) != nil || !key.Verify(&tok) || tok.CheckTime(now, leeway) != nil {
			b.Fatal("refused")
		}
	}
}

// BenchmarkParse is BenchmarkVerify without the signature.
func BenchmarkParse(b *testing.B) {
	var tok jwt.Token
	b.ReportAllocs()
	for b.Loop() {
		if tok.Parse(exampleToken) != nil {
			b.Fatal("refused")
		}
	}
}

// BenchmarkParseNames is the most work that a token can make.
func BenchmarkParseNames(b *testing.B) {
	var tok jwt.Token
	text := token(header, claims(shortNames(2860)))
	b.ReportAllocs()
	for b.Loop() {
		if err := tok.Parse(text); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkGolangJWT is the same as BenchmarkVerify, done by golang-jwt.
func BenchmarkGolangJWT(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := oracle.Parse(exampleToken, func(*golang.Token) (any, error) { return exampleSecret, nil }); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkHMAC is the least that a verification can cost: one HMAC over the
// same bytes, under a key that is ready.
func BenchmarkHMAC(b *testing.B) {
	signed := []byte(exampleToken[:strings.LastIndexByte(exampleToken, '.')])
	h := hmac.New(sha256.New, exampleSecret)
	sum := make([]byte, 0, sha256.Size)
	b.ReportAllocs()
	for b.Loop() {
		h.Reset()
		h.Write(signed)
		sum = h.Sum(sum[:0])
	}
}

func BenchmarkSign(b *testing.B) {
	iat := time.Unix(signedAt, 0)
	b.ReportAllocs()
	for b.Loop() {
		key.Sign(iat)
	}
}
