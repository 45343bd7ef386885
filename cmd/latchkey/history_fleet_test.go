package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"latchkey/admin"
	"latchkey/postgres/postgrestest"
)

// nodes is how many processes a history has.
const nodes = 3

// A fleet is PostgreSQL, and nodes that reach it through wires, with an API
// behind them that says yes to all.
type fleet struct {
	t        *testing.T
	began    time.Time
	lease    time.Duration
	program  string
	env      []string // of the nodes, beside the usual
	pg       *postgrestest.Server
	database string
	upstream string
	dir      string
	nodes    [nodes]*member
	away     atomic.Pointer[member] // the one that is cut off now, alone
}

// A member is a node of a history. Its process changes; its place does not.
type member struct {
	fleet *fleet
	index int
	wire  *wire
	addr  string
	api   *admin.Client
	// direct: it goes to PostgreSQL without the wire, from its next start on.
	direct bool
	clock  string   // the file that its clock is read from, if the program has one
	env    []string // of its next process alone

	mu      sync.Mutex
	process *process
	log     *os.File

	cut  atomic.Int64 // when it was cut off from the database; never
	back atomic.Int64 // when it was mended; never
	seen atomic.Int64 // when it answered first after that; never
}

// newFleet starts PostgreSQL and three nodes.
func newFleet(t *testing.T, lease time.Duration, program string, env ...string) *fleet {
	t.Helper()
	pg := postgrestest.Start(t, "max_connections = 120", "log_min_messages = fatal",
		"shared_preload_libraries = pg_stat_statements", "pg_stat_statements.track_utility = off")
	w := &fleet{t: t, began: time.Now(), lease: lease, program: program, env: env, pg: pg, dir: t.TempDir()}
	w.database = pg.NewDatabase(t)
	w.upstream = startYes(t)
	for i := range w.nodes {
		w.nodes[i] = w.newMember(i)
		if err := w.nodes[i].start(); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// now is the one clock of a history.
func (w *fleet) now() time.Duration { return time.Since(w.began) }

func (w *fleet) newMember(i int) *member {
	w.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	n := &member{fleet: w, index: i, wire: newWire(w.t, w.pg.Address()), addr: l.Addr().String()}
	_ = l.Close()
	n.mended()
	n.clock = filepath.Join(w.dir, n.name()+".clock")
	n.api = admin.Dial(socketPath(n.data()))
	n.api.Actor = "history"
	if n.log, err = os.Create(filepath.Join(w.dir, n.name()+".log")); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { n.kill(); _ = n.log.Close() })
	return n
}

func (n *member) name() string { return fmt.Sprintf("n%d", n.index+1) }
func (n *member) data() string { return filepath.Join(n.fleet.dir, n.name()) }

// url is the database's, through the node's wire.
func (n *member) url() string {
	u, err := url.Parse(n.fleet.pg.TCP(n.fleet.database))
	if err != nil {
		n.fleet.t.Fatal(err)
	}
	u.Host, u.RawQuery = n.wire.addr(), "sslmode=disable"
	if n.direct {
		u.Host = n.fleet.pg.Address()
	}
	return u.String()
}

// start starts the node's process, and returns when it listens. One that ends
// because the database does not answer yet is started again.
func (n *member) start() error {
	w := n.fleet
	deadline := time.Now().Add(longPatience)
	for {
		c := exec.Command(w.program, "serve", "--data", n.data(), "--listen", n.addr, "--console", "", "--upstream", w.upstream,
			"--keyset", filepath.Join(w.dir, "keyset.json"), "--node", n.name(), "--advertise", "http://"+n.addr, "--lease", w.lease.String(), "--drain", "1s")
		c.Env = append(append(os.Environ(), "LATCHKEY_DATABASE="+n.url(), "LATCHKEY_TEST_CLOCK="+n.clock, "GOMAXPROCS=2"), append(slices.Clone(w.env), n.env...)...)
		c.Stdout, c.Stderr = n.log, n.log
		c.SysProcAttr = ownGroup()
		p := &process{Cmd: c, ended: make(chan struct{})}
		if err := c.Start(); err != nil {
			return err
		}
		go func() { p.err = p.Wait(); close(p.ended) }()
		n.mu.Lock()
		n.process = p
		n.mu.Unlock()
		if n.listens(p, deadline) {
			return nil
		}
		n.kill()
		if time.Now().After(deadline) {
			return fmt.Errorf("node %s does not start:\n%s", n.name(), n.tail())
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (n *member) listens(p *process, deadline time.Time) bool {
	for time.Now().Before(deadline) {
		if c, err := net.Dial("tcp", n.addr); err == nil {
			_ = c.Close()
			return true
		}
		select {
		case <-p.ended:
			return false
		case <-time.After(5 * time.Millisecond):
		}
	}
	return false
}

// tail is the end of the node's log.
func (n *member) tail() string {
	text, _ := os.ReadFile(n.log.Name())
	return string(text[max(0, len(text)-3000):])
}

// kill ends the node with SIGKILL.
func (n *member) kill() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.process != nil {
		n.process.kill()
		n.process = nil
	}
}

// stop stops the node's process, or lets it go on.
func (n *member) signal(s syscall.Signal) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.process != nil {
		_ = n.process.Process.Signal(s)
	}
}

// cutOff notes that from now on nothing of the node's reaches the database, or
// nothing of the database's reaches it: its lease runs out.
func (n *member) cutOff(now weather) {
	n.wire.set(now)
	n.back.Store(int64(never))
	n.seen.Store(int64(never))
	n.cut.Store(int64(n.fleet.now()))
	n.fleet.away.Store(n)
}

// mend ends what cutOff began.
func (n *member) mend() {
	n.fleet.away.Store(nil)
	n.back.Store(int64(n.fleet.now()))
	n.wire.set(weather{})
}

func (n *member) mended() {
	n.cut.Store(int64(never))
	n.back.Store(int64(never))
	n.seen.Store(int64(never))
}

// startYes starts an API that says yes to all, without net/http: it must not be
// what takes the time.
func startYes(t *testing.T) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go sayYes(c)
		}
	}()
	return "http://" + l.Addr().String()
}

// sayYes answers requests without a body.
func sayYes(c net.Conn) {
	defer c.Close()
	yes := []byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	var heap []byte
	buffer := make([]byte, 8<<10)
	for {
		n, err := c.Read(buffer)
		if err != nil {
			return
		}
		heap = append(heap, buffer[:n]...)
		for end := bytes.Index(heap, []byte("\r\n\r\n")); end >= 0; end = bytes.Index(heap, []byte("\r\n\r\n")) {
			heap = heap[end+4:]
			if _, err := c.Write(yes); err != nil {
				return
			}
		}
		if len(heap) == 0 {
			heap = nil
		}
	}
}

// A line is a keep-alive connection to a node.
type line struct {
	node   *member
	conn   net.Conn
	reader *lineReader
	rest   []byte // of a request that was begun
}

// lineTime is how long a caller waits for an answer: a node may be stopped for
// ten times its lease.
const lineTime = 90 * time.Second

// dial opens the connection, if it is not open.
func (l *line) dial(ctx context.Context) error {
	if l.conn != nil {
		return nil
	}
	d := net.Dialer{Timeout: lineTime}
	c, err := d.DialContext(ctx, "tcp", l.node.addr)
	if err != nil {
		return err
	}
	l.conn, l.reader = c, newLineReader(c)
	return nil
}

func (l *line) close() {
	if l.conn != nil {
		_ = l.conn.Close()
		l.conn = nil
	}
}

// head is a request with a key.
func head(key string) []byte {
	return []byte("GET /v HTTP/1.1\r\nHost: history\r\nAuthorization: Bearer " + key + "\r\n\r\n")
}

// ask sends a request, and returns what is answered.
func (l *line) ask(ctx context.Context, key string) reply {
	if l.dial(ctx) != nil {
		return broken
	}
	_ = l.conn.SetDeadline(time.Now().Add(lineTime))
	if _, err := l.conn.Write(head(key)); err != nil {
		l.close()
		return broken
	}
	return l.answer()
}

// answer reads one answer.
func (l *line) answer() reply {
	status, err := l.reader.status()
	if err != nil {
		l.close()
		return broken
	}
	switch status {
	case http.StatusOK:
		return accepted
	case http.StatusUnauthorized:
		return refused
	case http.StatusServiceUnavailable:
		return unavailable
	}
	return broken
}
