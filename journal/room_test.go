package journal

import (
	"os"
	"path/filepath"
	"testing"

	"latchkey"
)

// TestManyAtOnce: however many responses are under way, a segment is used before
// the next one is made.
func TestManyAtOnce(t *testing.T) {
	s, d := newShelf(), &disk{}
	s.shut(true)
	j := opened(t, t.TempDir(), s, d, nil)
	var all []latchkey.Record
	begin := func() {
		r := newRequest()
		if err := j.Begin(r); err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	state := func() (current *segment, spare bool, reserved int64) {
		current = segmentOf(j)
		j.mu.Lock()
		defer j.mu.Unlock()
		return current, j.spare != nil, j.reserved
	}
	for reserved := int64(0); reserved < 2*j.config.SegmentSize; _, _, reserved = state() {
		begin()
	}
	waitUntil(t, "the next segment is there", func() bool { _, spare, _ := state(); return spare })
	d.full.Store(true) // no other will be
	for spare := true; spare; _, spare, _ = state() {
		begin()
	}
	current, _, _ := state()
	kept := func() int64 {
		j.mu.Lock()
		defer j.mu.Unlock()
		return current.end
	}
	for before := int64(-1); kept() > before; {
		before = kept()
		begin()
	}
	if used, size := kept(), j.config.SegmentSize; used < size/2 || used > size-size/reserveShare {
		t.Errorf("with %d responses under way, %d of %d bytes of a segment are used", len(all), used, size)
	}
	d.full.Store(false)
	for _, r := range all {
		j.End(r)
	}
	s.shut(false)
	closed(t, j)
	var lost int64
	for _, g := range s.gaps {
		lost += g.Count
	}
	if len(s.records)+int(lost) != len(all) || lost > 2 {
		t.Errorf("%d stored and %d in gaps, of %d", len(s.records), lost, len(all))
	}
}

// TestBoundOfNearlyEmptySegments: what a segment takes on disk counts, however
// little of it is used.
func TestBoundOfNearlyEmptySegments(t *testing.T) {
	const most = 4 * (32 << 10)
	dir, s, d := t.TempDir(), newShelf(), &disk{}
	s.shut(true)
	j := opened(t, dir, s, d, func(c *Config) { c.MaxBytes = most })
	n := 0
	for range 40 {
		sendTo(t, j, 1)
		waitUntil(t, "it is written", func() bool {
			j.mu.Lock()
			defer j.mu.Unlock()
			return len(j.live) == 0 && j.writing == nil && len(j.pending.items) == 0
		})
		d.broken.Store(true)
		sendTo(t, j, 1) // the segment is given up
		d.broken.Store(false)
		n += 2
	}
	var taken int64
	files, _ := filepath.Glob(filepath.Join(dir, "*"+segmentSuffix))
	for _, f := range files {
		if info, err := os.Stat(f); err == nil {
			taken += info.Size()
		}
	}
	if taken > most+3*(32<<10) {
		t.Errorf("%d bytes are taken by segments of %d records, must be about %d", taken, n, most)
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
