package journal

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey"
)

// TestStatus: who watches sees what has begun, what waits, what is lost, and what
// fails; and that it goes on.
func TestStatus(t *testing.T) {
	s, d := newShelf(), &disk{}
	j := opened(t, t.TempDir(), s, d, nil)
	defer closed(t, j)
	until := func(rule string, held func(Status) bool) {
		t.Helper()
		deadline := time.Now().Add(10 * time.Second)
		for !held(j.Status()) {
			if time.Now().After(deadline) {
				t.Fatalf("rule broken: %s: %+v", rule, j.Status())
			}
			time.Sleep(2 * time.Millisecond)
		}
	}
	began := time.Now()
	until("a journal that is idle is on disk", func(s Status) bool { return s.Synced.After(began) && s.Live == 0 && s.NotKept == 0 })
	r := newRequest()
	if err := j.Begin(r); err != nil {
		t.Fatal(err)
	}
	if got := j.Status(); got.Live != 1 || got.Waiting == 0 || got.Writing || got.Moving || got.Stalled {
		t.Errorf("after a response has begun: %+v", got)
	}
	j.End(r)
	until("a response that ended is not alive", func(s Status) bool { return s.Live == 0 })

	d.broken.Store(true)
	lost := newRequest()
	_ = j.Begin(lost)
	j.End(lost)
	until("a record that the disk does not take is counted, and said", func(s Status) bool { return s.NotKept == 1 && s.Writing })
	d.broken.Store(false)
	until("a disk that is mended is not said to fail", func(s Status) bool {
		again := newRequest()
		_ = j.Begin(again)
		j.End(again)
		return !s.Writing
	})
	if got := j.Status(); got.NotKept < 1 {
		t.Errorf("what was lost is forgotten: %+v", got)
	}
}

// TestReader: where there is no journal, an ID that is not found is explained as
// a journal does.
func TestReader(t *testing.T) {
	s, l := newShelf(), newLedger()
	r := Reader{Store: s, HandIns: l}
	known := newRequest()
	if err := s.AppendRecords(t.Context(), []latchkey.Record{known}); err != nil {
		t.Fatal(err)
	}
	if got, err := r.Record(t.Context(), known.RequestID); err != nil || got != known {
		t.Errorf("a record of the store: %+v, %v", got, err)
	}
	var (
		waiting *latchkey.NotHandedInError
		gap     *latchkey.NotKeptError
	)
	if _, err := r.Record(t.Context(), newRequest().RequestID); !errors.Is(err, latchkey.ErrNotFound) || errors.As(err, &waiting) {
		t.Errorf("an ID that nobody can know: %v", err)
	}
	behind := latchkey.HandIn{Node: "node-2", Until: time.Now().Add(-time.Minute)}
	l.until[behind.Node] = behind.Until
	if _, err := r.Record(t.Context(), newRequest().RequestID); !errors.As(err, &waiting) || !slices.Equal(waiting.Nodes, []latchkey.HandIn{behind}) {
		t.Errorf("an ID that node-2 may know: %v", err)
	}
	missing := uuid.Must(uuid.NewV7())
	at := timeOf(missing)
	if err := s.AddGap(t.Context(), latchkey.Gap{Node: "node-3", From: at, To: at.Add(time.Millisecond), Count: 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Record(t.Context(), missing.String()); !errors.As(err, &gap) || gap.Gap.Node != "node-3" {
		t.Errorf("an ID in a gap: %v", err)
	}
	s.gaps, l.down = nil, true
	if _, err := r.Record(t.Context(), newRequest().RequestID); err == nil || errors.Is(err, latchkey.ErrNotFound) {
		t.Errorf("whether nodes have it cannot be found out, and yet: %v", err)
	}
	if _, err := r.Record(t.Context(), uuid.NewString()); !errors.Is(err, latchkey.ErrNotFound) {
		t.Errorf("an ID that is none of ours: %v", err)
	}
	if _, err := (Reader{Store: s}).Record(t.Context(), newRequest().RequestID); !errors.Is(err, latchkey.ErrNotFound) {
		t.Errorf("where nobody hands in: %v", err)
	}
}
