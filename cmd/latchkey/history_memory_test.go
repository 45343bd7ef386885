package main

import (
	"testing"
	"time"
)

// TestNoDatabaseCallForAVerdict holds that verdicts come from memory: five
// thousand of them add nothing to what the database is asked, as it counts
// itself, and go on while no node reaches it at all.
func TestNoDatabaseCallForAVerdict(t *testing.T) {
	f := newFleet(t, time.Minute, buildProgram(t))
	h := newHistory(t, f, historySeed(t), load{})
	defer h.report()
	const verdicts = 5_000
	team := h.newTeam(t.Context())
	for range 3 {
		if h.roll(t.Context(), team, f.nodes[0]) != accepted {
			t.Fatal("a roll failed")
		}
	}
	db := connectTo(t, f.pg.URL(f.database))
	count := func() (calls int64) {
		row := db.QueryRow(t.Context(), `SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid
			WHERE d.datname = current_database() AND query NOT LIKE '%pg_stat_statements%' AND query NOT ILIKE '%records%' AND query NOT ILIKE '%usage%'`)
		if err := row.Scan(&calls); err != nil {
			t.Fatal(err)
		}
		return calls
	}
	if _, err := db.Exec(t.Context(), "CREATE EXTENSION pg_stat_statements"); err != nil {
		t.Fatal(err)
	}
	before, began := count(), time.Now()
	h.verdicts(t, team, verdicts)
	took := time.Since(began)
	busy := count() - before
	before = count()
	time.Sleep(took)
	idle := count() - before
	t.Logf("%d verdicts in %v: the database counts %d statements, and %d in as much time without verdicts", verdicts, took.Round(time.Millisecond), busy, idle)
	if busy > idle+verdicts/20 {
		t.Errorf("verdicts ask the database: %d statements while %d were given, %d while none was", busy, verdicts, idle)
	}

	for _, n := range f.nodes {
		n.wire.set(weather{cutUp: true, cutDown: true})
	}
	h.verdicts(t, team, 1000)
	if h.verifies[unavailable].Load()+h.verifies[broken].Load() > 0 {
		t.Error("while the lease is good and the database cannot be reached, verdicts are not given")
	}
	for _, n := range f.nodes {
		n.wire.set(weather{})
	}
}

// verdicts asks all nodes so many times, with keys that hold and that do not.
func (h *history) verdicts(t *testing.T, team *ledger, n int) {
	t.Helper()
	var lines [nodes]*line
	for i, node := range h.nodes {
		lines[i] = &line{node: node}
		defer lines[i].close()
	}
	v := team.view.Load()
	keys := append([]*rolled{v.current}, v.ended...)
	for i := range n {
		h.ask(t.Context(), lines[i%nodes], team, keys[i%len(keys)])
	}
}
