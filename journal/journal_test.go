package journal_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey"
	"latchkey/journal"
)

var (
	_ latchkey.Recorder     = (*journal.Journal)(nil)
	_ latchkey.Recorder     = (*journal.Diagnoser)(nil)
	_ latchkey.RecordReader = (*journal.Journal)(nil)
	_ latchkey.UsageReader  = (*journal.Journal)(nil)
)

// stage is a record on its way: each must be found, by ID and in lists.
func TestFoundAtEveryStage(t *testing.T) {
	m := newMemory()
	m.gate = make(chan struct{})
	j := open(t, m)
	r := newRecord()
	find := func(stage string, want latchkey.Record) {
		t.Helper()
		for _, id := range []string{want.RequestID, strings.ToUpper(want.RequestID)} {
			if got, err := j.Record(t.Context(), id); err != nil || got != want {
				t.Errorf("%s: a record must be found by its ID: %v", stage, err)
			}
		}
		list, err := j.Records(t.Context(), latchkey.RecordQuery{TeamID: "team_a"})
		if err != nil || len(list) != 1 || list[0] != want {
			t.Errorf("%s: a record must be in the list, once: %d, %v", stage, len(list), err)
		}
		used, err := j.LastUsed(t.Context(), []string{"key_a", "key_b"})
		if err != nil || len(used) != 1 || !used["key_a"].Equal(want.Time) {
			t.Errorf("%s: a record must count as use: %v, %v", stage, used, err)
		}
	}
	if _, err := j.Record(t.Context(), r.RequestID); !errors.Is(err, latchkey.ErrNotFound) {
		t.Errorf("a record that was never begun: %v, must be ErrNotFound", err)
	}
	j.Begin(r)
	open := r
	open.Open = true
	find("begun", open)
	r.BytesOut, r.DurationUS = 7, 8
	j.End(r)
	find("waiting", r)
	close(m.gate)
	eventually(t, "a record that ended is written", func() bool { return m.count() == 1 })
	find("written", r)
}

func TestBatches(t *testing.T) {
	const n = 5000
	m := newMemory()
	j := open(t, m)
	var all []string
	for range n {
		r := newRecord()
		all = append(all, r.RequestID)
		j.Begin(r)
		j.End(r)
	}
	eventually(t, "all records are written", func() bool { return m.count() == n })
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, size := range m.batches {
		if size > 2000 {
			t.Errorf("a batch of %d records", size)
		}
	}
	if len(m.batches) > n/50+2 {
		t.Errorf("%d records were written in %d transactions: they must go together", n, len(m.batches))
	}
	for _, id := range all {
		if _, there := m.records[id]; !there {
			t.Fatal("a record is lost")
		}
	}
}

func TestStoreDown(t *testing.T) {
	const n = 100
	m := newMemory()
	m.set(errDown)
	j := open(t, m)
	var all []latchkey.Record
	for range n {
		r := newRecord()
		all = append(all, r)
		j.Begin(r)
		j.End(r)
	}
	time.Sleep(2 * 250 * time.Millisecond) // some attempts fail
	for _, r := range all {
		if got, err := j.Record(t.Context(), r.RequestID); err != nil || got != r {
			t.Fatalf("a record is not found while the store is down: %v", err)
		}
	}
	m.set(nil)
	eventually(t, "what waited is written when the store is back", func() bool { return m.count() == n })
}

func TestCloseWritesWhatIsOpen(t *testing.T) {
	m := newMemory()
	j := start(t, t.TempDir(), m)
	ended, begun := newRecord(), newRecord()
	j.Begin(ended)
	j.Begin(begun)
	j.End(ended)
	if err := j.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	open := begun
	open.Diagnosis = journal.NeverEnded
	for name, r := range map[string]latchkey.Record{"ended": ended, "open": open} {
		if got := m.records[r.RequestID]; got != r {
			t.Errorf("the record of a response that is %s is not written by Close", name)
		}
	}
	if len(m.usage) != 1 {
		t.Error("the use is not written by Close")
	}
	j.End(begun) // a response that ends after Close does no harm
}

func TestRecordsMerges(t *testing.T) {
	m := newMemory()
	var all []latchkey.Record
	for i := range 30 {
		r := newRecord()
		r.Status = 200 + i%2
		all = append(all, r)
	}
	if err := m.AppendRecords(t.Context(), all[:12]); err != nil {
		t.Fatal(err)
	}
	m.set(errDown)
	j := open(t, m)
	for i, r := range all[10:] { // two are in both places
		j.Begin(r)
		if i%3 != 0 {
			j.End(r)
		} else {
			all[10+i].Open = true
		}
	}
	slices.Reverse(all)
	for _, q := range []latchkey.RecordQuery{{}, {Limit: 5}, {Status: 201}, {Before: all[7].RequestID, Limit: 10}, {TeamID: "team_b"}, {Since: all[3].Time}} {
		var want []latchkey.Record
		for _, r := range all {
			if q.Matches(&r) && (q.Limit == 0 || len(want) < q.Limit) {
				want = append(want, r)
			}
		}
		got, err := j.Records(t.Context(), q)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%+v: %d records, must be %d, newest first, each once: %v", q, len(got), len(want), err)
		}
	}
	m.deaf = true
	if _, err := j.Records(t.Context(), latchkey.RecordQuery{}); !errors.Is(err, errDown) {
		t.Errorf("a list that cannot be read whole is an error, not %v", err)
	}
}

func TestConcurrently(t *testing.T) {
	const workers, each = 8, 300
	m := newMemory()
	j := open(t, m)
	var all sync.WaitGroup
	for w := range workers {
		all.Go(func() {
			for range each {
				r := from("key_a", w)
				j.Begin(r)
				if _, err := j.Record(t.Context(), r.RequestID); err != nil {
					t.Errorf("a record that was begun is not found: %v", err)
				}
				j.End(r)
				if _, err := j.Record(t.Context(), r.RequestID); err != nil {
					t.Errorf("a record that ended is not found: %v", err)
				}
			}
		})
	}
	all.Go(func() {
		for range 50 {
			if _, err := j.Records(t.Context(), latchkey.RecordQuery{}); err != nil {
				t.Error(err)
			}
			if _, err := j.Usage(t.Context(), []string{"key_a"}, time.Now()); err != nil {
				t.Error(err)
			}
		}
	})
	all.Wait()
	eventually(t, "all records are written", func() bool { return m.count() == workers*each })
}

func BenchmarkBeginEnd(b *testing.B) {
	j := start(b, b.TempDir(), discard{newMemory()})
	b.Cleanup(func() { _ = j.Close(context.Background()) })
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r := newRecord()
			j.Begin(r)
			j.End(r)
		}
	})
}

// discard is a store that takes everything and keeps nothing.
type discard struct{ *memory }

func (discard) AppendRecords(context.Context, []latchkey.Record) error { return nil }
func (discard) AddUsage(context.Context, []latchkey.Usage) error       { return nil }

func BenchmarkCount(b *testing.B) {
	c := journal.NewCallers(discard{newMemory()}, slog.New(slog.DiscardHandler))
	b.Cleanup(func() { _ = c.Close(context.Background()) })
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		r := newRecord()
		for pb.Next() {
			c.Count(&r)
		}
	})
}
