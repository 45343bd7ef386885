package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey"
)

// leftBehind returns a segment as a killed process leaves it, and what is in it.
func leftBehind(t testing.TB, n int) (content []byte, name string, all []latchkey.Record) {
	t.Helper()
	dir, s := t.TempDir(), newShelf()
	s.shut(true)
	j := opened(t, dir, s, &disk{}, func(c *Config) { c.SegmentSize = 4 << 10 })
	for range n {
		r := newRequest()
		all = append(all, r)
		_ = j.Begin(r)
		j.End(r)
	}
	// The writer has taken everything once this is in.
	last := newRequest()
	_ = j.Begin(last)
	abandonProcess(j)
	paths, err := segmentsIn(dir)
	if err != nil || len(paths) == 0 {
		t.Fatalf("%d segments: %v", len(paths), err)
	}
	content, err = os.ReadFile(paths[0])
	if err != nil {
		t.Fatal(err)
	}
	return content, filepath.Base(paths[0]), all
}

// found opens a journal over one segment, and returns which of the records are
// in it. A wrong one is an error.
func found(t testing.TB, name string, content []byte, all []latchkey.Record) (there []bool, log string) {
	t.Helper()
	dir, s := t.TempDir(), newShelf()
	if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	j := &Journal{
		config: Config{Dir: dir, Store: s, open: openFile}, store: s, logger: slog.New(slog.NewTextHandler(&said, nil)),
		live: make(map[uuid.UUID]*live), used: make(map[string]time.Time), gaps: &gaps{}, moved: segmentHeader,
	}
	orphans, err := j.takeIn()
	if err != nil {
		t.Fatalf("a damaged segment stops the start: %v", err)
	}
	for _, r := range orphans {
		r.Diagnosis = strings.TrimPrefix(r.Diagnosis, NeverEnded)
		id := uuid.MustParse(r.RequestID)
		l := j.live[id]
		l.record, l.ended = r, true
	}
	stored := make(map[string]bool)
	for _, seg := range j.segments {
		for from := int64(segmentHeader); from < seg.end; {
			list, to, err := j.collect(seg, from, seg.end)
			if err != nil || to <= from {
				t.Fatalf("the mover stops at %d: %d, %v", from, to, err)
			}
			for _, r := range list {
				stored[r.RequestID] = true
			}
			from = to
		}
	}
	for _, want := range all {
		got, is, err := j.unmoved(uuid.MustParse(want.RequestID))
		if is && err == nil && got != want {
			t.Fatalf("a damaged segment gives a wrong record:\n got %+v\nwant %+v", got, want)
		}
		if is != (stored[want.RequestID] || j.live[uuid.MustParse(want.RequestID)] != nil) {
			t.Fatalf("look-up and mover do not agree on %s", want.RequestID)
		}
		there = append(there, is && err == nil)
	}
	for _, seg := range j.segments {
		_ = seg.close()
	}
	return there, said.String()
}

// TestTornAtEveryByte cuts a segment at every byte, and damages every byte of
// it, in turn. What is whole before, and behind a damaged entry, is found; no
// record is wrong, and the log says what was left out.
func TestTornAtEveryByte(t *testing.T) {
	content, name, all := leftBehind(t, 5)
	whole, log := found(t, name, content, all)
	for i, is := range whole {
		if !is {
			t.Fatalf("record %d of a whole segment is not found", i)
		}
	}
	if strings.Contains(log, "torn") {
		t.Errorf("a whole segment is said to be torn: %s", log)
	}
	end := nonZero(content)
	size := (end - segmentHeader) / (2*len(all) + 1) // of an entry; they are alike
	step := 1
	if testing.Short() {
		step = 7
	}
	for at := segmentHeader; at < end; at += step {
		torn := append(bytes.Clone(content[:at]), make([]byte, len(content)-at)...)
		there, log := found(t, name, torn, all)
		for i, is := range there {
			if begun := segmentHeader + (2*i+1)*size; begun < at-16 && !is {
				t.Fatalf("cut at %d: record %d began before, and is lost", at, i)
			}
		}
		if (at-segmentHeader)%size > 8 && at%entryAlign == 0 && nonZero(torn) > segmentHeader+8 && torn[at-1] != 0 && !strings.Contains(log, "torn") {
			t.Fatalf("cut at %d: nothing is said of it", at)
		}
		damaged := bytes.Clone(content)
		damaged[at] ^= 0x55
		there, _ = found(t, name, damaged, all)
		lost := 0
		for _, is := range there {
			if !is {
				lost++
			}
		}
		if lost > 0 {
			t.Fatalf("byte %d damaged: %d records are lost, though one of their two entries is whole", at, lost)
		}
	}
}

// TestDamagedHeader: a segment without its header is set aside, not deleted.
func TestDamagedHeader(t *testing.T) {
	content, name, _ := leftBehind(t, 1)
	for _, at := range []int{0, 8, 12, 16} {
		dir := t.TempDir()
		bad := bytes.Clone(content)
		bad[at] ^= 1
		if err := os.WriteFile(filepath.Join(dir, name), bad, 0o600); err != nil {
			t.Fatal(err)
		}
		j := opened(t, dir, newShelf(), &disk{}, nil)
		closed(t, j)
		if kept, err := os.ReadFile(filepath.Join(dir, name+".damaged")); err != nil || !bytes.Equal(kept, bad) {
			t.Errorf("a header that is damaged at byte %d: %v", at, err)
		}
	}
}

// TestPlantedEntry: a path that looks like an entry is none, even where what
// holds it is damaged.
func TestPlantedEntry(t *testing.T) {
	forged := newRequest()
	forged.TeamID = "team_forged"
	entry := appendEntry(nil, kindEnd, uuid.MustParse(forged.RequestID), &forged)
	seal(entry, 0) // the sender does not know the salt
	carrier := newRequest()
	carrier.UserAgent = strings.Repeat("x", 8) + string(entry)
	const salt = 0x1234567
	b := appendEntry(nil, kindEnd, uuid.MustParse(carrier.RequestID), &carrier)
	seal(b, salt)
	b[20] ^= 1
	for shift := range entryAlign {
		if _, _, err := entries(b[shift:], salt, func(_ int, e *entryFound) error {
			t.Errorf("an entry was found in a text, at %d", shift)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// entryFound keeps the name entry free for the bytes of one.
type entryFound = entry

// FuzzSegment reads what no journal wrote.
func FuzzSegment(f *testing.F) {
	content, _, _ := leftBehind(f, 3)
	salt := binary.LittleEndian.Uint32(content[12:])
	end := nonZero(content)
	f.Add(content[segmentHeader:end], salt)
	f.Add(content[segmentHeader:end-20], salt)
	f.Add([]byte{}, uint32(0))
	f.Add(bytes.Repeat([]byte{0xff}, 64), uint32(1))
	r := newRequest()
	e := appendEntry(nil, kindEnd, uuid.MustParse(r.RequestID), &r)
	seal(e, 7)
	f.Add(e, uint32(7))
	f.Fuzz(func(t *testing.T, b []byte, salt uint32) {
		last := 0
		end, damaged, err := entries(b, salt, func(offset int, e *entry) error {
			if offset < last || offset+e.size > len(b) {
				t.Fatalf("an entry at %d, %d bytes long, of %d bytes, after one that ended at %d", offset, e.size, len(b), last)
			}
			last = offset + e.size
			if r, err := e.record(); err == nil {
				again := appendEntry(nil, e.kind, e.id, &r)
				if len(again) > e.size {
					t.Fatal("a record grows as it is written again")
				}
			}
			return nil
		})
		if err != nil || end > len(b) || damaged > len(b) {
			t.Fatalf("walked to %d of %d, %d damaged: %v", end, len(b), damaged, err)
		}
	})
}

// TestNeverBegun: a segment that a process was killed over while it made it holds
// nothing, and goes without a word.
func TestNeverBegun(t *testing.T) {
	content, name, _ := leftBehind(t, 1)
	header := content[:segmentHeader]
	for what, held := range map[string][]byte{
		"an empty file":   {},
		"zeros":           make([]byte, 32<<10),
		"half a header":   append(bytes.Clone(header[:12]), make([]byte, 32<<10)...),
		"part of header":  header[:20],
		"a header, alone": append(bytes.Clone(header), make([]byte, 32<<10)...),
	} {
		dir, s := t.TempDir(), newShelf()
		if err := os.WriteFile(filepath.Join(dir, name), held, 0o600); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		j := opened(t, dir, s, &disk{}, func(c *Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
		closed(t, j)
		if left, _ := filepath.Glob(filepath.Join(dir, "*"+segmentSuffix+"*")); len(left) > 0 || log.Len() > 0 || len(s.gaps) > 0 {
			t.Errorf("%s: left behind %v, gaps %v, and it says: %s", what, left, s.gaps, log.String())
		}
	}
}

// TestDamagedWhileItRuns: what has changed on the disk of a process that runs is
// counted, too, and what its beginning still tells is saved.
func TestDamagedWhileItRuns(t *testing.T) {
	dir, s, d := t.TempDir(), newShelf(), &disk{}
	s.shut(true)
	j := opened(t, dir, s, d, nil)
	all := sendTo(t, j, 9)
	waitUntil(t, "all have ended", func() bool {
		j.mu.Lock()
		defer j.mu.Unlock()
		return len(j.live) == 0
	})
	first := segmentOf(j)
	damage := func(at int64) {
		b, err := first.read(at+20, at+21)
		if err != nil {
			t.Fatal(err)
		}
		b[0] ^= 1
		if _, err := first.file.WriteAt(b, at+20); err != nil {
			t.Fatal(err)
		}
	}
	content, err := first.read(segmentHeader, first.end)
	if err != nil {
		t.Fatal(err)
	}
	_, _, _ = entries(content, first.salt, func(offset int, e *entry) error {
		id := e.id.String()
		if id == all[3].RequestID || id == all[5].RequestID && e.kind == kindEnd || id == all[8].RequestID && e.kind == kindEnd {
			damage(segmentHeader + int64(offset))
		}
		return nil
	})
	s.shut(false)
	waitUntil(t, "what can be saved is, and the segment is set aside", func() bool { return len(setAsideIn(t, dir)) == 1 })
	for i, r := range all {
		got, err := j.Record(t.Context(), r.RequestID)
		not := (*latchkey.NotKeptError)(nil)
		switch {
		case i == 3 && errors.As(err, &not) && not.Gap.Count == 1:
		case (i == 5 || i == 8) && err == nil && got.Diagnosis == EndUnread:
		case i == 3 || i == 5 || i == 8 || err != nil || got != r:
			t.Errorf("record %d: %+v, %v", i, got, err)
		}
	}
	closed(t, j)
	if len(s.records) != len(all)-1 {
		t.Errorf("%d of %d records are stored", len(s.records), len(all))
	}
}
