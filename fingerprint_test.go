package latchkey_test

import (
	"encoding/base64"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"latchkey"
	"latchkey/jwt"
)

// TestFingerprint: two refusals of the same wrong credential can be seen to be
// of the same, however it came; what is stored tells nothing else of it.
func TestFingerprint(t *testing.T) {
	r := newRing(t)
	of := func(fields ...string) string { return r.Fingerprint(fields) }
	basic := func(s string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(s)) }
	key := "a-key-of-another-house-0123456789"
	token := func(iss string, at time.Time) string { return "Bearer " + jwt.Sign(iss, "whatever-key-this-is", at) }
	for _, same := range [][]string{
		{of("Bearer " + key), of("bearer  " + key), of(basic(key + ":"))},
		{of(token("74f80a77-9b3f-44ac-b3ad-ab68cfb548fa", time.Now())), of(token("74f80a77-9b3f-44ac-b3ad-ab68cfb548fa", time.Unix(0, 0)))},
		{of("Token " + key), of(" Token " + key + "\t")},
	} {
		for _, f := range same {
			if f != same[0] || !strings.HasPrefix(f, latchkey.FingerprintPrefix) || strings.Contains(f, key) {
				t.Errorf("the same credential has the same fingerprint: %q", same)
			}
		}
	}
	seen := map[string]string{}
	for _, field := range []string{"Bearer " + key, "Bearer " + key + "x", basic(key + ":password"), basic(key), "Token " + key, "Bearer a.b.c",
		token("74f80a77-9b3f-44ac-b3ad-ab68cfb548fa", time.Now()), token("74f80a77-9b3f-44ac-b3ad-ab68cfb548fb", time.Now())} {
		f := of(field)
		if other, there := seen[f]; there || f == "" {
			t.Errorf("%.30q and %.30q have one fingerprint, %q", field, other, f)
		}
		seen[f] = field
	}
	for _, fields := range [][]string{nil, {""}, {"Bearer a", "Bearer b"}, {"Bearer " + strings.Repeat("x", 9000)}} {
		if f := of(fields...); f != "" {
			t.Errorf("%d fields of which none is one credential have the fingerprint %q", len(fields), f)
		}
	}
}

// TestFingerprintKey: it is the keyset's, so that it survives a restart, and
// nobody can try values out without it.
func TestFingerprintKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keyset.json")
	first, err := latchkey.CreateKeyset(path)
	if err != nil {
		t.Fatal(err)
	}
	again, err := latchkey.OpenKeyset(path)
	if err != nil {
		t.Fatal(err)
	}
	other, err := latchkey.CreateKeyset(filepath.Join(t.TempDir(), "keyset.json"))
	if err != nil {
		t.Fatal(err)
	}
	const value = "whatever"
	if first.Fingerprint(value) != again.Fingerprint(value) {
		t.Error("a restart changes fingerprints")
	}
	if first.Fingerprint(value) == other.Fingerprint(value) {
		t.Error("another keyset makes the same fingerprints")
	}
	if p := first.Pseudonym(); p != again.Pseudonym() || p == other.Pseudonym() || len(p) != len("latchkey-")+26 {
		t.Errorf("the nodes of a keyset call themselves by one name: %q, %q; those of another %q", p, again.Pseudonym(), other.Pseudonym())
	}
}
