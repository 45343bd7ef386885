package sqlite

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
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
	now := time.Now()
	id := uuid.Must(uuid.NewV7())
	err := s.AppendRecords(t.Context(), []latchkey.Record{{RequestID: id.String(), Time: now, TeamID: "t", CredentialID: "c"}})
	if err != nil {
		t.Fatal(err)
	}
	const primary, between = "PRIMARY KEY (id>? AND id<?)", " AND id>? AND id<?)"
	for _, c := range []struct {
		q    latchkey.RecordQuery
		want string
	}{
		{latchkey.RecordQuery{}, primary},
		{latchkey.RecordQuery{Before: "019a"}, primary},
		{latchkey.RecordQuery{Since: now, Until: now}, primary},
		{latchkey.RecordQuery{Path: "/v1"}, primary},
		{latchkey.RecordQuery{TeamID: "t"}, "INDEX records_team (team_id=?" + between},
		{latchkey.RecordQuery{TeamID: "t", Since: now, Before: "019a", Status: 200}, "INDEX records_team (team_id=?" + between},
		{latchkey.RecordQuery{CredentialID: "c", Outcome: "denied"}, "INDEX records_credential (credential_id=?" + between},
		{latchkey.RecordQuery{ClientRequestID: "mine"}, "INDEX records_client_request (client_request_id=?" + between},
		{latchkey.RecordQuery{TraceID: strings.Repeat("ab", 16)}, "INDEX records_trace (trace_id=?" + between},
	} {
		err := s.days.with(t.Context(), dayOf(id), false, func(d *day) error {
			where, args, err := d.conditions(t.Context(), &c.q, boundsOf(&c.q, 0, 0))
			if err != nil {
				return err
			}
			plan, err := planOf(t, d, `SELECT * FROM records `+where+` ORDER BY id DESC`, args...)
			if len(plan) == 0 || plan[0] != "SEARCH records USING "+c.want || strings.Contains(strings.Join(plan, "\n"), "TEMP B-TREE") {
				t.Errorf("%+v is answered by %q, not %q", c.q, plan, c.want)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func planOf(t *testing.T, d *day, query string, args ...any) (plan []string, err error) {
	rows, err := d.read.QueryContext(t.Context(), `EXPLAIN QUERY PLAN `+query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id, parent, unused int
		var step string
		if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
			return nil, err
		}
		plan = append(plan, step)
	}
	return plan, rows.Err()
}
