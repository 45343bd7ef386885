package main

import (
	"context"
	"io"
	mathrand "math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// stallTime is how long a lost segment holds up a connection: the least time
// after which TCP sends it again.
const stallTime = 200 * time.Millisecond

// Weather is what a wire does to what passes.
type weather struct {
	cutUp, cutDown bool          // nothing reaches the database, the node; it is kept, as TCP would send it again
	delay          time.Duration // each way
	stall          float64       // the share of messages that are lost once, and with them what follows for a while
	bandwidth      int           // bytes a second, each way; 0: any number
}

// A wire is a proxy between one node and PostgreSQL. It understands enough of
// what passes to act at an exact point of the protocol; see trap.
type wire struct {
	listener net.Listener
	target   atomic.Pointer[string] // where PostgreSQL is

	// Nothing is written while it is held for writing: what was not forwarded
	// when cut returned is not forwarded before the wire is mended.
	gate   sync.RWMutex
	now    weather
	change chan struct{} // closed at the next change of weather

	mu    sync.Mutex
	conns map[*wireConn]bool

	trap     atomic.Pointer[trap]
	rolled   atomic.Bool  // a roll was committed since the trap was set, and is answered
	messages atomic.Int64 // queries that the node has sent
	watch    atomic.Pointer[func(sql string)]
}

// newWire starts a proxy to a PostgreSQL server's TCP port.
func newWire(t *testing.T, target string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{listener: l, change: make(chan struct{}), conns: map[*wireConn]bool{}}
	w.target.Store(&target)
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { w.serve(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		w.set(weather{})
		w.reset()
		serving.Wait()
	})
	return w
}

func (w *wire) addr() string { return w.listener.Addr().String() }

// set changes the weather. What was cut is cut when it returns.
func (w *wire) set(now weather) {
	w.gate.Lock()
	defer w.gate.Unlock()
	w.now = now
	close(w.change)
	w.change = make(chan struct{})
}

// reset breaks all connections with a RST.
func (w *wire) reset() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.conns {
		c.abort()
	}
}

// forecast is the weather, and what is closed when it changes.
func (w *wire) forecast() (weather, <-chan struct{}) {
	w.gate.RLock()
	defer w.gate.RUnlock()
	return w.now, w.change
}

// A wireConn is one connection through a wire.
type wireConn struct {
	wire     *wire
	node, db *net.TCPConn
	ctx      context.Context
	cancel   context.CancelFunc
	talk     conversation
}

// abort ends a connection as a RST does. What is on its way is lost.
func (c *wireConn) abort() {
	c.cancel()
	for _, half := range []*net.TCPConn{c.node, c.db} {
		if half != nil {
			_ = half.SetLinger(0)
			_ = half.Close()
		}
	}
}

func (w *wire) serve(node net.Conn) {
	ctx, cancel := context.WithCancel(context.Background())
	c := &wireConn{wire: w, node: node.(*net.TCPConn), ctx: ctx, cancel: cancel}
	w.mu.Lock()
	w.conns[c] = true
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		delete(w.conns, c)
		c.abort()
		w.mu.Unlock()
	}()
	// A cut wire carries no SYN either.
	if !c.wait(0, true) || !c.wait(0, false) {
		return
	}
	db, err := net.Dial("tcp", *w.target.Load())
	if err != nil {
		return
	}
	w.mu.Lock()
	c.db = db.(*net.TCPConn)
	gone := ctx.Err() != nil
	w.mu.Unlock()
	if gone {
		return
	}
	up, down := make(chan parcel, 256), make(chan parcel, 256)
	var carriers sync.WaitGroup
	carriers.Go(func() { defer close(up); c.readNode(up) })
	carriers.Go(func() { defer close(down); c.readDatabase(down) })
	carriers.Go(func() { defer cancel(); c.deliver(up, c.db, true) })
	carriers.Go(func() { defer cancel(); c.deliver(down, c.node, false) })
	<-ctx.Done()
	w.mu.Lock()
	c.abort()
	w.mu.Unlock()
	carriers.Wait()
}

// A parcel is some messages that are delivered together.
type parcel struct {
	bytes  []byte
	came   time.Time
	before point // where the protocol stands before they are delivered, and after
	after  point
}

// deliver writes what comes in, in order, when the weather lets it.
func (c *wireConn) deliver(in <-chan parcel, to io.Writer, up bool) {
	for {
		var p parcel
		select {
		case <-c.ctx.Done():
			return
		case next, open := <-in:
			if !open {
				c.linger(up)
				return
			}
			p = next
		}
		now, _ := c.wire.forecast()
		hold := time.Until(p.came.Add(now.delay))
		if now.stall > 0 && mathrand.Float64() < now.stall {
			hold += stallTime
		}
		if now.bandwidth > 0 {
			hold += time.Duration(len(p.bytes)) * time.Second / time.Duration(now.bandwidth)
		}
		if !c.wait(hold, up) || !c.spring(p.before) {
			return
		}
		if p.after == answered {
			// Before it is: the node may ask for its list as soon as it has the answer.
			c.wire.rolled.Store(true)
		}
		if !c.write(p.bytes, to, up) || !c.spring(p.after) {
			return
		}
	}
}

// linger keeps the end of one side from the other while the wire is cut.
func (c *wireConn) linger(up bool) { c.wait(0, up) }

// write delivers bytes in one piece between two changes of weather.
func (c *wireConn) write(b []byte, to io.Writer, up bool) bool {
	for {
		c.wire.gate.RLock()
		if !c.wire.now.blocks(up) {
			_, err := to.Write(b)
			c.wire.gate.RUnlock()
			return err == nil
		}
		c.wire.gate.RUnlock()
		if !c.wait(0, up) {
			return false
		}
	}
}

func (n weather) blocks(up bool) bool { return up && n.cutUp || !up && n.cutDown }

// wait waits for so long, and until the wire carries what goes in this
// direction. It is false if the connection ended.
func (c *wireConn) wait(hold time.Duration, up bool) bool {
	if hold > 0 {
		select {
		case <-c.ctx.Done():
			return false
		case <-time.After(hold):
		}
	}
	for {
		now, change := c.wire.forecast()
		if !now.blocks(up) {
			return c.ctx.Err() == nil
		}
		select {
		case <-c.ctx.Done():
			return false
		case <-change:
		}
	}
}

// A point is where a roll stands. The points are those of the node that rolls.
type point int32

const (
	nowhere   point = iota
	between         // it has begun its transaction, and not ended it
	commit          // its COMMIT has come to the wire, and was not forwarded
	inCommit        // its COMMIT was just forwarded
	committed       // the answer to its COMMIT has come, and was not passed on
	answered        // the answer was passed on
	listing         // it asks for the registrations, and that was not forwarded
	listed          // it has the list
)

func (p point) String() string {
	return [...]string{"nowhere", "between its writes", "before its COMMIT", "in its COMMIT", "before the answer to its COMMIT", "after the answer to its COMMIT", "before it lists", "after it listed"}[p]
}

// A trap holds up the first roll that comes to a point: that connection stands
// still until it is let go.
type trap struct {
	at      point
	taken   atomic.Bool
	reached chan struct{} // closed
	release chan bool     // whether to go on; else the connection is lost
}

// arm sets a trap for the next roll.
func (w *wire) arm(at point) *trap {
	tr := &trap{at: at, reached: make(chan struct{}), release: make(chan bool, 1)}
	w.rolled.Store(false)
	w.trap.Store(tr)
	return tr
}

// letGo ends the stand-still. The first word counts.
func (tr *trap) letGo(goOn bool) {
	select {
	case tr.release <- goOn:
	default:
	}
}

// disarm takes a trap away, and reports whether somebody came to it.
func (w *wire) disarm(tr *trap) bool {
	w.trap.CompareAndSwap(tr, nil)
	came := !tr.taken.CompareAndSwap(false, true)
	tr.letGo(true)
	return came
}

// spring stands still in a trap that is set for the point, and says whether to
// go on.
func (c *wireConn) spring(at point) bool {
	w := c.wire
	if (at == listing || at == listed) && !w.rolled.Load() {
		return true // whoever looks for dead nodes lists them, too
	}
	tr := w.trap.Load()
	if at == nowhere || tr == nil || tr.at != at || !tr.taken.CompareAndSwap(false, true) {
		return true
	}
	close(tr.reached)
	select {
	case goOn := <-tr.release:
		return goOn
	case <-c.ctx.Done():
		return false
	}
}
