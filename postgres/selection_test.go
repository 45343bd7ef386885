package postgres

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey"
)

// TestQueriesUseIndexes: a listing reads one partition at a time, by the index of
// what it asks for, in that index's order.
func TestQueriesUseIndexes(t *testing.T) {
	s := mustOpen(t, Config{URL: newURL(t)})
	var r latchkey.Record // one of the second day with all that is asked for
	for d := range 3 {
		batch := newTraffic(firstDay.AddDate(0, 0, d), 20*time.Second).batch(4000)
		for i := range batch {
			if i%4 != 0 { // so many that to walk through the day is tempting
				batch[i].TeamID, batch[i].CredentialID = "team_large", "key_large"
			} else if d == 1 && batch[i].TraceID != "" && batch[i].ClientRequestID != "" && batch[i].TeamID != "" {
				r = batch[i]
			}
		}
		mustAppend(t, s, batch)
	}
	if _, err := s.pool.Exec(t.Context(), `ANALYZE records`); err != nil {
		t.Fatal(err)
	}
	const sorts = true
	for _, c := range []struct {
		q     latchkey.RecordQuery
		index string // without the partition's name
		sorts bool
	}{
		{latchkey.RecordQuery{}, "pkey", false},
		{latchkey.RecordQuery{Before: r.RequestID, Path: "/v1", Status: 200}, "pkey", false},
		{latchkey.RecordQuery{TeamID: r.TeamID}, "hashtextextended_id_idx", false},
		{latchkey.RecordQuery{TeamID: r.TeamID, Outcome: "denied", Path: "x", ClientIP: ""}, "hashtextextended_id_idx", false},
		{latchkey.RecordQuery{CredentialID: r.CredentialID}, "hashtextextended_id_idx1", false},
		{latchkey.RecordQuery{TeamID: r.TeamID, CredentialID: r.CredentialID, Before: r.RequestID}, "hashtextextended_id_idx1", false},
		{latchkey.RecordQuery{TeamID: "team_large"}, "hashtextextended_id_idx", false},
		{latchkey.RecordQuery{CredentialID: "key_large"}, "hashtextextended_id_idx1", false},
		{latchkey.RecordQuery{ClientRequestID: r.ClientRequestID}, "hashtextextended_idx", sorts},
		{latchkey.RecordQuery{TraceID: r.TraceID}, "hashtextextended_idx1", sorts},
		{latchkey.RecordQuery{TraceID: r.TraceID, TeamID: r.TeamID}, "hashtextextended_idx1", sorts},
		{latchkey.RecordQuery{ClientIP: r.ClientIP}, "hashtextextended_idx2", sorts},
	} {
		day := latchkey.RequestIDDay(latchkey.RequestIDAt(r.Time.UnixMilli(), 0))
		where, args := conditions(&c.q, c.q.Bounds(0, 0).Within(day*microsPerDay/1000, (day+1)*microsPerDay/1000), 100)
		plan := planOf(t, s, `SELECT id FROM records `+where, args...)
		if !strings.Contains(plan, "records_20260302_"+c.index+" ") && !strings.Contains(plan, "records_20260302_"+c.index+"\n") {
			t.Errorf("%+v is answered without the index %s:\n%s", c.q, c.index, plan)
		}
		if strings.Contains(plan, "records_20260301") || strings.Contains(plan, "records_20260303") {
			t.Errorf("%+v reads another day:\n%s", c.q, plan)
		}
		if strings.Contains(plan, "Sort") != c.sorts {
			t.Errorf("%+v: sorted: %t:\n%s", c.q, !c.sorts, plan)
		}
	}
	if plan := planOf(t, s, `SELECT id FROM records WHERE id = $1::uuid`, r.RequestID); strings.Count(plan, "Scan") != 1 {
		t.Errorf("a look-up reads one partition:\n%s", plan)
	}
}

func planOf(t *testing.T, s *Store, query string, args ...any) string {
	t.Helper()
	conn, err := s.pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	if err := once(t.Context(), conn.Conn(), inOrder); err != nil {
		t.Fatal(err)
	}
	rows, err := conn.Query(t.Context(), `EXPLAIN `+query, append([]any{pgx.QueryExecModeExec}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "\n") + "\n"
}

// TestQueriesEnd: a query ends with its context, and its connection is used on.
func TestQueriesEnd(t *testing.T) {
	s := mustOpen(t, Config{URL: newURL(t)})
	mustAppend(t, s, newTraffic(firstDay, time.Second).batch(1))
	blocker, err := pgx.Connect(t.Context(), server.Server(t).URL(s.pool.Config().ConnConfig.Database))
	if err != nil {
		t.Fatal(err)
	}
	defer blocker.Close(context.Background())
	if _, err := blocker.Exec(t.Context(), `BEGIN; LOCK latchkey.records`); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := s.Records(ctx, latchkey.RecordQuery{}); err == nil || ctx.Err() == nil {
		t.Errorf("a query whose context ends returns an error: %v", err)
	}
	if _, err := s.Records(t.Context(), latchkey.RecordQuery{}); state(err) != stateLocked {
		t.Errorf("a query does not wait for ever: %v", err)
	}
	if _, err := blocker.Exec(t.Context(), `ROLLBACK`); err != nil {
		t.Fatal(err)
	}
	if list, err := s.Records(t.Context(), latchkey.RecordQuery{}); err != nil || len(list) != 1 {
		t.Errorf("a query after that: %d, %v", len(list), err)
	}
}
