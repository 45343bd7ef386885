package postgres

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
)

// TestPlans holds what each renewal and each change asks to its indexes, whatever
// the database knows of its tables: it plans them once, for any argument.
func TestPlans(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, Config{URL: newURL(t), Genesis: genesis})
	var since reading
	asked := map[string]struct {
		pool  *pgxpool.Pool
		sql   string
		args  int
		index string
	}{
		"what changed of teams":       {s.leases, since.queries(1)[0].sql, 1, "teams_revision"},
		"what changed of credentials": {s.leases, since.queries(1)[1].sql, 1, "credentials_revision"},
		"the credentials of a team":   {s.writer, chosenCredentials, 2, "credentials_live"},
	}
	examine := func(state string) {
		for what, q := range asked {
			plan := planForAny(t, q.pool, q.sql, q.args)
			if !strings.Contains(plan, q.index) || strings.Contains(plan, "Seq Scan on credentials") {
				t.Errorf("%s, %s is not read by the index %s:\n%s", state, what, q.index, plan)
			}
		}
	}
	examine("in a new database")
	ctx := t.Context()
	fill(t, s, 20_000)
	examine("in one whose size is not known yet")
	if _, err := s.pool.Exec(ctx, `ANALYZE`); err != nil {
		t.Fatal(err)
	}
	examine("in one that is known")
}

// fill adds teams, each with a tombstone and a live API key, whose revisions are
// in no order.
func fill(t *testing.T, s *Store, n int) {
	t.Helper()
	for _, sql := range []string{
		`INSERT INTO teams (id, name, name_key, disabled, created, revision)
			SELECT 'team_' || g, 'team ' || g, 'team ' || g, false, 1, 1 + (g * 7919::bigint) % 1000003 FROM generate_series(1, $1::int) g`,
		`INSERT INTO credentials (id, team_id, kind, digest, sealed, created, created_by, ended, ended_by, ended_why, revision)
			SELECT 'key_' || g, 'team_' || (1 + g % $1::int), 'api_key', sha256(g::text::bytea), CASE WHEN g > $1 THEN '\x00'::bytea END, 1, '',
				CASE WHEN g <= $1 THEN 2 END, '', '', 1 + (g * 7919::bigint) % 1000003 FROM generate_series(1, 2 * $1::int) g`,
	} {
		if _, err := s.pool.Exec(t.Context(), sql, n); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.pool.Exec(t.Context(), `UPDATE meta SET revision = 2000000`); err != nil {
		t.Fatal(err)
	}
}

// planForAny returns the plan of a statement for any arguments, as a session of a
// pool makes it.
func planForAny(t *testing.T, pool *pgxpool.Pool, sql string, args int) string {
	t.Helper()
	conn, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	simple := conn.Conn().PgConn()
	results, err := simple.Exec(t.Context(), `PREPARE planned AS `+sql+
		`; EXPLAIN EXECUTE planned (`+strings.Repeat(`'1', `, args-1)+`'1'); DEALLOCATE planned`).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, row := range results[1].Rows {
		lines = append(lines, string(row[0]))
	}
	return strings.Join(lines, "\n")
}
