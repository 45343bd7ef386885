package latchkey

import (
	"regexp"
	"strings"
)

// curlStart is where a curl command begins. Other programs have a -u, too.
var curlStart = regexp.MustCompile("(?:^|[\\s;|&(`'\"/\\\\])curl(?:\\.exe)?(?:[ \t]|[\\\\^`]\r?\n)")

// curlCommand finds what the first curl command with a credential sends.
func curlCommand(text string) (pasted, bool) {
	for _, at := range curlStart.FindAllStringIndex(text, maxFound) {
		if sent, ok := readCurl(shellWords(text[at[1]:])); ok {
			return sent, true
		}
	}
	return pasted{}, false
}

const (
	// curlTakes are curl's options of one letter that take a value.
	curlTakes = "AbcCdDeEFHKmoPQrtTuUwxXyYz"

	// curlValues are options whose value could be taken for an option, or for
	// the URL of the request.
	curlValues = " --proxy --preproxy --proxy-user --referer --data --data-raw --data-binary --data-urlencode --json --form --cookie --user-agent --output --request "
)

// readCurl reads the words of a curl command as curl does: a header outweighs
// --oauth2-bearer, that a user name, and that the one in a URL.
func readCurl(words []string) (pasted, bool) {
	var headers, users, bearers, urls []string
	for len(words) > 0 {
		option, value, rest := curlOption(words)
		switch option {
		case "-H", "--header":
			if name, of, ok := strings.Cut(value, ":"); ok && strings.EqualFold(strings.TrimSpace(name), "Authorization") {
				headers = append(headers, strings.Trim(of, " \t"))
			}
		case "-u", "--user":
			users = append(users, value)
		case "--oauth2-bearer":
			bearers = append(bearers, value)
		case "", "--url":
			if m := userInfo.FindStringSubmatch(value); m != nil {
				urls = append(urls, m[1])
			}
		}
		words = rest
	}
	switch {
	case headers != nil:
		return pasted{fields: headers}, true
	case bearers != nil:
		return pasted{fields: []string{"Bearer " + bearers[len(bearers)-1]}, as: "What follows --oauth2-bearer, read here as curl sends it."}, true
	case users != nil:
		return ofUser(users), true
	case urls != nil:
		return ofUserInfo(urls[0]), true
	}
	return pasted{}, false
}

// curlOption takes one option with its value, or a word that is none, off
// words. An option without a value comes back with "" or with a word that
// could be its value, which is left in rest.
func curlOption(words []string) (option, value string, rest []string) {
	word, rest := words[0], words[1:]
	switch {
	case strings.HasPrefix(word, "--"):
		if option, value, ok := strings.Cut(word, "="); ok {
			return option, value, rest
		}
		takes := word == "--header" || word == "--user" || word == "--oauth2-bearer" || word == "--url" || strings.Contains(curlValues, " "+word+" ")
		if takes && len(rest) > 0 {
			return word, rest[0], rest[1:]
		}
		return word, "", rest
	case strings.HasPrefix(word, "-") && len(word) > 1:
		at := strings.IndexAny(word[1:], curlTakes) + 1 // -su KEY: is -s -u KEY:
		if at == 0 {
			return word, "", rest
		}
		option, value = "-"+word[at:at+1], word[at+1:]
		if value == "" && len(rest) > 0 {
			value, rest = rest[0], rest[1:]
		}
		return option, value, rest
	}
	return "", word, rest
}

// ofUser reads what follows -u. One with a colon is preferred: what follows
// another could be the option of a program behind curl.
func ofUser(users []string) pasted {
	user := users[len(users)-1]
	for _, u := range users {
		if strings.Contains(u, ":") {
			user = u
		}
	}
	sent := pasted{as: "What follows -u, read here as curl sends it: by Basic."}
	if !strings.Contains(user, ":") {
		user += ":"
		sent.as += " There is no colon in it, and curl asks for a password unless the colon is there: write -u \"KEY:\"."
	}
	sent.fields = []string{basicOf(user)}
	return sent
}

// variable stands in a value for what a shell or a program puts there. Nobody
// pastes it.
const variable = "${\x00}"

// shellWords splits a command into words as a POSIX shell does, to its end or
// to the end of text.
func shellWords(text string) []string {
	var (
		words []string
		word  strings.Builder
		begun bool // of a word, which may be empty
	)
	end := func() {
		if begun {
			words = append(words, word.String())
		}
		word.Reset()
		begun = false
	}
	for text != "" {
		switch c := text[0]; {
		case c == ' ' || c == '\t' || c == '>':
			end()
			text = text[1:]
		case strings.IndexByte("\r\n;|&)", c) >= 0, c == '#' && !begun:
			end()
			return words
		default:
			said, size := shellPart(text)
			word.WriteString(said)
			begun = begun || said != "" || c == '\'' || c == '"'
			text = text[size:]
		}
	}
	end()
	return words
}

// docPlaceholder is <API_KEY>, which a shell would take for a file.
var docPlaceholder = regexp.MustCompile(`^<[\w -]{1,40}>`)

// shellPart reads what text begins with: something in quotes, a variable, or a
// character.
func shellPart(text string) (said string, size int) {
	switch text[0] {
	case '\'':
		inside, _, _ := strings.Cut(text[1:], "'")
		return inside, min(len(inside)+2, len(text))
	case '"':
		return doubleQuoted(text)
	case '\\', '^', '`':
		if strings.HasPrefix(text, `^"`) {
			return "", 1 // how Windows quotes a quote
		}
		for _, end := range []string{"\n", "\r\n"} {
			if strings.HasPrefix(text[1:], end) {
				return "", 1 + len(end) // the line goes on
			}
		}
		if text[0] == '\\' && len(text) > 1 {
			return text[1:2], 2
		}
	case '<':
		if placeholder := docPlaceholder.FindString(text); placeholder != "" {
			return placeholder, len(placeholder)
		}
	}
	if strings.HasPrefix(text, "$'") {
		return escaped(text)
	}
	if size = variableIn(text); size > 0 {
		return variable, size
	}
	return text[:1], 1
}

// doubleQuoted reads from one double quote to the next.
func doubleQuoted(text string) (said string, size int) {
	var b strings.Builder
	for at := 1; at < len(text); {
		switch c := text[at]; {
		case c == '"':
			return b.String(), at + 1
		case c == '\\' && at+1 < len(text) && strings.IndexByte("\"\\$`", text[at+1]) >= 0:
			b.WriteByte(text[at+1])
			at += 2
		case strings.HasPrefix(text[at:], `^"`):
			at++
		default:
			if n := max(variableIn(text[at:]), percentIn(text[at:])); n > 0 {
				b.WriteString(variable)
				at += n
				continue
			}
			b.WriteByte(c)
			at++
		}
	}
	return b.String(), len(text)
}

// escaped reads $'…'.
func escaped(text string) (said string, size int) {
	var b strings.Builder
	for at := 2; at < len(text); at++ {
		switch c := text[at]; {
		case c == '\'':
			return b.String(), at + 1
		case c == '\\' && at+1 < len(text):
			at++
		}
		b.WriteByte(text[at])
	}
	return b.String(), len(text)
}

// maxVariable bounds ${…}, $(…), %…% and what is between backquotes, in bytes.
const maxVariable = 400

// variableIn returns how many bytes of what text begins with are a variable, or
// a command whose output a shell puts there.
func variableIn(text string) int {
	if text[0] != '`' {
		return dollarIn(text)
	}
	within := text[1:min(len(text), maxVariable)]
	end := strings.IndexAny(within, "`\n")
	if end < 0 || within[end] == '\n' {
		return 0
	}
	return end + 2
}

// dollarIn is variableIn for what begins with a dollar.
func dollarIn(text string) int {
	if len(text) < 2 || text[0] != '$' {
		return 0
	}
	within := text[1:min(len(text), maxVariable)]
	size := 0
	switch within[0] {
	case '{':
		size = closedIn(within, '{', '}')
	case '(':
		size = closedIn(within, '(', ')')
	default:
		for size < len(within) && wordByte(within[size]) {
			size++
		}
	}
	if size == 0 {
		return 0
	}
	return 1 + size
}

// percentIn is variableIn for %KEY%, as on Windows.
func percentIn(text string) int {
	if text[0] != '%' {
		return 0
	}
	text = text[:min(len(text), maxVariable)]
	size := 1
	for size < len(text) && wordByte(text[size]) {
		size++
	}
	if size == 1 || size == len(text) || text[size] != '%' || '0' <= text[1] && text[1] <= '9' {
		return 0
	}
	return size + 1
}

func wordByte(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// closedIn returns the length of what text begins with, from the first opening
// to its closing; 0 if that is missing, or on another line.
func closedIn(text string, opening, closing byte) int {
	depth := 0
	for at := range len(text) {
		switch text[at] {
		case opening:
			depth++
		case closing:
			if depth--; depth == 0 {
				return at + 1
			}
		case '\n':
			return 0
		}
	}
	return 0
}
