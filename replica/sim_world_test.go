package replica_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"latchkey"
	"latchkey/replica"
)

// A world is one schedule of the simulation. Everything in it that is not the
// code under test happens under its lock, at one moment each.
type world struct {
	mu     sync.Mutex
	random *rand.Rand
	began  time.Time
	ending bool // no fault begins any more
	over   bool
	stats  *statistics
	mutant string

	sealer            *latchkey.Sealer
	dir               string // of the history files
	nodes             []*node
	primary           *server
	dbAhead           time.Duration // its wall clock
	cancelAfter       time.Duration // of a commit that waits for its standby
	connectionTimeout time.Duration
	backup            *state
	overlaps          bool
	ambush            float64 // that a node is cut off just as a change commits
	ambusher          *rand.Rand
	healthy           bool // no fault is planned: nothing may be unavailable
	dbTroubled        int
	dbCalm            time.Time
	downSince         time.Time // zero: the database is up
	ghosted           time.Time // when a registration was added for leases that a promotion may have lost

	moment     int64 // it counts what clients see begin and end
	operations []*operation
	verdicts   []*verdict
	known      []*credential
	byID       map[string]*credential
	overlapped map[string]int64 // from which moment a credential may be refused for its overlap, by any clock
	rifts      []*rift
	wrong      []string
	running    sync.WaitGroup // clients' calls
	tracing    bool           // LATCHKEY_SIM_TRACE is set
}

// trace says what happens, where one schedule is looked at.
func (w *world) trace(format string, args ...any) {
	if w.tracing {
		fmt.Printf("%12v %s\n", time.Since(w.began), fmt.Sprintf(format, args...))
	}
}

// A rift is when the database's history changed: a backup was restored, or a
// standby promoted that had fallen behind.
type rift struct {
	at       int64
	accepted int64           // first; 0: not yet
	open     bool            // it must be accepted, or again
	lost     map[string]bool // IDs of changes
}

func (w *world) leftOut(rule string) bool { return w.mutant == rule }

// tick is a moment of its own, for what begins or ends. w.mu is held.
func (w *world) tick() int64 {
	w.moment++
	return w.moment
}

// after calls f later, under the lock.
func (w *world) after(d time.Duration, f func()) {
	time.AfterFunc(d, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if !w.over {
			f()
		}
	})
}

func (w *world) span(d time.Duration) time.Duration { return span(w.random, d) }

func (w *world) newID(random *rand.Rand) string {
	var b [8]byte
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	return hex.EncodeToString(b[:])
}

var quiet = slog.New(slog.DiscardHandler)

var tester = latchkey.Actor{Name: "simulation", Source: "test"}

// newWorld makes a database with one team.
func newWorld(random *rand.Rand, s *statistics, sealer *latchkey.Sealer, dir string) *world {
	w := &world{
		random: random, began: time.Now(), stats: s, mutant: planted(), tracing: os.Getenv("LATCHKEY_SIM_TRACE") != "", sealer: sealer, dir: dir,
		byID: make(map[string]*credential), overlapped: make(map[string]int64), cancelAfter: 2 * time.Second, connectionTimeout: 3 * time.Second, dbCalm: time.Now(),
		ambusher: rand.New(rand.NewPCG(random.Uint64(), 7)),
	}
	w.dbAhead = time.Duration(random.Int64N(int64(20*time.Second))) - 10*time.Second
	w.primary = &server{w: w, name: "a", seen: newState(), listeners: make(map[*listener]bool)}
	h, made, err := latchkey.NewHolding(sealer, latchkey.DefaultKeyPrefix, "first", tester, w.primary.now())
	if err != nil {
		panic(err)
	}
	op := &operation{what: "genesis", returned: w.tick(), took: -1}
	e, err := w.primary.seen.commit(h, 0, w.newID(random))
	if err != nil {
		panic(err)
	}
	w.operations = append(w.operations, op)
	w.committed(op, 1, e)
	w.learn(made.Team.ID, &credential{id: h.APIKey().ID, value: made.APIKey.Reveal()})
	w.learn(made.Team.ID, &credential{id: made.SecretID, secret: made.SecretKey})
	return w
}

func (w *world) addNode(lease, staleOK time.Duration) *node {
	i := len(w.nodes)
	n := &node{
		w: w, name: fmt.Sprintf("n%d", i+1), index: i, lease: lease, staleOK: staleOK, server: w.primary,
		random: rand.New(rand.NewPCG(w.random.Uint64(), uint64(i))),
		seed:   w.random.Uint64(), kinds: make(map[string]*rand.Rand),
		bootBase: time.Duration(w.random.Int64N(int64(100 * time.Hour))),
		delay:    quick, calmSince: w.began,
	}
	if n.seed%2 == 0 {
		n.witness = n.name
	}
	w.nodes = append(w.nodes, n)
	return n
}

// start runs the node, with what its history file holds. w.mu is held.
func (n *node) start() {
	w := n.w
	if w.dir != "" {
		// Of its own for each run: a killed process may be in the middle of a write.
		n.history = nextHistory(w.dir, n.history)
	}
	p := &process{n: n, ended: make(chan struct{})}
	p.ctx, p.kill = context.WithCancel(context.Background())
	p.replica = &replica.Replica{
		Store: p, Leases: p, Sealer: w.sealer, Node: n.name, Lease: n.lease, StaleOK: n.staleOK,
		HistoryFile: n.history, Witness: n.witness, Clock: p, Logger: quiet,
	}
	p.keyring = &latchkey.Keyring{Store: p, Replica: p.replica, Sealer: w.sealer, Now: p.Wall}
	loops, stop := context.WithCancel(p.ctx)
	p.stop = stop
	n.process = p
	n.trouble()
	go p.run(loops)
}

var histories int // it counts the files; under the world's lock

// nextHistory copies a history file to a new name.
func nextHistory(dir, old string) string {
	histories++
	next := filepath.Join(dir, fmt.Sprintf("history%d", histories))
	if old == "" {
		return next
	}
	b, err := os.ReadFile(old)
	if err == nil {
		err = os.WriteFile(next, b, 0o600)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		panic(err)
	}
	_ = os.Remove(old)
	return next
}

// run is the life of a process: it joins, and keeps its lease until it is
// killed or stopped.
func (p *process) run(ctx context.Context) {
	defer close(p.ended)
	n, w := p.n, p.n.w
	err := p.replica.Join(ctx)
	w.mu.Lock()
	n.calm()
	p.joined = err == nil
	w.mu.Unlock()
	if err != nil {
		n.again(p, err)
		return
	}
	var overlaps sync.WaitGroup
	overlaps.Go(func() {
		for w.overlaps && pause(ctx, 500*time.Millisecond) {
			if err := p.endOverlaps(ctx); errors.Is(err, errDead) {
				return
			}
		}
	})
	p.replica.Run(ctx)
	overlaps.Wait()
}

// again starts a process that could not join anew, as what supervises it does.
func (n *node) again(p *process, err error) {
	w := n.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if p.ctx.Err() != nil || n.process != p {
		return
	}
	w.stats.fault("join failed")
	p.kill()
	n.process = nil
	n.trouble()
	w.after(100*time.Millisecond, func() { n.calm(); n.revive() })
}

func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// crash kills the process: from now on it does nothing any more.
func (n *node) crash() {
	if n.process == nil {
		return
	}
	n.process.kill()
	n.process = nil
	n.pausedUntil = time.Time{}
	n.held = [2][]func(){}
}

// close stops the process in an orderly way, and waits for it.
func (n *node) close() {
	w := n.w
	w.mu.Lock()
	p := n.process
	w.mu.Unlock()
	if p == nil {
		return
	}
	p.stop()
	<-p.ended
	if c, ok := any(p.replica).(io.Closer); ok {
		_ = c.Close()
	}
	p.kill()
	w.mu.Lock()
	defer w.mu.Unlock()
	if n.process == p {
		n.process = nil
	}
}

// part cuts the node from the database: what it sends, what it is sent, or both.
func (n *node) part(ways ...int) {
	for _, way := range ways {
		n.cut[way] = true
	}
	n.trouble()
	n.cutSince = time.Now()
}

// mend ends a partition. What was held arrives.
func (n *node) mend() {
	if n.cutSince.IsZero() {
		return
	}
	n.cut = [2]bool{}
	n.cutSince = time.Time{}
	for way, held := range n.held {
		for _, deliver := range held {
			n.w.after(n.span(n.delay), deliver)
		}
		n.held[way] = nil
	}
	n.calm()
}

// dbTrouble and dbQuiet enclose a fault of the database.
func (w *world) dbTrouble() { w.dbTroubled++ }

func (w *world) dbQuiet() {
	w.dbTroubled--
	w.dbCalm = time.Now()
}

// crashDB kills the primary for a while.
func (w *world) crashDB(d time.Duration) {
	w.stats.fault("database crash")
	v := w.primary
	v.crash()
	w.dbTrouble()
	w.downSince = time.Now()
	w.after(d, func() {
		v.restart()
		w.downSince = time.Time{}
		w.dbQuiet()
	})
}

// promote makes the standby the primary. The old one lives on for those that
// are still connected to it, if it is not dead.
func (w *world) promote(old *server, dead bool) {
	kind := "promotion of a synchronous standby"
	if old.mode == asynchronous {
		kind = "promotion of a lagging standby"
	}
	w.stats.fault(kind)
	w.trace("%s, the old one dead: %v", kind, dead)
	next := old.standby
	old.parted = true
	w.primary = next
	w.noteRift(old.seen, next.seen)
	if dead {
		old.crash()
	}
	w.dbTrouble()
	late := time.Duration(0)
	for _, n := range w.nodes {
		d := span(n.random, 4*time.Second)
		late = max(late, d)
		w.after(d, func() {
			n.server, n.former = next, old
			if n.random.IntN(2) == 0 {
				for l := range old.listeners {
					l.broken()
				}
			}
		})
	}
	w.after(late+time.Microsecond, func() {
		old.crash()
		w.dbQuiet()
	})
}

// restore puts a backup in the place of the database.
func (w *world) restore(backup *state) {
	w.stats.fault("backup restored")
	old := w.primary.seen
	w.primary.crash()
	w.primary.seen = backup.clone()
	w.primary.mode, w.primary.standby, w.primary.pending = alone, nil, nil
	w.primary.restart()
	w.noteRift(old, w.primary.seen)
	w.dbTrouble()
	w.after(time.Millisecond, w.dbQuiet)
}

// noteRift notes what a database lacks that another had.
func (w *world) noteRift(old, next *state) {
	lost := make(map[string]bool)
	for i, e := range old.log {
		if i >= len(next.log) || next.log[i].id != e.id {
			lost[e.id] = true
		}
	}
	if len(next.acceptances) < len(old.acceptances) {
		for _, r := range w.rifts {
			r.open = true // that was lost, too
		}
	}
	if len(lost) > 0 {
		w.stats.fault("changes lost")
		w.rifts = append(w.rifts, &rift{at: w.tick(), open: true, lost: lost})
	}
}

// acceptHistory is what a person does about it.
func (w *world) acceptHistory() {
	w.stats.fault("history accepted")
	v := w.primary
	v.seen.acceptances = append(slices.Clip(v.seen.acceptances), w.newID(w.random))
	w.dbCalm = time.Now()
	for _, r := range w.rifts {
		r.open = false
		if r.accepted == 0 {
			r.accepted = w.tick()
		}
	}
}
