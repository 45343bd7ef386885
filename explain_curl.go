package latchkey

import (
	"regexp"
	"strings"
)

var (
	// curlWord is the command curl, by its name or a path.
	curlWord = regexp.MustCompile("(?im)(?:^|[\\s/\\\\;|&>(`'\"])curl(?:\\.exe)?[ \\t]")

	// continuation is the end of a line that goes on with the next: in a shell, in
	// PowerShell, and in the Windows command prompt.
	continuation = regexp.MustCompile("[ \\t]*[\\\\`^][ \\t]*\\r?\\n[ \\t]*")

	// userOption is curl's -u, also after options that have no value (-sSu).
	userOption = regexp.MustCompile(`^-[#0-6BGIJLNORSZafgijklnpqsv]*u`)
)

// curlUser returns the user name and password that curl is given in a text. Of
// several, one with a colon is rather meant.
func curlUser(text string) (user string, found bool) {
	text = continuation.ReplaceAllString(text, " ")
	for at := curlWord.FindStringIndex(text); at != nil; at = curlWord.FindStringIndex(text) {
		var words []string
		words, text = commandWords(text[at[1]:])
		for i := range words {
			value, given := userValue(words[i:])
			if !given {
				continue
			}
			if strings.Contains(value, ":") {
				return value, true
			}
			if !found {
				user, found = value, true
			}
		}
	}
	return user, found
}

// userValue reads words that begin with the option for it.
func userValue(words []string) (value string, given bool) {
	long, after, equals := strings.Cut(words[0], "=")
	short := userOption.FindString(words[0])
	switch {
	case long == "--user" && equals:
		return after, true
	case short != "" && len(words[0]) > len(short):
		return strings.TrimPrefix(words[0][len(short):], "="), true
	case (short != "" || words[0] == "--user") && len(words) > 1:
		return words[1], true
	}
	return "", false
}

// commandWords splits what follows a command's name as a shell does, up to the
// end of the command, and returns what comes after it. A quote that is never closed
// is that of a text around the command.
func commandWords(text string) (words []string, rest string) {
	var word strings.Builder
	begun := false
	end := func() {
		if begun {
			words = append(words, word.String())
		}
		word.Reset()
		begun = false
	}
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case ' ', '\t':
			end()
		case '\n', '\r', '|', ';', '&', ')', '`':
			end()
			return words, text[i:]
		case '\'', '"':
			inside, _, closed := strings.Cut(text[i+1:], string(c))
			if !closed {
				continue
			}
			if word.String() == "--user" {
				end()
			}
			word.WriteString(inside)
			begun = true
			i += len(inside) + 1
		default:
			word.WriteByte(c)
			begun = true
		}
	}
	end()
	return words, ""
}
