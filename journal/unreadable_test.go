package journal

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey"
)

// setAsideIn returns the segments that were set aside.
func setAsideIn(t *testing.T, dir string) []string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(dir, "*.damaged"))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestUnreadable: a segment that cannot be read, or only in part, stops neither
// the mover nor the start. What can be read is saved, what cannot is a gap, and
// the segment is set aside.
func TestUnreadable(t *testing.T) {
	of := func(name string) func(path string, from, to int64) bool {
		return func(path string, from, to int64) bool {
			return filepath.Base(path) == name && from < 12<<10 && to > 8<<10 // the third piece
		}
	}
	for _, c := range []struct {
		name    string
		which   func(name string) func(path string, from, to int64) bool
		restart bool
		atLeast int // so many of those in the segment are saved
	}{
		{"whole, running", func(name string) func(string, int64, int64) bool {
			return func(path string, _, _ int64) bool { return filepath.Base(path) == name }
		}, false, 0},
		{"a piece, running", of, false, 30},
		{"whole, at the start", func(name string) func(string, int64, int64) bool {
			return func(path string, _, _ int64) bool { return filepath.Base(path) == name }
		}, true, 0},
		{"a piece, at the start", of, true, 30},
	} {
		t.Run(c.name, func(t *testing.T) { unreadable(t, c.which, c.restart, c.atLeast) })
	}
}

func unreadable(t *testing.T, which func(name string) func(path string, from, to int64) bool, restart bool, atLeast int) {
	dir, s, d := t.TempDir(), newShelf(), &disk{}
	s.shut(true)
	j := opened(t, dir, s, d, nil)
	var all []latchkey.Record
	for range 400 { // some three segments
		r := newRequest()
		all = append(all, r)
		_ = j.Begin(r)
		j.End(r)
	}
	last := newRequest()
	_ = j.Begin(last) // the writer has taken everything once this is in
	j.End(last)
	all = append(all, last)
	paths, err := segmentsIn(dir)
	if err != nil || len(paths) < 3 {
		t.Fatalf("%d segments: %v", len(paths), err)
	}
	bad := filepath.Base(paths[1])
	if restart {
		abandonProcess(j)
		d.refuse(which(bad))
		j = opened(t, dir, s, d, nil)
	} else {
		d.refuse(which(bad))
	}
	s.shut(false)
	last = newRequest()
	_ = j.Begin(last)
	j.End(last)
	all = append(all, last)
	waitUntil(t, "what comes after a segment that cannot be read reaches the store", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		_, there := s.records[last.RequestID]
		return there
	})
	lost := 0
	for _, r := range all {
		_, err := j.Record(t.Context(), r.RequestID)
		var not *latchkey.NotKeptError
		switch {
		case errors.As(err, &not):
			lost++
		case err != nil:
			t.Fatalf("a record that is lost says that it was not kept, and not: %v", err)
		}
	}
	closed(t, j)
	var count int64
	for _, g := range s.gaps {
		count += g.Count
		if g.AtMost != restart {
			t.Errorf("a gap says at most: %v, though the process was killed: %v", g.AtMost, restart)
		}
	}
	if lost == 0 && atLeast == 0 || count < int64(lost) || !restart && count != int64(lost) {
		t.Errorf("%d records are lost, and the gaps count %d", lost, count)
	}
	if atLeast > 0 && lost > 40 {
		t.Errorf("%d records are lost with 4 KiB", lost)
	}
	if aside := setAsideIn(t, dir); len(aside) != 1 || !strings.HasPrefix(filepath.Base(aside[0]), bad) {
		t.Errorf("set aside are %v, must be %s", aside, bad)
	}
	if left, _ := segmentsIn(dir); len(left) > 0 {
		t.Errorf("segments are left: %v", left)
	}
}

// waitUntil waits until held is true.
func waitUntil(t testing.TB, rule string, held func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !held(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("rule broken: %s", rule)
		}
	}
}

// TestDamageIsAGap: what is damaged in the middle of a segment may have been
// records, and a look-up at that time says so; the end that a kill tore was
// never answered, and is none.
func TestDamageIsAGap(t *testing.T) {
	content, name, all := leftBehind(t, 8)
	size := (nonZero(content) - segmentHeader) / (2*len(all) + 1)
	for what, c := range map[string]struct {
		from, to int // in entries
		gap      bool
	}{"middle": {3, 7, true}, "end": {13, 17, false}} {
		t.Run(what, func(t *testing.T) {
			bad := append([]byte(nil), content...)
			for i := segmentHeader + c.from*size; i < min(segmentHeader+c.to*size, len(bad)); i++ {
				bad[i] ^= 0x5a
			}
			dir, s := t.TempDir(), newShelf()
			if err := os.WriteFile(filepath.Join(dir, name), bad, 0o600); err != nil {
				t.Fatal(err)
			}
			j := opened(t, dir, s, &disk{}, nil)
			closed(t, j)
			if (len(s.gaps) > 0) != c.gap {
				t.Errorf("gaps: %v", s.gaps)
			}
			lost := 0
			for _, r := range all {
				if _, there := s.records[r.RequestID]; there {
					continue
				}
				lost++
				if len(s.gaps) == 1 && (r.Time.Before(s.gaps[0].From.Add(-time.Millisecond)) || r.Time.After(s.gaps[0].To.Add(time.Millisecond))) {
					t.Errorf("a record of %v is lost, outside the gap %v", r.Time, s.gaps[0])
				}
			}
			if c.gap && (lost == 0 || s.gaps[0].Count < int64(lost) || !s.gaps[0].AtMost) {
				t.Errorf("%d records are lost, the gap is %v", lost, s.gaps[0])
			}
		})
	}
}

// TestCloseIsBounded: a disk or a store that hangs does not keep the process.
func TestCloseIsBounded(t *testing.T) {
	for what, hang := range map[string]func(*disk, *shelf){
		"write": func(d *disk, _ *shelf) { d.hanging.Store(true) },
		"sync":  func(d *disk, _ *shelf) { d.stuck.Store(true) },
		"store": func(_ *disk, s *shelf) { s.hang = make(chan struct{}) },
	} {
		t.Run(what, func(t *testing.T) {
			dir, s, d := t.TempDir(), newShelf(), &disk{}
			j := opened(t, dir, s, d, nil)
			hang(d, s)
			r := newRequest()
			go func() { _ = j.Begin(r); j.End(r) }()
			time.Sleep(syncEvery + 2*moveEvery)
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			done := make(chan error, 1)
			go func() { done <- j.Close(ctx) }()
			select {
			case err := <-done:
				if err == nil {
					t.Error("Close says nothing of it")
				}
			case <-time.After(patience):
				t.Error("Close does not return")
			}
			d.hanging.Store(false)
			d.stuck.Store(false)
			if s.hang != nil {
				close(s.hang)
			}
			select {
			case <-done:
			default:
				time.Sleep(100 * time.Millisecond) // what hung goes on in a directory that is there
			}
		})
	}
}

// TestRefusalsGiveWay: while the store takes nothing, refusals, of which anybody
// can make any number, leave room for the others.
func TestRefusalsGiveWay(t *testing.T) {
	for what, change := range map[string]func(*latchkey.Record){
		"refusals": func(r *latchkey.Record) {
			r.Outcome, r.Reason, r.TeamID, r.CredentialID = latchkey.OutcomeDenied, latchkey.ReasonKeyUnknown, "", ""
		},
		"a team's refusals": func(r *latchkey.Record) { r.Outcome, r.Reason = latchkey.OutcomeDenied, latchkey.ReasonBadSignature },
		"what is no HTTP": func(r *latchkey.Record) {
			r.Outcome, r.Reason, r.Status = latchkey.OutcomeError, latchkey.Reason(latchkey.CodeInvalidRequest), 400
			r.TeamID, r.CredentialID = "", ""
		},
	} {
		t.Run(what, func(t *testing.T) { testGivesWay(t, change) })
	}
}

func testGivesWay(t *testing.T, change func(*latchkey.Record)) {
	s, d := newShelf(), &disk{}
	s.shut(true)
	j := opened(t, t.TempDir(), s, d, func(c *Config) { c.MaxBytes = 256 << 10 })
	refused := 0
	for range 4000 {
		r := newRequest()
		change(&r)
		if err := j.Begin(r); err != nil {
			t.Fatal(err)
		}
		j.End(r)
		refused++
	}
	var accepted []latchkey.Record
	for range 100 {
		r := newRequest()
		_ = j.Begin(r)
		j.End(r)
		accepted = append(accepted, r)
	}
	for _, r := range accepted {
		if _, err := j.Record(t.Context(), r.RequestID); err != nil {
			t.Fatalf("a flood takes the place of a request that was accepted: %v", err)
		}
	}
	s.shut(false)
	closed(t, j)
	var lost int64
	for _, g := range s.gaps {
		lost += g.Count
	}
	if lost == 0 || int(lost)+len(s.records) != refused+len(accepted) {
		t.Errorf("%d stored, %d in gaps, of %d", len(s.records), lost, refused+len(accepted))
	}
}

// TestOrderOfSegments: segments are written in the order of their names, in
// which the next process reads them.
func TestOrderOfSegments(t *testing.T) {
	s := newShelf()
	s.shut(true)
	j := opened(t, t.TempDir(), s, &disk{}, func(c *Config) {
		c.SegmentSize = 1 << 10
		c.create = func(path string, size int64) (file, error) {
			time.Sleep(time.Duration(rand.IntN(int(time.Millisecond))))
			return create(path, size)
		}
	})
	defer closed(t, j)
	for range 1000 {
		r := newRequest()
		_ = j.Begin(r)
		j.End(r)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if !slices.IsSortedFunc(j.segments, func(a, b *segment) int { return cmp.Compare(a.sequence, b.sequence) }) {
		t.Error("a segment that was begun later has an earlier name")
	}
}
