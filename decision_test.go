package latchkey_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	golang "github.com/golang-jwt/jwt/v5"

	"latchkey/jwt"
)

// fields are right credentials of each method, as Authorization field values.
func fields(t testing.TB, r *ring) map[string][]string {
	t.Helper()
	key := r.first.APIKey.Reveal()
	return map[string][]string{
		"key":   {"Bearer " + key},
		"basic": {"Basic " + base64.StdEncoding.EncodeToString([]byte(key+":"))},
		"jwt":   {"Bearer " + jwt.Sign(r.first.SecretID, r.first.SecretKey.Reveal(), time.Now())},
	}
}

// TestDecisionAllocatesNothing: from the header's value to the principal, on
// the accepting path.
func TestDecisionAllocatesNothing(t *testing.T) {
	if raceEnabled {
		return // the race detector makes sync.Pool forget at random; make test runs this test without it too
	}
	r, ctx := newRing(t), context.Background()
	for method, field := range fields(t, r) {
		decide := func() {
			if _, err := r.Authenticate(ctx, field); err != nil {
				t.Fatal(err)
			}
		}
		if n := testing.AllocsPerRun(1000, decide); n != 0 {
			t.Errorf("a decision on a %s allocates %v times, must not allocate", method, n)
		}
	}
}

// BenchmarkDecision is what a decision costs: header value to principal.
func BenchmarkDecision(b *testing.B) {
	r, ctx := newRing(b), context.Background()
	all := fields(b, r)
	for _, method := range []string{"key", "basic", "jwt"} {
		b.Run(method, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.Authenticate(ctx, all[method]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	compact := strings.TrimPrefix(all["jwt"][0], "Bearer ")
	secret := []byte(r.first.SecretID + "||" + r.first.SecretKey.Reveal())
	b.Run("jwt-by-golang-jwt", func(b *testing.B) {
		parser := golang.NewParser(golang.WithValidMethods([]string{"HS256"}), golang.WithIssuedAt())
		keys := func(*golang.Token) (any, error) { return secret, nil }
		b.ReportAllocs()
		for b.Loop() {
			if _, err := parser.ParseWithClaims(compact, &golang.RegisteredClaims{}, keys); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("jwt-bare-hmac", func(b *testing.B) {
		signed, mac, out := []byte(compact[:strings.LastIndexByte(compact, '.')]), hmac.New(sha256.New, secret), make([]byte, 0, 32)
		b.ReportAllocs()
		for b.Loop() {
			mac.Reset()
			mac.Write(signed)
			out = mac.Sum(out[:0])
		}
	})
}
