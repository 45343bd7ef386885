package postgres

import (
	"sync"

	"github.com/jackc/pgx/v5"
)

// Backends are the server's processes that serve some of our connections. The zero
// value has none.
type backends struct {
	mu   sync.Mutex
	pids map[uint32]bool
}

func (b *backends) add(conn *pgx.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.pids == nil {
		b.pids = make(map[uint32]bool)
	}
	b.pids[conn.PgConn().PID()] = true
}

func (b *backends) remove(conn *pgx.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.pids, conn.PgConn().PID())
}

func (b *backends) has(pid uint32) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.pids[pid]
}
