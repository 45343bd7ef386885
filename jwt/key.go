package jwt

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"strconv"
	"sync"
	"time"
)

// secret is what a Key and a Token print as.
const secret = "[secret]"

// signedHeader is {"alg":"HS256","typ":"JWT"} in base64url, and the dot.
const signedHeader = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9."

// Key is an API secret, ready to sign and to verify: an HMAC-SHA-256 key of the
// bytes ID||KEY. Make it with [NewKey], once for each secret, and do not copy it.
// Any number of goroutines may use it at once. It prints as "[secret]".
type Key struct {
	payload string    // of a token, up to the value of iat
	states  sync.Pool // of *state, keyed
}

// state is an HMAC under one key, with buffers of its own: what is given to a
// hash.Hash escapes, and neither a Token nor a signature should.
type state struct {
	mac hash.Hash
	in  [512]byte
	out [sha256.Size]byte
}

// NewKey returns the key of the API secret with this Secret ID and Secret Key.
// The id is visible ASCII and has no | in it, or ID||KEY could be cut in two
// ways. NewKey does not check that; whoever lets secrets in must.
func NewKey(id, key string) *Key {
	joined := []byte(id + "||" + key)
	k := &Key{payload: `{"iss":` + quote(id) + `,"iat":`}
	// The joined bytes live in this closure alone, where no printing by reflection
	// finds them, not even that of a struct with a Key in it.
	k.states.New = func() any {
		return &state{mac: hmac.New(sha256.New, joined)}
	}
	return k
}

// Verify reports whether t was signed with k. It compares in constant time, and
// it is false for a Token whose Parse failed. It allocates nothing.
//
// It takes its time from the length of the token alone. To answer in the same
// time for an issuer that is not known, verify with any other key.
func (k *Key) Verify(t *Token) bool {
	if t.signed == 0 {
		return false
	}
	s := k.states.Get().(*state)
	defer k.states.Put(s)
	return hmac.Equal(s.sum(t.compact[:t.signed]), t.bytes(t.signature))
}

// Sign returns a compact token of the two claims that the specification asks
// for: iss, the Secret ID, and iat, in whole seconds, rounded down. Its header
// is {"alg":"HS256","typ":"JWT"}.
//
// Nobody accepts a token with an iat before 1970 or after the year 9999, or one
// of more than [MaxLength] bytes, which an id of some 2900 bytes brings about.
func (k *Key) Sign(iat time.Time) string {
	payload := append([]byte(k.payload), strconv.FormatInt(iat.Unix(), 10)...)
	payload = append(payload, '}')

	token := make([]byte, 0, len(signedHeader)+encoding.EncodedLen(len(payload))+1+encoding.EncodedLen(sha256.Size))
	token = append(token, signedHeader...)
	token = encoding.AppendEncode(token, payload)

	s := k.states.Get().(*state)
	defer k.states.Put(s)
	sum := s.sum(token)
	token = append(token, '.')
	token = encoding.AppendEncode(token, sum)
	return string(token)
}

// Sign returns a token of the API secret with this Secret ID and Secret Key, as
// [Key.Sign] does.
func Sign(id, key string, iat time.Time) string {
	return NewKey(id, key).Sign(iat)
}

// sum returns the HMAC of message, valid until the next call.
func (s *state) sum(message []byte) []byte {
	s.mac.Reset()
	for len(message) > 0 {
		n := copy(s.in[:], message)
		s.mac.Write(s.in[:n])
		message = message[n:]
	}
	return s.mac.Sum(s.out[:0])
}

// quote returns s as a JSON string. It escapes only what it must.
func quote(s string) string {
	const hex = "0123456789abcdef"
	q := []byte{'"'}
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			q = append(q, '\\', c)
		case c < ' ':
			q = append(q, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			q = append(q, c)
		}
	}
	return string(append(q, '"'))
}

// String returns "[secret]".
func (k *Key) String() string {
	return secret
}

// GoString returns "[secret]".
func (k *Key) GoString() string {
	return secret
}

// Format writes "[secret]", whatever the verb.
func (k *Key) Format(f fmt.State, _ rune) {
	io.WriteString(f, secret)
}
