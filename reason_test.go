package latchkey_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"
	"time"

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

// TestEndings: what ended, when and by whom, in the one sentence that records,
// Explain and the console share.
func TestEndings(t *testing.T) {
	at := time.Date(2026, 11, 23, 12, 0, 0, 0, time.FixedZone("east", 3600))
	for why, want := range map[latchkey.Ending]string{
		latchkey.EndedByRoll:     "It was rolled at 2026-11-23T11:00:00Z by ada.",
		latchkey.EndedByOverlap:  "It was rolled, and its overlap ended at 2026-11-23T11:00:00Z.",
		latchkey.EndedByRetire:   "It was rolled, and its overlap was ended early, at 2026-11-23T11:00:00Z by ada.",
		latchkey.EndedByRevoke:   "It was revoked at 2026-11-23T11:00:00Z by ada.",
		latchkey.EndedByDeletion: "Its team was deleted at 2026-11-23T11:00:00Z by ada.",
	} {
		var c latchkey.Credential
		c.End(at, "ada", why)
		if got := c.Ending(); got != want {
			t.Errorf("%s reads %q, must be %q", why, got, want)
		}
	}
	overdue := latchkey.Credential{Until: at}
	if got, want := overdue.Ending(), "It was rolled, and its overlap was over at 2026-11-23T11:00:00Z."; got != want {
		t.Errorf("an overlap that is over reads %q, must be %q", got, want)
	}
}

// TestFoundReasons: the verdict on what was found, whoever asks.
func TestFoundReasons(t *testing.T) {
	now := time.Now()
	team, dead := &latchkey.Team{}, &latchkey.Credential{Ended: now}
	clock := func() time.Time { return now }
	for name, c := range map[string]struct {
		found  latchkey.Found
		key    latchkey.Reason
		secret latchkey.Reason
	}{
		"nothing":          {latchkey.Found{}, latchkey.ReasonKeyUnknown, latchkey.ReasonSecretUnknown},
		"a live one":       {latchkey.Found{Credential: &latchkey.Credential{}, Team: team}, latchkey.ReasonOK, latchkey.ReasonOK},
		"a dead one":       {latchkey.Found{Credential: dead, Team: team}, latchkey.ReasonKeyRolled, latchkey.ReasonSecretRevoked},
		"a disabled team":  {latchkey.Found{Credential: dead, Team: &latchkey.Team{Disabled: true}}, latchkey.ReasonTeamDisabled, latchkey.ReasonTeamDisabled},
		"a deleted team":   {latchkey.Found{Credential: dead, Team: &latchkey.Team{Deleted: now}}, latchkey.ReasonTeamDisabled, latchkey.ReasonTeamDisabled},
		"in an overlap":    {latchkey.Found{Credential: &latchkey.Credential{Until: now}, Team: team}, latchkey.ReasonOK, latchkey.ReasonOK},
		"after an overlap": {latchkey.Found{Credential: &latchkey.Credential{Until: now.Add(-2 * time.Second)}, Team: team}, latchkey.ReasonKeyRolled, latchkey.ReasonKeyRolled},
	} {
		if got := c.found.Reason(latchkey.KindAPIKey, clock); got != c.key {
			t.Errorf("%s, as a key: %s, must be %s", name, got, c.key)
		}
		if got := c.found.Reason(latchkey.KindAPISecret, clock); got != c.secret {
			t.Errorf("%s, as a secret: %s, must be %s", name, got, c.secret)
		}
	}
}
