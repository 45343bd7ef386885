package latchkey_test

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// plan is the house: each package of the module, and which others of the module
// it may import. DESIGN.md says why; a new package is a decision written there.
var plan = map[string][]string{
	"latchkey/jwt":    {},
	"latchkey":        {"latchkey/jwt"},
	"latchkey/client": {"latchkey/jwt"},

	"latchkey/problem": {"latchkey"},

	"latchkey/guard":    {"latchkey", "latchkey/problem"},
	"latchkey/replica":  {"latchkey"},
	"latchkey/journal":  {"latchkey"},
	"latchkey/sqlite":   {"latchkey"},
	"latchkey/postgres": {"latchkey"},
	"latchkey/admin":    {"latchkey", "latchkey/problem"},
	"latchkey/contacts": {"latchkey", "latchkey/problem"},
	"latchkey/console":  {"latchkey", "latchkey/problem"},

	"latchkey/storetest":             {"latchkey"}, // for tests of the stores only
	"latchkey/postgres/postgrestest": {},           // for tests only: it starts PostgreSQL
	"latchkey/docs":                  {},           // tests of the documentation only

	"latchkey/cmd/latchkey": {
		"latchkey", "latchkey/admin", "latchkey/client", "latchkey/console", "latchkey/contacts", "latchkey/guard", "latchkey/journal",
		"latchkey/jwt", "latchkey/problem", "latchkey/replica", "latchkey/sqlite", "latchkey/postgres",
	},
}

// stdlibOnly are the packages that may import nothing from outside the module.
var stdlibOnly = []string{"latchkey/jwt", "latchkey/client"}

type listed struct {
	ImportPath string
	Imports    []string
}

func listPackages(t *testing.T) []listed {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []listed
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatalf("read go list: %v", err)
		}
		all = append(all, p)
	}
}

func TestImportsFollowThePlan(t *testing.T) {
	packages := listPackages(t)
	if len(packages) < 5 {
		t.Fatalf("go list found %d packages: the test does not see the house", len(packages))
	}
	for _, broken := range offPlan(packages) {
		t.Error(broken)
	}
	seen := make(map[string]bool)
	for _, p := range packages {
		seen[p.ImportPath] = true
	}
	for path := range maps.Keys(plan) {
		if !seen[path] {
			t.Errorf("%s is in the plan, but there is no such package", path)
		}
	}
}

// offPlan returns a sentence for each package or import that the plan does not
// know.
func offPlan(packages []listed) []string {
	var broken []string
	for _, p := range packages {
		allowed, known := plan[p.ImportPath]
		if !known {
			broken = append(broken, p.ImportPath+" is not in the plan: write the decision into DESIGN.md, and add it")
			continue
		}
		for _, imported := range p.Imports {
			ours := imported == "latchkey" || strings.HasPrefix(imported, "latchkey/")
			if ours && !slices.Contains(allowed, imported) {
				broken = append(broken, p.ImportPath+" imports "+imported+", which the plan does not allow")
			}
			outside := strings.Contains(strings.SplitN(imported, "/", 2)[0], ".")
			if outside && slices.Contains(stdlibOnly, p.ImportPath) {
				broken = append(broken, p.ImportPath+" imports "+imported+", but may import the standard library only")
			}
		}
	}
	return broken
}

func TestPlanTestCatches(t *testing.T) {
	for name, p := range map[string]listed{
		"a package that nobody planned": {ImportPath: "latchkey/util"},
		"an import on one floor":        {ImportPath: "latchkey/guard", Imports: []string{"latchkey/journal"}},
		"an import upwards":             {ImportPath: "latchkey", Imports: []string{"latchkey/sqlite"}},
		"a dependency of the client":    {ImportPath: "latchkey/client", Imports: []string{"github.com/google/uuid"}},
	} {
		if len(offPlan([]listed{p})) != 1 {
			t.Errorf("the plan test does not catch %s", name)
		}
	}
}
