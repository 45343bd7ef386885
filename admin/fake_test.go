package admin

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey"
	"latchkey/jwt"
)

// A memory is a CredentialStore and a Replica in one, as much of them as a
// keyring needs, and a reader of the records that a test puts in.
type memory struct {
	mu       sync.Mutex
	holdings []latchkey.Holding // live credentials and dead ones
	revision latchkey.Revision
	sealer   *latchkey.Sealer
	records  []latchkey.Record
	events   []latchkey.Event
	used     map[string]time.Time

	fail       error               // what the next change ends with, and is made all the same
	settlement latchkey.Settlement // what each change settles with
	settleErr  error
}

var errNoReading = errors.New("the disk is gone")

func (m *memory) CreateTeam(_ context.Context, build func(time.Time) (latchkey.Holding, error)) (latchkey.Holding, latchkey.Change, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	h, err := build(time.Now())
	if err != nil {
		return h, latchkey.Change{}, err
	}
	if m.team(h.Team.Name) != nil {
		return h, latchkey.Change{}, errors.Join(errors.New("name taken"), latchkey.ErrConflict)
	}
	m.holdings = append(m.holdings, h)
	return h, m.change(), m.failure()
}

func (m *memory) UpdateTeam(_ context.Context, id string, edit func(time.Time, *latchkey.Holding) error) (latchkey.Holding, latchkey.Change, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := m.team(id)
	if h == nil {
		return latchkey.Holding{}, latchkey.Change{}, latchkey.NotFound("team", id)
	}
	next := live(h)
	if err := edit(time.Now(), &next); err != nil {
		return latchkey.Holding{}, latchkey.Change{}, err
	}
	dead := slices.DeleteFunc(slices.Clone(h.Credentials), func(c latchkey.Credential) bool { return c.Live() })
	*h = latchkey.Holding{Team: next.Team, Credentials: append(dead, next.Credentials...)}
	return live(h), m.change(), m.failure()
}

func live(h *latchkey.Holding) latchkey.Holding {
	return latchkey.Holding{Team: h.Team, Credentials: slices.DeleteFunc(slices.Clone(h.Credentials),
		func(c latchkey.Credential) bool { return !c.Live() })}
}

func (m *memory) change() latchkey.Change {
	m.revision++
	return latchkey.Change{Revision: m.revision, At: time.Now()}
}

func (m *memory) failure() error {
	err := m.fail
	m.fail = nil
	return err
}

func (m *memory) team(name string) *latchkey.Holding {
	for i := range m.holdings {
		h := &m.holdings[i]
		if h.Team.Deleted.IsZero() && (h.Team.ID == name || strings.EqualFold(h.Team.Name, name)) {
			return h
		}
	}
	return nil
}

func (m *memory) Holding(_ context.Context, team string) (latchkey.Holding, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if team == "unreadable" {
		return latchkey.Holding{}, errNoReading
	}
	if h := m.team(team); h != nil {
		return live(h), nil
	}
	return latchkey.Holding{}, latchkey.NotFound("team", team)
}

func (m *memory) Teams(context.Context) (list []latchkey.Team, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, h := range m.holdings {
		if h.Team.Deleted.IsZero() {
			list = append(list, h.Team)
		}
	}
	return list, nil
}

func (m *memory) Credential(_ context.Context, id string) (latchkey.Credential, error) {
	c, _ := m.find(func(c *latchkey.Credential) bool { return c.ID == id })
	if c == nil {
		return latchkey.Credential{}, latchkey.ErrNotFound
	}
	return *c, nil
}

func (m *memory) find(match func(*latchkey.Credential) bool) (*latchkey.Credential, *latchkey.Team) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.holdings {
		for j := range m.holdings[i].Credentials {
			if c := m.holdings[i].Credentials[j]; match(&c) {
				team := m.holdings[i].Team
				return &c, &team
			}
		}
	}
	return nil, nil
}

func (m *memory) Changes(context.Context, latchkey.Revision) (latchkey.Changes, error) {
	return latchkey.Changes{}, nil
}
func (m *memory) AppendEvents(_ context.Context, events ...latchkey.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.events = append(m.events, events...)
	return nil
}
func (m *memory) Events(_ context.Context, teamID, before string, limit int) (list []latchkey.Event, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range slices.Backward(m.events) {
		if (teamID == "" || e.TeamID == teamID) && (before == "" || e.ID < before) && len(list) < limit {
			list = append(list, e)
		}
	}
	return list, nil
}
func (m *memory) DueOverlaps(context.Context) ([]string, error)               { return nil, nil }
func (m *memory) PurgeTombstones(context.Context, time.Duration) (int, error) { return 0, nil }
func (m *memory) Probe(context.Context) ([]byte, error)                       { return nil, nil }
func (m *memory) LastUsed(context.Context, []string) (map[string]time.Time, error) {
	return m.used, nil
}

func (m *memory) APIKey(_ context.Context, d latchkey.Digest) (latchkey.Found, error) {
	c, team := m.find(func(c *latchkey.Credential) bool { return c.Digest == d })
	return latchkey.Found{Credential: c, Team: team}, nil
}

func (m *memory) APISecret(_ context.Context, id []byte) (latchkey.Found, error) {
	c, team := m.find(func(c *latchkey.Credential) bool { return c.ID == string(id) })
	if c == nil || !c.Live() {
		return latchkey.Found{Credential: c, Team: team}, nil
	}
	value, err := m.sealer.Open(c)
	return latchkey.Found{Credential: c, Team: team, Key: jwt.NewKey(c.ID, value.Reveal())}, err
}

func (m *memory) Settle(context.Context, latchkey.Change) (latchkey.Settlement, error) {
	return m.settlement, m.settleErr
}

func (m *memory) Record(_ context.Context, id string) (latchkey.Record, error) {
	for _, r := range m.records {
		if r.RequestID == id {
			return r, nil
		}
	}
	return latchkey.Record{}, latchkey.ErrNotFound
}

func (m *memory) Records(_ context.Context, q latchkey.RecordQuery) ([]latchkey.Record, error) {
	var list []latchkey.Record
	for _, r := range slices.Backward(m.records) {
		if q.Matches(&r) && len(list) < cmp.Or(q.Limit, latchkey.DefaultRecordLimit) {
			list = append(list, r)
		}
	}
	return list, nil
}

// newAPI returns an API over an empty memory.
func newAPI(t *testing.T) (*API, *memory) {
	t.Helper()
	sealer, err := latchkey.CreateKeyset(filepath.Join(t.TempDir(), "keyset.json"))
	if err != nil {
		t.Fatal(err)
	}
	m := &memory{sealer: sealer, settlement: latchkey.Settlement{Confirmed: []string{"node-1"}}}
	return &API{
		Keyring: &latchkey.Keyring{Store: m, Audit: m, Replica: m, Sealer: sealer},
		Records: m, Version: "v1.2.3", Logger: slog.New(slog.DiscardHandler),
	}, m
}

// overSocket serves h on a Unix socket, and returns its path.
func overSocket(t *testing.T, h http.Handler) string {
	t.Helper()
	// t.TempDir can be too long for a socket's path.
	dir, err := os.MkdirTemp("", "admin")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: h, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(l) }()
	t.Cleanup(func() {
		_ = server.Close()
		<-served
		_ = os.RemoveAll(dir)
	})
	return path
}

// everyWay runs a test through the socket and in the process.
func everyWay(t *testing.T, test func(t *testing.T, c *Client, a *API, m *memory)) {
	t.Run("socket", func(t *testing.T) {
		a, m := newAPI(t)
		test(t, Dial(overSocket(t, a.Handler())), a, m)
	})
	t.Run("local", func(t *testing.T) {
		a, m := newAPI(t)
		test(t, Local(a.Handler()), a, m)
	})
}

// must returns v, or ends the test.
func must[V any](t *testing.T, v V, err error) V {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// mustChange returns v, or ends the test.
func mustChange[V any](t *testing.T) func(V, Settlement, error) V {
	return func(v V, s Settlement, err error) V {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(s.Confirmed, []string{"node-1"}) || s.NotConfirmed == nil || s.TookMS < 0 {
			t.Errorf("settlement %+v is not the one that the replica gave", s)
		}
		return v
	}
}
