package docs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// helpText is the help of the program and of each of its commands.
func helpText(t *testing.T) string {
	t.Helper()
	all := command(t, t.TempDir(), "--help")
	commands := regexp.MustCompile(`(?m)^  ([a-z]+(?: [a-z]+)?)  +[A-Z]`).FindAllStringSubmatch(all, -1)
	if len(commands) < 20 {
		t.Fatalf("the help names %d commands: the test does not see them", len(commands))
	}
	var b strings.Builder
	for _, m := range commands {
		b.WriteString(command(t, t.TempDir(), append(strings.Fields(m[1]), "--help")...))
	}
	return b.String()
}

// Flags and variables that a page speaks of exist.
func TestFlagsExist(t *testing.T) {
	help := helpText(t)
	others := map[string]bool{ // of other programs, or a word for many
		"--help": true, "--cacert": true, "--strict": true, "--latency": true, "--data-binary": true, "--max-time": true,
		"LATCHKEY_": true, "LATCHKEY_MODEL": true,
	}
	seen := 0
	word := regexp.MustCompile(`--[a-z][a-z-]+|\bLATCHKEY_[A-Z_]*`)
	for _, p := range pages(t) {
		for i, line := range p.lines {
			for _, flag := range word.FindAllString(line, -1) {
				seen++
				if !others[flag] && !regexp.MustCompile(regexp.QuoteMeta(flag)+`\b`).MatchString(help) {
					t.Errorf("%s:%d: there is no %s", p.path, i+1, flag)
				}
			}
		}
	}
	if seen < 50 {
		t.Errorf("the pages speak of %d flags: the test does not see them", seen)
	}
}

// The lines of the log that a page says to watch for are in the source.
func TestLogLinesExist(t *testing.T) {
	var source strings.Builder
	for _, dir := range []string{"../cmd", "../guard", "../journal", "../contacts", "../console", "../replica", "../sqlite", "../admin"} {
		err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			source.Write(text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	_, section, ok := strings.Cut(strings.Join(readPage(t, "operating.md").lines, "\n"), "\n## What to watch\n")
	if !ok {
		t.Fatal("operating.md does not say what to watch")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	lines := regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(section, -1)
	if len(lines) < 5 {
		t.Fatalf("operating.md names %d lines: the test does not see them", len(lines))
	}
	for _, m := range lines {
		if !strings.Contains(source.String(), `"`+m[1]+`"`) {
			t.Errorf("operating.md: no program logs %q", m[1])
		}
	}
}
