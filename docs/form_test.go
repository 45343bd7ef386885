package docs_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// A form is what a page can show in place of a value that is another each time.
// The page shows one that looks real, or begins like one and ends in "…".
type form struct {
	shown   string // as it may stand in a page
	real    string // as it is
	bind    bool   // the same value stands for the same value all down the page
	latest  bool   // in a command, it stands for the value that was seen last
	shorten int    // with -update, so many characters are shown; 0: all
}

// forms are tried in this order. A value that is bound can stand in a command
// too: there the real one is put in its place.
var forms = []form{
	{`lk_[0-9A-Za-z]{4,}…|lk_[0-9A-Za-z]{38}`, `lk_[0-9A-Za-z]{38}`, true, false, 9},
	{`lk_…`, `lk_[0-9A-Za-z]{38}`, false, true, 0},
	{`eyJ[0-9A-Za-z_.-]*…|eyJ[0-9A-Za-z_-]+\.[0-9A-Za-z_-]+\.[0-9A-Za-z_-]+`, `eyJ[0-9A-Za-z_-]+\.[0-9A-Za-z_-]+\.[0-9A-Za-z_-]+`, false, true, 3},
	{`(?:team|key)_[0-9A-Za-z]{22}`, `(?:team|key)_[0-9A-Za-z]{22}`, true, false, 0},
	{`unknown_[0-9a-f]{24}`, `unknown(?:_[0-9a-f]{24})?`, false, false, 0},
	{`[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}`, `[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}`, true, false, 0},
	{`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,6}Z`, `\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,6}Z`, false, false, 0},
	{`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`, `\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`, false, false, 0},
	{`(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT`, `\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT`, false, false, 0},
	{`\d{4}/\d\d/\d\d \d\d:\d\d:\d\d`, `\d{4}/\d\d/\d\d \d\d:\d\d:\d\d`, false, false, 0},
	{`version \(devel\)`, `version (?:\(devel\)|v\d[^\s,]*)`, false, false, 0},
	{`command line \(uid \d+(?:, \w+)?\)`, `command line \(uid \d+(?:, \w+)?\)`, false, false, 0},
	{lapse, lapse, false, false, 0},
	{`"iat": \d{10}\b`, `"iat": \d{10}`, false, false, 0},
	{`curl/\d+[0-9.]+`, `curl/\d+[0-9.]+`, false, false, 0},
	{`\d+(?:\.\d+)? ms`, `\d+(?:\.\d+)? ms`, false, false, 0},
	{`"(?:duration_us|took_ms)": [0-9.]+`, `"(?:duration_us|took_ms)": [0-9.e+-]+`, false, false, 0},
	{`\b[0-9A-Za-z]{32}\b|\b[0-9A-Za-z]{4,31}…`, `[0-9A-Za-z]{32}`, true, false, 6},
	{`…`, `[^\n]*?`, false, false, 0},
}

// lapse is a length of time as the program says it, such as "12 s ago" or
// "10m0s ago".
const lapse = `\d+ s (?:ago|in the future|behind|ahead)|(?:\d+(?:\.\d+)?(?:h|ms|m|µs|s))+ ago`

// everyForm finds the next form in a page; the number of the group that
// matched is the form's, plus one.
var everyForm = func() *regexp.Regexp {
	var parts []string
	for _, f := range forms {
		parts = append(parts, "("+f.shown+")")
	}
	return regexp.MustCompile(strings.Join(parts, "|"))
}()

// A translation is what the values of a page stand for in this run.
type translation struct {
	real  map[string]string // by the value that the page shows
	shown map[string]string // the other way round
}

func newTranslation() *translation {
	return &translation{make(map[string]string), make(map[string]string)}
}

// pattern returns a regular expression for an output that a page shows, and the
// shown values that its groups bind. A line that is only "…" stands for any
// lines.
func (tr *translation) pattern(shown string) (*regexp.Regexp, []string) {
	var b strings.Builder
	var bound []string
	b.WriteString(`(?s)\A`)
	for line := range strings.Lines(shown) {
		if strings.TrimSpace(line) == "…" {
			b.WriteString(`(?:[^\n]*\n)*?`)
			continue
		}
		for line != "" {
			m := everyForm.FindStringSubmatchIndex(line)
			if m == nil {
				b.WriteString(regexp.QuoteMeta(line))
				break
			}
			b.WriteString(regexp.QuoteMeta(line[:m[0]]))
			value := line[m[0]:m[1]]
			f := forms[formNumber(m)]
			switch known, ok := tr.real[value]; {
			case ok && !f.latest:
				b.WriteString(regexp.QuoteMeta(known))
			case f.bind || f.latest:
				bound = append(bound, value)
				b.WriteString("(" + f.real + ")")
			default:
				b.WriteString("(?:" + f.real + ")")
			}
			line = line[m[1]:]
		}
	}
	b.WriteString(`\z`)
	return regexp.MustCompile(b.String()), bound
}

func formNumber(m []int) int {
	for i := range forms {
		if m[2+2*i] >= 0 {
			return i
		}
	}
	panic("a match without a group")
}

// match compares an output with what a page shows of it, and binds its values.
func (tr *translation) match(shown, real string) error {
	pattern, bound := tr.pattern(shown)
	m := pattern.FindStringSubmatch(real)
	if m == nil {
		return fmt.Errorf("shown:\n%s\nseen:\n%s", indent(shown), indent(tr.show(real)))
	}
	for i, value := range bound {
		if f := forms[formNumber(everyForm.FindStringSubmatchIndex(value))]; f.latest {
			tr.real[value] = m[i+1]
			continue
		}
		if before, ok := tr.real[value]; ok && before != m[i+1] {
			return fmt.Errorf("the page shows %s for two values:\n%s", value, indent(shown))
		}
		if before, ok := tr.shown[m[i+1]]; ok && before != value {
			return fmt.Errorf("the page shows %s and %s for one value:\n%s", before, value, indent(shown))
		}
		tr.real[value], tr.shown[m[i+1]] = m[i+1], value
	}
	return nil
}

// command puts real values into a command.
func (tr *translation) command(shown string) string {
	return everyForm.ReplaceAllStringFunc(shown, func(value string) string {
		if real, ok := tr.real[value]; ok {
			return real
		}
		return value
	})
}

// show writes an output as a page shows it: values that the page has shown as
// it did, long ones cut short.
func (tr *translation) show(real string) string {
	return everyForm.ReplaceAllStringFunc(real, func(value string) string {
		if shown, ok := tr.shown[value]; ok {
			return shown
		}
		f := forms[formNumber(everyForm.FindStringSubmatchIndex(value))]
		if f.shorten > 0 && len(value) > f.shorten {
			return value[:f.shorten] + "…"
		}
		return value
	})
}

func indent(s string) string {
	return "    " + strings.ReplaceAll(strings.TrimSuffix(s, "\n"), "\n", "\n    ") + "\n"
}

func TestForms(t *testing.T) {
	const (
		id1, id2   = "01a2090a-5366-7165-9b7b-06385dc415cf", "01a2090a-5319-7811-ab7d-809e2c71749e"
		id3, id4   = "01963b7c-52a0-7c3e-8f51-0d6c3a9b7e42", "74f80a77-9b3f-44ac-b3ad-ab68cfb548fa"
		key1, key2 = "lk_aaaabbbbccccddddeeeeffffgggghhhh000000", "lk_zzzzbbbbccccddddeeeeffffgggghhhh000000"
	)
	for name, c := range map[string]struct {
		shown, real string
		same        bool
	}{
		"the same words":             {"Team default\n", "Team default\n", true},
		"other words":                {"Team default\n", "Team other\n", false},
		"another ID":                 {id1 + "\n", id2 + "\n", true},
		"the same two IDs":           {id1 + " " + id1 + "\n", id3 + " " + id3 + "\n", true},
		"two IDs for one":            {id1 + " " + id1 + "\n", id3 + " " + id4 + "\n", false},
		"one ID for two":             {id1 + " " + id2 + "\n", id3 + " " + id3 + "\n", false},
		"no ID":                      {id1 + "\n", "none\n", false},
		"a key cut short":            {"key lk_2kPq…\n", "key " + key1 + "\n", true},
		"two keys for one":           {"lk_2kPq… lk_2kPq…\n", key1 + " " + key2 + "\n", false},
		"two keys, not told apart":   {"lk_… lk_…\n", key1 + " " + key2 + "\n", true},
		"another time":               {"2026-01-02T03:04:05Z\n", "2027-01-02T03:04:05Z\n", true},
		"no time":                    {"2026-01-02T03:04:05Z\n", "2027-01-02\n", false},
		"a lapse":                    {"signed 10m0s ago, dead 300 s ago\n", "signed 1.5s ago, dead 2 s ago\n", true},
		"milliseconds":               {"in 1.52 ms.\n", "in 17 ms.\n", true},
		"the rest of a line":         {"curl …\n", "curl 8.1\n", true},
		"more than a line":           {"curl …\n", "curl\n8.1\n", false},
		"any lines":                  {"a\n…\nb\n", "a\nx\ny\nb\n", true},
		"no lines are any":           {"a\n…\nb\n", "a\nb\n", true},
		"a line more":                {"a\n", "a\nb\n", false},
		"a line less":                {"a\nb\n", "a\n", false},
		"a Secret Key":               {"NKNCnZ…\n", "0123456789abcdefghijABCDEFGHIJ01\n", true},
		"a Secret Key too short":     {"NKNCnZ…\n", "0123\n", false},
		"characters with a meaning":  {"a.c (x)\n", "abc (x)\n", false},
		"output where none is shown": {"", "oh\n", false},
	} {
		if err := newTranslation().match(c.shown, c.real); (err == nil) != c.same {
			t.Errorf("%s: %q shown, %q seen: %v", name, c.shown, c.real, err)
		}
	}

	tr := newTranslation()
	if err := tr.match("id "+id1+" key lk_2kPq…\n", "id "+id2+" key "+key1+"\n"); err != nil {
		t.Fatal(err)
	}
	if got, want := tr.command("show "+id1+" lk_2kPq… "+id3), "show "+id2+" "+key1+" "+id3; got != want {
		t.Errorf("the command is %q, want %q", got, want)
	}
	if got, want := tr.show(id2+" "+key1+" "+key2), id1+" lk_2kPq… lk_zzzzbb…"; got != want {
		t.Errorf("shown is %q, want %q", got, want)
	}
}
