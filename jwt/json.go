package jwt

import (
	"bytes"
	"hash/maphash"
	"unicode/utf16"
	"unicode/utf8"
)

// MaxNesting is how deep objects and arrays may stand in one another; the
// outermost object is the first level.
const MaxNesting = 16

// maxNames is more than the names of the objects that can be open at once: a
// member takes five bytes or more ("":0,), but for the last, unfinished one at
// each level.
const maxNames = maxDecoded/5 + MaxNesting

// shape is what kind of JSON value stands somewhere. The zero shape is none.
type shape byte

const (
	absent shape = iota
	null
	boolean
	numeric
	text
	array
	object
)

// span is a part of a scanner's buffer. Offsets and not slices: the buffer
// belongs to a Token, and a slice of it kept in a variable would move the Token
// from its owner's stack to the heap.
type span struct{ start, end int }

// value is a JSON value, as far as a token needs it.
type value struct {
	shape  shape
	text   span   // of a string, unescaped
	number number // of a numeric
}

// field is a member of the outermost object that the reader wants to have.
type field struct {
	name  string
	value value
}

// name is the place of a member's name in the buffer, and its hash, which tells
// almost all names apart without a look at the buffer.
type name struct {
	start, end uint16
	hash       uint32
}

// seed keys the hash of names, so that nobody can make names that collide.
var seed = maphash.MakeSeed()

// scanner reads one JSON object by the grammar of RFC 8259, and stricter than
// that where readers are known to differ: no name twice in an object (§4), no
// number out of range (§6), no invalid UTF-8 (§8.1), no lone surrogate (§8.2).
//
// It unescapes strings in place: what has been read is overwritten, never what
// is still to be read. It allocates nothing.
type scanner struct {
	buf   []byte
	pos   int // where to begin, at first
	names *[maxNames]name
	open  int    // names in use: those of the objects that are being read
	fault string // what is wrong with the text, once something is
}

// document reads the buffer from pos to its end as one object, with white space around it
// perhaps, and puts the members asked for into wanted.
func (s *scanner) document(wanted []field) bool {
	if bytes.HasPrefix(s.buf[s.pos:], []byte("\xef\xbb\xbf")) {
		return s.fail("it begins with a byte order mark; leave that out")
	}
	if s.space(); s.peek() != '{' {
		return s.fail("it must be an object in braces")
	}
	if !s.object(1, wanted) {
		return false
	}
	if s.space(); s.pos < len(s.buf) {
		return s.fail("something stands after the object")
	}
	return true
}

// object reads an object from its opening brace on.
func (s *scanner) object(depth int, wanted []field) bool {
	if depth > MaxNesting {
		return s.fail("objects and arrays are nested deeper than 16 levels")
	}
	s.pos++
	first := s.open
	if s.space(); s.take('}') {
		return true
	}
	for {
		s.space()
		name, ok := s.name(first)
		if !ok {
			return false
		}
		if s.space(); !s.take(':') {
			return s.fail("a colon is missing after a name")
		}
		s.space()
		v, ok := s.value(depth)
		if !ok {
			return false
		}
		for i := range wanted {
			if string(s.buf[name.start:name.end]) == wanted[i].name {
				wanted[i].value = v
			}
		}
		if s.space(); s.take('}') {
			s.open = first
			return true
		}
		if !s.take(',') {
			return s.fail("an object is not closed, or a comma is missing in it")
		}
	}
}

// name reads a member's name, which must differ from the names of the same
// object: those from first on.
func (s *scanner) name(first int) (span, bool) {
	if s.peek() != '"' {
		return span{}, s.fail("a name in double quotes is missing in an object")
	}
	at, ok := s.text()
	if !ok {
		return span{}, false
	}
	read := s.buf[at.start:at.end]
	hash := uint32(maphash.Bytes(seed, read))
	for _, n := range s.names[first:s.open] {
		if n.hash == hash && bytes.Equal(s.buf[n.start:n.end], read) {
			return span{}, s.fail("a name stands twice in one object")
		}
	}
	s.names[s.open] = name{uint16(at.start), uint16(at.end), hash}
	s.open++
	return at, true
}

// array reads an array from its opening bracket on.
func (s *scanner) array(depth int) bool {
	if depth > MaxNesting {
		return s.fail("objects and arrays are nested deeper than 16 levels")
	}
	s.pos++
	if s.space(); s.take(']') {
		return true
	}
	for {
		s.space()
		if _, ok := s.value(depth); !ok {
			return false
		}
		if s.space(); s.take(']') {
			return true
		}
		if !s.take(',') {
			return s.fail("an array is not closed, or a comma is missing in it")
		}
	}
}

// value reads any value; depth is the level that it stands in.
func (s *scanner) value(depth int) (value, bool) {
	switch c := s.peek(); {
	case c == '"':
		read, ok := s.text()
		return value{shape: text, text: read}, ok
	case c == '-' || '0' <= c && c <= '9':
		n, ok := s.number()
		return value{shape: numeric, number: n}, ok
	case c == '{':
		return value{shape: object}, s.object(depth+1, nil)
	case c == '[':
		return value{shape: array}, s.array(depth + 1)
	case c == 't':
		return value{shape: boolean}, s.literal("true")
	case c == 'f':
		return value{shape: boolean}, s.literal("false")
	case c == 'n':
		return value{shape: null}, s.literal("null")
	}
	return value{}, s.fail("a value is missing, or is of no kind that JSON has")
}

// literal reads true, false or null.
func (s *scanner) literal(word string) bool {
	end := s.pos + len(word)
	if end > len(s.buf) || string(s.buf[s.pos:end]) != word {
		return s.fail("a value is missing, or is of no kind that JSON has")
	}
	s.pos = end
	return true
}

// text reads a string from its opening quote on, and unescapes it in place.
func (s *scanner) text() (span, bool) {
	s.pos++
	start := s.pos
	for s.pos < len(s.buf) && plain(s.buf[s.pos]) {
		s.pos++
	}
	end := s.pos
	for s.pos < len(s.buf) {
		switch c := s.buf[s.pos]; {
		case c == '"':
			s.pos++
			return span{start, end}, true
		case c == '\\':
			r, ok := s.escape()
			if !ok {
				return span{}, false
			}
			end += utf8.EncodeRune(s.buf[end:], r)
		case c < ' ':
			return span{}, s.fail("a string holds a raw control character; escape it")
		default:
			r, size := utf8.DecodeRune(s.buf[s.pos:])
			if r == utf8.RuneError && size == 1 {
				return span{}, s.fail("a string is not valid UTF-8")
			}
			end += copy(s.buf[end:], s.buf[s.pos:s.pos+size])
			s.pos += size
		}
	}
	return span{}, s.fail("a string is not closed")
}

// plain reports whether c stands for itself in a string.
func plain(c byte) bool {
	return ' ' <= c && c < utf8.RuneSelf && c != '"' && c != '\\'
}

// escape reads an escape sequence from its backslash on.
func (s *scanner) escape() (rune, bool) {
	s.pos++
	c := s.peek()
	s.pos++
	switch c {
	case '"', '\\', '/':
		return rune(c), true
	case 'b':
		return '\b', true
	case 'f':
		return '\f', true
	case 'n':
		return '\n', true
	case 'r':
		return '\r', true
	case 't':
		return '\t', true
	case 'u':
		r, ok := s.hex()
		if ok && utf16.IsSurrogate(r) {
			var low rune
			ok = s.take('\\') && s.take('u')
			if ok {
				low, ok = s.hex()
			}
			r = utf16.DecodeRune(r, low)
			ok = ok && r != utf8.RuneError
		}
		if !ok {
			return 0, s.fail(`a string holds a \u escape that is no character`)
		}
		return r, true
	}
	return 0, s.fail("a string holds an escape that JSON does not have")
}

// hex reads the four digits of a \u escape.
func (s *scanner) hex() (rune, bool) {
	var r rune
	for range 4 {
		c := s.peek()
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
		s.pos++
	}
	return r, true
}

// space skips white space, of which JSON has four characters.
func (s *scanner) space() {
	for s.pos < len(s.buf) {
		switch s.buf[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

// peek returns the next byte, or at the end 0, which stands nowhere in JSON.
func (s *scanner) peek() byte {
	if s.pos < len(s.buf) {
		return s.buf[s.pos]
	}
	return 0
}

// take skips the next byte if it is c.
func (s *scanner) take(c byte) bool {
	if s.pos < len(s.buf) && s.buf[s.pos] == c {
		s.pos++
		return true
	}
	return false
}

// fail keeps what is wrong, in words that repeat nothing of the token. It
// returns false, so that its caller can return what it returns.
func (s *scanner) fail(fault string) bool {
	s.fault = fault
	return false
}
