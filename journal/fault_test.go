package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey"
)

// TestKill: what has begun is found after the process was killed, and what had
// not ended says so, unless it has a better diagnosis.
func TestKill(t *testing.T) {
	dir, s, d := t.TempDir(), newShelf(), &disk{}
	s.shut(true) // nothing reaches it
	j := opened(t, dir, s, d, nil)
	var ended, begun []latchkey.Record
	for i := range 500 {
		r := newRequest()
		if i%7 == 0 {
			r.Outcome, r.Diagnosis = latchkey.OutcomeDenied, "The key is cut short."
		}
		if err := j.Begin(r); err != nil {
			t.Fatal(err)
		}
		if i%3 == 0 {
			begun = append(begun, r)
			continue
		}
		r.BytesOut, r.DurationUS = 7, 8
		j.End(r)
		ended = append(ended, r)
	}
	if err := j.Begin(newRequest()); err != nil { // it is behind all those ends
		t.Fatal(err)
	}
	abandonProcess(j)
	check := func(when string, j *Journal) {
		t.Helper()
		for _, r := range ended {
			if got, err := j.Record(t.Context(), r.RequestID); err != nil || got != r {
				t.Fatalf("%s: a record that ended is lost: %v\n got %+v\nwant %+v", when, err, got, r)
			}
		}
		for _, r := range begun {
			if r.Diagnosis == "" {
				r.Diagnosis = NeverEnded
			}
			if got, err := j.Record(t.Context(), r.RequestID); err != nil || got != r {
				t.Fatalf("%s: a record that began is lost: %v\n got %+v\nwant %+v", when, err, got, r)
			}
		}
	}
	j = opened(t, dir, s, d, nil)
	check("after a kill", j)
	closed(t, j)
	j = opened(t, dir, s, d, nil)
	check("after another stop, with the store still down", j)
	s.shut(false)
	closed(t, j)
	if len(s.records) != 501 {
		t.Errorf("%d records reach the store, of 501", len(s.records))
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*"+segmentSuffix)); len(left) > 0 {
		t.Errorf("segments whose records are all stored are left behind: %v", left)
	}
}

// TestGapCounts holds, fault by fault, that no Begin fails or waits for long,
// and that the gap counts exactly those records that are not found: then, after
// a kill, and in the store.
func TestGapCounts(t *testing.T) {
	for name, fault := range map[string]func(*disk) *atomic.Bool{
		"full":    func(d *disk) *atomic.Bool { return &d.full },
		"broken":  func(d *disk) *atomic.Bool { return &d.broken },
		"short":   func(d *disk) *atomic.Bool { return &d.short },
		"hanging": func(d *disk) *atomic.Bool { return &d.hanging },
	} {
		for _, killed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, killed %v", name, killed), func(t *testing.T) {
				if killed && name != "full" {
					t.Skip("what a disk does not write is known to memory only")
				}
				gapCounts(t, fault, killed)
			})
		}
	}
}

func gapCounts(t *testing.T, fault func(*disk) *atomic.Bool, killed bool) {
	dir, s, d := t.TempDir(), newShelf(), &disk{}
	s.shut(true)
	j := opened(t, dir, s, d, nil)
	var all []latchkey.Record
	send := func(n int) {
		for range n {
			r := newRequest()
			all = append(all, r)
			if err := j.Begin(r); err != nil {
				t.Fatalf("a disk that fails may not fail a request: %v", err)
			}
			j.End(r)
		}
	}
	send(50)
	fault(d).Store(true)
	send(400)
	if d.hanging.Load() {
		time.Sleep(2 * stallTime)
		began := time.Now()
		send(100)
		if took := time.Since(began); took > 10*stallTime {
			t.Errorf("a hundred requests waited %v for a disk that hangs", took)
		}
	}
	if killed {
		abandonProcess(j)
		d.full.Store(false)
		j = opened(t, dir, s, d, nil)
	}
	fault(d).Store(false)
	time.Sleep(2 * retryEvery)
	send(50)
	count := func() (lost int64, first latchkey.Record) {
		for _, r := range all {
			_, err := j.Record(t.Context(), r.RequestID)
			var not *latchkey.NotKeptError
			switch {
			case err == nil:
			case errors.As(err, &not) && errors.Is(err, latchkey.ErrNotFound):
				if lost++; lost == 1 {
					first = r
				}
			default:
				t.Fatalf("a record that is not there says that it was not kept: %v", err)
			}
		}
		return lost, first
	}
	lost, first := count()
	s.shut(false)
	closed(t, j)
	var sum, atMost int64
	for _, g := range s.gaps {
		sum += g.Count
		if g.AtMost {
			atMost++
		}
		if g.From.After(g.To) || g.To.Before(first.Time) {
			t.Errorf("a gap lies elsewhere than what was lost: %v", g)
		}
	}
	if killed != (atMost == 1) {
		t.Errorf("%d gaps count at most so many, killed: %v", atMost, killed)
	}
	if sum != lost {
		t.Errorf("%d records are not found, and the gaps count %d", lost, sum)
	}
	if len(s.records)+int(lost) != len(all) {
		t.Errorf("%d records are stored and %d lost, of %d", len(s.records), lost, len(all))
	}
	if lost == 0 && fault(d) != &d.hanging {
		t.Error("the fault was none")
	}
}

// TestStrict holds that Begin returns when the record is on disk, and an error
// when that cannot be; and that it goes on when the disk does.
func TestStrict(t *testing.T) {
	s, d := newShelf(), &disk{}
	j := opened(t, t.TempDir(), s, d, func(c *Config) { c.Strict = true })
	defer closed(t, j)
	before := d.syncs.Load()
	if err := j.Begin(newRequest()); err != nil || d.syncs.Load() == before {
		t.Errorf("Begin returned without a sync: %v", err)
	}
	for name, fault := range map[string]*atomic.Bool{"sync fails": &d.unsafe, "write fails": &d.broken, "write is short": &d.short} {
		fault.Store(true)
		if err := j.Begin(newRequest()); err == nil {
			t.Errorf("%s: Begin says nothing", name)
		}
		fault.Store(false)
		time.Sleep(2 * retryEvery)
		if err := j.Begin(newRequest()); err != nil {
			t.Errorf("after %s: %v", name, err)
		}
	}
	const many = 64
	before = d.syncs.Load()
	var wg sync.WaitGroup
	for range many {
		wg.Go(func() {
			if err := j.Begin(newRequest()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	t.Logf("%d concurrent requests took %d syncs", many, d.syncs.Load()-before)
	d.hanging.Store(true)
	if err := j.Begin(newRequest()); err == nil {
		t.Error("Begin says nothing of a disk that hangs")
	}
	d.hanging.Store(false)
}

// TestSyncedWithinASecond: what was written is synced, and not by Begin.
func TestSyncedWithinASecond(t *testing.T) {
	s, d := newShelf(), &disk{}
	j := opened(t, t.TempDir(), s, d, nil)
	defer closed(t, j)
	if err := j.Begin(newRequest()); err != nil || d.syncs.Load() > 0 {
		t.Errorf("Begin waited for the disk: %v", err)
	}
	for deadline := time.Now().Add(patience); d.syncs.Load() == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it is never synced")
		}
	}
	if syncEvery > time.Second {
		t.Errorf("it is synced every %v, which is more than a second", syncEvery)
	}
}

// TestCarriedOver: a response that takes long holds no segment, and is found all
// the time, also after a kill.
func TestCarriedOver(t *testing.T) {
	dir, s, d := t.TempDir(), newShelf(), &disk{}
	j := opened(t, dir, s, d, nil)
	long := newRequest()
	_ = j.Begin(long)
	for range 3000 {
		r := newRequest()
		_ = j.Begin(r)
		j.End(r)
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		j.mu.Lock()
		n := len(j.segments)
		j.mu.Unlock()
		if n == 1 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d segments are held by one response", n)
		}
	}
	open := long
	open.Open = true
	if got, err := j.Record(t.Context(), long.RequestID); err != nil || got != open {
		t.Errorf("a response that goes on: %+v, %v", got, err)
	}
	abandonProcess(j)
	j = opened(t, dir, s, d, nil)
	defer closed(t, j)
	if got, err := j.Record(t.Context(), long.RequestID); err != nil || got.Diagnosis != NeverEnded {
		t.Errorf("a response that went on when the process was killed: %+v, %v", got, err)
	}
}

// TestBoundedBacklog: a store that is down costs disk up to a bound, and then
// records, which are counted; and next to no memory.
func TestBoundedBacklog(t *testing.T) {
	const bound = 16 << 20
	s, d := newShelf(), &disk{}
	s.shut(true)
	dir := t.TempDir()
	j := opened(t, dir, s, d, func(c *Config) { c.MaxBytes, c.SegmentSize = bound, 1<<20 })
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before, n := heap(), 0
	var last latchkey.Record
	for ; n < 100_000; n++ {
		last = newRequest()
		_ = j.Begin(last)
		j.End(last)
	}
	grown := heap() - before
	var onDisk int64
	files, _ := filepath.Glob(filepath.Join(dir, "*"))
	for _, f := range files {
		if info, err := os.Stat(f); err == nil {
			onDisk += info.Size()
		}
	}
	_, err := j.Record(t.Context(), last.RequestID)
	if not := (*latchkey.NotKeptError)(nil); !errors.As(err, &not) {
		t.Errorf("what is beyond the bound is not kept, and said so: %v", err)
	}
	t.Logf("%d records with the store down: %.1f MB on disk, %.1f MB of memory", n, float64(onDisk)/1e6, float64(grown)/1e6)
	if onDisk > bound+4<<20 {
		t.Errorf("%d bytes on disk, must be about %d", onDisk, bound)
	}
	if grown > 8<<20 {
		t.Errorf("%d bytes of memory", grown)
	}
	s.shut(false)
	closed(t, j)
	var lost int64
	for _, g := range s.gaps {
		lost += g.Count
	}
	if len(s.records)+int(lost) != n {
		t.Errorf("%d stored and %d in gaps, of %d", len(s.records), lost, n)
	}
}

// BenchmarkOpen takes in as much as a killed process can leave behind.
func BenchmarkOpen(b *testing.B) {
	dir, s, d := b.TempDir(), newShelf(), &disk{}
	s.shut(true)
	large := func(c *Config) { c.SegmentSize = DefaultSegmentSize }
	j := opened(b, dir, s, d, large)
	n := 0
	for held := int64(0); held < DefaultMaxBytes; n++ {
		r := newRequest()
		_ = j.Begin(r)
		j.End(r)
		if n%1000 == 0 {
			j.mu.Lock()
			held = j.held()
			j.mu.Unlock()
		}
	}
	abandonProcess(j)
	b.ResetTimer()
	for range b.N {
		began := time.Now()
		j = opened(b, dir, s, d, large)
		b.ReportMetric(time.Since(began).Seconds(), "s/open")
		b.ReportMetric(float64(n), "records")
		abandonProcess(j)
	}
}

// TestUnknown: an ID that is not there says how long records are kept.
func TestUnknown(t *testing.T) {
	j := opened(t, t.TempDir(), newShelf(), &disk{}, nil)
	defer closed(t, j)
	for id, want := range map[string]string{
		newRequest().RequestID: "records are kept for 30 days, and up to 20 GB",
		uuid.NewString():       "not given out here",
		"x' OR 1=1 --":         `no request "x' OR 1=1 --"`,
	} {
		_, err := j.Record(t.Context(), id)
		if !errors.Is(err, latchkey.ErrNotFound) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, must say %q", id, err, want)
		}
	}
}
