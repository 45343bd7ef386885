package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"
)

// writeJSON writes v as indented JSON. What a terminal could take for a command
// of its own (recorded strings come from strangers) is escaped, as JSON allows.
func writeJSON(w io.Writer, v any) error {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return err
	}
	var out strings.Builder
	escapeJSON(&out, text.String())
	_, err := io.WriteString(w, out.String())
	return err
}

func escapeJSON(out *strings.Builder, text string) {
	for _, c := range text {
		switch {
		case c == '\n' || unicode.IsPrint(c):
			out.WriteRune(c)
		case c > 0xffff:
			c -= 0x10000
			fmt.Fprintf(out, `\u%04x\u%04x`, 0xd800+(c>>10), 0xdc00+(c&0x3ff))
		default:
			fmt.Fprintf(out, `\u%04x`, c)
		}
	}
}

// plain escapes what a terminal could take for a command, or would not show.
func plain(s string) string {
	var out strings.Builder
	for i := 0; i < len(s); {
		c, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case c == utf8.RuneError && size == 1:
			fmt.Fprintf(&out, `\x%02x`, s[i])
		case unicode.IsPrint(c):
			out.WriteRune(c)
		default:
			out.WriteString(strings.Trim(strconv.QuoteRune(c), "'"))
		}
		i += size
	}
	return out.String()
}

// table writes rows of cells under a heading, aligned. Cells are made plain.
func table(w io.Writer, heading []string, rows [][]string) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{heading}, rows...) {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = plain(cell)
		}
		fmt.Fprintln(t, strings.Join(cells, "\t"))
	}
	_ = t.Flush() // to memory: it cannot fail
}

// fields writes pairs of name and value, one a line, aligned, without those that
// have no value.
func fields(w io.Writer, pairs ...[2]string) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, p := range pairs {
		if p[1] != "" {
			fmt.Fprintf(t, "%s\t%s\n", p[0], plain(p[1]))
		}
	}
	_ = t.Flush()
}

// at writes a time for people, to the second.
func at(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// milliseconds writes a duration with no more digits than say something.
func milliseconds(ms float64) string {
	if ms < 10 {
		return strconv.FormatFloat(ms, 'f', 2, 64)
	}
	return strconv.FormatFloat(ms, 'f', 0, 64)
}

// list writes "a, b and c".
func list(items []string) string {
	if len(items) < 2 {
		return strings.Join(items, "")
	}
	last := len(items) - 1
	return strings.Join(items[:last], ", ") + " and " + items[last]
}

var bareWord = regexp.MustCompile(`^[A-Za-z0-9_@%+=:,./-]+$`)

// word writes s as a shell takes it for one argument.
func word(s string) string {
	if bareWord.MatchString(s) && !strings.HasPrefix(s, "-") {
		return s
	}
	return shellQuote(s)
}
