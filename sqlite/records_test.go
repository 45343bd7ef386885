package sqlite

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"latchkey"
)

// TestIDBound holds the bound against the comparison of texts that it stands
// for.
func TestIDBound(t *testing.T) {
	id := rapid.StringMatching(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	rapid.Check(t, func(t *rapid.T) {
		r := id.Draw(t, "id")
		before := rapid.OneOf(
			id,
			rapid.Map(id, strings.ToUpper),
			rapid.Custom(func(t *rapid.T) string {
				return r[:rapid.IntRange(0, len(r)).Draw(t, "cut")] + rapid.String().Draw(t, "end")
			}),
			rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }),
		).Draw(t, "before")
		bound, inclusive := idBound(before)
		got := r < bound.String() || inclusive && r == bound.String()
		if want := r < before; got != want {
			t.Fatalf("%q < %q is %t: the bound is %s (inclusive: %t)", r, before, want, bound, inclusive)
		}
	})
}

// TestQueriesUseIndexes: a listing reads a page's worth, and sorts nothing.
func TestQueriesUseIndexes(t *testing.T) {
	s := mustOpen(t, t.TempDir())
	since := mustChanges(t, s).Teams[0].Created
	for _, c := range []struct {
		q    latchkey.RecordQuery
		want string
	}{
		{latchkey.RecordQuery{}, "SCAN records"},
		{latchkey.RecordQuery{Before: "019a"}, "SEARCH records USING PRIMARY KEY (id<?)"},
		{latchkey.RecordQuery{Since: since}, "SEARCH records USING PRIMARY KEY (id>?)"},
		{latchkey.RecordQuery{TeamID: "t"}, "SEARCH records USING INDEX records_team (team_id=?)"},
		{latchkey.RecordQuery{TeamID: "t", Since: since, Before: "019a"}, "SEARCH records USING INDEX records_team (team_id=? AND id>? AND id<?)"},
	} {
		where, args := conditions(c.q)
		rows, err := s.records.read.QueryContext(t.Context(), `EXPLAIN QUERY PLAN SELECT * FROM records WHERE `+where+` ORDER BY id DESC`, args...)
		if err != nil {
			t.Fatal(err)
		}
		var plan []string
		for rows.Next() {
			var id, parent, unused int
			var step string
			if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
				t.Fatal(err)
			}
			plan = append(plan, step)
		}
		if err := rows.Close(); err != nil {
			t.Fatal(err)
		}
		if len(plan) == 0 || plan[0] != c.want || strings.Contains(strings.Join(plan, "\n"), "TEMP B-TREE") {
			t.Errorf("%+v is answered by %q, not %q", c.q, plan, c.want)
		}
	}
}
