package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// What is promised of rolls while nothing goes wrong.
const (
	rollUpdates    = 10  // the median roll takes so many times the median UPDATE at most
	rollsTogether  = 100 // a second, at least
	rollsAtOnce    = 64
	rollsDirectFor = 5 * time.Second
	rollDelay      = time.Millisecond
)

// TestRollTime prints what a roll costs beside what it cannot do without: an UPDATE
// and its COMMIT on the same database, both without a proxy in between. It does so
// twice: one of each in turns, as an application that writes now and then meets
// them, and thirty of each; and again where the server takes a millisecond more for
// each commit, as one does whose disk keeps what it confirms. What depends on the
// machine it prints as PASS or OVER; it fails for the bound that is promised while a
// node is dead. make bench runs it.
func TestRollTime(t *testing.T) {
	if os.Getenv("LATCHKEY_ROLL_TIME") == "" {
		t.Skip("measures; make bench runs it (LATCHKEY_ROLL_TIME=1)")
	}
	f := newFleet(t, 3*time.Second, buildProgram(t))
	h := newHistory(t, f, historySeed(t), load{})
	for _, n := range f.nodes {
		n.rewire(t, true)
	}
	bare := connectTo(t, f.pg.TCP(f.database))
	if _, err := bare.Exec(t.Context(), "CREATE TABLE bare (n bigint); INSERT INTO bare VALUES (0)"); err != nil {
		t.Fatal(err)
	}
	team := h.newTeam(t.Context())
	one := func() {
		if h.roll(t.Context(), team, f.nodes[int(h.rolls.Load())%nodes]) != accepted {
			t.Fatal("a roll failed")
		}
	}
	update := func() { updateBare(t, bare) }
	both := func(where string) {
		compare(t, where+"in turns, each after a rest", 1, 2*time.Millisecond, one, update)
		compare(t, where+"thirty of each at a time, without a rest", 30, 0, one, update)
	}
	both("")
	delayCommits(t, bare, rollDelay)
	both(fmt.Sprintf("commits take %v longer; ", rollDelay))
	delayCommits(t, bare, 0)
	h.together(t, rollsAtOnce, rollsDirectFor)
	f.nodes[2].rewire(t, false)
	h.impaired(t, team)
}

// compare prints what a roll takes beside an UPDATE, so many of each at a time, and
// each after a rest. Without one, an UPDATE among its like takes less: neither the
// server's process nor a processor has gone to sleep, or has had anything else to do.
func compare(t *testing.T, how string, at int, rest time.Duration, roll, update func()) {
	t.Helper()
	const each = 150
	timed := func(do func()) time.Duration {
		time.Sleep(rest)
		began := time.Now()
		do()
		return time.Since(began)
	}
	var rolls, updates []time.Duration
	for len(rolls) < each {
		for range at {
			updates = append(updates, timed(update))
		}
		for range at {
			rolls = append(rolls, timed(roll))
		}
	}
	t.Logf("%s: a roll on three healthy nodes: %s", how, spread(rolls))
	t.Logf("%s: a bare UPDATE … COMMIT:        %s", how, spread(updates))
	times := float64(quantile(rolls, 0.5)) / float64(quantile(updates, 0.5))
	t.Logf("%s: %s: the median roll is %.1f × the median UPDATE (promised: at most %d)", passOrOver(times <= rollUpdates), how, times, rollUpdates)
}

// delayCommits makes the server wait before it flushes what a commit wrote, whether
// or not others commit just then.
func delayCommits(t *testing.T, c *pgx.Conn, delay time.Duration) {
	t.Helper()
	for _, statement := range []string{
		fmt.Sprintf("ALTER SYSTEM SET commit_delay = %d", delay.Microseconds()),
		"ALTER SYSTEM SET commit_siblings = 0",
		"SELECT pg_reload_conf()",
	} {
		if _, err := c.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(time.Second) // each of the server's processes takes it up before its next statement
}

func passOrOver(kept bool) string { return map[bool]string{true: "PASS", false: "OVER"}[kept] }

// rewire lets a node go to PostgreSQL directly, or through its wire again. It
// returns when no roll waits for the process that was there before.
func (n *member) rewire(t *testing.T, direct bool) {
	t.Helper()
	n.kill()
	n.direct = direct
	if err := n.start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * n.fleet.lease)
}

func updateBare(t *testing.T, c *pgx.Conn) {
	t.Helper()
	tx, err := c.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "UPDATE bare SET n = n + 1"); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// together prints how many rolls a second there are with so many at once, of as
// many teams, through all nodes.
func (h *history) together(t *testing.T, at int, during time.Duration) {
	t.Helper()
	var teams []*ledger
	for range at {
		teams = append(teams, h.newTeam(t.Context()))
	}
	before, began := h.rolls.Load(), time.Now()
	var rolling sync.WaitGroup
	for i, team := range teams {
		rolling.Go(func() {
			for time.Since(began) < during {
				if h.roll(context.Background(), team, h.nodes[i%nodes]) != accepted {
					h.fail("a roll among many failed")
				}
			}
		})
	}
	rolling.Wait()
	rate := float64(h.rolls.Load()-before) / time.Since(began).Seconds()
	t.Logf("%s: %d at once, %.0f rolls a second together (promised: at least %d)", passOrOver(rate >= rollsTogether), at, rate, rollsTogether)
}

// impaired prints what a roll takes while a node is dead, stopped or cut off.
func (h *history) impaired(t *testing.T, team *ledger) {
	t.Helper()
	bound := rollWithin(h.lease)
	n := h.nodes[2]
	for _, c := range []struct {
		state        string
		impair, heal func()
	}{
		{"dead", n.kill, func() { h.restart(n) }},
		{"stopped", func() { n.signal(syscall.SIGSTOP) }, func() { n.signal(syscall.SIGCONT) }},
		{"cut off", func() { n.wire.set(weather{cutUp: true, cutDown: true}) }, func() { n.wire.set(weather{}) }},
	} {
		var times []time.Duration
		for range 5 {
			c.impair()
			began := time.Now()
			if h.roll(t.Context(), team, h.nodes[0]) != accepted {
				t.Errorf("a roll failed while a node was %s", c.state)
			}
			times = append(times, time.Since(began))
			c.heal()
			time.Sleep(2 * h.lease)
		}
		t.Logf("a roll while one node is %s: %s (promised: at most %v)", c.state, spread(times), bound)
		if slices.Max(times) > bound {
			t.Errorf("while a node is %s a roll takes %v: more than %v", c.state, slices.Max(times), bound)
		}
	}
}
