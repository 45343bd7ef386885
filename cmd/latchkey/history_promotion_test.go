package main

import (
	"context"
	"os"
	"testing"
	"time"

	"latchkey/postgres/postgrestest"
)

// A failover is how a standby takes over.
type failover struct {
	name        string
	synchronous bool
	lost        int   // rolls that all nodes confirmed and that the standby lacks
	at          point // where the roll stands that is under way when the primary dies
}

var failovers = []failover{
	{"of a standby that lags", false, 2, answered},
	{"of a standby that lags, in a COMMIT", false, 1, inCommit},
	{"of a standby that lags by the roll under way alone", false, 0, answered},
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
	if os.Getenv("LATCHKEY_HISTORIES") == "" {
		t.Skip("make histories runs it, with nothing beside it")
	}
	for _, f := range []failover{failovers[0], failovers[2], failovers[5]} {
		t.Run(f.name, func(t *testing.T) { promote(t, f, 300*time.Millisecond, historySeed(t)) })
	}
}

// promote makes a fleet, and lets a standby take over once.
func promote(t *testing.T, f failover, lease time.Duration, seed uint64) {
	h := newHistory(t, newFleet(t, lease, buildTagged(t)), seed, load{callers: 2, rollers: 3, pace: 3 * time.Millisecond})
	defer func() {
		if !t.Failed() {
			h.injected["promotion "+f.name]++
		}
		h.report()
	}()
	standby := h.pg.Standby(t, "standby", "max_connections = 120")
	if f.synchronous {
		h.pg.Configure(t, "synchronous_standby_names = 'standby'")
	}
	standby.CatchUp(t, h.pg)
	victim := h.nodes[h.random()%nodes]
	if !f.synchronous && f.lost == 0 {
		h.loseOne(standby, victim, f.at)
		return
	}
	if !f.synchronous {
		h.fallBehind(standby, f.lost)
		h.lossy.Store(true)
	}
	if !h.trapped(victim, f.at, func() bool { h.takeOver(standby); return false }) {
		t.Fatal("no roll was under way")
	}
	if f.synchronous {
		standby.Configure(t, "synchronous_standby_names = ''")
		h.calm()
		return
	}
	h.otherHistory(victim)
}

// fallBehind cuts a standby off, and waits until every node has applied so many
// rolls that it lacks. (A roll that some node had not applied when it returned,
// because its lease was over, may be lost without that node's noticing: no
// protocol can mend what asynchronous replication loses.)
func (h *history) fallBehind(standby *postgrestest.Server, rolls int) {
	h.t.Helper()
	h.cutStandby(standby)
	everywhere := func() int {
		h.mu.Lock()
		defer h.mu.Unlock()
		return len(h.times)
	}
	// Those that are under way now may have been sent.
	want := everywhere() + rolls + len(h.teams) + 1
	for deadline := time.Now().Add(longPatience); everywhere() < want; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			h.t.Fatal("no rolls came that the standby lacks")
		}
	}
}

// cutStandby returns when a standby receives nothing any more.
func (h *history) cutStandby(standby *postgrestest.Server) {
	h.t.Helper()
	standby.Configure(h.t, "primary_conninfo = ''")
	c := connectTo(h.t, standby.URL("postgres"))
	defer c.Close(h.t.Context())
	for receiving := 1; receiving > 0; time.Sleep(5 * time.Millisecond) {
		if err := c.QueryRow(h.t.Context(), "SELECT count(*) FROM pg_stat_wal_receiver").Scan(&receiving); err != nil {
			h.t.Fatal(err)
		}
	}
}

// loseOne loses one roll alone, which no other node has heard of: whoever made
// it may not be told that it holds.
func (h *history) loseOne(standby *postgrestest.Server, victim *member, at point) {
	h.t.Helper()
	h.gate.Lock() // nobody else rolls
	defer h.gate.Unlock()
	standby.CatchUp(h.t, h.pg)
	h.cutStandby(standby)
	for _, n := range h.nodes {
		if n != victim {
			n.wire.set(weather{cutUp: true, cutDown: true})
		}
	}
	team := h.teams[0].Load()
	tr := victim.wire.arm(at)
	done := make(chan reply, 1)
	go func() { done <- h.roll(context.Background(), team, victim) }()
	select {
	case <-tr.reached:
	case <-time.After(longPatience):
		victim.wire.disarm(tr)
		h.t.Fatal("no roll was under way")
	}
	h.takeOver(standby)
	for _, n := range h.nodes {
		n.mended() // they may have seen nothing
		n.wire.set(weather{})
	}
	tr.letGo(false)
	if is := <-done; is == accepted {
		h.lost.Add(1)
		h.fail("LOST ROLL: one that the promoted standby lacks was acknowledged, and no node has heard of it")
	}
	time.Sleep(2*h.lease + time.Second) // the ledger holds what is answered
}

// takeOver kills the primary, and lets all nodes find the standby in its place.
func (h *history) takeOver(standby *postgrestest.Server) {
	h.pg.Kill(h.t)
	died := int64(h.now())
	for _, n := range h.nodes {
		n.mended()
		if h.lossy.Load() {
			n.cut.Store(died) // for them, there is no database any more
		}
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
	if h.broken() {
		return // what comes now may be waited for in vain
	}
	// What was lost comes back by a person's word: the histories of its keys end
	// here, with the last request that is under way.
	var ended []*ledger
	for _, slot := range h.teams {
		ended = append(ended, slot.Swap(&ledger{}))
	}
	time.Sleep(2*time.Second + h.lease)
	if out, err := runCommand(h.t, "--data", h.nodes[0].data(), "database", "accept"); err != nil {
		h.t.Errorf("latchkey database accept: %v\n%s", err, out)
	}
	for _, n := range h.nodes {
		n.back.Store(int64(h.now()))
	}
	for i, slot := range h.teams {
		old := ended[i] // begins a new history, with what the database holds
		value, err := h.show(h.t.Context(), old.team)
		if err != nil {
			slot.Store(h.newTeam(h.t.Context()))
			continue
		}
		again := &ledger{team: old.team, now: h.now, tally: &h.tally, fault: h.fail, lease: h.lease}
		again.acknowledge(again.begin(), value)
		again.rolls[0].ret = never // not all nodes have loaded it yet
		for _, n := range h.nodes {
			h.converge(n, again, value)
		}
		slot.Store(h.newTeam(h.t.Context()))
	}
}
