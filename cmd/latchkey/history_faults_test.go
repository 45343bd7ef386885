package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// A fault is something that goes wrong, and is right again when inject returns.
// It reports whether it went wrong as it should: a trap may see no roll.
type fault struct {
	name   string
	inject func(h *history, victim *member) bool
}

// faults are all that one fleet can bear again and again. The promotion of a
// standby is another test: it ends a fleet.
func faults() []fault {
	list := []fault{
		{"kill -9 of a node", killNode},
		{"start of a node on a slow wire", startSlowly},
		{"SIGSTOP of a node for 0.5 × lease", stopNode(0.5)},
		{"SIGSTOP of a node for 1.5 × lease", stopNode(1.5)},
		{"SIGSTOP of a node for 10 × lease", stopNode(10)},
		{"partition both ways", partition(weather{cutUp: true, cutDown: true}, false)},
		{"partition both ways, RST at its end", partition(weather{cutUp: true, cutDown: true}, true)},
		{"loss of all that the node sends", partition(weather{cutUp: true}, false)},
		{"loss of all that the database sends", partition(weather{cutDown: true}, false)},
		{"flapping wire", flap},
		{"RST of all connections", resets},
		{"delay of 2 × lease", delay(func(lease time.Duration) time.Duration { return 2 * lease })},
		{"delay of 2 s", delay(func(time.Duration) time.Duration { return 2 * time.Second })},
		{"loss of 1 %", passing(weather{stall: 0.01}, 6)},
		{"slow wire", passing(weather{bandwidth: 20_000}, 4)},
		{"slow header", slowHeader},
		{"slow header on a node that is cut off", slowHeaderCutOff},
		{"kill -9 of PostgreSQL", killDatabase},
		{"a tenth of the time", starve},
		{"one thread while all processors are busy", crowd},
	}
	for _, at := range []point{between, commit, inCommit, committed, answered, listing, listed} {
		list = append(list,
			fault{"kill -9 of the roller " + at.String(), killRoller(at)},
			fault{"kill -9 of PostgreSQL " + at.String(), killDatabaseAt(at)},
			fault{"SIGSTOP of the roller " + at.String(), stopRoller(at)})
	}
	for _, step := range []time.Duration{time.Hour, -time.Hour, 5 * time.Minute, -5 * time.Minute} {
		list = append(list, fault{fmt.Sprintf("step of a node's clock by %v", step), stepClock(step)})
	}
	return list
}

func killNode(h *history, victim *member) bool {
	time.Sleep(h.between(0, h.lease/2))
	victim.kill()
	time.Sleep(h.between(0, h.lease*3/2))
	return h.restart(victim)
}

// startSlowly lets much be rolled between what a node does when it starts.
func startSlowly(h *history, victim *member) bool {
	victim.kill()
	victim.wire.set(weather{delay: h.lease / 8}) // each way
	defer victim.wire.set(weather{})
	return h.restart(victim)
}

func (h *history) restart(n *member) bool {
	if err := n.start(); err != nil {
		h.other.Add(1)
		h.fail(err.Error())
		return false
	}
	return true
}

// trapped waits until a roll through the victim comes to a point, and calls act
// while it stands still there. act says if the connection goes on.
func (h *history) trapped(victim *member, at point, act func() (goOn bool)) bool {
	tr := victim.wire.arm(at)
	h.favor.Store(victim)
	defer h.favor.Store(nil)
	select {
	case <-tr.reached:
		tr.letGo(act())
		return true
	case <-time.After(5*h.lease + 10*time.Second):
	}
	// All rolls may be waiting for something else.
	victim.wire.disarm(tr)
	h.because("came in time to the point " + at.String())
	return false
}

func killRoller(at point) func(*history, *member) bool {
	return func(h *history, victim *member) bool {
		if !h.trapped(victim, at, func() bool { victim.kill(); return false }) {
			return false
		}
		time.Sleep(h.between(0, h.lease*3/2))
		return h.restart(victim)
	}
}

func killDatabase(h *history, _ *member) bool {
	h.ill.Store(nil) // all suffer
	time.Sleep(h.between(0, h.lease/2))
	h.pg.Kill(h.t)
	time.Sleep(h.between(0, h.lease))
	h.pg.Start(h.t)
	return true
}

func killDatabaseAt(at point) func(*history, *member) bool {
	return func(h *history, victim *member) bool {
		h.ill.Store(nil) // all suffer
		kill := func() bool { h.pg.Kill(h.t); return h.random()%2 == 0 }
		if !h.trapped(victim, at, kill) {
			return false
		}
		h.pg.Start(h.t)
		return true
	}
}

// stopNode stops a node. Requests are put into its socket meanwhile, after keys
// of theirs were ended by rolls of others, and answered when it goes on.
func stopNode(leases float64) func(*history, *member) bool {
	return func(h *history, victim *member) bool {
		time.Sleep(h.between(0, h.lease/2))
		victim.signal(syscall.SIGSTOP)
		stop := time.Duration(leases * float64(h.lease))
		began := time.Now()
		var queued sync.WaitGroup
		for range 3 {
			time.Sleep(stop / 4)
			for _, slot := range h.teams {
				h.queue(&queued, victim, slot.Load())
			}
		}
		time.Sleep(time.Until(began.Add(stop)))
		victim.signal(syscall.SIGCONT)
		queued.Wait()
		return true
	}
}

// queue sends requests with a team's keys on connections of their own, and
// returns when they are in the node's socket. Their answers are waited for by queued.
func (h *history) queue(queued *sync.WaitGroup, n *member, team *ledger) {
	v := team.view.Load()
	if v == nil || v.current == nil {
		return
	}
	for _, key := range append(v.ended[:min(2, len(v.ended)):min(2, len(v.ended))], v.current) {
		l := &line{node: n}
		if l.dial(context.Background()) != nil {
			continue
		}
		call := h.now()
		if _, err := l.conn.Write(head(key.value)); err != nil {
			l.close()
			continue
		}
		queued.Go(func() {
			defer l.close()
			_ = l.conn.SetDeadline(time.Now().Add(lineTime))
			h.judge(n, team, key, call, l.answer())
		})
	}
}

// stopRoller stops the node that rolls at a point, for up to 1.5 leases; what it
// had sent waits with it.
func stopRoller(at point) func(*history, *member) bool {
	return func(h *history, victim *member) bool {
		return h.trapped(victim, at, func() bool {
			victim.signal(syscall.SIGSTOP)
			defer victim.signal(syscall.SIGCONT)
			if at == inCommit || at == committed || at == answered || at == listed {
				time.Sleep(h.between(0, 3*h.lease/2))
			} else {
				time.Sleep(h.between(h.lease/2, 3*h.lease/2))
			}
			return true
		})
	}
}

// partition cuts a node off for one to three leases.
func partition(now weather, reset bool) func(*history, *member) bool {
	return func(h *history, victim *member) bool {
		time.Sleep(h.between(0, h.lease/2))
		victim.cutOff(now)
		time.Sleep(h.between(h.lease, 3*h.lease))
		if reset {
			victim.wire.reset()
		}
		victim.mend()
		h.awaitAnswer(victim)
		return true
	}
}

// awaitAnswer gives a node time to answer again, so that how long it took is seen.
func (h *history) awaitAnswer(n *member) {
	for deadline := time.Now().Add(2*time.Second + h.lease); n.seen.Load() == int64(never) && time.Now().Before(deadline); {
		time.Sleep(2 * time.Millisecond)
	}
}

// flap cuts a node off every 100 ms, for 100 ms.
func flap(h *history, victim *member) bool {
	for began := time.Now(); time.Since(began) < 4*h.lease; {
		victim.wire.set(weather{cutUp: true, cutDown: true})
		time.Sleep(100 * time.Millisecond)
		victim.wire.set(weather{})
		time.Sleep(h.between(20*time.Millisecond, 100*time.Millisecond))
	}
	return true
}

// resets breaks all connections of a node with RST, three times.
func resets(h *history, victim *member) bool {
	for range 3 {
		time.Sleep(h.between(0, h.lease/2))
		victim.wire.reset()
	}
	time.Sleep(h.lease / 2)
	return true
}

// passing is weather that a node bears for some leases.
func passing(now weather, leases int) func(*history, *member) bool {
	return func(h *history, victim *member) bool {
		victim.wire.set(now)
		time.Sleep(time.Duration(leases) * h.lease)
		victim.wire.set(weather{})
		return true
	}
}

// delay makes a wire so slow that answers come after the lease they ask for.
func delay(of func(lease time.Duration) time.Duration) func(*history, *member) bool {
	return func(h *history, victim *member) bool {
		by := of(h.lease)
		victim.wire.set(weather{delay: by / 2}) // each way
		time.Sleep(2*by + h.lease)
		victim.wire.set(weather{})
		return true
	}
}

// slowHeader begins requests, lets their key be rolled, and ends them then: a
// request is judged at its header's last byte.
func slowHeader(h *history, victim *member) bool {
	h.gate.Lock() // this roll is the only one
	defer h.gate.Unlock()
	team := h.teams[0].Load()
	v := team.view.Load()
	if v == nil || v.current == nil {
		return false
	}
	slow := h.begin(victim, v.current)
	if h.roll(context.Background(), team, h.nodes[h.random()%nodes]) != accepted {
		return false
	}
	h.end(slow, team, v.current)
	return len(slow) > 0
}

// slowHeaderCutOff is slowHeader on a node that does not hear of the roll: its
// lease was good when the requests began, and is over when they end.
func slowHeaderCutOff(h *history, victim *member) bool {
	h.gate.Lock()
	defer h.gate.Unlock()
	team := h.teams[0].Load()
	v := team.view.Load()
	if v == nil || v.current == nil {
		return false
	}
	victim.cutOff(weather{cutUp: true, cutDown: true})
	defer victim.mend()
	slow := h.begin(victim, v.current)
	if h.roll(context.Background(), team, h.nodes[(victim.index+1)%nodes]) != accepted {
		return false
	}
	h.end(slow, team, v.current)
	return len(slow) > 0
}

// begin sends the first bytes of requests, more or fewer of them.
func (h *history) begin(n *member, key *rolled) (slow []*line) {
	text := head(key.value)
	for _, early := range []int{1, 20, len(text) - 60, len(text) - 4, len(text) - 2, len(text) - 1} {
		l := &line{node: n, rest: text[early:]}
		if l.dial(context.Background()) != nil {
			continue
		}
		_ = l.conn.(*net.TCPConn).SetNoDelay(true)
		if _, err := l.conn.Write(text[:early]); err != nil {
			l.close()
			continue
		}
		slow = append(slow, l)
	}
	time.Sleep(20 * time.Millisecond) // for the bytes to be read
	return slow
}

// end sends the rest, and holds the answers to the promise.
func (h *history) end(slow []*line, team *ledger, key *rolled) {
	for _, l := range slow {
		call := h.now()
		_ = l.conn.SetDeadline(time.Now().Add(lineTime))
		if _, err := l.conn.Write(l.rest); err == nil {
			h.judge(l.node, team, key, call, l.answer())
		}
		l.close()
	}
}

// stepClock sets a node's wall clock, and cuts the node off: a lease that is
// measured by that clock would end too late, or be thought young when it is not.
func stepClock(by time.Duration) func(*history, *member) bool {
	return func(h *history, victim *member) bool {
		victim.cutOff(weather{cutUp: true, cutDown: true})
		time.Sleep(h.between(0, h.lease/2))
		if err := os.WriteFile(victim.clock, []byte(by.String()+"\n"), 0o600); err != nil {
			h.t.Fatal(err)
		}
		time.Sleep(h.between(h.lease, 2*h.lease))
		if err := os.WriteFile(victim.clock, []byte("0s\n"), 0o600); err != nil {
			h.t.Fatal(err)
		}
		victim.mend()
		h.awaitAnswer(victim)
		return true
	}
}

// starve lets a node run for a tenth of the time, in turns that are as long as
// those of a CPU quota and in some that are as long as a lease.
func starve(h *history, victim *member) bool {
	for _, turn := range []time.Duration{100 * time.Millisecond, h.lease / 3, h.lease} {
		for began := time.Now(); time.Since(began) < max(2*h.lease, 2*turn); {
			victim.signal(syscall.SIGSTOP)
			time.Sleep(turn * 9 / 10)
			victim.signal(syscall.SIGCONT)
			time.Sleep(turn / 10)
		}
	}
	return true
}

// crowd starts a node that has one thread, and then twice as many programs that
// only take time as there are processors.
func crowd(h *history, victim *member) bool {
	h.ill.Store(nil) // all suffer
	victim.kill()
	victim.env = []string{"GOMAXPROCS=1"}
	defer func() { victim.env = nil }()
	if !h.restart(victim) {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), 6*h.lease)
	defer cancel()
	var busy sync.WaitGroup
	for range 2 * runtime.NumCPU() {
		busy.Go(func() { _ = exec.CommandContext(ctx, "sh", "-c", "while :; do :; done").Run() })
	}
	busy.Wait()
	victim.kill()
	victim.env = nil
	return h.restart(victim)
}
