package latchkey

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
)

// MaxAuthorization is the longest Authorization field value that is read, in
// bytes.
const MaxAuthorization = 8 << 10

// An Authorization is what an Authorization field says, before anything is
// looked up.
type Authorization struct {
	Method Method // [MethodBearer], [MethodBasic] or [MethodJWT]
	token  string // the token68: an API key, a JWT, or base64 of USER:PASSWORD
}

// ReadAuthorization reads the values of all Authorization fields of a request
// (RFC 9110, section 11.6.2): exactly one, Bearer (RFC 6750) or Basic (RFC
// 7617), one or more spaces, a token68. White space around a value is no part
// of it: HTTP/1 has taken it off already, HTTP/2 has not.
//
// A Bearer token with a dot is a JWT and only that; without, it is an API key
// and only that.
func ReadAuthorization(fields []string) (Authorization, *Denial) {
	if len(fields) == 0 {
		return Authorization{}, &Denial{
			Code: CodeMissingCredentials, Reason: ReasonNoField,
			Detail: "Send your API key or a signed JWT: Authorization: Bearer …",
		}
	}
	if len(fields) > 1 {
		return Authorization{}, malformed(MethodNone, ReasonManyFields,
			"The request has more than one Authorization header; send exactly one.")
	}
	value := strings.Trim(fields[0], " \t")
	if value == "" {
		return Authorization{}, malformed(MethodNone, ReasonBadScheme,
			"The Authorization header is empty; is the variable that holds the credential empty?")
	}
	if len(value) > MaxAuthorization {
		return Authorization{}, malformed(MethodNone, ReasonTooLong,
			"The Authorization header is longer than 8 KiB; no credential of ours is.")
	}
	scheme, rest, _ := strings.Cut(value, " ")
	token := strings.TrimLeft(rest, " ")
	switch {
	case strings.EqualFold(scheme, "Bearer"):
		if !isToken68(token) {
			return Authorization{}, malformed(MethodBearer, ReasonBadScheme, badToken("Bearer", token))
		}
		if strings.Contains(token, ".") {
			return Authorization{MethodJWT, token}, nil
		}
		return Authorization{MethodBearer, token}, nil
	case strings.EqualFold(scheme, "Basic"):
		if !isToken68(token) {
			return Authorization{}, malformed(MethodBasic, ReasonBadScheme, badToken("Basic", token))
		}
		return Authorization{MethodBasic, token}, nil
	}
	return Authorization{}, malformed(MethodNone, ReasonBadScheme,
		"The Authorization header must begin with Bearer or Basic, followed by a space and the credential.")
}

func malformed(m Method, reason Reason, detail string) *Denial {
	return &Denial{Code: CodeMalformedCredentials, Method: m, Reason: reason, Detail: detail, Diagnosis: detail}
}

func badToken(scheme, token string) string {
	if token == "" {
		return fmt.Sprintf("Nothing follows %s in the Authorization header; is the variable that holds the credential empty?", scheme)
	}
	return fmt.Sprintf("After %s must come one credential without spaces, quotes, commas or other characters that a token cannot hold.", scheme)
}

// basicKey appends the API key of a Basic token to dst: standard base64 (RFC
// 4648, section 4, with padding and zero trailing bits) of KEY, a colon and
// nothing more.
func basicKey(dst []byte, token string) ([]byte, *Denial) {
	// token68 has no line breaks, which the decoder would skip.
	decoded, err := base64.StdEncoding.Strict().AppendDecode(dst, []byte(token))
	if err != nil {
		return nil, malformed(MethodBasic, ReasonBasicEncoding,
			"What follows Basic is not standard base64 (with + and / and padding) of KEY and a colon.")
	}
	colon := bytes.IndexByte(decoded, ':')
	if colon < 0 {
		return nil, malformed(MethodBasic, ReasonBasicNoColon,
			"There is no colon after the API key: encode KEY followed by a colon (with curl: -u \"KEY:\").")
	}
	key, password := decoded[:colon], decoded[colon+1:]
	if len(password) > 0 {
		return nil, malformed(MethodBasic, ReasonBasicPassword, badPassword(string(key), string(password)))
	}
	return key, nil
}

// unsetWords are what programs make of a variable that is not set.
var unsetWords = []string{"undefined", "null", "None", "nil"}

// badPassword says what is wrong where there is a password, and repeats none.
func badPassword(user, password string) string {
	switch {
	case strings.TrimSpace(password) == "":
		return "The password is white space and must be empty. Use printf before base64: echo adds a line break."
	case slices.Contains(unsetWords, password):
		return fmt.Sprintf("The password is the word %s, as some HTTP libraries send for a missing password; give them an empty string instead.", password)
	case user == "":
		return "The user name is empty: the API key is the user name, not the password; leave the password empty."
	}
	return "The password must be empty: send the API key as user name, and nothing after the colon."
}

// isToken68 reports whether s is a token68 (RFC 9110, section 11.2).
func isToken68(s string) bool {
	body := strings.TrimRight(s, "=")
	for i := range len(body) {
		if !token68Byte(body[i]) {
			return false
		}
	}
	return body != ""
}

func token68Byte(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	switch c {
	case '-', '.', '_', '~', '+', '/':
		return true
	}
	return false
}
