package postgres

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
)

// TestPlans holds what is asked often, or of large tables, to its indexes, whatever
// the database knows of its tables, and whether it plans for the arguments or for
// any: a renewal and a change it plans once.
func TestPlans(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, Config{URL: newURL(t), Genesis: genesis})
	var since reading
	asked := map[string]struct {
		pool        *pgxpool.Pool
		sql         string
		args        string
		index, none string // what its plan says, and what it does not
	}{
		"what changed of teams":       {s.leases, since.queries(1)[0].sql, `1`, "teams_revision", "Seq Scan on teams"},
		"what changed of credentials": {s.leases, since.queries(1)[1].sql, `1`, "credentials_revision", "Seq Scan on credentials"},
		"the credentials of a team":   {s.writer, chosenCredentials, `'1', '1'`, "credentials_live", "Seq Scan on credentials"},
		"overlaps that are over":      {s.pool, dueOverlaps, `NULL`, "Scan using credentials_overlap", "Seq Scan on credentials"},
		"sessions that are over":      {s.pool, sweepSessions, `NULL, 100`, "sessions_expiry", "Seq Scan on sessions"},
		"contacts, page by page":      {s.pool, pageOfContacts, `'1', 2, 100`, "contacts_pkey", "Filter"},
		"hand-ins that are old":       {s.pool, forgetOldHandIns, `'1', '1', 1, 1`, "hand_ins", "clock_timestamp"},
		"dead credentials in use":     {s.pool, deadInUse, `'1', 1, 1`, "usage_pkey", "Seq Scan on"},
		"callers that are new":        {s.pool, lockUsage, `1, '{a}', '{1}', '{00000000-0000-0000-0000-000000000001}', '00000000-0000-0000-0000-000000000000', 100`, "usage_pkey", "Seq Scan"},
		"usage of days before":        {s.pool, dropUsageChunk, `1, 100`, "usage_day", "Seq Scan on usage"},
		"tallies of the past":         {s.pool, dropTalliesChunk, `1, 100`, "tallies_hour", "Seq Scan on tallies"},
	}
	examine := func(tables string) {
		for what, q := range asked {
			modes := []string{""}
			switch {
			case q.pool != s.pool:
			case tables == "new": // it is planned again before they are full
				continue
			default:
				modes = []string{"force_generic_plan", "force_custom_plan"}
			}
			for _, mode := range modes {
				plan := planIn(t, q.pool, mode, q.sql, q.args)
				if !strings.Contains(plan, q.index) || strings.Contains(plan, q.none) {
					t.Errorf("in %s tables, with plan_cache_mode %q, the plan of %s is without %q, or with %q:\n%s",
						tables, mode, what, q.index, q.none, plan)
				}
			}
		}
	}
	examine("new")
	ctx := t.Context()
	fill(t, s, 20_000)
	examine("full")
	if _, err := s.pool.Exec(ctx, `ANALYZE`); err != nil {
		t.Fatal(err)
	}
	examine("analyzed")
}

// fill adds teams, each with a tombstone and a live API key, whose revisions are
// in no order, and as many rows of what else becomes large.
func fill(t *testing.T, s *Store, n int) {
	t.Helper()
	for _, sql := range []string{
		`INSERT INTO teams (id, name, name_key, disabled, created, revision)
			SELECT 'team_' || g, 'team ' || g, 'team ' || g, false, 1, 1 + (g * 7919::bigint) % 1000003 FROM generate_series(1, $1::int) g`,
		`INSERT INTO credentials (id, team_id, kind, digest, sealed, created, created_by, ended, ended_by, ended_why, revision)
			SELECT 'key_' || g, 'team_' || (1 + g % $1::int), 'api_key', sha256(g::text::bytea), CASE WHEN g > $1 THEN '\x00'::bytea END, 1, '',
				CASE WHEN g <= $1 THEN 2 END, '', '', 1 + (g * 7919::bigint) % 1000003 FROM generate_series(1, 2 * $1::int) g`,
		`INSERT INTO sessions (token, data, expiry) SELECT 'token ' || g, '', 4000000000000000 + g FROM generate_series(1, $1::int) g`,
		`INSERT INTO contacts (team_id, first, last, display_name, email, phone, custom, created, updated, rev)
			SELECT 'team_' || (1 + g % 2), '', '', '', '', '', '{}', 1, 1, 1 FROM generate_series(1, $1::int) g`,
		`INSERT INTO usage (credential_id, day, caller, client_ip, user_agent, auth, team_id, accepted, refused, last)
			SELECT 'key_' || g, 86400000000 * (1 + g % 90), md5(g::text)::uuid, '', '', '', '', 1, 1, 1 FROM generate_series(1, $1::int) g`,
		`INSERT INTO tallies (team_id, hour, outcome, count)
			SELECT 'team_' || g, 3600000000 * (1 + g % 90), 'accepted', 1 FROM generate_series(1, $1::int) g`,
	} {
		if _, err := s.pool.Exec(t.Context(), sql, n); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.pool.Exec(t.Context(), `UPDATE meta SET revision = 2000000`); err != nil {
		t.Fatal(err)
	}
}

// planIn returns the plan of a statement as a session of a pool makes it, in a
// plan_cache_mode if it is not the session's.
func planIn(t *testing.T, pool *pgxpool.Pool, mode, sql, args string) string {
	t.Helper()
	conn, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	simple := conn.Conn().PgConn()
	set := ``
	if mode != "" {
		set = `SET LOCAL plan_cache_mode = ` + mode + `; `
	}
	results, err := simple.Exec(t.Context(), `BEGIN; `+set+`PREPARE planned AS `+sql+
		`; EXPLAIN EXECUTE planned (`+args+`); DEALLOCATE planned; ROLLBACK`).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, row := range results[len(results)-3].Rows {
		lines = append(lines, string(row[0]))
	}
	return strings.Join(lines, "\n")
}
