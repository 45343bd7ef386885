package docs_test

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"latchkey"
	"latchkey/problem"
)

// declared returns the string constants of a type of the root package.
func declared(t *testing.T, typeName string) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../errors.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var values []string
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if name, ok := spec.Type.(*ast.Ident); ok && name.Name == typeName {
			value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			values = append(values, value)
		}
		return true
	})
	if len(values) < 10 {
		t.Fatalf("errors.go has %d constants of type %s: the test does not see them", len(values), typeName)
	}
	return values
}

// Each code has an entry whose anchor is the code, so that links by --docs-url
// work; each reason stands in one table.
func TestErrorsPageIsComplete(t *testing.T) {
	text := strings.Join(readPage(t, "errors.md").lines, "\n")
	for _, code := range declared(t, "Code") {
		if strings.Count(text, "\n## "+code+"\n") != 1 {
			t.Errorf("errors.md has no entry, or two, with the heading %q", code)
		}
	}
	var listed []string
	for _, m := range generated.FindAllStringSubmatch(text, -1) {
		if m[1] == "reasons" {
			listed = append(listed, strings.Fields(m[2])...)
		}
	}
	for _, reason := range declared(t, "Reason") {
		if n := len(slices.DeleteFunc(slices.Clone(listed), func(r string) bool { return r != reason })); n != 1 && reason != string(latchkey.ReasonOK) {
			t.Errorf("errors.md has reason %q in %d tables, want 1", reason, n)
		}
	}
}

var generated = regexp.MustCompile(`(?m)^<!-- (reasons|problem): (.*) -->$`)

// The tables of reasons are in the words of the program, and so are the answers
// that no session can bring about.
func TestErrorsPageSpeaksAsTheProgram(t *testing.T) {
	p := readPage(t, "errors.md")
	found, changed := 0, false
	for i := 0; i < len(p.lines); i++ {
		m := generated.FindStringSubmatch(p.lines[i])
		if m == nil {
			continue
		}
		found++
		want := reasonTable(strings.Fields(m[2]))
		if m[1] == "problem" {
			want = problemBlock(t, latchkey.Code(m[2]))
		}
		end := i + 1
		for end < len(p.lines) && p.lines[end] != "" {
			end++
		}
		if slices.Equal(p.lines[i+1:end], want) {
			continue
		}
		if !*update {
			t.Errorf("errors.md:%d: it should read:\n%s", i+2, indent(strings.Join(want, "\n")))
			continue
		}
		p.lines, changed = slices.Replace(p.lines, i+1, end, want...), true
	}
	if found < 10 {
		t.Errorf("errors.md has %d generated parts: the test does not see them", found)
	}
	if changed {
		p.write(t)
	}
}

func reasonTable(reasons []string) []string {
	lines := []string{"| reason in the record | what it means | how the caller mends it |", "| --- | --- | --- |"}
	for _, reason := range reasons {
		what, mend := latchkey.Reason(reason).Words()
		what = strings.ReplaceAll(what, "|", `\|`)
		lines = append(lines, fmt.Sprintf("| `%s` | %s | %s |", reason, what, strings.ReplaceAll(mend, "|", `\|`)))
	}
	return lines
}

func problemBlock(t *testing.T, code latchkey.Code) []string {
	t.Helper()
	body := problem.Writer{}.Body(&problem.Error{Code: code}, "01963b7c-52a0-7c3e-8f51-0d6c3a9b7e42")
	if body.Code != code || body.Status < 500 {
		t.Fatalf("%s is answered with %s, status %d", code, body.Code, body.Status)
	}
	text, err := json.MarshalIndent(body, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return slices.Concat([]string{"```json"}, strings.Split(string(text), "\n"), []string{"```"})
}
