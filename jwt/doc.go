// Package jwt is the one token that latchkey knows: it signs it, parses it and
// verifies it.
//
// The token is a JSON Web Token (RFC 7519) in JWS compact serialization (RFC
// 7515 §7.1), signed with HMAC-SHA-256 (HS256, RFC 7518 §3.2) under the bytes
// ID||KEY of an API secret. It lives for five minutes after its iat. There is
// no other algorithm, no key of another type and no setting that would bring
// one in, so a token cannot choose how it is checked (RFC 8725 §3.1).
//
// A caller signs:
//
//	token := jwt.Sign(id, key, time.Now())
//
// A server parses, finds the key by the issuer, verifies, and only then speaks
// of time:
//
//	var tok jwt.Token
//	if err := tok.Parse(compact); err != nil { … }   // *jwt.Error
//	key := keys[string(tok.Issuer())]                // a *jwt.Key
//	if !key.Verify(&tok) { … }
//	if err := tok.CheckTime(now, leeway); err != nil { … } // *jwt.TimeError
//
// [Token.Parse] is strict where JSON Web Tokens are commonly lax, so that no two
// readers can understand one token differently: base64url without padding and
// with zero trailing bits; UTF-8 without a byte order mark; names compared
// exactly and never twice in one object; no number that a 64-bit integer or a
// float64 cannot hold; nothing after the object.
//
// On the accepting path nothing is allocated, and no input, however long, makes
// the package allocate more than a few kilobytes.
package jwt
