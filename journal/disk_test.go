package journal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey"
)

// patience is how long a test waits for what must come.
const patience = time.Minute

// A disk is the real one, with faults.
type disk struct {
	full    atomic.Bool  // nothing can be allocated: ENOSPC
	broken  atomic.Bool  // nothing can be written: EIO
	short   atomic.Bool  // half of what is written gets there, then EIO
	unsafe  atomic.Bool  // nothing can be synced: EIO
	hanging atomic.Bool  // nothing returns
	stuck   atomic.Bool  // no Sync returns
	syncs   atomic.Int64 // that succeeded

	held       atomic.Pointer[func(path string) bool]                 // whose writes do not return
	unreadable atomic.Pointer[func(path string, from, to int64) bool] // what cannot be read: EIO
}

type faulty struct {
	file
	d    *disk
	path string
}

func (d *disk) create(path string, size int64) (file, error) {
	if d.full.Load() {
		return nil, fmt.Errorf("allocate: %w", syscall.ENOSPC)
	}
	f, err := create(path, size)
	return faulty{f, d, path}, err
}

func (d *disk) open(path string) (file, error) {
	f, err := openFile(path)
	return faulty{f, d, path}, err
}

// refuse makes parts of segments unreadable; nil: none.
func (d *disk) refuse(which func(path string, from, to int64) bool) {
	if which == nil {
		d.unreadable.Store(nil)
		return
	}
	d.unreadable.Store(&which)
}

// hold lets no write to some segments return; nil: to none.
func (d *disk) hold(which func(path string) bool) {
	if which == nil {
		d.held.Store(nil)
		return
	}
	d.held.Store(&which)
}

func (d *disk) holds(path string) bool {
	which := d.held.Load()
	return which != nil && (*which)(path)
}

func (f faulty) ReadAt(b []byte, at int64) (int, error) {
	if which := f.d.unreadable.Load(); which != nil && (*which)(f.path, at, at+int64(len(b))) {
		return 0, syscall.EIO
	}
	return f.file.ReadAt(b, at)
}

func (f faulty) WriteAt(b []byte, at int64) (int, error) {
	for f.d.hanging.Load() || f.d.holds(f.path) {
		time.Sleep(time.Millisecond)
	}
	switch {
	case f.d.broken.Load():
		return 0, syscall.EIO
	case f.d.short.Load():
		n, _ := f.file.WriteAt(b[:len(b)/2], at)
		return n, syscall.EIO
	}
	return f.file.WriteAt(b, at)
}

func (f faulty) Sync() error {
	for f.d.stuck.Load() {
		time.Sleep(time.Millisecond)
	}
	if f.d.unsafe.Load() {
		return syscall.EIO
	}
	f.d.syncs.Add(1)
	return f.file.Sync()
}

// A shelf is a store in memory that can be told to take nothing.
type shelf struct {
	mu      sync.Mutex
	closed  bool
	records map[string]latchkey.Record
	gaps    []latchkey.Gap
	hang    chan struct{} // if set, nothing returns until it is closed
	slow    time.Duration // each batch takes so long
}

func newShelf() *shelf { return &shelf{records: make(map[string]latchkey.Record)} }

func (s *shelf) AppendRecords(_ context.Context, list []latchkey.Record) error {
	if s.hang != nil {
		<-s.hang
	}
	time.Sleep(s.slow)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errors.New("the store is down")
	}
	for _, r := range list {
		if _, there := s.records[r.RequestID]; !there {
			s.records[r.RequestID] = r
		}
	}
	return nil
}

func (s *shelf) Record(_ context.Context, id string) (latchkey.Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r, there := s.records[id]; there {
		return r, nil
	}
	return latchkey.Record{}, latchkey.NotFound("request", id)
}

func (s *shelf) Records(context.Context, latchkey.RecordQuery) ([]latchkey.Record, error) {
	return nil, nil
}
func (s *shelf) LastUsed(context.Context, []string) (map[string]time.Time, error) { return nil, nil }
func (s *shelf) AddUsage(context.Context, []latchkey.Usage) error                 { return nil }
func (s *shelf) Retain(context.Context, latchkey.Retention) error                 { return nil }
func (s *shelf) Retention(context.Context) (latchkey.Retention, error) {
	return latchkey.Retention{Age: 30 * 24 * time.Hour, Bytes: 20e9}, nil
}

func (s *shelf) Usage(context.Context, []string, time.Time) ([]latchkey.Usage, error) {
	return nil, nil
}

func (s *shelf) DeadInUse(context.Context, string, time.Time) ([]latchkey.Usage, error) {
	return nil, nil
}

func (s *shelf) AddGap(_ context.Context, g latchkey.Gap) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errors.New("the store is down")
	}
	s.gaps = append(slices.DeleteFunc(s.gaps, func(o latchkey.Gap) bool { return o.From.Equal(g.From) }), g)
	return nil
}

func (s *shelf) Gaps(_ context.Context, from, to time.Time) (list []latchkey.Gap, _ error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.gaps {
		if !g.To.Before(from) && !g.From.After(to) {
			list = append(list, g)
		}
	}
	return list, nil
}

// shut makes the store take nothing, or something again.
func (s *shelf) shut(closed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = closed
}

func newRequest() latchkey.Record {
	return latchkey.Record{
		RequestID: uuid.Must(uuid.NewV7()).String(), Time: time.Now().UTC().Truncate(time.Microsecond), Node: "node-1",
		TeamID: "team_a", CredentialID: "key_a", Auth: latchkey.MethodBearer, Outcome: latchkey.OutcomeAccepted, Reason: latchkey.ReasonOK,
		Method: "GET", Host: "api.example.com", Path: "/v1/contacts", Status: 200, ClientIP: "192.0.2.1", UserAgent: "curl/8",
	}
}

// opened returns a journal with small segments.
func opened(t testing.TB, dir string, s Store, d *disk, change func(*Config)) *Journal {
	t.Helper()
	c := Config{Dir: dir, Store: s, Node: "node-1", SegmentSize: 32 << 10, Logger: slog.New(slog.DiscardHandler), create: d.create, open: d.open}
	if change != nil {
		change(&c)
	}
	j, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// abandonProcess ends a journal as SIGKILL does: nothing is written any more.
// (Here the responses before it are given time to be written: a machine that
// is busy may look like a disk that hangs.)
func abandonProcess(j *Journal) {
	for range 2000 {
		j.mu.Lock()
		idle := len(j.pending.items) == 0 && j.writing == nil
		j.mu.Unlock()
		if idle {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	close(j.stop)
	j.movers.Wait()
	j.mu.Lock()
	j.closed, j.pending = true, newBatch()
	j.mu.Unlock()
	close(j.finish)
	j.writers.Wait()
	_ = j.callers.Close(context.Background())
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, s := range j.segments {
		_ = s.file.Close()
	}
	if j.spare != nil {
		_ = j.spare.file.Close()
	}
	_ = j.gaps.file.Close()
}

func closed(t testing.TB, j *Journal) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := j.Close(ctx); err != nil {
		t.Errorf("close: %v", err)
	}
}
