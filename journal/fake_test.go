package journal_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"latchkey"
	"latchkey/journal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait of a test.
const patience = time.Minute

var errDown = errors.New("the store is down")

// A memory is a store that keeps all in memory, and fails when told to.
type memory struct {
	mu      sync.Mutex
	err     error // of every write; of a read too if deaf
	deaf    bool
	records map[string]latchkey.Record
	gaps    []latchkey.Gap
	kept    latchkey.Retention
	batches []int // sizes of the appends that worked
	usage   map[who]latchkey.Usage
	adds    int           // calls of AddUsage
	rows    int           // of the last call of AddUsage
	gate    chan struct{} // if not nil, writes wait for it
	linger  time.Duration // how long AddUsage takes before and after the usage is there
}

type who struct {
	credentialID string
	day          time.Time
	caller       latchkey.Caller
}

func newMemory() *memory {
	return &memory{records: make(map[string]latchkey.Record), usage: make(map[who]latchkey.Usage)}
}

func (m *memory) set(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = err
}

func (m *memory) wait(ctx context.Context) {
	m.mu.Lock()
	gate := m.gate
	m.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
		}
	}
}

func (m *memory) AppendRecords(ctx context.Context, records []latchkey.Record) error {
	m.wait(ctx)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return m.err
	}
	for _, r := range records {
		if _, there := m.records[r.RequestID]; !there {
			m.records[r.RequestID] = r
		}
	}
	m.batches = append(m.batches, len(records))
	return nil
}

func (m *memory) Record(_ context.Context, id string) (latchkey.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r, there := m.records[id]; there {
		return r, nil
	}
	return latchkey.Record{}, latchkey.NotFound("request", id)
}

func (m *memory) Records(_ context.Context, q latchkey.RecordQuery) ([]latchkey.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.deaf {
		return nil, errDown
	}
	var list []latchkey.Record
	for _, r := range m.records {
		if q.Matches(&r) {
			list = append(list, r)
		}
	}
	slices.SortFunc(list, func(a, b latchkey.Record) int { return cmp.Compare(b.RequestID, a.RequestID) })
	return list[:min(len(list), cmp.Or(q.Limit, latchkey.DefaultRecordLimit))], nil
}

func (m *memory) LastUsed(_ context.Context, ids []string) (map[string]time.Time, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	used := make(map[string]time.Time)
	for _, r := range m.records {
		if r.Outcome == latchkey.OutcomeAccepted && slices.Contains(ids, r.CredentialID) && r.Time.After(used[r.CredentialID]) {
			used[r.CredentialID] = r.Time
		}
	}
	return used, nil
}

func (m *memory) AddGap(_ context.Context, g latchkey.Gap) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return m.err
	}
	m.gaps = slices.DeleteFunc(m.gaps, func(o latchkey.Gap) bool { return o.Node == g.Node && o.From.Equal(g.From) })
	m.gaps = append(m.gaps, g)
	return nil
}

func (m *memory) Gaps(_ context.Context, from, to time.Time) (list []latchkey.Gap, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, g := range m.gaps {
		if !g.To.Before(from) && !g.From.After(to) {
			list = append(list, g)
		}
	}
	return list, nil
}

func (m *memory) Retention(context.Context) (latchkey.Retention, error) { return m.kept, nil }

func (m *memory) Retain(_ context.Context, r latchkey.Retention) error {
	m.kept = r
	return nil
}

func (m *memory) AddUsage(ctx context.Context, add []latchkey.Usage) error {
	m.wait(ctx)
	time.Sleep(m.linger)
	defer func() { time.Sleep(m.linger) }() // without the lock
	m.mu.Lock()
	defer m.mu.Unlock()
	m.adds++
	m.rows = len(add)
	if m.err != nil {
		return m.err
	}
	for _, u := range add {
		key := who{u.CredentialID, u.Day, u.Caller}
		sum := m.usage[key]
		u.Accepted += sum.Accepted
		u.Refused += sum.Refused
		if sum.Last.After(u.Last) {
			u.Last = sum.Last
		}
		m.usage[key] = u
	}
	return nil
}

func (m *memory) Usage(_ context.Context, ids []string, since time.Time) ([]latchkey.Usage, error) {
	return m.sum(func(u latchkey.Usage) bool {
		return slices.Contains(ids, u.CredentialID) && !u.Day.Before(since.UTC().Truncate(24*time.Hour))
	})
}

func (m *memory) DeadInUse(_ context.Context, teamID string, since time.Time) ([]latchkey.Usage, error) {
	return m.sum(func(u latchkey.Usage) bool { return u.TeamID == teamID && u.Refused > 0 && !u.Last.Before(since) })
}

func (m *memory) sum(selected func(latchkey.Usage) bool) ([]latchkey.Usage, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.deaf {
		return nil, errDown
	}
	sums := make(map[who]latchkey.Usage)
	for _, u := range m.usage {
		if !selected(u) {
			continue
		}
		key := who{credentialID: u.CredentialID, caller: u.Caller}
		s, there := sums[key]
		if !there {
			sums[key] = u
			continue
		}
		s.Accepted += u.Accepted
		s.Refused += u.Refused
		if u.Day.After(s.Day) {
			s.Day = u.Day
		}
		if u.Last.After(s.Last) {
			s.Last = u.Last
		}
		sums[key] = s
	}
	var list []latchkey.Usage
	for _, u := range sums {
		list = append(list, u)
	}
	return list, nil
}

func (m *memory) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.records)
}

// written returns how often usage was written, the rows of the last write, and
// how many rows there are.
func (m *memory) written() (adds, rows, kept int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.adds, m.rows, len(m.usage)
}

// open returns a journal over m, which is closed when the test ends.
func open(t testing.TB, m *memory) *journal.Journal {
	t.Helper()
	j := start(t, t.TempDir(), m)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := j.Close(ctx); err != nil && !errors.Is(err, errDown) {
			t.Errorf("close: %v", err)
		}
	})
	return j
}

// start returns a journal in dir, which the test closes.
func start(t testing.TB, dir string, s journal.Store) *journal.Journal {
	t.Helper()
	j, err := journal.Open(t.Context(), journal.Config{Dir: dir, Store: s, Node: "node-1", SegmentSize: 1 << 20, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// eventually waits until held is true.
func eventually(t testing.TB, rule string, held func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !held(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("rule broken: %s", rule)
		}
	}
}

func newRecord() latchkey.Record {
	return latchkey.Record{
		RequestID: uuid.Must(uuid.NewV7()).String(), Time: time.Now().UTC().Truncate(time.Microsecond),
		TeamID: "team_a", CredentialID: "key_a", Auth: latchkey.MethodBearer, Outcome: latchkey.OutcomeAccepted, Reason: latchkey.ReasonOK,
		Method: "GET", Path: "/", Status: 200, ClientIP: "192.0.2.1", UserAgent: "curl/8",
	}
}

func from(credentialID string, n int) latchkey.Record {
	r := newRecord()
	r.CredentialID, r.ClientIP = credentialID, fmt.Sprintf("192.0.2.%d", n)
	return r
}
