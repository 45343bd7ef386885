package journal

import (
	"os"
	"sync"
	"testing"
	"time"

	"latchkey"
)

// segmentOf returns the current segment; nil if there is none.
func segmentOf(j *Journal) *segment {
	j.mu.Lock()
	defer j.mu.Unlock()
	if n := len(j.segments); n > 0 && !j.segments[n-1].sealed {
		return j.segments[n-1]
	}
	return nil
}

// nearlyFull fills the current segment until so many bytes are left, and waits
// until all of it is in the store and the next one is there.
func nearlyFull(t *testing.T, j *Journal, room int64) *segment {
	t.Helper()
	left := func() int64 {
		s := segmentOf(j)
		if s == nil {
			return 0
		}
		j.mu.Lock()
		defer j.mu.Unlock()
		return s.size - s.end
	}
	for left() > room || left() < room/2 {
		sendTo(t, j, 1)
		waitUntil(t, "a response has ended", func() bool {
			j.mu.Lock()
			defer j.mu.Unlock()
			return len(j.live) == 0
		})
	}
	waitUntil(t, "all is in the store, and the next segment is there", func() bool {
		j.mu.Lock()
		defer j.mu.Unlock()
		return len(j.segments) == 1 && j.moved >= j.segments[0].end && j.spare != nil
	})
	return segmentOf(j)
}

// TestBatchInTwoSegments: a segment whose last records begin in a batch that goes
// on in the next segment stays, however long the rest of the batch takes: callers
// have answers by the time that all of it is written.
func TestBatchInTwoSegments(t *testing.T) {
	dir, s, d := t.TempDir(), newShelf(), &disk{}
	j := opened(t, dir, s, d, nil)
	first := nearlyFull(t, j, 3000)
	before := newRequest()
	if err := j.Begin(before); err != nil {
		t.Fatal(err)
	}
	d.hold(func(string) bool { return true })
	j.End(before)
	waitUntil(t, "the writer is at it", func() bool {
		j.mu.Lock()
		defer j.mu.Unlock()
		return j.writing != nil && len(j.pending.items) == 0
	})
	var all []latchkey.Record
	var answered sync.WaitGroup
	for range 20 {
		r := newRequest()
		all = append(all, r)
		answered.Go(func() { _ = j.Begin(r) })
	}
	waitUntil(t, "they wait for the disk", func() bool {
		j.mu.Lock()
		defer j.mu.Unlock()
		return len(j.pending.items) == 20
	})
	d.hold(func(path string) bool { return path != first.path })
	waitUntil(t, "the batch goes on in the next segment", func() bool {
		j.mu.Lock()
		defer j.mu.Unlock()
		return len(j.segments) == 2 && j.moved >= first.end
	})
	for range 20 {
		time.Sleep(10 * time.Millisecond) // the mover is at it
		if _, err := os.Stat(first.path); err != nil {
			t.Error("a segment is deleted while a batch that began records in it is written")
			break
		}
	}
	d.hold(nil)
	answered.Wait()
	abandonProcess(j)
	j = opened(t, dir, s, d, nil)
	for _, r := range all {
		if _, err := j.Record(t.Context(), r.RequestID); err != nil {
			t.Fatalf("a record whose caller has an answer is lost: %v", err)
		}
	}
	closed(t, j)
}
