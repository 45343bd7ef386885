package latchkey

import (
	"crypto/rand"
	"crypto/sha256"
	"hash/crc32"
	"strings"
	"time"

	"github.com/google/uuid"
)

// A Kind is a kind of credential.
type Kind string

// The two kinds of credential.
const (
	KindAPIKey    Kind = "api_key"    // the team API key: a bearer secret
	KindAPISecret Kind = "api_secret" // an API Secret ID and Key: signs JWTs
)

// A Digest is the SHA-256 of an API key's value. The value has at least 190
// bits of entropy when we made it, so that no slow hash is needed.
type Digest [sha256.Size]byte

// DigestOf returns the digest of an API key's value.
func DigestOf(value []byte) Digest { return sha256.Sum256(value) }

// An Ending says why a credential is dead.
type Ending string

// The reasons for which a credential ends.
const (
	EndedByRoll     Ending = "rolled"       // replaced by a new key, at once
	EndedByOverlap  Ending = "overlap_over" // replaced by a new key, and its overlap is over
	EndedByRetire   Ending = "retired"      // its overlap was ended early
	EndedByRevoke   Ending = "revoked"      // an API secret was revoked
	EndedByDeletion Ending = "team_deleted" // its team was deleted
)

// A Credential is one API key or API secret, alive or as the tombstone that
// stays when it has ended. It never holds a value in clear.
type Credential struct {
	ID     string // an API key's is opaque ("key_…"); an API secret's is the API Secret ID
	TeamID string
	Kind   Kind
	Digest Digest // of an API key; zero for an API secret
	Sealed []byte // the value, as [Sealer.Seal] made it

	Created   time.Time
	CreatedBy string    // who made it, in words: never a value
	Until     time.Time // end of the overlap of an API key that was rolled; zero for all others

	Ended    time.Time // zero while it is alive
	EndedBy  string
	EndedWhy Ending

	Revision Revision // of its last change
}

// Live reports whether the credential has not ended.
func (c *Credential) Live() bool { return c.Ended.IsZero() }

// overlapGrace is how late the end of an overlap may come.
const overlapGrace = time.Second

// Overdue reports whether the credential's overlap should have ended by now. The
// end is a change in the store, by the store's clock; where that cannot be made
// in time, the wall clock refuses: it may only ever refuse, and does so early
// where it is ahead.
func (c *Credential) Overdue(now time.Time) bool {
	return !c.Until.IsZero() && now.Sub(c.Until) > overlapGrace
}

// End makes the credential a tombstone. Its value is forgotten; the digest of
// an API key stays, so that a caller who still sends it is recognised.
func (c *Credential) End(at time.Time, by string, why Ending) {
	c.Ended, c.EndedBy, c.EndedWhy = at, by, why
	c.Sealed = nil
}

const (
	base62       = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	teamIDPrefix = "team_"
	keyIDPrefix  = "key_"

	// DefaultKeyPrefix begins every API key that we make, unless set otherwise.
	DefaultKeyPrefix = "lk_"

	randomChars   = 32 // of an API key or an API Secret Key: 190 bits
	checksumChars = 6  // 62^6 > 2^32
	idChars       = 22 // 131 bits

	minKeyBytes    = 16
	maxKeyBytes    = 512
	maxSecretID    = 256
	maxSecretBytes = 512
)

// randomBase62 returns n base62 characters from crypto/rand, all equally likely.
func randomBase62(n int) string {
	out := make([]byte, 0, n)
	var pool [64]byte
	for len(out) < n {
		_, _ = rand.Read(pool[:]) // never fails: crypto/rand stops the program instead
		for _, b := range pool {
			// 248 is the largest multiple of 62 in a byte: above it, the first characters would come more often.
			if b < 248 && len(out) < n {
				out = append(out, base62[b%62])
			}
		}
	}
	return string(out)
}

// checksum returns the six base62 characters that end an API key: CRC-32 (IEEE)
// of everything before them, most significant first, left-padded with "0".
func checksum(body string) string {
	sum := crc32.ChecksumIEEE([]byte(body))
	var out [checksumChars]byte
	for i := len(out) - 1; i >= 0; i-- {
		out[i] = base62[sum%62]
		sum /= 62
	}
	return string(out[:])
}

func newTeamID() string { return teamIDPrefix + randomBase62(idChars) }
func newKeyID() string  { return keyIDPrefix + randomBase62(idChars) }

// NewAPIKey returns a new API key: prefix, 32 random base62 characters, and six
// of checksum.
func NewAPIKey(prefix string) Secret {
	body := prefix + randomBase62(randomChars)
	return NewSecret(body + checksum(body))
}

// NewAPISecret returns a new API Secret ID (a UUIDv4) and API Secret Key (32
// random base62 characters).
func NewAPISecret() (id string, key Secret) {
	return uuid.NewString(), NewSecret(randomBase62(randomChars))
}

// keyForm tells what an API key that is not known looks like.
type keyForm int

const (
	formForeign keyForm = iota // not one that we would have made
	formWhole                  // prefix, length and checksum are right
	formBroken                 // it begins as ours do, but is cut short or mistyped
)

// formOf compares value with the form of the keys that we make under prefix.
func formOf(prefix, value string) keyForm {
	if !strings.HasPrefix(value, prefix) {
		return formForeign
	}
	cut := len(value) - checksumChars
	if len(value) == len(prefix)+randomChars+checksumChars && checksum(value[:cut]) == value[cut:] {
		return formWhole
	}
	return formBroken
}

// ValidKeyPrefix returns nil, or an [*InvalidError]: a prefix is 1–16
// characters of token68 other than a dot and "=".
func ValidKeyPrefix(prefix string) error {
	wrong := func(problem string) error { return &InvalidError{Field: "key prefix", Problem: problem} }
	if len(prefix) < 1 || len(prefix) > maxKeyPrefix {
		return wrong("must be 1–16 characters")
	}
	for i := range len(prefix) {
		if !isPrefixByte(prefix[i]) {
			return wrong("may hold only letters, digits and - _ ~ + /")
		}
	}
	return nil
}

const maxKeyPrefix = 16

func isPrefixByte(c byte) bool { return token68Byte(c) && c != '.' }

// ValidAPIKey returns nil if value can be imported as an API key, or an
// [*InvalidError] without the value: 16–512 bytes of token68 (RFC 9110,
// section 11.2) without a dot, which would make it a JWT.
func ValidAPIKey(value string) error {
	wrong := func(problem string) error { return &InvalidError{Field: "key", Problem: problem} }
	switch {
	case len(value) < minKeyBytes || len(value) > maxKeyBytes:
		return wrong("must be 16–512 bytes long")
	case strings.Contains(value, "."):
		return wrong("holds a dot: it would be read as a JWT")
	case !isToken68(value):
		return wrong("may hold only letters, digits and - _ ~ + /, and = at its end")
	}
	return nil
}

// ValidAPISecret returns nil if the pair can be imported as an API secret, or
// an [*InvalidError] without the values: both visible ASCII, the ID of 1–256
// bytes without "|" (it would make ID||KEY ambiguous), the key of 16–512.
func ValidAPISecret(id, key string) error {
	switch {
	case len(id) < 1 || len(id) > maxSecretID:
		return &InvalidError{Field: "id", Problem: "must be 1–256 bytes long"}
	case !visibleASCII(id):
		return &InvalidError{Field: "id", Problem: "may hold only visible ASCII characters"}
	case strings.Contains(id, "|"):
		return &InvalidError{Field: "id", Problem: "may not hold | (it would make ID||KEY ambiguous)"}
	case len(key) < minKeyBytes || len(key) > maxSecretBytes:
		return &InvalidError{Field: "key", Problem: "must be 16–512 bytes long"}
	case !visibleASCII(key):
		return &InvalidError{Field: "key", Problem: "may hold only visible ASCII characters"}
	}
	return nil
}

func visibleASCII(s string) bool {
	for i := range len(s) {
		if s[i] < '!' || s[i] > '~' {
			return false
		}
	}
	return true
}
