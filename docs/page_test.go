package docs_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A page is a Markdown file, line by line.
type page struct {
	path  string // from this directory
	lines []string
}

// pages returns every page of the documentation, and the README.
func pages(t *testing.T) []*page {
	t.Helper()
	paths := []string{"../README.md"}
	for _, pattern := range []string{"*.md", "clients/*.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, found...)
	}
	if len(paths) < 10 {
		t.Fatalf("there are %d pages: the test does not see them", len(paths))
	}
	var all []*page
	for _, path := range paths {
		all = append(all, readPage(t, path))
	}
	return all
}

func readPage(t *testing.T, path string) *page {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return &page{path, strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")}
}

func (p *page) write(t *testing.T) {
	t.Helper()
	if err := os.WriteFile(p.path, []byte(strings.Join(p.lines, "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}

// A block is a fenced block of a page. Its lines are p.lines[first:end].
type block struct {
	kind       string
	first, end int
}

func (p *page) blocks() []block {
	var all []block
	for i := 0; i < len(p.lines); i++ {
		kind, ok := strings.CutPrefix(p.lines[i], "```")
		if !ok {
			continue
		}
		b := block{kind: kind, first: i + 1}
		for i++; i < len(p.lines) && p.lines[i] != "```"; i++ {
		}
		b.end = min(i, len(p.lines))
		all = append(all, b)
	}
	return all
}

func (p *page) text(b block) string { return strings.Join(p.lines[b.first:b.end], "\n") + "\n" }

// Blocks that are not sessions are at least what they say they are.
func TestBlocks(t *testing.T) {
	unit := regexp.MustCompile(`^(\[\w+\]|\w+=.*|#.*|)$`)
	for _, p := range pages(t) {
		for _, b := range p.blocks() {
			where := fmt.Sprintf("%s:%d", p.path, b.first)
			switch b.kind {
			case "console", "text", "bash", "python", "javascript", "ruby", "php", "java", "go": // sessions, pictures and snippets
			case "json":
				if !json.Valid([]byte(p.text(b))) {
					t.Errorf("%s: the block is not JSON", where)
				}
			case "ini":
				for _, line := range p.lines[b.first:b.end] {
					if !unit.MatchString(line) {
						t.Errorf("%s: %q is no line of a unit file", where, line)
					}
				}
			default:
				t.Errorf("%s: a block of kind %q is not tested: name a kind that is, or text", where, b.kind)
			}
		}
	}
}

var (
	marker  = regexp.MustCompile(`^<!-- file: (\S+?)(?:#(\w+))? -->$`)
	isCode  = []string{"bash", "python", "javascript", "ruby", "php", "java", "go"}
	fenceOf = map[string]string{".sh": "bash", ".py": "python", ".mjs": "javascript", ".rb": "ruby", ".php": "php", ".java": "java", ".go": "go"}
)

// A page shows files as they are: after <!-- file: PATH --> comes the file in a
// block. Code that is not a file of its own is not tested, and may not be there.
func TestIncludedFiles(t *testing.T) {
	shown := make(map[string]bool)
	for _, p := range pages(t) {
		changed := false
		for i := 0; i < len(p.lines); i++ {
			m := marker.FindStringSubmatch(p.lines[i])
			if m == nil {
				if kind, ok := strings.CutPrefix(p.lines[i], "```"); ok && slices.Contains(isCode, kind) && (i == 0 || !marker.MatchString(p.lines[i-1])) {
					t.Errorf("%s:%d: the block of %s is from no file", p.path, i+1, kind)
				}
				continue
			}
			file := filepath.Join(filepath.Dir(p.path), m[1])
			shown[file] = true
			want := slices.Concat([]string{"```" + fenceOf[filepath.Ext(file)]}, part(t, file, m[2]), []string{"```"})
			end := i + 1
			if end < len(p.lines) && strings.HasPrefix(p.lines[end], "```") {
				for end++; end < len(p.lines) && p.lines[end] != "```"; end++ {
				}
				end = min(end+1, len(p.lines))
			}
			if slices.Equal(p.lines[i+1:end], want) {
				continue
			}
			if *update {
				p.lines, changed = slices.Replace(p.lines, i+1, end, want...), true
				continue
			}
			t.Errorf("%s:%d: the block is not %s: go test ./docs -update", p.path, i+1, file)
		}
		if changed {
			p.write(t)
		}
	}
	for _, l := range languages {
		for _, file := range l.files(t) {
			if !shown[file] {
				t.Errorf("no page shows %s", file)
			}
		}
	}
}

// part returns the lines of a file or, of a Go file, one function: of one without
// parameters its body.
func part(t *testing.T, file, function string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if function != "" {
		m := regexp.MustCompile(`(?ms)^func ` + function + `\(\) \{\n(.*?)^\}$`).FindSubmatch(text)
		if m == nil {
			whole := regexp.MustCompile(`(?ms)^func ` + function + `\(.*?^\}$`).Find(text)
			if whole == nil {
				t.Fatalf("%s has no function %s", file, function)
			}
			return strings.Split(string(whole), "\n")
		}
		text = regexp.MustCompile(`(?m)^\t`).ReplaceAll(m[1], nil)
	}
	return strings.Split(strings.TrimRight(string(text), "\n"), "\n")
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile("(?m)^#+ +(.*)$")
	notSlug = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
)

// slug is the anchor that a heading gets where Markdown is shown.
func slug(heading string) string {
	return strings.ReplaceAll(notSlug.ReplaceAllString(strings.ToLower(heading), ""), " ", "-")
}

// Every link within the repository leads somewhere.
func TestLinks(t *testing.T) {
	for _, p := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(strings.Join(p.lines, "\n"), -1) {
			target, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, ":") {
				continue
			}
			file := p.path
			if target != "" {
				file = filepath.Join(filepath.Dir(p.path), target)
			}
			text, err := os.ReadFile(file)
			if info, statErr := os.Stat(file); statErr == nil && info.IsDir() {
				continue
			}
			if err != nil {
				t.Errorf("%s: the link to %s leads nowhere", p.path, m[1])
				continue
			}
			found := anchor == ""
			for _, h := range heading.FindAllSubmatch(text, -1) {
				found = found || slug(string(bytes.TrimSpace(h[1]))) == anchor
			}
			if !found {
				t.Errorf("%s: %s has no heading for #%s", p.path, file, anchor)
			}
		}
	}
}

// A page is found from the index.
func TestIndex(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pages(t) {
		if p.path != "README.md" && p.path != "../README.md" && !strings.Contains(string(text), "("+p.path+")") {
			t.Errorf("the index, README.md, does not lead to %s", p.path)
		}
	}
}
