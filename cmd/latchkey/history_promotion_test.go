package main

import (
	"testing"
	"time"

	"latchkey/postgres/postgrestest"
)

// A failover is how a standby takes over.
type failover struct {
	name        string
	synchronous bool
	lost        int   // rolls that were acknowledged and that the standby lacks
	at          point // where the roll stands that is under way when the primary dies
}

var failovers = []failover{
	{"of a standby that lags", false, 2, answered},
	{"of a standby that lags, in a COMMIT", false, 1, inCommit},
	{"of a standby that lags by the roll under way alone", false, 0, committed},
	{"of a synchronous standby, before a COMMIT", true, 0, commit},
	{"of a synchronous standby, in a COMMIT", true, 0, inCommit},
	{"of a synchronous standby, before the answer to a COMMIT", true, 0, committed},
	{"of a synchronous standby, after a roll was listed", true, 0, listed},
}

// TestPromotion lets a standby take over in the middle of rolls. A synchronous
// one has every roll that was acknowledged, and nobody sees more than a pause. One
// that lags has another history: every node answers "unavailable" until a person
// has said that it holds, and until then no dead key comes back.
func TestPromotion(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	for _, f := range []failover{failovers[0], failovers[2], failovers[5]} {
		t.Run(f.name, func(t *testing.T) { promote(t, f, 300*time.Millisecond, historySeed(t)) })
	}
}

// promote makes a fleet, and lets a standby take over once.
func promote(t *testing.T, f failover, lease time.Duration, seed uint64) {
	h := newHistory(t, newFleet(t, lease, buildTagged(t)), seed, load{callers: 2, rollers: 3, pace: 3 * time.Millisecond})
	defer h.report()
	standby := h.pg.Standby(t, "standby", "max_connections = 120")
	if f.synchronous {
		h.pg.Configure(t, "synchronous_standby_names = 'standby'")
	}
	standby.CatchUp(t, h.pg)
	victim := h.nodes[h.random()%nodes]
	if !f.synchronous {
		h.fallBehind(standby, f.lost)
	}
	if !h.trapped(victim, f.at, func() bool { h.takeOver(standby); return false }) {
		t.Fatal("no roll was under way")
	}
	h.mu.Lock()
	h.injected["promotion "+f.name]++
	h.mu.Unlock()
	if f.synchronous {
		standby.Configure(t, "synchronous_standby_names = ''")
		h.calm()
		return
	}
	if f.lost == 0 {
		h.lag(f)
		return
	}
	h.otherHistory(victim)
}

// fallBehind cuts a standby off, and waits for so many rolls more.
func (h *history) fallBehind(standby *postgrestest.Server, rolls int) {
	h.t.Helper()
	if rolls == 0 {
		// No roll but the one under way may be lost: nobody else rolls.
		h.gate.Lock()
		defer h.gate.Unlock()
		standby.CatchUp(h.t, h.pg)
	}
	standby.Configure(h.t, "primary_conninfo = ''")
	want := h.rolls.Load() + int64(rolls)
	for deadline := time.Now().Add(longPatience); h.rolls.Load() < want; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			h.t.Fatal("no rolls came that the standby lacks")
		}
	}
}

// takeOver kills the primary, and lets all nodes find the standby in its place.
func (h *history) takeOver(standby *postgrestest.Server) {
	h.pg.Kill(h.t)
	died := int64(h.now())
	for _, n := range h.nodes {
		n.back.Store(int64(never))
		n.seen.Store(int64(never))
		n.cut.Store(died)
	}
	standby.Promote(h.t)
	target := standby.Address()
	for _, n := range h.nodes {
		n.wire.target.Store(&target)
		n.wire.reset()
	}
	h.pg = standby
}

// otherHistory holds that nobody answers while the database has another history,
// however often a node is started, and that all do once it was accepted.
func (h *history) otherHistory(victim *member) {
	h.t.Helper()
	h.gate.Lock() // rolls wait
	defer h.gate.Unlock()
	time.Sleep(2 * h.lease)
	victim.kill()
	if !h.restart(victim) {
		return
	}
	time.Sleep(3*h.lease + time.Second) // judge holds what is answered
	if out, err := runCommand(h.t, "--data", h.nodes[0].data(), "database", "accept"); err != nil {
		h.t.Errorf("latchkey database accept: %v\n%s", err, out)
	}
	for _, n := range h.nodes {
		n.back.Store(int64(h.now()))
	}
	for _, slot := range h.teams {
		// What was lost is lost: the team begins a new history, with what the database holds.
		old := slot.Load()
		value, err := h.show(h.t.Context(), old.team)
		if err != nil {
			slot.Store(h.newTeam(h.t.Context()))
			continue
		}
		again := &ledger{team: old.team, now: h.now, tally: &h.tally, fault: h.fail}
		again.acknowledge(again.begin(), value)
		again.rolls[0].ret = never // not all nodes have loaded it yet
		for _, n := range h.nodes {
			h.converge(n, again, value)
		}
		slot.Store(h.newTeam(h.t.Context()))
	}
}

// lag holds what is so when no roll was lost but the one under way: either every
// node says that the history is another, or none of them has ever seen that roll,
// and then nobody may have been told that it was made.
func (h *history) lag(f failover) {
	h.t.Helper()
	h.gate.Lock()
	defer h.gate.Unlock()
	if h.answering() {
		for _, n := range h.nodes {
			n.mended()
		}
		for _, slot := range h.teams {
			team := slot.Load()
			value, err := h.show(h.t.Context(), team.team)
			if err != nil {
				h.fail(err.Error())
				continue
			}
			team.resolve(value)
		}
		return
	}
	h.t.Logf("promotion %s: the roll had been seen, and the nodes are unavailable", f.name)
}

// answering reports whether any node answers within some leases.
func (h *history) answering() bool {
	team := h.teams[0].Load()
	v := team.view.Load()
	for deadline := time.Now().Add(4*h.lease + 2*time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		for _, n := range h.nodes {
			l := &line{node: n}
			is := l.ask(h.t.Context(), v.current.value)
			l.close()
			if is == accepted || is == refused {
				return true
			}
		}
	}
	return false
}
