package latchkey

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
)

var hexForm = regexp.MustCompile(`^[0-9a-fA-F]{64}$`)

// signedWith finds out by trial which mistake made a signature wrong. The
// tries are few and fixed, so that a wrong token costs a bounded time.
func signedWith(compact, id, key string) (mistake, mend string) {
	const right = "Sign with the API Secret ID, two bars and the API Secret Key, as they are: ID||KEY."
	cut := strings.LastIndexByte(compact, '.')
	input, part := compact[:cut], compact[cut+1:]
	signature, err := base64.RawURLEncoding.DecodeString(part)
	switch {
	case hexForm.MatchString(part), err == nil && hexForm.Match(signature):
		return "The signature is in hexadecimal.", "Encode the 32 bytes of the HMAC in base64url (with openssl: -binary, not -hex)."
	case err != nil || len(signature) != sha256.Size:
		return fmt.Sprintf("The signature has %d bytes; one by HS256 has %d.", len(signature), sha256.Size), "Is the token complete, and signed by HS256?"
	}
	signs := func(secret, input string) bool {
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte(input))
		return hmac.Equal(mac.Sum(nil), signature)
	}
	for _, try := range wrongKeys(id, key) {
		if signs(try.key, input) {
			return "The token is signed with " + try.what + ".", right
		}
	}
	if signs(id+"||"+key, input+"\n") {
		return "The signature is made over header.payload and a line break.", "Leave the line break out: printf or echo -n in place of echo."
	}
	return "The signature is not made with this API secret's ID||KEY.",
		right + " Is the API Secret Key the one that belongs to this ID, and was the token left as it was signed?"
}

type wrongKey struct{ what, key string }

// wrongKeys are the signing keys that people use by mistake.
func wrongKeys(id, key string) []wrongKey {
	secret := id + "||" + key
	keys := []wrongKey{
		{"the API Secret Key alone", key},
		{"the API Secret ID alone", id},
		{"ID:KEY, with a colon in place of the two bars", id + ":" + key},
		{"ID|KEY, with one bar in place of two", id + "|" + key},
		{"IDKEY, without the two bars", id + key},
		{"KEY||ID, the wrong way round", key + "||" + id},
		{"ID || KEY, with spaces around the bars", id + " || " + key},
		{"ID||, without the key", id + "||"},
		{"||KEY, without the ID", "||" + key},
		{"an empty secret", ""},
		{"ID||KEY in base64", base64.StdEncoding.EncodeToString([]byte(secret))},
		{"ID||KEY in base64", base64.RawStdEncoding.EncodeToString([]byte(secret))},
		{"ID||KEY in base64url", base64.URLEncoding.EncodeToString([]byte(secret))},
		{"ID||KEY in base64url", base64.RawURLEncoding.EncodeToString([]byte(secret))},
		{"ID||KEY in base64, and a newline", base64.StdEncoding.EncodeToString([]byte(secret)) + "\n"},
		{"ID||KEY in hexadecimal", hex.EncodeToString([]byte(secret))},
		{"ID||KEY in hexadecimal", strings.ToUpper(hex.EncodeToString([]byte(secret)))},
		{"ID||KEY in hexadecimal, and a newline", hex.EncodeToString([]byte(secret)) + "\n"},
		{"ID||KEY and a newline (use printf or echo -n)", secret + "\n"},
		{"ID||KEY and a carriage return", secret + "\r\n"},
		{"ID||KEY and a space", secret + " "},
		{"ID||KEY in quotes", `"` + secret + `"`},
		{"ID||KEY in lower case", strings.ToLower(secret)},
		{"the API Secret Key alone, and a newline", key + "\n"},
		{"the API Secret Key in base64", base64.StdEncoding.EncodeToString([]byte(key))},
		{"the API Secret Key in hexadecimal", hex.EncodeToString([]byte(key))},
		{"the API Secret Key in hexadecimal", strings.ToUpper(hex.EncodeToString([]byte(key)))},
	}
	for _, word := range unsetWords {
		keys = append(keys,
			wrongKey{"ID||" + word + ": the variable that holds the API Secret Key is not set", id + "||" + word},
			wrongKey{word + "||KEY: the variable that holds the API Secret ID is not set", word + "||" + key})
	}
	// Libraries that take a secret "in base64" decode what was not encoded.
	for _, e := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding} {
		if decoded, err := e.DecodeString(key); err == nil {
			keys = append(keys, wrongKey{"the API Secret Key, decoded as if it were base64", string(decoded)})
		}
	}
	return keys
}

// decodeLoosely decodes any of the common forms of base64.
func decodeLoosely(s string) (string, error) {
	s = strings.NewReplacer("-", "+", "_", "/", "=", "").Replace(s)
	b, err := base64.RawStdEncoding.DecodeString(s)
	return string(b), err
}
