package jwt_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"latchkey/jwt"
)

// What most tests sign and judge with.
const (
	signedAt = 1713225600
	leeway   = 30 * time.Second
	header   = `{"alg":"HS256","typ":"JWT"}`
	payload  = `{"iss":"` + exampleID + `","iat":1713225600}`
)

var (
	exampleSecret = []byte(exampleID + "||" + exampleKey)
	key           = jwt.NewKey(exampleID, exampleKey)
	now           = time.Unix(signedAt+10, 0)
)

// encode is base64url as a token has it.
func encode(text string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(text))
}

// mac is HMAC-SHA-256 in base64url.
func mac(secret []byte, input string) string {
	h := hmac.New(sha256.New, secret)
	h.Write([]byte(input))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// seal puts the example's signature after an encoded header and payload, which
// are taken as they are.
func seal(input string) string {
	return input + "." + mac(exampleSecret, input)
}

// token signs any header and payload, right or wrong, with the example's secret.
func token(header, payload string) string {
	return seal(encode(header) + "." + encode(payload))
}

// claims is the example's payload with more members, which begin with a comma.
func claims(more string) string {
	return strings.TrimSuffix(payload, "}") + more + "}"
}

// used is a Token that has seen every token before.
var used jwt.Token

// judge says what becomes of a token: "accepted", or the first thing that is
// wrong: "form", "algorithm", "claim", "signature", "expired" or "early". A used
// Token must judge like a fresh one.
func judge(t *testing.T, compact string, now time.Time) (verdict, detail string) {
	t.Helper()
	var fresh jwt.Token
	verdict, detail = judgeWith(t, &fresh, compact, now)
	again, detailAgain := judgeWith(t, &used, compact, now)
	if verdict != again || detail != detailAgain {
		t.Errorf("a Token that was used before says %s (%s), and a fresh one %s (%s): Parse must forget the token before",
			again, detailAgain, verdict, detail)
	}
	return verdict, detail
}

func judgeWith(t *testing.T, tok *jwt.Token, compact string, now time.Time) (verdict, detail string) {
	t.Helper()
	if err := tok.Parse(compact); err != nil {
		var refused *jwt.Error
		if !errors.As(err, &refused) {
			t.Fatalf("Parse returned a %T (%v); every refusal must be an *Error", err, err)
		}
		if key.Verify(tok) || len(tok.Issuer()) > 0 {
			t.Error("a Token whose Parse failed must have no issuer and verify under no key")
		}
		if tok.CheckTime(now, leeway) == nil || tok.IssuedAt().Unix() != 0 {
			t.Error("a Token whose Parse failed must have no time, and is dead")
		}
		return refused.Kind.String(), refused.Detail
	}
	if !key.Verify(tok) {
		return "signature", ""
	}
	if err := tok.CheckTime(now, leeway); err != nil {
		var dead *jwt.TimeError
		if !errors.As(err, &dead) {
			t.Fatalf("CheckTime returned a %T (%v); every refusal must be a *TimeError", err, err)
		}
		if dead.Expired {
			return "expired", err.Error()
		}
		return "early", err.Error()
	}
	return "accepted", ""
}
