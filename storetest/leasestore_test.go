package storetest_test

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"latchkey"
	"latchkey/sqlite"
	"latchkey/storetest"
)

// A memoryCluster is a good Cluster: SQLite's credentials, and leases in memory.
// One lock makes a transaction of each method.
type memoryCluster struct {
	*sqlite.Store
	mu            sync.Mutex
	positions     map[latchkey.Position]bool
	registrations map[string]latchkey.Registration
	acceptances   []string
	listeners     map[chan struct{}]bool
}

func newMemoryCluster(s *sqlite.Store) (*memoryCluster, error) {
	m := &memoryCluster{
		Store: s, positions: make(map[latchkey.Position]bool),
		registrations: make(map[string]latchkey.Registration), listeners: make(map[chan struct{}]bool),
	}
	all, err := s.Changes(context.Background(), 0)
	m.positions[latchkey.Position{Revision: all.Revision, ChangeID: all.ChangeID}] = true
	return m, err
}

func (m *memoryCluster) CreateTeam(ctx context.Context, build buildFunc) (latchkey.Holding, latchkey.Change, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	h, change, err := m.Store.CreateTeam(ctx, build)
	m.changed(change, err)
	return h, change, err
}

func (m *memoryCluster) UpdateTeam(ctx context.Context, id string, edit editFunc) (latchkey.Holding, latchkey.Change, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	h, change, err := m.Store.UpdateTeam(ctx, id, edit)
	m.changed(change, err)
	return h, change, err
}

func (m *memoryCluster) changed(change latchkey.Change, err error) {
	if err != nil {
		return
	}
	m.positions[latchkey.Position{Revision: change.Revision, ChangeID: change.ID}] = true
	for l := range m.listeners {
		select {
		case l <- struct{}{}:
		default:
		}
	}
}

func (m *memoryCluster) Register(ctx context.Context, r latchkey.Registration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if _, there := m.registrations[r.ID]; there {
		return latchkey.ErrConflict
	}
	r.Node, r.Address, r.Version = storetest.Kept(r.Node), storetest.Kept(r.Address), storetest.Kept(r.Version)
	r.Applied, r.Renewals, r.Renewal, r.Renewed = 0, 0, uuid.NewString(), time.Now()
	m.registrations[r.ID] = r
	return nil
}

// history returns an error unless all positions are in it.
func (m *memoryCluster) history(ctx context.Context, positions ...latchkey.Position) (latchkey.Changes, error) {
	at, err := m.Changes(ctx, 0)
	if err != nil {
		return at, err
	}
	for _, p := range positions {
		if p != (latchkey.Position{}) && !m.positions[p] {
			current := latchkey.Position{Revision: at.Revision, ChangeID: at.ChangeID}
			return at, &latchkey.AnotherHistoryError{Missing: p, Current: current, Acceptances: slices.Clone(m.acceptances)}
		}
	}
	return at, nil
}

func (m *memoryCluster) Renew(ctx context.Context, r latchkey.Renewal) (latchkey.Renewed, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, err := m.history(ctx, r.Applied, r.Known); err != nil {
		return latchkey.Renewed{}, err
	}
	g, there := m.registrations[r.ID]
	if !there {
		return latchkey.Renewed{}, latchkey.ErrNotRegistered
	}
	changes, err := m.Changes(ctx, r.Applied.Revision)
	if err != nil {
		return latchkey.Renewed{}, err
	}
	g.Renewals, g.Renewal, g.Renewed = g.Renewals+1, uuid.NewString(), time.Now()
	g.Applied = max(g.Applied, r.Applied.Revision)
	m.registrations[r.ID] = g
	return latchkey.Renewed{Changes: changes, Acceptances: slices.Clone(m.acceptances)}, nil
}

func (m *memoryCluster) Acknowledge(ctx context.Context, id string, applied latchkey.Position) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, err := m.history(ctx, applied); err != nil {
		return err
	}
	g, there := m.registrations[id]
	if !there {
		return latchkey.ErrNotRegistered
	}
	g.Applied = max(g.Applied, applied.Revision)
	m.registrations[id] = g
	return nil
}

func (m *memoryCluster) Deregister(ctx context.Context, id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	delete(m.registrations, id)
	return nil
}

func (m *memoryCluster) Registrations(ctx context.Context, has ...latchkey.Position) (list []latchkey.Registration, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, err := m.history(ctx, has...); err != nil {
		return nil, err
	}
	for _, g := range m.registrations {
		g.Age = time.Since(g.Renewed)
		list = append(list, g)
	}
	slices.SortFunc(list, func(a, b latchkey.Registration) int {
		return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.ID, b.ID))
	})
	return list, nil
}

func (m *memoryCluster) Reap(ctx context.Context, id, renewal string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if g, there := m.registrations[id]; !there || g.Renewal != renewal {
		return latchkey.ErrConflict
	}
	delete(m.registrations, id)
	return nil
}

func (m *memoryCluster) AcceptHistory(ctx context.Context, by latchkey.Actor) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	err := m.AppendEvents(ctx, latchkey.NewEvent(time.Now(), by, latchkey.ActionAccept, "", "", ""))
	if err == nil {
		m.acceptances = append(m.acceptances, uuid.NewString())
	}
	return err
}

func (m *memoryCluster) Listen(ctx context.Context, hint func(latchkey.Revision)) error {
	heard := make(chan struct{}, 1)
	m.mu.Lock()
	m.listeners[heard] = true
	m.mu.Unlock()
	for {
		hint(0)
		select {
		case <-heard:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
