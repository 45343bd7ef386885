package replica_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"

	"latchkey"
)

func is(err, target error) bool { return errors.Is(err, target) }

// Statistics say what a simulation has seen: one in which all is unavailable
// proves nothing.
type statistics struct {
	schedules       int
	opinions        int // of porcupine
	outcomes        [4]int
	changes, failed int
	faults          map[string]int // schedules that had it
	had             map[string]bool
	kinds           map[string]int
}

func (s *statistics) fault(name string) {
	if !s.had[name] {
		s.had[name] = true
		s.faults[name]++
	}
}

func (s *statistics) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d schedules, %d of them judged by porcupine, too: %d changes, %d that failed or are unknown; %d verdicts:", s.schedules, s.opinions, s.changes, s.failed,
		s.outcomes[0]+s.outcomes[1]+s.outcomes[2]+s.outcomes[3])
	for o, n := range s.outcomes {
		fmt.Fprintf(&b, " %d %v", n, outcome(o))
	}
	for _, group := range []map[string]int{s.kinds, s.faults} {
		b.WriteString("\nschedules with:")
		for _, name := range slices.Sorted(maps.Keys(group)) {
			fmt.Fprintf(&b, " %s %d;", name, group[name])
		}
	}
	return b.String()
}

// kinds are drawn as often as they stand here.
var kinds = []string{
	"healthy", "network", "network", "processes", "processes", "restarts", "rejoins", "clocks", "database", "database", "history", "stale", "everything", "everything",
}

// secondOpinions is of how many schedules one is judged by porcupine, too.
const secondOpinions = 20

// kindOf is the kind of schedule that a seed makes.
func kindOf(seed uint64) string {
	switch {
	case seed%5000 == 4999:
		return "thousand"
	case seed%15 == 14:
		return "long"
	}
	return kinds[rand.New(rand.NewPCG(seed, 99)).IntN(len(kinds))]
}

// playSeed plays and judges one schedule.
func playSeed(t *testing.T, seed uint64, s *statistics, sealer *latchkey.Sealer, dir string) (w *world) {
	s.had = make(map[string]bool)
	kind := kindOf(seed)
	synctest.Test(t, func(t *testing.T) {
		cryptotest.SetGlobalRandom(t, seed)
		random := rand.New(rand.NewPCG(seed, 0))
		w = newWorld(random, s, sealer, dir)
		p := w.draw(random, kind)
		w.play(p, random)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.check()
	})
	s.schedules++
	s.kinds[kind]++
	return w
}

// simulate plays one schedule, and returns the rules that it broke.
func simulate(t *testing.T, seed uint64, s *statistics, sealer *latchkey.Sealer, dir string) (wrong []string) {
	w := playSeed(t, seed, s, sealer, dir)
	wrong = w.wrong
	if seed%secondOpinions == 0 {
		legal, given := w.secondOpinion()
		if given {
			s.opinions++
		}
		if !legal && len(wrong) == 0 {
			wrong = append(wrong, "porcupine finds the history not linearizable, and the simulation's own checker does not")
		}
	}
	return wrong
}

func number(t *testing.T, name string, otherwise uint64) (n uint64, set bool) {
	text, set := os.LookupEnv(name)
	if !set {
		return otherwise, false
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n, true
}

// historyDir is in memory where there is such a place: files are synced often.
func historyDir(t *testing.T) string {
	if dir, err := os.MkdirTemp("/dev/shm", "latchkey-simulation-*"); err == nil {
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		return dir
	}
	return t.TempDir()
}

// account is all that clients saw, and when.
func (w *world) account() string {
	var b strings.Builder
	for _, op := range w.operations {
		fmt.Fprintf(&b, "%d-%d %s took %v: %v, %v\n", op.began, op.returned, op.what, op.took, op.settled, op.err)
	}
	for _, v := range w.verdicts {
		fmt.Fprintf(&b, "%d-%d %s at %s from %v to %v: %v\n", v.began, v.ended, v.credential.id, v.node.name, w.at(v.from), w.at(v.until), v.outcome)
	}
	return b.String()
}

// TestReplay plays schedules twice: a seed makes the same one again. What is
// not drawn from the seed is the order in which the runtime runs goroutines
// that are ready at the same moment; moments are to the nanosecond so that
// there is mostly one.
func TestReplay(t *testing.T) {
	if shuffled {
		t.Skip("the race detector shuffles goroutines: make simulation runs it without")
	}
	sealer, err := latchkey.CreateKeyset(filepath.Join(t.TempDir(), "keyset.json"))
	if err != nil {
		t.Fatal(err)
	}
	dir := historyDir(t)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const count = 40
	same := 0
	for seed := range uint64(count) {
		s := &statistics{faults: make(map[string]int), kinds: make(map[string]int)}
		first := playSeed(t, seed, s, sealer, dir).account()
		if second := playSeed(t, seed, s, sealer, dir).account(); first == second {
			same++
		} else {
			t.Logf("seed %d (%s) went another way", seed, kindOf(seed))
		}
	}
	if t.Logf("%d of %d schedules went the same way again", same, count); same < count*8/10 {
		t.Errorf("a seed makes the same schedule again: only %d of %d did", same, count)
	}
}

// TestSimulation plays random schedules: so many that a part of them is run
// under the race detector, and all without. LATCHKEY_SIM_SEED=n plays that one
// alone, LATCHKEY_SIM_SCHEDULES=n that many.
func TestSimulation(t *testing.T) {
	sealer, err := latchkey.CreateKeyset(filepath.Join(t.TempDir(), "keyset.json"))
	if err != nil {
		t.Fatal(err)
	}
	dir := historyDir(t)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	defer debug.SetGCPercent(debug.SetGCPercent(300))
	count, _ := number(t, "LATCHKEY_SIM_SCHEDULES", schedules)
	first, single := number(t, "LATCHKEY_SIM_SEED", uint64(time.Now().UnixNano())%1_000_000*100_000)
	if single {
		count = 1
	}
	s := &statistics{faults: make(map[string]int), kinds: make(map[string]int)}
	began := time.Now()
	for seed := first; seed < first+count; seed++ {
		if wrong := simulate(t, seed, s, sealer, dir); len(wrong) > 0 {
			t.Fatalf("schedule %d of %d broke a rule; LATCHKEY_SIM_SEED=%d (%s) plays it again:\n%s",
				s.schedules, count, seed, kindOf(seed), strings.Join(wrong, "\n"))
		}
	}
	t.Logf("seeds from %d; %v, %.0f schedules a second\n%v", first, time.Since(began).Round(time.Millisecond),
		float64(s.schedules)/time.Since(began).Seconds(), s)
}
