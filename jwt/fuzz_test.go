package jwt_test

import (
	"encoding/json"
	"testing"
	"time"
	"unicode/utf8"

	golang "github.com/golang-jwt/jwt/v5"

	"latchkey/jwt"
)

// tokenSeeds are what FuzzParse starts from: the cases of form, and one token of
// each other table. What becomes of each is for that table's test to say.
func tokenSeeds() []string {
	var seeds []string
	for _, c := range formCases {
		if len(c.compact) <= jwt.MaxLength+1 {
			seeds = append(seeds, c.compact)
		}
	}
	return append(seeds, token(headerCases[0].header, payload), token(header, payloadCases[0].payload))
}

// jsonSeed is a header and a payload to be signed.
type jsonSeed struct{ header, payload string }

// jsonSeeds are what FuzzDifferential starts from: every header, claim and value
// of the tables.
func jsonSeeds() []jsonSeed {
	var seeds []jsonSeed
	for _, c := range headerCases {
		seeds = append(seeds, jsonSeed{c.header, payload})
	}
	for _, c := range payloadCases {
		seeds = append(seeds, jsonSeed{header, c.payload})
	}
	for _, c := range values {
		seeds = append(seeds, jsonSeed{header, claims(`,"x":` + c.text)})
	}
	for _, c := range documents {
		seeds = append(seeds, jsonSeed{header, c.text})
	}
	return seeds
}

// The fuzz targets start from as many seeds as the tables had when this was
// written, and from good and bad ones.
func TestSeeds(t *testing.T) {
	count := func(verdicts map[string]int, want map[string]int) {
		t.Helper()
		for verdict, n := range want {
			if verdicts[verdict] < n {
				t.Errorf("rule broken: a fuzz target has its seeds: %d are judged %s, want %d or more", verdicts[verdict], verdict, n)
			}
		}
	}
	verdicts := map[string]int{}
	for _, seed := range tokenSeeds() {
		verdict, _ := judge(t, seed, now)
		verdicts[verdict]++
	}
	count(verdicts, map[string]int{"accepted": 6, "form": 53, "algorithm": 1, "signature": 4})

	verdicts = map[string]int{}
	for _, seed := range jsonSeeds() {
		verdict, _ := judge(t, token(seed.header, seed.payload), now)
		verdicts[verdict]++
	}
	count(verdicts, map[string]int{"accepted": 95, "form": 195, "algorithm": 25, "claim": 43, "expired": 7, "early": 4})
}

// Parse never panics, and says the same of the same token whatever the Token was
// used for before.
func FuzzParse(f *testing.F) {
	for _, seed := range tokenSeeds() {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, compact string) {
		verdict, detail := judge(t, compact, now)
		if again, _ := judge(t, compact, now); again != verdict {
			t.Errorf("rule broken: a verdict is always the same: %s, then %s", verdict, again)
		}
		if len(detail) > 120 || !utf8.ValidString(detail) {
			t.Errorf("rule broken: a detail is a short sentence of ours: %q", detail)
		}
	})
}

// oracle is another implementation, at the same moment and with the same leeway.
var oracle = golang.NewParser(
	golang.WithValidMethods([]string{"HS256"}),
	golang.WithLeeway(leeway),
	golang.WithTimeFunc(func() time.Time { return now }),
	golang.WithIssuedAt(),
)

// What we accept, golang-jwt accepts, and reads the same issuer and times from.
func FuzzDifferential(f *testing.F) {
	for _, seed := range jsonSeeds() {
		f.Add([]byte(seed.header), []byte(seed.payload))
	}
	f.Fuzz(func(t *testing.T, header, payload []byte) {
		compact := token(string(header), string(payload))
		if verdict, _ := judge(t, compact, now); verdict != "accepted" {
			return
		}
		if !json.Valid(header) || !json.Valid(payload) {
			t.Errorf("rule broken: only JSON is accepted: %s . %s", header, payload)
		}
		got, err := oracle.Parse(compact, func(*golang.Token) (any, error) { return exampleSecret, nil })
		if err != nil {
			t.Fatalf("rule broken: golang-jwt refuses what we accept: %v: %s . %s", err, header, payload)
		}
		var tok jwt.Token
		if err := tok.Parse(compact); err != nil {
			t.Fatal(err)
		}
		if iss, err := got.Claims.GetIssuer(); err != nil || iss != string(tok.Issuer()) {
			t.Errorf("rule broken: all readers see one issuer: we %q, golang-jwt %q", tok.Issuer(), iss)
		}
		iat, err := got.Claims.GetIssuedAt()
		if err != nil || iat.Sub(tok.IssuedAt()).Abs() > time.Second {
			t.Errorf("rule broken: all readers see one iat: we %v, golang-jwt %v", tok.IssuedAt(), iat)
		}
	})
}
