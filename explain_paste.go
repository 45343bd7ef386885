package latchkey

import (
	"encoding/base64"
	"regexp"
	"strings"
)

// maxText bounds what is searched for headers.
const maxText = 8 * MaxAuthorization

// quoted is a text between quotes of either kind, in one of two groups.
const quoted = `(?:'([^']*)'|"([^"]*)")`

var (
	// headerLine is an Authorization header among other lines, also as a program
	// shows what it sent ("> Authorization: …").
	headerLine = regexp.MustCompile(`(?im)^[>* \t]*authorization[ \t]*:(.*)$`)

	// headerArgument is one as a program is given it: -H 'Authorization: …'.
	headerArgument = regexp.MustCompile(`(?i)'[ \t]*authorization[ \t]*:([^']*)'|"[ \t]*authorization[ \t]*:([^"]*)"`)

	// headerPair is one as source code has it: "Authorization": "…", or with a
	// comma, =>, or ]= between the two.
	headerPair = regexp.MustCompile(`(?i)['"]authorization['"][ \t]*(?:=>|\][ \t]*=|[:,=])[ \t]*` + quoted)

	// otherHeader is a header in which other services look for a key.
	otherHeader = regexp.MustCompile(`(?im)(?:^[>* \t]*|['"][ \t]*)((?:x-)?(?:api-?key|api-token|auth-token|access-token))['"]?[ \t]*:`)

	// queryKey is a credential in a URL.
	queryKey = regexp.MustCompile(`(?i)[?&](?:api_?key|key|access_token|token|auth)=`)
)

// pasted is what was found in a text.
type pasted struct {
	fields    []string // the values of Authorization headers
	bare      bool     // there was a credential without a scheme
	as        string   // how it was read, in a sentence; may be empty
	elsewhere string   // there is no such header: where the credential is, in words
	leak      string   // a sentence about who may have seen it there; may be empty
}

// readPasted takes the values of Authorization headers out of a text. A bare
// credential comes back with a scheme.
func readPasted(text string) pasted {
	if len(text) > maxText {
		return pasted{fields: []string{text}}
	}
	for _, form := range []*regexp.Regexp{headerLine, headerArgument, headerPair} {
		var fields []string
		for _, m := range form.FindAllStringSubmatch(text, -1) {
			fields = append(fields, strings.TrimSpace(strings.Join(m[1:], "")))
		}
		if fields != nil {
			return pasted{fields: fields}
		}
	}
	if m := otherHeader.FindStringSubmatch(text); m != nil {
		return pasted{elsewhere: "a header named " + m[1]}
	}
	if user, found := curlUser(text); found {
		return pasted{fields: []string{basicOf(user)}, as: "What follows -u, read here as curl sends it: by Basic."}
	}
	if queryKey.MatchString(text) {
		return pasted{elsewhere: "the query of a URL", leak: " Replace it if this was sent: URLs are kept in logs."}
	}
	if text = strings.TrimSpace(text); text == "" {
		return pasted{}
	}
	scheme, _, spaced := strings.Cut(text, " ")
	user, _, colon := strings.Cut(text, ":")
	switch {
	case schemeOf(scheme) != "" || spaced:
		return pasted{fields: []string{text}}
	case colon && schemeOf(user) == "" && !strings.Contains(text, "://") && !strings.Contains(text, "||"):
		return pasted{fields: []string{basicOf(text)}, as: "A user name and a password, read here as if they were sent by Basic."}
	}
	return pasted{fields: []string{"Bearer " + text}, bare: true, as: "A bare credential, read here as if it followed \"Bearer \"."}
}

// basicOf is the header's value for "USER:PASSWORD".
func basicOf(pair string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(pair)) }
