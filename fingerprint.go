package latchkey

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"strings"

	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"latchkey/jwt"
)

// FingerprintPrefix begins the fingerprint of a credential that is none of
// ours; see [Sealer.Fingerprint].
const FingerprintPrefix = "unknown_"

// fingerprintBytes is how much of the HMAC is kept: two values that nobody
// chose for it never share one.
const fingerprintBytes = 12

// Fingerprint returns what a record has in the place of a credential that is
// none of ours: the same for the same value, on every node and after a restart,
// and worth nothing to who does not have the keyset. It is HMAC-SHA-256 with a
// key that is derived (HKDF, RFC 5869) from the keyset's oldest key.
func (s *Sealer) Fingerprint(value string) string {
	mac := hmac.New(sha256.New, s.fingerprintKey)
	mac.Write([]byte(value))
	return FingerprintPrefix + hex.EncodeToString(mac.Sum(nil)[:fingerprintBytes])
}

// Pseudonym returns what a gateway calls itself in Via: the same on every node that
// shares the keyset, and after a restart. It is derived from the keyset's oldest key
// apart from the key of fingerprints, so that no credential which a caller sends has
// it for a fingerprint. Upstreams see it, and learn nothing of the keyset from it.
func (s *Sealer) Pseudonym() string { return s.pseudonym }

// pseudonym derives a name from a keyset.
func pseudonym(handle *keyset.Handle) (string, error) {
	name, err := derive(handle, "latchkey: pseudonym of gateways", 16)
	return "latchkey-" + base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(name), err
}

// fingerprintKey derives the key of fingerprints from a keyset.
func fingerprintKey(handle *keyset.Handle) ([]byte, error) {
	return derive(handle, "latchkey: fingerprints of unknown credentials", sha256.Size)
}

// derive makes n bytes for a purpose from a keyset (HKDF, RFC 5869).
func derive(handle *keyset.Handle, purpose string, n int) ([]byte, error) {
	keys := insecurecleartextkeyset.KeysetMaterial(handle).GetKey()
	if len(keys) == 0 || len(keys[0].GetKeyData().GetValue()) < 16 {
		return nil, errors.New("keyset holds no key to derive another from")
	}
	return hkdf.Key(sha256.New, keys[0].GetKeyData().GetValue(), nil, purpose, n)
}

// strangersCredential returns what is the same whenever the same credential is
// sent: an API key, however it came; of a token its iss; of what cannot be
// read, all of it. It is "" where there is none.
func strangersCredential(fields []string) string {
	if len(fields) != 1 || len(fields[0]) > MaxAuthorization {
		return ""
	}
	a, denial := ReadAuthorization(fields)
	if denial != nil {
		return strings.Trim(fields[0], " \t")
	}
	switch a.Method {
	case MethodJWT:
		var token jwt.Token
		if token.Parse(a.token) == nil {
			return string(token.Issuer())
		}
	case MethodBasic:
		if key, denial := basicKey(nil, a.token); denial == nil {
			return string(key)
		}
	}
	return a.token
}
