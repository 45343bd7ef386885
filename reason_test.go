package latchkey_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"

	"latchkey"
)

// reasons reads the constants of type Reason from the source, so that a new one
// cannot be forgotten here.
func reasons(t *testing.T) []latchkey.Reason {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "errors.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var list []latchkey.Reason
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 || !strings.HasPrefix(spec.Names[0].Name, "Reason") {
			return true
		}
		value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, latchkey.Reason(value))
		return true
	})
	return list
}

func TestEveryReasonHasWords(t *testing.T) {
	all := reasons(t)
	if len(all) < 20 {
		t.Fatalf("found %d reasons in the source: the test does not see them", len(all))
	}
	none, _ := latchkey.Reason("").Words()
	seen := map[string]latchkey.Reason{none: ""}
	for _, r := range all {
		what, mend := r.Words()
		if before, twice := seen[what]; twice {
			t.Errorf("%s reads like %q: %s", r, before, what)
		}
		seen[what] = r
		if !strings.HasSuffix(what, ".") || strings.ToUpper(what[:1]) != what[:1] {
			t.Errorf("%s is not a sentence: %s", r, what)
		}
		if (mend == "") != (r == latchkey.ReasonOK) {
			t.Errorf("%s must say how it is mended, unless there is nothing to mend: %q", r, mend)
		}
	}
}
