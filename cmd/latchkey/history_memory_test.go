package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey/jwt"
)

// TestNoDatabaseCallForAVerdict holds that verdicts come from memory: thousands of
// them, on keys, tokens and what nobody knows, add nothing to what the database is
// asked, as it counts itself, and go on while no node reaches it at all.
func TestNoDatabaseCallForAVerdict(t *testing.T) {
	f := newFleet(t, time.Minute, buildProgram(t))
	h := newHistory(t, f, historySeed(t), load{})
	defer h.report()
	team := h.newTeam(t.Context())
	for range 3 {
		if h.roll(t.Context(), team, f.nodes[0]) != accepted {
			t.Fatal("a roll failed")
		}
	}
	db := connectTo(t, f.pg.URL(f.database))
	if _, err := db.Exec(t.Context(), "CREATE EXTENSION pg_stat_statements"); err != nil {
		t.Fatal(err)
	}
	all, signed := h.presented(t, team)
	h.holdsCalls(t, db, all, 10_000, "")
	// The record of a signature that is looked at again, beside the request and as often
	// as a tenth of a processor allows, says what was wrong with it (package journal).
	h.holdsCalls(t, db, signed, 2_000, "FROM credentials WHERE id = $1")

	if t.Failed() {
		return // each verdict may wait for the database now
	}
	for _, n := range f.nodes {
		n.wire.set(weather{cutUp: true, cutDown: true})
	}
	h.verdicts(t, append(all, signed...), 1000, 0)
	for _, n := range f.nodes {
		n.wire.set(weather{})
	}
}

// holdsCalls holds that the number of verdicts changes no statement's number of
// calls, but of one that may be named. So many are given as fast as they come, and
// then a twentieth of them in the same time: what goes by time, such as the batches
// of records, comes as often in both. One call in a hundred verdicts fails.
func (h *history) holdsCalls(t *testing.T, db *pgx.Conn, all []presented, verdicts int, but string) {
	t.Helper()
	h.verdicts(t, all, len(all)*nodes, 0) // what is prepared once is prepared
	before, began := callsByText(t, db), time.Now()
	h.verdicts(t, all, verdicts, 0)
	took := time.Since(began)
	after := callsByText(t, db)
	h.verdicts(t, all, verdicts/20, took/time.Duration(verdicts/20))
	end := callsByText(t, db)
	t.Logf("%d verdicts on %d kinds of credential in %v, and %d", verdicts, len(all), took.Round(time.Millisecond), verdicts/20)
	for _, text := range slices.Sorted(maps.Keys(end)) {
		many, few := after[text]-before[text], end[text]-after[text]
		if many != 0 || few != 0 {
			t.Logf("%5d calls, and %5d: %.100s", many, few, text)
		}
		if many-few >= int64(verdicts/150) && (but == "" || !strings.HasSuffix(text, but)) {
			t.Errorf("verdicts ask the database: %d times while %d were given, %d times while %d were: %s", many, verdicts, few, verdicts/20, text)
		}
	}
}

// callsByText is how often the database was asked each statement, by its text.
func callsByText(t *testing.T, db *pgx.Conn) map[string]int64 {
	t.Helper()
	rows, err := db.Query(t.Context(), `SELECT regexp_replace(query, '\s+', ' ', 'g'), sum(calls)::bigint FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid
		WHERE d.datname = current_database() AND query NOT LIKE '%pg_stat_statements%' GROUP BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	calls := make(map[string]int64)
	var text string
	var n int64
	if _, err := pgx.ForEachRow(rows, []any{&text, &n}, func() error { calls[text] = n; return nil }); err != nil {
		t.Fatal(err)
	}
	return calls
}

// A presented is a credential that a caller sends as a bearer, and what must be answered.
type presented struct {
	what, value string
	want        reply
}

// presented is one of each kind of credential; signed are tokens of a known
// secret that are refused.
func (h *history) presented(t *testing.T, team *ledger) (all, signed []presented) {
	t.Helper()
	v := team.view.Load()
	made, _, err := h.nodes[0].api.CreateTeam(t.Context(), "tokens")
	if err != nil {
		t.Fatal(err)
	}
	revoked, _, err := h.nodes[1].api.CreateSecret(t.Context(), "tokens")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := h.nodes[2].api.RevokeSecret(t.Context(), revoked.ID); err != nil {
		t.Fatal(err)
	}
	gone, _, err := h.nodes[0].api.CreateTeam(t.Context(), "disabled")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := h.nodes[1].api.DisableTeam(t.Context(), "disabled"); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	all = []presented{
		{"a key", v.current.value, accepted},
		{"a rolled key", v.ended[0].value, refused},
		{"a token", jwt.Sign(made.Secret.ID, made.Secret.Key, now), accepted},
		{"a token of a revoked secret", jwt.Sign(revoked.ID, revoked.Key, now), refused},
		{"a token of an unknown secret", jwt.Sign("0198c5e2-7d3a-7b61-9f0e-3c1d5a8b2e47", made.Secret.Key, now), refused},
		{"a key of a disabled team", gone.APIKey, refused},
		{"an unknown key", "an-imported-key-that-nobody-has-ever-had", refused},
		{"a key with a wrong checksum", v.current.value[:len(v.current.value)-6] + "000000", refused},
	}
	return all, []presented{
		{"an expired token", jwt.Sign(made.Secret.ID, made.Secret.Key, now.Add(-time.Hour)), refused},
		{"a token with another signature", jwt.Sign(made.Secret.ID, revoked.Key, now), refused},
	}
}

// verdicts asks all nodes so many times, with each credential at each node, and
// at such a pace.
func (h *history) verdicts(t *testing.T, all []presented, n int, pace time.Duration) {
	t.Helper()
	var lines [nodes]*line
	for i, node := range h.nodes {
		lines[i] = &line{node: node}
		defer lines[i].close()
	}
	wrong := make(map[string]int)
	began := time.Now()
	for i := range n {
		time.Sleep(time.Until(began.Add(time.Duration(i) * pace)))
		p := all[i/nodes%len(all)]
		if is := lines[i%nodes].ask(t.Context(), p.value); is != p.want {
			wrong[fmt.Sprintf("%s is %v, must be %v", p.what, is, p.want)]++
		}
	}
	for rule, times := range wrong {
		t.Errorf("%d times, %s", times, rule)
	}
}
