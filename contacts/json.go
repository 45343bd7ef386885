package contacts

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
)

// maxDepth is how deep JSON may nest; a contact needs 2.
const maxDepth = 16

// What can be wrong with a body as JSON, as words that complete "The body …".
const (
	notUTF8       = "is not valid UTF-8"
	notJSON       = "is not valid JSON (byte %d)"
	tooDeep       = "is nested deeper than 16 levels"
	nameTwice     = "has an object with the same name twice"
	loneSurrogate = `has a \u escape that is half of a character`
)

// strictJSON is encoding/json without its three silent changes of what was sent:
// it takes the last of two equal names, and puts U+FFFD for bytes that are no
// UTF-8 and for half a surrogate pair.
var strictJSON = huma.Format{
	Marshal: func(w io.Writer, v any) error {
		body, err := json.Marshal(v)
		if err != nil {
			return err
		}
		// huma panics at an error; a caller that has hung up is none of ours.
		_, _ = w.Write(append(body, '\n'))
		return nil
	},
	Unmarshal: func(data []byte, v any) error {
		if err := checkJSON(data); err != nil {
			return err
		}
		return json.Unmarshal(data, v)
	},
}

// wrongJSON is one of the phrases above.
type wrongJSON string

func (w wrongJSON) Error() string { return string(w) }

func checkJSON(data []byte) error {
	if !utf8.Valid(data) {
		return wrongJSON(notUTF8)
	}
	// Before the decoder that says where a mistake is, which has a bound of its
	// own for depth and calls what lies beyond it a mistake.
	var wrong wrongJSON
	if errors.As(walk(json.NewDecoder(bytes.NewReader(data)), 1), &wrong) {
		return wrong
	}
	var raw json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			return wrongJSON(fmt.Sprintf(notJSON, syntax.Offset))
		}
		return err
	}
	if hasLoneSurrogate(data) {
		return wrongJSON(loneSurrogate)
	}
	return nil
}

// walk reads one value and checks names and depth. Its other errors are those of
// the decoder.
func walk(dec *json.Decoder, depth int) error {
	token, err := dec.Token()
	if err != nil {
		return err
	}
	open, ok := token.(json.Delim)
	if !ok {
		return nil
	}
	if depth > maxDepth {
		return wrongJSON(tooDeep)
	}
	names := map[string]bool{}
	for dec.More() {
		if open == '{' {
			name, err := dec.Token()
			if err != nil {
				return err
			}
			text, _ := name.(string) // nothing else gets through where a name belongs
			if names[text] {
				return wrongJSON(nameTwice)
			}
			names[text] = true
		}
		if err := walk(dec, depth+1); err != nil {
			return err
		}
	}
	_, err = dec.Token() // the closing bracket
	return err
}

// hasLoneSurrogate reports whether valid JSON escapes half of a UTF-16
// surrogate pair (RFC 8259, section 8.2).
func hasLoneSurrogate(data []byte) bool {
	// In valid JSON a backslash is in a string, and \u has four digits.
	unit := func(at int) (rune, bool) {
		if at+6 > len(data) || data[at] != '\\' || data[at+1] != 'u' {
			return 0, false
		}
		u, err := strconv.ParseUint(string(data[at+2:at+6]), 16, 16)
		return rune(u), err == nil
	}
	for i := 0; i < len(data); i++ {
		if data[i] != '\\' {
			continue
		}
		first, ok := unit(i)
		if !ok || !utf16.IsSurrogate(first) {
			i++ // what is escaped may be a backslash itself
			continue
		}
		second, ok := unit(i + 6)
		if !ok || utf16.DecodeRune(first, second) == utf8.RuneError {
			return true
		}
		i += 11
	}
	return false
}
