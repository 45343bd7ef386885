package jwt

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"time"
)

// MaxLength is the length of the longest compact token that is read, in bytes.
const MaxLength = 4096

// Lifetime is how long a token lives: that long after its iat it is dead.
const Lifetime = 300 * time.Second

// MaxTime is the largest iat, exp or nbf, in seconds since 1970: the end of the
// year 9999.
const MaxTime = 253402300799

// maxDecoded is more than the bytes of all parts of a token, decoded.
const maxDecoded = MaxLength / 4 * 3

// encoding is base64url as RFC 7515 §2 has it. It is strict: unused bits of the
// last character must be zero, or one token could be written in several ways.
var encoding = base64.RawURLEncoding.Strict()

// Token is a token that has been parsed, and not verified: nothing that it says
// may be believed before [Key.Verify].
//
// A Token holds its buffers, about 12 KiB, so that parsing allocates nothing.
// Keep it on the stack or in a pool, and use it again and again. The zero Token
// is ready for Parse. A Token is for one goroutine at a time, and prints as
// "[secret]".
type Token struct {
	compact   [MaxLength]byte
	decoded   [maxDecoded]byte
	names     [maxNames]name
	signed    int  // compact[:signed] is what the signature is over; 0 unless parsed
	issuer    span // this and the next in decoded
	signature span
	issuedAt  int64 // this and the next two in µs since 1970
	expiresAt instant
	notBefore instant
}

// instant is a time claim that a token need not have.
type instant struct {
	micros int64
	set    bool
}

// Parse reads a compact token, and forgets the one before. It checks all that
// can be checked without a key and a clock, in this order:
//
//   - length, and that there are three parts (RFC 7515 §7.1);
//   - the header: base64url, JSON, then alg, which is exactly HS256, then typ,
//     which is absent or JWT in any case, then crit, which is absent;
//   - payload and signature: base64url;
//   - the payload: JSON, then its claims. The iss is a string that is not empty,
//     the iat a number from 0 to MaxTime, and so are exp and nbf if they are
//     there (RFC 7519 §4.1). Other claims are ignored.
//
// The header comes before the other parts so that a token with alg "none" and
// no signature is refused for its algorithm. A signature of the wrong length is
// left to [Key.Verify].
//
// The error is an [*Error]. After an error the Token has no issuer and verifies
// under no key.
func (t *Token) Parse(compact string) error {
	t.signed, t.issuer, t.signature = 0, span{}, span{}
	t.issuedAt, t.expiresAt, t.notBefore = 0, instant{}, instant{}

	if len(compact) > MaxLength {
		return &Error{Form, "the token is longer than 4096 bytes"}
	}
	all := t.compact[:copy(t.compact[:], compact)]
	first := bytes.IndexByte(all, '.')
	last := bytes.LastIndexByte(all, '.')
	switch dots := bytes.Count(all, []byte(".")); {
	case dots == 4:
		return &Error{Form, "the token has five parts, as an encrypted one has; it must be a signed one, which has three"}
	case dots != 2:
		return &Error{Form, "a token has three parts with a dot between them: header.payload.signature"}
	}

	header, err := t.decode("header", all[:first], 0)
	if err != nil {
		return err
	}
	if err := t.readHeader(header); err != nil {
		return err
	}
	payload, err := t.decode("payload", all[first+1:last], header.end)
	if err != nil {
		return err
	}
	signature, err := t.decode("signature", all[last+1:], payload.end)
	if err != nil {
		return err
	}
	if err := t.readPayload(payload); err != nil {
		return err
	}
	t.signed, t.signature = last, signature
	return nil
}

// decode decodes one part of the token to the place from start on.
func (t *Token) decode(part string, encoded []byte, start int) (span, error) {
	// The decoder skips line breaks, which RFC 7515 §2 does not allow.
	if len(encoded) > 0 && bytes.IndexByte(encoded, '\n') < 0 && bytes.IndexByte(encoded, '\r') < 0 {
		if n, err := encoding.Decode(t.decoded[start:], encoded); err == nil {
			return span{start, start + n}, nil
		}
	}
	wrong := " is not base64url; use the alphabet with - and _, and put nothing else in it"
	switch {
	case len(encoded) == 0:
		wrong = " is empty"
	case bytes.IndexByte(encoded, '=') >= 0:
		wrong = " is padded with =; leave the padding out"
	case bytes.ContainsAny(encoded, "+/"):
		wrong = " is in standard base64; use base64url, which has - and _ for + and /"
	case bytes.ContainsAny(encoded, " \t\r\n"):
		wrong = " holds white space; leave it out"
	}
	return span{}, &Error{Form, "the " + part + wrong}
}

// readHeader checks the JOSE header (RFC 7515 §4).
func (t *Token) readHeader(at span) error {
	wanted := [...]field{{name: "alg"}, {name: "typ"}, {name: "crit"}}
	if err := t.readJSON("header", at, wanted[:]); err != nil {
		return err
	}
	alg, typ, crit := wanted[0].value, wanted[1].value, wanted[2].value
	if alg.shape != text || string(t.bytes(alg.text)) != "HS256" {
		return &Error{Algorithm, "the header's alg must be the string HS256, exactly"}
	}
	// No character outside ASCII folds to one of these three letters.
	if typ.shape != absent && (typ.shape != text || !bytes.EqualFold(t.bytes(typ.text), []byte("JWT"))) {
		return &Error{Form, "the header's typ must be JWT, or left out"}
	}
	if crit.shape != absent {
		return &Error{Form, "the header has a crit, and no extension is supported; leave it out"}
	}
	return nil
}

// readPayload checks the claims and keeps those that count.
func (t *Token) readPayload(at span) error {
	wanted := [...]field{{name: "iss"}, {name: "iat"}, {name: "exp"}, {name: "nbf"}}
	if err := t.readJSON("payload", at, wanted[:]); err != nil {
		return err
	}
	iss := wanted[0].value
	switch {
	case iss.shape == absent:
		return &Error{Claim, "iss is missing; it must be the API Secret ID"}
	case iss.shape != text || iss.text.start == iss.text.end:
		return &Error{Claim, "iss must be a string, the API Secret ID, and not empty"}
	}
	iat, err := wanted[1].instant(t.decoded[:])
	if err != nil {
		return err
	}
	if !iat.set {
		return &Error{Claim, "iat is missing; it must be the time of signing in seconds since 1970"}
	}
	exp, err := wanted[2].instant(t.decoded[:])
	if err != nil {
		return err
	}
	nbf, err := wanted[3].instant(t.decoded[:])
	if err != nil {
		return err
	}
	t.issuer, t.issuedAt, t.expiresAt, t.notBefore = iss.text, iat.micros, exp, nbf
	return nil
}

// readJSON reads a decoded part as one JSON object.
func (t *Token) readJSON(part string, at span, wanted []field) error {
	s := scanner{buf: t.decoded[:at.end], pos: at.start, names: &t.names}
	if !s.document(wanted) {
		return &Error{Form, "the " + part + " is not strict JSON: " + s.fault}
	}
	return nil
}

// instant reads a time claim, which stands in buf: a NumericDate (RFC 7519 §2).
func (f *field) instant(buf []byte) (instant, error) {
	switch f.value.shape {
	case absent:
		return instant{}, nil
	case text:
		return instant{}, &Error{Claim, f.name + " is a string; send a number, without quotes"}
	case numeric:
		if micros, ok := f.value.number.micros(buf); ok {
			return instant{micros, true}, nil
		}
		if unit := f.value.number.unit(); unit != "" {
			return instant{}, &Error{Claim, f.name + " is in " + unit + "; it must be in seconds"}
		}
		return instant{}, &Error{Claim, f.name + " is out of range; it must be in seconds since 1970, from 0 to 253402300799"}
	}
	return instant{}, &Error{Claim, f.name + " must be a number of seconds since 1970"}
}

// Issuer returns the iss claim, unescaped: the API Secret ID that the token says
// it was signed with. It is part of the Token's buffer, valid until the next
// Parse and not to be written to.
func (t *Token) Issuer() []byte {
	return t.bytes(t.issuer)
}

// bytes returns a part of what was decoded.
func (t *Token) bytes(at span) []byte {
	return t.decoded[at.start:at.end:at.end]
}

// IssuedAt returns the iat claim, rounded down to the microsecond, in UTC.
func (t *Token) IssuedAt() time.Time {
	return time.UnixMicro(t.issuedAt).UTC()
}

// ExpiresAt returns the exp claim like IssuedAt, and whether there is one.
func (t *Token) ExpiresAt() (time.Time, bool) {
	return t.expiresAt.time()
}

// NotBefore returns the nbf claim like IssuedAt, and whether there is one.
func (t *Token) NotBefore() (time.Time, bool) {
	return t.notBefore.time()
}

func (i instant) time() (time.Time, bool) {
	if !i.set {
		return time.Time{}, false
	}
	return time.UnixMicro(i.micros).UTC(), true
}

// CheckTime returns nil if the token is alive at now:
//
//	iat - leeway <= now < iat + Lifetime,
//	nbf - leeway <= now < exp, as far as it has them,
//
// and a [*TimeError] otherwise. The leeway is for a caller whose clock is ahead,
// and lengthens no token's life. All is counted in whole microseconds.
//
// Call it after [Key.Verify]: a stranger is told nothing about time.
func (t *Token) CheckTime(now time.Time, leeway time.Duration) error {
	at := now.UnixMicro()

	death, claim := t.issuedAt+Lifetime.Microseconds(), "iat"
	if t.expiresAt.set && t.expiresAt.micros < death {
		death, claim = t.expiresAt.micros, "exp"
	}
	if at >= death {
		return &TimeError{Expired: true, By: microseconds(at - death), Claim: claim}
	}

	birth, claim := t.issuedAt, "iat"
	if t.notBefore.set && t.notBefore.micros > birth {
		birth, claim = t.notBefore.micros, "nbf"
	}
	if at < birth-leeway.Microseconds() {
		return &TimeError{By: microseconds(birth - at), Claim: claim}
	}
	return nil
}

// microseconds returns n µs, or the longest Duration (292 years) if n is more.
func microseconds(n int64) time.Duration {
	const longest = time.Duration(1<<63 - 1)
	return time.Duration(min(n, longest.Microseconds())) * time.Microsecond
}

// Format writes "[secret]" whatever the verb: a token is a credential. Its
// receiver is a value so that a Token that is printed by mistake, and not a
// pointer to it, is covered too.
func (Token) Format(f fmt.State, _ rune) {
	io.WriteString(f, secret)
}
