package jwt_test

import (
	"fmt"
	"time"

	"latchkey/jwt"
)

// The API secret of the specification's example.
const (
	exampleID    = "74f80a77-9b3f-44ac-b3ad-ab68cfb548fa"
	exampleKey   = "cPQku7lnSLbnK88UFOBg1a6Q3t1w1RgK"
	exampleToken = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9" +
		".eyJpc3MiOiI3NGY4MGE3Ny05YjNmLTQ0YWMtYjNhZC1hYjY4Y2ZiNTQ4ZmEiLCJpYXQiOjE3MTMyMjU2MDB9" +
		".sWLRg-YlFnPpP99prTT_IpgvMALyFmjYtlnfGEeahS0"
)

func ExampleSign() {
	token := jwt.Sign(exampleID, exampleKey, time.Unix(1713225600, 0))
	fmt.Println(token == exampleToken)
	fmt.Println("Authorization: Bearer " + token[:36] + "…")
	// Output:
	// true
	// Authorization: Bearer eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9…
}

// A server keeps a Key for each API secret, and judges a token in four steps.
func ExampleToken_Parse() {
	keys := map[string]*jwt.Key{
		exampleID: jwt.NewKey(exampleID, exampleKey),
	}
	judge := func(compact string, now time.Time) string {
		var tok jwt.Token
		if err := tok.Parse(compact); err != nil {
			return err.Error()
		}
		key, known := keys[string(tok.Issuer())]
		if !known || !key.Verify(&tok) {
			return "invalid credentials"
		}
		if err := tok.CheckTime(now, 30*time.Second); err != nil {
			return err.Error()
		}
		return "accepted"
	}

	signed := time.Unix(1713225600, 0)
	fmt.Println(judge(exampleToken, signed))
	fmt.Println(judge(exampleToken, signed.Add(-31*time.Second)))
	fmt.Println(judge(exampleToken, signed.Add(312*time.Second)))
	fmt.Println(judge(jwt.Sign(exampleID, "another key", signed), signed))
	fmt.Println(judge(exampleToken+"==", signed))
	// Output:
	// accepted
	// token is not valid yet: its iat is 31s in the future
	// token expired 12s ago, five minutes after its iat
	// invalid credentials
	// token form: the signature is padded with =; leave the padding out
}
