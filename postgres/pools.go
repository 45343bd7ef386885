package postgres

import "github.com/jackc/pgx/v5/pgxpool"

// A Pool is how many connections a part of the store has.
type Pool struct {
	Name             string // what they are for: "store", "leases" or "changes"
	InUse, Idle, Max int
}

// Pools returns how the connections stand.
func (s *Store) Pools() []Pool {
	var list []Pool
	add := func(name string, p *pgxpool.Pool) {
		if p != nil {
			stat := p.Stat()
			list = append(list, Pool{Name: name, InUse: int(stat.AcquiredConns()), Idle: int(stat.IdleConns()), Max: int(stat.MaxConns())})
		}
	}
	add("store", s.pool)
	add("leases", s.leases)
	add("changes", s.writer)
	return list
}
