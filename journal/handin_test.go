package journal

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey"
)

// A ledger is a HandInStore in memory, whose clock may differ from the nodes'.
type ledger struct {
	mu    sync.Mutex
	down  bool
	ahead time.Duration // its clock
	until map[string]time.Time
	ids   map[string]string                     // the journal of each node
	open  map[string]map[string]latchkey.Record // by node and ID
	told  int                                   // records that were said to be open
}

func newLedger() *ledger {
	return &ledger{until: make(map[string]time.Time), ids: make(map[string]string), open: make(map[string]map[string]latchkey.Record)}
}

var errLedger = errors.New("the ledger is down")

// now is the ledger's clock. l.mu is held.
func (l *ledger) now() time.Time { return time.Now().UTC().Add(l.ahead) }

func (l *ledger) JoinHandIns(_ context.Context, h latchkey.HandIn) (time.Time, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down {
		return time.Time{}, errLedger
	}
	l.ids[h.Node] = h.Journal
	if _, there := l.until[h.Node]; !there {
		l.until[h.Node] = l.now()
		if !h.Until.IsZero() {
			l.until[h.Node] = h.Until
		}
	}
	return l.now(), nil
}

func (l *ledger) HandIn(_ context.Context, h latchkey.HandIn, open latchkey.OpenRecords) (time.Time, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down {
		return time.Time{}, errLedger
	}
	if _, there := l.until[h.Node]; !there && !open.All {
		return time.Time{}, latchkey.NotFound("hand-in of node", h.Node)
	}
	l.until[h.Node] = h.Until
	if open.All || l.open[h.Node] == nil {
		l.open[h.Node] = make(map[string]latchkey.Record)
	}
	for _, id := range open.Ended {
		delete(l.open[h.Node], id)
	}
	for _, r := range open.Began {
		l.open[h.Node][r.RequestID] = r
	}
	l.told += len(open.Began)
	return l.now(), nil
}

func (l *ledger) HandIns(context.Context) (list []latchkey.HandIn, now time.Time, _ error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down {
		return nil, now, errLedger
	}
	for node, until := range l.until {
		list = append(list, latchkey.HandIn{Node: node, Journal: l.ids[node], Until: until})
	}
	slices.SortFunc(list, func(a, b latchkey.HandIn) int { return strings.Compare(a.Node, b.Node) })
	return list, l.now(), nil
}

func (l *ledger) OpenRecord(_ context.Context, id string) (latchkey.Record, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down {
		return latchkey.Record{}, errLedger
	}
	for _, records := range l.open {
		if r, there := records[id]; there {
			r.Open = true
			return r, nil
		}
	}
	return latchkey.Record{}, latchkey.NotFound("request", id)
}

func (l *ledger) ForgetHandIn(_ context.Context, node, _ string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.until, node)
	delete(l.open, node)
	return nil
}

// opened returns how many records a node has open.
func (l *ledger) opened(node string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.open[node])
}

func (l *ledger) of(node string) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.until[node]
}

func member(node string, l *ledger) func(*Config) {
	return func(c *Config) { c.Node, c.HandIns = node, l }
}

// TestHandIn: a node says within a second how far its records are in the store,
// also when it has none; and never more than is true.
func TestHandIn(t *testing.T) {
	s, l, d := newShelf(), newLedger(), &disk{}
	s.slow = 30 * time.Millisecond
	j := opened(t, t.TempDir(), s, d, member("node-1", l))
	if handInEvery+2*moveEvery > time.Second {
		t.Errorf("it hands in every %v, at most %v late", handInEvery, 2*moveEvery)
	}
	idle := time.Now()
	waitUntil(t, "an idle node hands in", func() bool { return l.of("node-1").After(idle) })
	stop := make(chan struct{})
	var busy sync.WaitGroup
	type answered struct {
		id    string
		ended time.Time
	}
	var mu sync.Mutex
	var all []answered
	busy.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			r := newRequest()
			_ = j.Begin(r)
			at := time.Now()
			j.End(r)
			mu.Lock()
			all = append(all, answered{r.RequestID, at})
			mu.Unlock()
			time.Sleep(10 * time.Microsecond)
		}
	})
	for range 20 {
		time.Sleep(100 * time.Millisecond)
		until := l.of("node-1")
		mu.Lock()
		known := slices.Clone(all)
		mu.Unlock()
		s.mu.Lock()
		for _, a := range known {
			if _, there := s.records[a.id]; !there && a.ended.Before(until.Add(-time.Millisecond)) {
				t.Errorf("handed in until %v, but a record that ended at %v is not in the store", until, a.ended)
				break
			}
		}
		s.mu.Unlock()
	}
	close(stop)
	busy.Wait()
	s.shut(true)
	r := newRequest()
	_ = j.Begin(r)
	j.End(r)
	stands := time.Now()
	time.Sleep(4 * handInEvery)
	if until := l.of("node-1"); until.After(stands.Add(2 * moveEvery)) {
		t.Errorf("handed in until %v, with a record from %v that the store did not take", until, stands)
	}
	s.shut(false)
	waitUntil(t, "it hands in when the store is back", func() bool { return l.of("node-1").After(stands.Add(2 * moveEvery)) })
	for _, more := range []bool{false, true} { // behind what is being written
		r = newRequest()
		_ = j.Begin(r)
		d.hanging.Store(true)
		stands = time.Now()
		j.End(r)
		if more {
			time.Sleep(10 * time.Millisecond)
			next := newRequest()
			busy.Go(func() { _ = j.Begin(next); j.End(next) })
		}
		time.Sleep(4 * handInEvery)
		if until := l.of("node-1"); until.After(stands) {
			t.Errorf("handed in until %v, with a record from %v that the disk did not take", until, stands)
		}
		d.hanging.Store(false)
		busy.Wait()
		waitUntil(t, "it hands in when the disk is back", func() bool { return l.of("node-1").After(stands) })
	}
	closed(t, j)
	if !l.of("node-1").IsZero() {
		t.Error("a node that has handed in everything, and stops, is forgotten")
	}
}

// TestHandInIsKept: a node that stops without having handed in everything is not
// forgotten.
func TestHandInIsKept(t *testing.T) {
	s, l := newShelf(), newLedger()
	l.until["node-1"] = time.Now().Add(-time.Hour)
	dir := t.TempDir()
	s.shut(true)
	j := opened(t, dir, s, &disk{}, member("node-1", l))
	r := newRequest()
	_ = j.Begin(r)
	j.End(r)
	closed(t, j)
	if l.of("node-1").IsZero() {
		t.Error("a node is forgotten whose records wait on its disk")
	}
	s.shut(false)
	j = opened(t, dir, s, &disk{}, member("node-1", l))
	waitUntil(t, "what waited is handed in after the start", func() bool { return l.of("node-1").After(r.Time) })
	if _, there := s.records[r.RequestID]; !there {
		t.Error("handed in, but not in the store")
	}
	closed(t, j)
}

// TestAwaited: an ID that is not found says which nodes have not handed in, and
// since when; and nothing of the sort where all have.
func TestAwaited(t *testing.T) {
	s, l := newShelf(), newLedger()
	j := opened(t, t.TempDir(), s, &disk{}, member("node-1", l))
	defer closed(t, j)
	behind := time.Now().Add(-time.Minute).UTC().Truncate(time.Microsecond)
	l.until["node-2"], l.until["node-3"] = behind, time.Now().Add(time.Hour)
	_, err := j.Record(t.Context(), newRequest().RequestID)
	var waiting *latchkey.NotHandedInError
	if !errors.As(err, &waiting) || !errors.Is(err, latchkey.ErrNotFound) ||
		!slices.Equal(waiting.Nodes, []latchkey.HandIn{{Node: "node-2", Until: behind}}) || !strings.Contains(err.Error(), "node-2 (nothing since 20") {
		t.Errorf("an ID that node-2 may know: %v", err)
	}
	old := uuid.Must(uuid.NewV7())
	ms := time.Now().Add(-lateTime - time.Hour).UnixMilli()
	for i := range 6 {
		old[i] = byte(ms >> (40 - 8*i))
	}
	if _, err := j.Record(t.Context(), old.String()); !errors.Is(err, latchkey.ErrNotFound) || errors.As(err, &waiting) {
		t.Errorf("an ID of a time that all nodes have handed in: %v", err)
	}
	l.mu.Lock()
	l.down = true
	l.mu.Unlock()
	if _, err := j.Record(t.Context(), newRequest().RequestID); err == nil || errors.Is(err, latchkey.ErrNotFound) {
		t.Errorf("whether other nodes have it cannot be found out, and yet: %v", err)
	}
	l.mu.Lock()
	l.down = false
	l.mu.Unlock()
}
