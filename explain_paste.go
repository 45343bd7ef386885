package latchkey

import (
	"encoding/base64"
	"net/url"
	"regexp"
	"strings"
)

// maxText bounds what is searched for headers, in bytes, and maxFound how many
// of them are read.
const (
	maxText  = 8 * MaxAuthorization
	maxFound = 16
)

// pasted is what was found in a text.
type pasted struct {
	fields    []string // the values of Authorization headers; variables that are filled in stand there as variable
	bare      bool     // there was a credential without a scheme
	as        string   // how it was read, in sentences; may be empty
	elsewhere string   // there is no such header: where the credential is, in words
	leak      string   // a sentence about who may have seen it there; may be empty
	none      string   // there is no such header: what is there, in a sentence
	nothing   bool     // nothing was recognised
}

// awaits reports whether one header is right but for variables that are yet to
// be filled in.
func (p *pasted) awaits() bool {
	if len(p.fields) != 1 {
		return false
	}
	field := strings.TrimSpace(p.fields[0])
	if field == variable {
		return true
	}
	a, denial := ReadAuthorization([]string{strings.ReplaceAll(field, variable, "x")})
	if denial != nil {
		return false
	}
	if a.Method != MethodBasic || strings.Contains(field, variable) {
		return strings.Contains(field, variable)
	}
	pair, err := base64.StdEncoding.DecodeString(a.token)
	user, password, _ := strings.Cut(string(pair), ":")
	return err == nil && (strings.Contains(password, variable) || strings.Contains(user, variable) && password == "")
}

// recognisers read a credential out of a text, each in one form that people
// paste. The first that finds one is heeded: what was sent comes before what a
// program was told, and all of that before what only may be a credential.
var recognisers = []func(text string) (pasted, bool){
	headerLines, curlCommand, headerStrings, headerPairs, basicCalls, urlUser,
	verbatimLines, schemeValue, otherHeaders, queryKeys, schemeStrings, headerDump, wordOrTwo,
}

// readPasted takes the values of Authorization headers out of a text. A bare
// credential comes back with a scheme.
func readPasted(text string) pasted {
	if len(text) > maxText {
		return pasted{fields: []string{text}}
	}
	if strings.TrimSpace(text) == "" {
		return pasted{}
	}
	for _, recognise := range recognisers {
		if sent, ok := recognise(text); ok {
			return sent
		}
	}
	return pasted{nothing: true}
}

var (
	// headerLine is an Authorization header among other lines, also as a program
	// shows what it sent ("> Authorization: …").
	headerLine = regexp.MustCompile(`(?im)^((?:[>* \t]*|[0-9a-f]{4}: ))authorization[ \t]*:(.*)$`)

	// requestLine is where a dump's next request begins.
	requestLine = regexp.MustCompile(`(?m)^[>* \t]*[A-Z]+ \S+ HTTP/[0-9.]+\s*$`)

	// literalStart is a string of source code where a header would have a value.
	literalStart = regexp.MustCompile("^[fFbBrRuU$@]{0,2}[\"'`]")
)

// headerLines finds the Authorization headers of the first request that has any.
func headerLines(text string) (pasted, bool) { return linesOf(text, false) }

// verbatimLines finds those lines, too, that look like source code.
func verbatimLines(text string) (pasted, bool) { return linesOf(text, true) }

func linesOf(text string, all bool) (pasted, bool) {
	var fields []string
	starts, next := requestLine.FindAllStringIndex(text, -1), 0
	for _, m := range headerLine.FindAllStringSubmatchIndex(text, -1) {
		again := next
		for next < len(starts) && starts[next][0] < m[0] {
			next++
		}
		if fields != nil && next > again {
			break // another request has its own
		}
		value := strings.Trim(text[m[4]:m[5]], " \t\r")
		if all || !ofSource(text[m[2]:m[3]], value) {
			fields = append(fields, value)
		}
	}
	return pasted{fields: fields}, fields != nil
}

// ofSource reports whether a line is one of source code, as in
// "  Authorization: 'Bearer …',".
func ofSource(indent, value string) bool {
	start := literalStart.FindString(value)
	if start == "" {
		first, _, _ := strings.Cut(value, " ")
		return schemeOf(first) == "" && strings.HasSuffix(value, ",")
	}
	if strings.ContainsAny(indent, ">*:") {
		return false
	}
	return indent != "" || !strings.HasSuffix(value, start[len(start)-1:]) || strings.Contains(value, "+")
}

// userInfo is a URL with a user name.
var userInfo = regexp.MustCompile("(?i)\\bhttps?://([^\\s/?#@\"'`\\\\]+)@[^\\s@]")

// urlUser finds the user name and password of a URL. Those of a curl command
// are curlCommand's: they could be a proxy's.
func urlUser(text string) (pasted, bool) {
	m := userInfo.FindStringSubmatch(text)
	if m == nil || curlStart.MatchString(text) {
		return pasted{}, false
	}
	return ofUserInfo(m[1]), true
}

// ofUserInfo reads what stands before the @ of a URL.
func ofUserInfo(info string) pasted {
	user, password, _ := strings.Cut(info, ":")
	for _, part := range []*string{&user, &password} {
		if plain, err := url.PathUnescape(*part); err == nil {
			*part = plain
		}
	}
	return pasted{
		fields: []string{basicOf(user + ":" + password)},
		as:     "The user name of a URL, read here as most programs send it: by Basic. Some, such as fetch, refuse such a URL.",
	}
}

// schemeValue finds a header's value alone.
func schemeValue(text string) (pasted, bool) {
	text = strings.TrimSpace(text)
	first, _, _ := strings.Cut(text, " ")
	return pasted{fields: []string{text}}, schemeOf(first) != ""
}

// otherHeader is a header in which other services look for a key.
var otherHeader = regexp.MustCompile(`(?im)(?:^[>* \t]*|['"][ \t]*)((?:x-)?(?:api-?key|api-token|auth-token|access-token)|proxy-authorization)['"]?[ \t]*:`)

func otherHeaders(text string) (pasted, bool) {
	m := otherHeader.FindStringSubmatch(text)
	if m == nil {
		return pasted{}, false
	}
	return pasted{elsewhere: "a header named " + m[1]}, true
}

// queryKey is a credential in a URL.
var queryKey = regexp.MustCompile(`(?i)[?&](?:api_?key|key|access_token|token|auth)=`)

func queryKeys(text string) (pasted, bool) {
	return pasted{elsewhere: "the query of a URL", leak: " Replace it if this was sent: URLs are kept in logs."}, queryKey.MatchString(text)
}

// dumpLine is a header of any name, as a program shows it.
var dumpLine = regexp.MustCompile(`(?m)^[>* \t]*[A-Za-z][A-Za-z0-9-]*[ \t]*:[ \t].*$`)

// headerDump finds a request's headers where none is Authorization.
func headerDump(text string) (pasted, bool) {
	lines := len(dumpLine.FindAllStringIndex(text, -1))
	if requestLine.MatchString(text) {
		lines++
	}
	all := len(strings.FieldsFunc(text, func(c rune) bool { return c == '\n' || c == '\r' }))
	// Most of it must be headers: a program's text has lines of that form, too.
	return pasted{none: "Headers of a request, and no Authorization header among them."}, lines >= 2 && 2*lines > all
}

// wordOrTwo finds a credential without a scheme, or with a wrong one. More
// words are a text in which nothing was found.
func wordOrTwo(text string) (pasted, bool) {
	text = strings.TrimSpace(text)
	words := strings.Fields(text)
	wrapped := !strings.ContainsAny(text, " \t") && isToken68(strings.Join(words, ""))
	if len(words) > 2 && !wrapped {
		return pasted{}, false
	}
	user, _, colon := strings.Cut(text, ":")
	switch {
	case dumpLine.MatchString(text) && schemeOf(user) == "":
		return pasted{}, false // a header of another name
	case strings.Contains(text, " "):
		return pasted{fields: []string{text}}, true
	case strings.Contains(text, "://"):
		return pasted{}, false
	case colon && schemeOf(user) == "" && !strings.Contains(text, "||"):
		return pasted{fields: []string{basicOf(text)}, as: "A user name and a password, read here as if they were sent by Basic."}, true
	}
	return pasted{fields: []string{"Bearer " + text}, bare: true, as: "A bare credential, read here as if it followed \"Bearer \"."}, true
}

// basicOf is the header's value for "USER:PASSWORD".
func basicOf(pair string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(pair)) }
