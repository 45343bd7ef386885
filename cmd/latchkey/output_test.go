package main

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"
)

// hostile is what a stranger may have made us record.
const hostile = "a\x1b[2J\r\nb\t\u009b0m\u202e\u2028\u00ad\x7f\ufeffé漢😀\U000e0001"

func printable(t *testing.T, what, s string) {
	t.Helper()
	for _, c := range s {
		if !unicode.IsPrint(c) {
			t.Errorf("%s: %U reaches the terminal", what, c)
		}
	}
}

func TestPlain(t *testing.T) {
	for in, want := range map[string]string{
		"":                     "",
		"acme & Söhne":         "acme & Söhne",
		"漢字 😀 '\"\\":           "漢字 😀 '\"\\",
		"\x1b[31mred":          `\x1b[31mred`,
		"a\r\n\tb":             `a\r\n\tb`,
		"\u009b0m":             `\u009b0m`,
		"\u202eevil":           `\u202eevil`,
		"\xff\xfe\xc3":         `\xff\xfe\xc3`,
		"\U000e0001":           `\U000e0001`,
		"\ufffd was there":     "\ufffd was there",
		"no-break\u00a0space":  `no-break\u00a0space`,
		"zero\u200bwidth\x00!": `zero\u200bwidth\x00!`,
	} {
		if got := plain(in); got != want {
			t.Errorf("%+q: got %+q, want %+q", in, got, want)
		}
	}
	printable(t, "plain", plain(hostile))
}

// What is printed as JSON is harmless, and still the same value.
func TestWriteJSON(t *testing.T) {
	var b strings.Builder
	if err := writeJSON(&b, map[string]string{"agent": hostile, "html": "<&>"}); err != nil {
		t.Fatal(err)
	}
	printable(t, "JSON", strings.ReplaceAll(b.String(), "\n", ""))
	var back map[string]string
	if err := json.Unmarshal([]byte(b.String()), &back); err != nil {
		t.Fatalf("%v in\n%s", err, b.String())
	}
	if back["agent"] != hostile || back["html"] != "<&>" {
		t.Errorf("%+q came back as %+q", hostile, back["agent"])
	}
	if !strings.Contains(b.String(), `"<&>"`) || !strings.Contains(b.String(), "é漢😀") {
		t.Errorf("what is harmless is escaped:\n%s", b.String())
	}
}

func TestTable(t *testing.T) {
	var b strings.Builder
	table(&b, []string{"NAME", "ID"}, [][]string{{"acme\n", "1"}, {"é", "2"}})
	if want := "NAME    ID\nacme\\n  1\né       2\n"; b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
	b.Reset()
	fields(&b, [2]string{"Team", "acme"}, [2]string{"Nothing", ""}, [2]string{"API key", "k\tx"})
	if want := "Team     acme\nAPI key  k\\tx\n"; b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

func TestWords(t *testing.T) {
	for in, want := range map[string]string{
		"acme": "acme", "a-b_c.d:e/f@g": "a-b_c.d:e/f@g", "": "''", "a b": "'a b'", "it's": `'it'\''s'`, "$(x)": "'$(x)'", "-rf": "'-rf'", "é": "'é'",
	} {
		if got := word(in); got != want {
			t.Errorf("%q is written %s, want %s", in, got, want)
		}
	}
	for want, in := range map[string][]string{"": nil, "a": {"a"}, "a and b": {"a", "b"}, "a, b and c": {"a", "b", "c"}} {
		if got := list(in); got != want {
			t.Errorf("%v is listed %q, want %q", in, got, want)
		}
	}
	for ms, want := range map[float64]string{0: "0.00", 0.042: "0.04", 9.99: "9.99", 12.5: "12", 3000: "3000"} {
		if got := milliseconds(ms); got != want {
			t.Errorf("%v ms is written %s, want %s", ms, got, want)
		}
	}
}
