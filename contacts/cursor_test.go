package contacts

import (
	"errors"
	"math"
	"testing"

	"latchkey"
)

// cursors are the seeds of FuzzCursor; id is 0 for what is none of ours.
var cursors = []struct {
	text string
	id   int64
}{
	{"AQAAAAAAAAAB", 1},
	{"AQAAAAAAAAAq", 42},
	{"AQAAAAAAAQAA", 1 << 16},
	{"AX__________", math.MaxInt64},
	{"AQAAAAAAAAAA", 0}, // ID 0
	{"AYAAAAAAAAAA", 0}, // an ID below 0
	{"Af__________", 0},
	{"AAAAAAAAAAAB", 0}, // version 0
	{"AgAAAAAAAAAB", 0}, // version 2
	{"AX//////////", 0}, // standard base64
	{"AQAAAAAAAA", 0},   // too short
	{"AQAAAAAAAAABAA", 0},
	{"AQAAAAAAAAAB====", 0},
	{"AQAAAAAAAAA=", 0},
	{"AQAAAAAA\r\nAB", 0}, // line breaks, which the decoder skips
	{"AQAAAAAAAAAB\n", 0},
	{"AQAAAAAAAAA\n", 0},
	{" AQAAAAAAAAB", 0},
	{"42", 0},
	{"\x00\xff", 0},
	{"", 0},
}

func TestCursors(t *testing.T) {
	good, bad := 0, 0
	for _, c := range cursors {
		id, err := parseCursor(c.text)
		if id != c.id || (err == nil) != (c.id > 0) {
			t.Errorf("parseCursor(%q) = %d, %v, want %d", c.text, id, err, c.id)
		}
		var invalid *latchkey.InvalidError
		if err != nil && (!errors.As(err, &invalid) || invalid.Field != "cursor") {
			t.Errorf("parseCursor(%q): %v does not name the cursor", c.text, err)
		}
		if c.id > 0 {
			good++
		} else {
			bad++
		}
	}
	if good < 4 || bad < 17 {
		t.Errorf("rule broken: FuzzCursor has its seeds: %d good and %d bad, want 4 and 17", good, bad)
	}
}

// FuzzCursor holds that parsing never panics, that what it takes is spelled as
// formatCursor spells it, and that every ID survives the way there and back.
func FuzzCursor(f *testing.F) {
	for _, c := range cursors {
		f.Add(c.text, c.id)
	}
	f.Fuzz(func(t *testing.T, text string, id int64) {
		if got, err := parseCursor(text); err == nil && formatCursor(got) != text {
			t.Errorf("%q is a second spelling of %q", text, formatCursor(got))
		}
		back, err := parseCursor(formatCursor(id))
		if id > 0 && (err != nil || back != id) {
			t.Errorf("ID %d comes back as %d, %v", id, back, err)
		}
		if id < 1 && err == nil {
			t.Errorf("a cursor of ID %d is taken", id)
		}
	})
}
