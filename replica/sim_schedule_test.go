package replica_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"latchkey"
)

// A plan is what a schedule is drawn from.
type plan struct {
	nodes    int
	length   time.Duration // of the time with faults
	changers int
	pace     time.Duration // between the changes of one, at most
	faults   []fault
	every    time.Duration // between two faults, at most
	mode     replication
	overlaps bool
	pauses   float64 // that a process is paused at any point
	staleOK  bool
}

// A fault makes trouble, and ends it by itself.
type fault struct {
	name   string
	happen func(w *world, n *node, random *rand.Rand)
}

var (
	partition = fault{"partition", func(w *world, n *node, random *rand.Rand) {
		if w.ending || !n.cutSince.IsZero() {
			return
		}
		switch random.IntN(4) {
		case 0:
			n.part(out)
		case 1:
			n.part(back)
		default:
			n.part(out, back)
		}
		slow := random.IntN(2) == 0
		w.after(length(n, random), func() {
			n.mend()
			if slow {
				slowness.happen(w, n, random)
			}
		})
	}}
	// rejoin cuts a node off for so long that its registration is removed, and
	// mends the connection as a slow one.
	rejoin = fault{"cut off until it is reaped", func(w *world, n *node, random *rand.Rand) {
		if w.ending || !n.cutSince.IsZero() {
			return
		}
		n.part(out, back)
		w.after(n.lease*2+time.Duration(random.Int64N(int64(n.lease))), func() {
			n.mend()
			if w.ending {
				return
			}
			n.delay = n.lease / 3
			n.trouble()
			w.after(n.lease*3/2, func() { n.delay = quick; w.after(n.lease/3, n.calm) })
		})
	}}
	slowness = fault{"delay", func(w *world, n *node, random *rand.Rand) {
		if w.ending {
			return
		}
		d := length(n, random)
		n.delay = d
		n.trouble()
		w.after(length(n, random), func() { n.delay = quick; w.after(d, n.calm) })
	}}
	loss = fault{"loss", func(w *world, n *node, random *rand.Rand) {
		if n.loss > 0 {
			return
		}
		n.loss = []float64{0.03, 0.3, 0.6, 0.8}[random.IntN(4)]
		n.trouble()
		w.after(length(n, random), func() { n.loss = 0; n.calm() })
	}}
	paused = fault{"SIGSTOP", func(_ *world, n *node, random *rand.Rand) {
		if n.process != nil {
			n.pause(length(n, random))
		}
	}}
	suspended = fault{"suspend", func(_ *world, n *node, random *rand.Rand) {
		if n.process != nil {
			d := length(n, random)
			n.suspended += d
			n.pause(d)
		}
	}}
	crashed = fault{"kill -9", func(w *world, n *node, random *rand.Rand) {
		if n.process == nil {
			return
		}
		n.crash()
		n.trouble()
		again := span(random, 2*n.lease)
		w.after(again, func() { n.calm(); n.revive() })
		for range random.IntN(2) * random.IntN(12) { // and in quick succession
			again += 1 + time.Duration(random.Int64N(int64(n.lease/3)))
			w.after(again, func() {
				if !w.ending {
					n.crash()
					n.revive()
				}
			})
		}
		if random.IntN(2) == 0 {
			w.after(again+time.Duration(random.Int64N(int64(n.lease/3))), func() { partition.happen(w, n, random) })
		}
	}}
	stopped = fault{"orderly restart", func(w *world, n *node, random *rand.Rand) {
		if n.process == nil || n.closing {
			return
		}
		n.closing = true
		n.trouble()
		away := span(random, n.lease)
		w.running.Go(func() {
			n.close()
			time.Sleep(away)
			w.mu.Lock()
			defer w.mu.Unlock()
			n.closing = false
			n.calm()
			if !w.over {
				n.revive()
			}
		})
	}}
	wallStep = fault{"wall clock set", func(_ *world, n *node, random *rand.Rand) {
		steps := []time.Duration{time.Hour, 600 * time.Millisecond, 400 * time.Millisecond, 31 * time.Second}
		d := steps[random.IntN(len(steps))]
		if random.IntN(2) == 0 {
			d = -d
		}
		n.trouble()
		n.wallAhead += d
		n.calm()
	}}
	noHints = fault{"hints lost", func(w *world, n *node, random *rand.Rand) {
		n.nohint = true
		w.after(length(n, random), func() { n.nohint = false })
	}}
	dbCrash = fault{"", func(w *world, n *node, random *rand.Rand) {
		if w.dbTroubled == 0 {
			w.crashDB(span(random, 2*n.lease))
		}
	}}
	standbyCut = fault{"standby cut off", func(w *world, n *node, random *rand.Rand) {
		v := w.primary
		if v.standby == nil || w.dbTroubled > 0 {
			return
		}
		v.parted = true
		w.dbTrouble()
		if random.IntN(2) == 0 {
			w.after(length(n, random), func() { w.promoteLater(v, random) })
			return
		}
		// The standby is made anew from the primary.
		w.after(length(n, random), func() {
			if w.primary == v && !v.down {
				for len(v.pending) > 0 {
					v.flush(v.pending[0])
				}
				v.parted, v.last = false, time.Time{}
				v.newStandby(v.mode, "again")
			}
			w.dbQuiet()
		})
	}}
	promotion = fault{"", func(w *world, _ *node, random *rand.Rand) {
		v := w.primary
		if v.standby == nil || w.dbTroubled > 0 {
			return
		}
		w.dbTrouble()
		w.promoteLater(v, random)
	}}
	restored = fault{"", func(w *world, _ *node, random *rand.Rand) {
		if w.backup == nil {
			w.backup = w.primary.seen.clone()
			return
		}
		if w.dbTroubled == 0 {
			w.gap(func() {
				w.restore(w.backup)
				w.acceptLater(random)
			})
		}
	}}
)

// quick is how long a message takes on a good day, at most.
const quick = 2 * time.Millisecond

// gap keeps the database down for as long as any lease from it may last, as the
// manual demands where its history may change.
func (w *world) gap(then func()) {
	v := w.primary
	v.crash()
	w.dbTrouble()
	w.downSince = time.Now()
	var d time.Duration
	for _, n := range w.nodes {
		d = max(d, n.lease+n.staleOK)
	}
	w.after(d+d/50+100*time.Millisecond, func() {
		v.restart()
		w.downSince = time.Time{}
		w.dbQuiet()
		then()
	})
}

// promoteLater makes the standby the primary: at once if it has everything that
// was confirmed, else after a while without any.
func (w *world) promoteLater(v *server, random *rand.Rand) {
	defer w.dbQuiet()
	if w.primary != v || v.down {
		return
	}
	if v.mode == synchronous {
		w.promote(v, random.IntN(2) == 0)
		return
	}
	v.parted = true
	if random.IntN(2) == 0 {
		w.promote(v, true)
		w.addGhost()
		w.acceptLater(random)
		return
	}
	w.gap(func() {
		w.promote(v, true)
		w.acceptLater(random)
	})
}

// addGhost is what a store does when it finds the database on another timeline:
// for the registrations that the promotion may have lost, changes wait for one
// that nobody renews. (Its lease is the longest that there is in this world, for
// the longest there may be.)
func (w *world) addGhost() {
	w.stats.fault("promotion of a lagging standby, at once")
	var d time.Duration
	for _, n := range w.nodes {
		d = max(d, n.lease+n.staleOK)
	}
	id := w.newID(w.random)
	w.ghosted = time.Now()
	w.primary.seen.registrations[id] = latchkey.Registration{ID: id, Node: "promotion", Lease: d, Renewal: id}
}

func (w *world) acceptLater(random *rand.Rand) {
	w.after(span(random, 5*time.Second), func() {
		if w.alarmed() {
			w.acceptHistory()
		}
	})
}

func (n *node) revive() {
	if n.process == nil && !n.closing {
		n.start()
	}
}

// length is how long a fault lasts: a part of a lease, somewhat more, or much more.
func length(n *node, random *rand.Rand) time.Duration {
	factor := []float64{0.1, 0.5, 1, 2, 3}[random.IntN(5)]
	return 1 + time.Duration(float64(n.lease)*factor*(0.5+random.Float64()))
}

var all = []fault{partition, slowness, loss, paused, suspended, crashed, stopped, wallStep, noHints, dbCrash}

// draw makes a plan and its world's nodes from the seed's random numbers.
func (w *world) draw(random *rand.Rand, kind string) plan {
	p := plan{nodes: 2 + random.IntN(2), changers: 1 + random.IntN(2)}
	if random.IntN(4) == 0 {
		p.nodes = 2 + random.IntN(6)
	}
	lease := []time.Duration{300 * time.Millisecond, 600 * time.Millisecond, time.Second, 2 * time.Second}[random.IntN(4)]
	drift := 0.005
	switch kind {
	case "healthy":
		p.changers, p.overlaps, w.healthy = 2, true, true
	case "network":
		p.faults = []fault{partition, slowness, loss, noHints}
	case "processes":
		p.faults = []fault{paused, suspended, crashed, stopped, noHints, partition}
		p.pauses = 0.01
	case "restarts":
		p.faults = []fault{crashed, crashed, partition, noHints}
	case "rejoins":
		p.faults = []fault{rejoin}
	case "clocks":
		p.faults = []fault{wallStep, wallStep, suspended, partition, noHints}
	case "database":
		p.faults = []fault{dbCrash, standbyCut, promotion, partition, noHints}
		p.mode = synchronous
	case "history":
		p.faults = []fault{promotion, restored, crashed, partition, standbyCut}
		p.mode = asynchronous
	case "stale":
		p.faults = []fault{partition, paused, crashed}
		p.staleOK = true
	case "long":
		lease = []time.Duration{3 * time.Second, 10 * time.Second, latchkey.MaxLease}[random.IntN(3)]
		p.nodes, p.changers = 2, 1
		p.faults = []fault{partition, paused, crashed, noHints}
	case "thousand":
		p.nodes, p.changers = 100+random.IntN(901), 1
		lease = 3 * time.Second
		p.faults = []fault{partition, paused, crashed}
	default: // everything
		p.faults = append([]fault{promotion, standbyCut}, all...)
		p.mode, p.overlaps = synchronous, true
		p.pauses = 0.002
	}
	p.length = lease/2 + time.Duration(random.Int64N(int64(2*lease)))
	p.pace, p.every = lease/2, lease/2
	if !w.healthy {
		w.ambush = 0.05
	}
	if kind == "rejoins" {
		p.length, p.pace, p.every = 5*lease, lease/4, 2*lease
	}
	if kind == "long" {
		p.pace, w.ambush = lease/100, 0.4
	}
	w.overlaps = p.overlaps
	if kind != "history" && random.IntN(4) > 0 {
		w.dir = "" // files take a large part of the time
	}
	for range p.nodes {
		n := w.addNode(lease, 0)
		if kind != "long" && kind != "thousand" && random.IntN(4) == 0 {
			n.lease = lease * time.Duration(2+random.IntN(3)) / 3
		}
		if p.staleOK && random.IntN(2) == 0 {
			n.staleOK = time.Duration(random.Int64N(int64(3 * n.lease)))
		}
		n.drift = (2*random.Float64() - 1) * drift
		if kind == "long" || random.IntN(3) == 0 {
			n.drift = drift * float64(2*random.IntN(2)-1)
		}
	}
	w.cancelAfter, w.connectionTimeout = lease*3/4, lease
	if p.mode != alone {
		w.primary.newStandby(p.mode, "b")
		w.primary.lag = time.Millisecond
		if p.mode == asynchronous && random.IntN(2) == 0 {
			w.primary.lag = lease / 2
		}
	}
	return p
}

// play runs a plan: nodes start, clients and faults go on beside each other,
// then everything is mended, and each node must know everything.
func (w *world) play(p plan, random *rand.Rand) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	w.mu.Lock()
	changers := make([]*rand.Rand, p.changers)
	for i := range changers {
		changers[i] = rand.New(rand.NewPCG(random.Uint64(), 1))
	}
	own, faults := rand.New(rand.NewPCG(random.Uint64(), 2)), rand.New(rand.NewPCG(random.Uint64(), 3))
	for _, n := range w.nodes {
		n.start()
	}
	w.mu.Unlock()
	time.Sleep(50 * time.Millisecond)
	if p.pauses > 0 {
		w.mu.Lock()
		for _, n := range w.nodes {
			n.pauseChance, n.pauseLength = p.pauses, 2*n.lease
			n.trouble()
		}
		w.mu.Unlock()
	}
	for _, own := range changers {
		w.running.Go(func() {
			for pause(ctx, span(own, p.pace)+p.pace/20) {
				w.changeSomething(w.nodes[own.IntN(len(w.nodes))], own)
			}
		})
	}
	w.running.Go(func() {
		for pause(ctx, 1+time.Duration(own.Int64N(int64(p.pace/4)))) {
			w.mu.Lock()
			c := w.pick(own)
			w.mu.Unlock()
			w.verifyLater(w.nodes[own.IntN(len(w.nodes))], c)
		}
	})
	for end := time.Now().Add(p.length); time.Now().Before(end); {
		if len(p.faults) == 0 {
			time.Sleep(p.length)
			break
		}
		w.mu.Lock()
		next := 1 + time.Duration(faults.Int64N(int64(p.every)))
		w.mu.Unlock()
		time.Sleep(next)
		w.mu.Lock()
		f := p.faults[faults.IntN(len(p.faults))]
		if f.name != "" {
			w.stats.fault(f.name)
		}
		n := w.nodes[faults.IntN(len(w.nodes))]
		w.trace("%s at %s", f.name, n.name)
		f.happen(w, n, faults)
		w.mu.Unlock()
	}
	cancel()
	w.end()
}

// end mends everything, and asks each node for everything.
func (w *world) end() {
	w.mu.Lock()
	w.ending = true
	for _, n := range w.nodes {
		n.mend()
		n.loss, n.delay, n.nohint, n.wallAhead = 0, quick, false, 0
		n.pauseChance = 0
	}
	w.mu.Unlock()
	w.running.Wait()
	w.mu.Lock()
	for w.dbTroubled > 0 {
		w.mu.Unlock()
		time.Sleep(10 * time.Millisecond)
		w.mu.Lock()
	}
	var stopped time.Time // what is stopped sleeps until then
	for _, n := range w.nodes {
		if n.pausedUntil.After(stopped) {
			stopped = n.pausedUntil
		}
		n.pausedUntil = time.Time{}
		n.revive()
	}
	if w.alarmed() {
		w.acceptHistory()
	}
	w.mu.Unlock()
	time.Sleep(time.Until(stopped))
	for last := time.Now().Add(w.connectionTimeout + 2*w.longest() + time.Second); !w.ready() && time.Now().Before(last); {
		time.Sleep(10 * time.Millisecond)
	}
	time.Sleep(max(1100*time.Millisecond, w.longest()/2)) // each renews once more: hints may be lost
	for _, n := range w.nodes {
		w.mu.Lock()
		known := w.known[max(0, len(w.known)-8):]
		if n.process == nil || !n.process.joined {
			w.fail("a node joins when nothing troubles it: %s has not", n.name)
		}
		w.mu.Unlock()
		for _, c := range known {
			wrong, overlapped := w.misjudged(n, c)
			// An overlap may just be ending: that is no wrong verdict yet.
			for tries := 0; wrong != "" && overlapped && tries < 3; tries++ {
				time.Sleep(time.Second)
				wrong, _ = w.misjudged(n, c)
			}
			if wrong != "" {
				w.mu.Lock()
				w.fail("in the end each node knows everything: %s", wrong)
				w.mu.Unlock()
			}
		}
	}
	w.stop()
}

// misjudged says how a node's verdict differs from what the database holds, "" if
// it does not, and whether the credential is one with an overlap.
func (w *world) misjudged(n *node, c *credential) (wrong string, overlapped bool) {
	w.verify(n, c)
	w.mu.Lock()
	defer w.mu.Unlock()
	v := w.verdicts[len(w.verdicts)-1]
	alive := w.primary.seen.accepted(c.team)[c.id]
	overlapped = w.overlapped[c.id] != 0
	if v.node != n || v.credential != c || (v.outcome == accepted) == alive || alive && overlapped {
		return "", overlapped
	}
	return fmt.Sprintf("%s at %s is %v (%v), must be accepted: %v", c.id, n.name, v.outcome, v.err, alive), overlapped
}

// ready reports whether all nodes have joined.
func (w *world) ready() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !slices.ContainsFunc(w.nodes, func(n *node) bool { return n.process == nil || !n.process.joined })
}

// stop kills everything, and waits until it has ended.
func (w *world) stop() {
	var ended []chan struct{}
	w.mu.Lock()
	for _, n := range w.nodes {
		if n.process != nil {
			ended = append(ended, n.process.ended)
		}
		n.crash()
	}
	w.mu.Unlock()
	for _, e := range ended {
		<-e
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
}
