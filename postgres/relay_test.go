package postgres

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// A relay is a TCP proxy in front of a database, which can lose what is sent.
type relay struct {
	address string
	to      string

	mu       sync.Mutex
	conns    map[net.Conn]bool
	asking   bool // what clients send is lost
	answers  bool // what the server answers is lost
	shut     bool // no more connections
	incoming net.Listener
}

func newRelay(t *testing.T, to string) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{address: l.Addr().String(), to: to, conns: make(map[net.Conn]bool), incoming: l}
	go r.accept()
	t.Cleanup(func() {
		_ = l.Close()
		r.cut()
	})
	return r
}

func (r *relay) accept() {
	for {
		client, err := r.incoming.Accept()
		if err != nil {
			return
		}
		server, err := net.DialTimeout("tcp", r.to, time.Second)
		if err != nil {
			_ = client.Close()
			continue
		}
		r.mu.Lock()
		if r.shut {
			_, _ = client.Close(), server.Close()
		}
		r.conns[client], r.conns[server] = true, true
		r.mu.Unlock()
		go r.copy(server, client, &r.asking)
		go r.copy(client, server, &r.answers)
	}
}

func (r *relay) copy(to, from net.Conn, lost *bool) {
	defer to.Close()
	defer from.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		r.mu.Lock()
		drop := *lost
		r.mu.Unlock()
		if err != nil {
			return
		}
		if drop {
			continue
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// lose loses what is sent from now on, one way or both.
func (r *relay) lose(asking, answers bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asking, r.answers = asking, answers
}

// cut ends all connections. New ones are whole.
func (r *relay) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asking, r.answers = false, false
	for c := range r.conns {
		_ = c.Close()
	}
	clear(r.conns)
}

// cancelWaits cancels whatever waits for a standby.
func cancelWaits(ctx context.Context, url string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	_, err = conn.Exec(ctx, `SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'`)
	return err
}
