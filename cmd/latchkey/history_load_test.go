package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	mathrand "math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"latchkey"
)

// A history is a fleet under load: callers who ask every node with keys that
// are alive and keys that were just ended, and rollers who roll them through
// every node. What each of them sees is held to the promise at once.
type history struct {
	*fleet
	tally
	bounds
	seed uint64
	pace time.Duration // between two requests of a caller

	// Rollers hold it for reading while they roll.
	gate  sync.RWMutex
	teams []*atomic.Pointer[ledger] // one for each roller
	favor atomic.Pointer[member]    // through whom they like to roll
	lossy atomic.Bool               // the database has lost what was acknowledged
	made  atomic.Int64              // teams

	mu      sync.Mutex
	rnd     *mathrand.Rand
	faults  []string
	times   []time.Duration // of the rolls that all nodes confirmed
	slowest time.Duration   // roll of all
	reasons map[string]int  // why rolls did not succeed
}

// longPatience bounds each wait of a history: a machine may have much else to do.
const longPatience = 90 * time.Second

// load is how hard a history is used.
type load struct {
	callers int // for each node
	rollers int
	pace    time.Duration
	slack   int // see bounds
}

// newHistory puts a fleet under load, until the test ends.
func newHistory(t *testing.T, w *fleet, seed uint64, l load) *history {
	t.Helper()
	h := &history{fleet: w, seed: seed, pace: l.pace, rnd: mathrand.New(mathrand.NewPCG(seed, 4)), reasons: map[string]int{}}
	h.slack, h.injected = l.slack, map[string]int{}
	for range l.rollers {
		h.teams = append(h.teams, &atomic.Pointer[ledger]{})
	}
	h.renewTeams()
	ctx, cancel := context.WithCancel(context.Background())
	var working sync.WaitGroup
	for _, n := range w.nodes {
		for range l.callers {
			rnd := mathrand.New(mathrand.NewPCG(seed, h.random()))
			working.Go(func() { h.call(ctx, n, rnd) })
		}
	}
	for i := range l.rollers {
		// The first team is rolled by two at once.
		for range 1 + max(0, 1-i) {
			rnd := mathrand.New(mathrand.NewPCG(seed, h.random()))
			working.Go(func() { h.keepRolling(ctx, h.teams[i], i > 0, rnd) })
		}
	}
	t.Cleanup(func() {
		cancel()
		for _, n := range w.nodes {
			n.kill() // who waits for an answer need not wait longer
		}
		working.Wait()
	})
	return h
}

func (h *history) random() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.rnd.Uint64()
}

// between returns a random time.
func (h *history) between(least, most time.Duration) time.Duration {
	return least + time.Duration(h.random()%uint64(most-least+1))
}

// fail notes that a rule was broken.
func (h *history) fail(rule string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.faults) < 50 {
		h.faults = append(h.faults, rule)
	}
}

// call asks one node, again and again.
func (h *history) call(ctx context.Context, n *member, rnd *mathrand.Rand) {
	l := &line{node: n}
	defer l.close()
	for ctx.Err() == nil {
		team := h.teams[rnd.IntN(len(h.teams))].Load()
		key := team.pick(rnd)
		if key == nil {
			time.Sleep(time.Millisecond)
			continue
		}
		if h.ask(ctx, l, team, key) == broken {
			time.Sleep(10 * time.Millisecond)
		}
		if h.pace > 0 {
			time.Sleep(h.pace)
		}
	}
}

// pick chooses a key: most often the current one, or the one that ended last.
func (l *ledger) pick(rnd *mathrand.Rand) *rolled {
	v := l.view.Load()
	switch n := rnd.IntN(20); {
	case v == nil:
		return nil
	case len(v.ended) == 0 || n < 10 && v.current != nil:
		return v.current
	case n < 17:
		return v.ended[0]
	default:
		return v.ended[rnd.IntN(len(v.ended))]
	}
}

// ask makes one request, and holds what is answered to the promise.
func (h *history) ask(ctx context.Context, l *line, team *ledger, key *rolled) reply {
	call := h.now()
	is := l.ask(ctx, key.value)
	h.judge(l.node, team, key, call, is)
	return is
}

func (h *history) judge(n *member, team *ledger, key *rolled, call time.Duration, is reply) {
	ret := team.verify(n.index, key, call, is)
	h.watchOthers(n, call, is)
	if is != accepted && is != refused {
		return
	}
	back := time.Duration(n.back.Load())
	cut := time.Duration(n.cut.Load())
	switch {
	case ret >= back:
		n.seen.CompareAndSwap(int64(never), int64(ret))
	case cut != never && call > cut+h.lease:
		h.other.Add(1)
		h.fail(fmt.Sprintf("node %d is cut off since %v and answers (%v) a request that was called %v after its lease can have ended", n.index+1, cut, is, call-cut-h.lease))
	}
}

// keepRolling rolls one team's key, again and again, through any node. Who rolls
// it alone finds out at once what became of a roll that did not succeed.
func (h *history) keepRolling(ctx context.Context, team *atomic.Pointer[ledger], alone bool, rnd *mathrand.Rand) {
	for ctx.Err() == nil {
		h.gate.RLock()
		n := h.nodes[rnd.IntN(nodes)]
		if favor := h.favor.Load(); favor != nil && rnd.IntN(3) > 0 {
			n = favor
		}
		is := h.roll(ctx, team.Load(), n)
		if is != accepted && alone && ctx.Err() == nil {
			h.resolve(ctx, team)
		}
		h.gate.RUnlock()
		if is != accepted {
			time.Sleep(h.lease / 10)
		}
		time.Sleep(time.Duration(rnd.Int64N(int64(4*h.pace + time.Millisecond))))
	}
}

// roll rolls a team's key once: accepted, refused if it was not made, broken if
// nobody knows.
func (h *history) roll(ctx context.Context, team *ledger, n *member) reply {
	ill := h.ill.Load()
	r := team.begin()
	answer, s, err := n.api.RollKey(ctx, team.team, 0)
	switch {
	case err == nil:
		team.acknowledge(r, answer.APIKey)
		took := r.ret - r.call
		h.tookRoll(n, ill, took)
		h.mu.Lock()
		defer h.mu.Unlock()
		h.slowest = max(h.slowest, took)
		if len(s.Confirmed) == nodes {
			h.times = append(h.times, took)
		}
		return accepted
	case errors.Is(err, latchkey.ErrOutcomeUnknown):
		team.lose(r)
		h.because("unknown: " + err.Error())
		return broken
	default:
		team.fail(r)
		h.because("not made: " + err.Error())
		return refused
	}
}

// because counts why rolls did not succeed.
func (h *history) because(reason string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	reason = anyNumber.ReplaceAllString(reason, "…")
	h.reasons[reason[:min(len(reason), 300)]]++
}

var anyNumber = regexp.MustCompile(`[0-9]+|h[0-9]+`)

// resolve asks the database what is so after a roll that did not succeed. A
// roll that may yet be made is never waited for: its team gets a successor.
func (h *history) resolve(ctx context.Context, team *atomic.Pointer[ledger]) {
	if h.lossy.Load() {
		return // what is not there any more was not lost by us
	}
	value, err := h.show(ctx, team.Load().team)
	if err == nil && !h.lossy.Load() {
		team.Load().resolve(value)
	}
	if team.Load().settled() || ctx.Err() != nil {
		return
	}
	old := team.Load()
	team.Store(h.newTeam(ctx))
	h.close(old, time.Second)
}

// close ends a team's history: porcupine judges it, and bounds keep its times.
func (h *history) close(l *ledger, patience time.Duration) {
	l.linearize(nodes, patience)
	h.tookUnknown(l.unknowns())
}

// show returns a team's key as the database has it, when it answers.
func (h *history) show(ctx context.Context, team string) (value string, err error) {
	for deadline := time.Now().Add(longPatience); time.Now().Before(deadline) && ctx.Err() == nil; time.Sleep(20 * time.Millisecond) {
		for _, n := range h.nodes {
			asking, cancel := context.WithTimeout(ctx, time.Second)
			key, askErr := n.api.Key(asking, team)
			cancel()
			if err = askErr; err == nil {
				return key.APIKey, nil
			}
		}
	}
	return "", fmt.Errorf("nobody shows the key of %s: %w", team, err)
}

// newTeam makes a team, however long it takes.
func (h *history) newTeam(ctx context.Context) *ledger {
	for i := 0; ctx.Err() == nil; i++ {
		l := &ledger{team: fmt.Sprintf("h%d", h.made.Add(1)), now: h.now, tally: &h.tally, fault: h.fail, lease: h.lease}
		r := l.begin()
		asking, cancel := context.WithTimeout(ctx, longPatience)
		made, _, err := h.nodes[i%nodes].api.CreateTeam(asking, l.team)
		cancel()
		if err == nil {
			l.acknowledge(r, made.APIKey)
			return l
		}
		time.Sleep(20 * time.Millisecond)
	}
	return &ledger{now: h.now, tally: &h.tally, fault: h.fail} // the test is over
}

// renewTeams gives each roller a new team, and what the old ones saw to
// porcupine. Nobody rolls meanwhile.
func (h *history) renewTeams() {
	for _, team := range h.teams {
		if old := team.Swap(h.newTeam(context.Background())); old != nil {
			h.close(old, 5*time.Second)
		}
	}
}

// calm ends a round: no roll is under way, the database still has what was
// acknowledged, and every node follows it. What was seen goes to porcupine.
func (h *history) calm() {
	h.t.Helper()
	h.gate.Lock()
	defer h.gate.Unlock()
	for _, n := range h.nodes {
		h.revive(n)
	}
	for _, slot := range h.teams {
		team := slot.Load()
		value, err := h.show(context.Background(), team.team)
		if err != nil {
			h.other.Add(1)
			h.fail(err.Error())
			continue
		}
		team.resolve(value)
		for _, n := range h.nodes {
			h.converge(n, team, value)
		}
	}
	for _, n := range h.nodes {
		h.returned(n)
		n.mended()
	}
	h.renewTeams()
}

// revive starts a node again that ended by itself, as what supervises it does. It
// may have given up only where it could not load everything when it started.
func (h *history) revive(n *member) {
	n.mu.Lock()
	p := n.process
	n.mu.Unlock()
	if p == nil {
		return
	}
	select {
	case <-p.ended:
	default:
		return
	}
	tail := n.tail()
	if p.ProcessState.ExitCode() != 1 || !strings.Contains(tail, "\nlatchkey: load the credentials: ") {
		h.other.Add(1)
		h.fail(fmt.Sprintf("node %s ended by itself:\n%s", n.name(), tail))
	}
	h.t.Logf("node %s gave up when it started, and is started again", n.name())
	h.restart(n)
}

// converge waits until a node follows what the database says: it accepts that
// key, and refuses all others. What a node answers too late, the ledger finds;
// patience is for one that does not answer at all.
func (h *history) converge(n *member, team *ledger, value string) {
	l := &line{node: n}
	defer l.close()
	team.mu.Lock()
	keys := slices.DeleteFunc(slices.Clone(team.rolls), func(r *rolled) bool { return r.value == "" })
	team.mu.Unlock()
	keys = keys[max(0, len(keys)-4):]
	for deadline := time.Now().Add(h.lease + longPatience); ; time.Sleep(5 * time.Millisecond) {
		follows := true
		for _, key := range keys {
			is := h.ask(context.Background(), l, team, key)
			follows = follows && is == map[bool]reply{true: accepted, false: refused}[key.value == value]
		}
		if follows {
			return
		}
		if time.Now().After(deadline) {
			h.other.Add(1)
			h.fail(fmt.Sprintf("node %d does not follow what the database says of %s:\n%s", n.index+1, team.team, n.tail()))
			return
		}
	}
}

// report prints what was counted, and fails the test if a rule was broken.
func (h *history) report() {
	h.t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.t.Logf("seed %d, lease %v: %s", h.seed, h.lease, &h.tally)
	h.t.Logf("rolls that %d nodes confirmed: %s; the slowest roll of all took %v", nodes, spread(h.times), h.slowest.Round(time.Millisecond))
	h.bounds.report(h.t, h.lease)
	if os.Getenv("LATCHKEY_HISTORY_VERBOSE") != "" {
		for _, reason := range slices.Sorted(maps.Keys(h.reasons)) {
			h.t.Logf("  %4d rolls %s", h.reasons[reason], reason)
		}
	}
	for _, f := range h.faults {
		h.t.Error(f)
	}
	if h.broken() && len(h.faults) == 0 {
		h.t.Error("rules were broken")
	}
}

// spread is a distribution in words.
func spread(times []time.Duration) string {
	if len(times) == 0 {
		return "none"
	}
	return fmt.Sprintf("%d, median %v, 99 %% %v, most %v", len(times), quantile(times, 0.5), quantile(times, 0.99), quantile(times, 1))
}

func quantile(times []time.Duration, share float64) time.Duration {
	sorted := slices.Sorted(slices.Values(times))
	return sorted[int(share*float64(len(sorted)-1))].Round(10 * time.Microsecond)
}
