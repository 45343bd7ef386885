package journal

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey"
)

// sendTo sends so many requests, and returns them.
func sendTo(t testing.TB, j *Journal, n int) (all []latchkey.Record) {
	t.Helper()
	for range n {
		r := newRequest()
		if err := j.Begin(r); err != nil {
			t.Fatal(err)
		}
		j.End(r)
		all = append(all, r)
	}
	return all
}

// TestCarriedOverToNowhere: a response that takes long, and whose beginning could
// not be carried over because the disk was full for a while, is not lost, and
// holds up nobody once it has ended.
func TestCarriedOverToNowhere(t *testing.T) {
	dir, s, d := t.TempDir(), newShelf(), &disk{}
	j := opened(t, dir, s, d, nil)
	long := newRequest()
	if err := j.Begin(long); err != nil {
		t.Fatal(err)
	}
	s.shut(true)
	sendTo(t, j, 100)
	waitUntil(t, "the next segment is made", func() bool {
		j.mu.Lock()
		defer j.mu.Unlock()
		return j.spare != nil
	})
	d.full.Store(true)
	sendTo(t, j, 600) // more than the two segments that there are
	s.shut(false)
	waitUntil(t, "the mover gets to where the response goes on", func() bool {
		j.mu.Lock()
		defer j.mu.Unlock()
		return len(j.segments) > 0 && j.segments[0].open == 1 && j.moved >= j.segments[0].end && j.segments[0].sealed
	})
	time.Sleep(4 * moveEvery) // it tries to carry the response over
	d.full.Store(false)
	time.Sleep(2 * retryEvery)
	long.BytesOut = 9
	j.End(long)
	last := sendTo(t, j, 500)[499]
	waitUntil(t, "the mover goes on when the response has ended", func() bool {
		_, err := s.Record(t.Context(), last.RequestID)
		return err == nil
	})
	if got, err := s.Record(t.Context(), long.RequestID); err != nil || got != long {
		t.Errorf("the long response is stored as %+v, %v", got, err)
	}
	closed(t, j)
}

// TestRefusedIsCountedBeforeItLeaves: what is given no place is counted on disk
// when Begin returns; a kill does not take the count.
func TestRefusedIsCountedBeforeItLeaves(t *testing.T) {
	dir, s, d := t.TempDir(), newShelf(), &disk{}
	s.shut(true)
	j := opened(t, dir, s, d, func(c *Config) { c.MaxBytes = 64 << 10 })
	sendTo(t, j, 200)
	last := newRequest()
	last.Outcome = latchkey.OutcomeDenied
	j.mu.Lock()
	crowded := j.crowded()
	j.mu.Unlock()
	if !crowded {
		t.Fatal("the journal is not crowded")
	}
	waitUntil(t, "the writer has written everything", func() bool {
		j.mu.Lock()
		defer j.mu.Unlock()
		return len(j.pending.items) == 0 && j.writing == nil
	})
	left := make(chan error, 1)
	go func() { left <- j.Begin(last) }()
	select {
	case err := <-left:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(patience):
		t.Fatal("a response waits for a count that nobody writes")
	}
	onDisk, err := os.ReadFile(filepath.Join(dir, "gaps"))
	if err != nil {
		t.Fatal(err)
	}
	var g gaps
	if slot := g.decode(onDisk[:gapSize]); slot.gap.Count != 1 {
		t.Errorf("a refusal that is not kept left; on disk are counted %d", slot.gap.Count)
	}
	abandonProcess(j)
	j = opened(t, dir, s, d, func(c *Config) { c.MaxBytes = 64 << 10 })
	_, err = j.Record(t.Context(), last.RequestID)
	var not *latchkey.NotKeptError
	if !errors.As(err, &not) {
		t.Errorf("after the kill: %v", err)
	}
	s.shut(false)
	closed(t, j)
}

// TestSyncThatFailed: strict, no response leaves over a segment whose sync has
// failed for somebody else.
func TestSyncThatFailed(t *testing.T) {
	s, d := newShelf(), &disk{}
	s.shut(true)
	j := opened(t, t.TempDir(), s, d, func(c *Config) { c.Strict = true })
	sendTo(t, j, 1)
	j.mu.Lock()
	current := j.segments[len(j.segments)-1]
	j.mu.Unlock()
	d.unsafe.Store(true)
	if current.sync() == nil { // the keeper's
		t.Fatal("the disk does not fail")
	}
	d.unsafe.Store(false)
	if err := j.Begin(newRequest()); err == nil {
		t.Error("a response leaves, and its record may be nowhere")
	}
	time.Sleep(2 * retryEvery)
	if err := j.Begin(newRequest()); err != nil {
		t.Errorf("the next segment: %v", err)
	}
	s.shut(false)
	closed(t, j)
}

// TestHoleOfZeros: a page of zeros among entries held as many records as fit.
func TestHoleOfZeros(t *testing.T) {
	content, name, all := leftBehind(t, 8)
	size := (nonZero(content) - segmentHeader) / (2*len(all) + 1)
	clear(content[segmentHeader+3*size+20 : segmentHeader+9*size])
	dir, s := t.TempDir(), newShelf()
	if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
		t.Fatal(err)
	}
	closed(t, opened(t, dir, s, &disk{}, nil))
	if len(s.gaps) != 1 || s.gaps[0].Count < 3 {
		t.Errorf("three records are lost at least, the gaps are %v", s.gaps)
	}
}

// TestSetAsideTwice: a segment that was set aside is not written over.
func TestSetAsideTwice(t *testing.T) {
	dir, s, d := t.TempDir(), newShelf(), &disk{}
	const name = "0000000000000007.segment"
	if err := os.WriteFile(filepath.Join(dir, name+asideSuffix), []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	j := opened(t, dir, s, d, nil)
	sendTo(t, j, 1)
	j.mu.Lock()
	sequence := j.segments[0].sequence
	j.mu.Unlock()
	if sequence <= 7 {
		t.Errorf("the next segment has the number %d", sequence)
	}
	closed(t, j)
}

// TestTrace: what segments say one by one is what they say in one.
func TestTrace(t *testing.T) {
	at := func(i int) time.Time { return time.Unix(int64(1000+i), 0).UTC() }
	since := at(-100)
	var one losses
	one.lose(5, since)
	one.read(at(1))
	one.read(at(3))
	one.read(at(2))
	one.lose(70, since)
	one.lose(9, since)
	one.read(at(2))
	one.lose(500, since)
	one.read(at(9))

	var many losses
	var first, second, third trace
	first.lose(5)
	first.read(at(1))
	first.read(at(3))
	first.read(at(2))
	first.lose(70)
	second.lose(9)
	second.read(at(2))
	second.lose(500)
	third.read(at(9))
	for _, tr := range []trace{first, second, nil, third} {
		many.follow(tr, func() time.Time { return since })
	}
	if len(one.gaps) != 3 || len(many.gaps) != 3 {
		t.Fatalf("%d and %d gaps", len(one.gaps), len(many.gaps))
	}
	for i := range one.gaps {
		if one.gaps[i] != many.gaps[i] {
			t.Errorf("gap %d: %v, must be %v", i, many.gaps[i], one.gaps[i])
		}
	}
}

// TestEndInAnotherSegment: what begins in one segment and ends in another has
// ended, though they are looked through beside each other.
func TestEndInAnotherSegment(t *testing.T) {
	dir, s, d := t.TempDir(), newShelf(), &disk{}
	s.shut(true)
	j := opened(t, dir, s, d, func(c *Config) { c.SegmentSize = 1 << 10 })
	begun := make([]latchkey.Record, 20)
	for i := range begun {
		begun[i] = newRequest()
		_ = j.Begin(begun[i])
	}
	sendTo(t, j, 50)
	for i := range begun[:10] {
		begun[i].BytesOut = 7
		j.End(begun[i])
	}
	_ = j.Begin(newRequest()) // the writer has taken everything once this is in
	abandonProcess(j)
	j = opened(t, dir, s, d, func(c *Config) { c.SegmentSize = 1 << 10 })
	for i, want := range begun {
		if i >= 10 {
			want.Diagnosis = NeverEnded
		}
		if got, err := j.Record(t.Context(), want.RequestID); err != nil || got != want {
			t.Errorf("record %d: %+v, %v", i, got, err)
		}
	}
	used, err := j.LastUsed(t.Context(), []string{begun[0].CredentialID})
	if err != nil || begun[0].CredentialID != "" && used[begun[0].CredentialID].IsZero() {
		t.Errorf("last used: %v, %v", used, err)
	}
	s.shut(false)
	closed(t, j)
	if _, err := uuid.Parse(begun[0].RequestID); err != nil {
		t.Fatal(err)
	}
}

// TestPause: the mover rests the less the more waits for it, and not at all from
// a quarter of what may, or where other nodes wait.
func TestPause(t *testing.T) {
	j := &Journal{config: Config{MaxBytes: 400}, moved: 10}
	for _, c := range []struct {
		end  int64
		want time.Duration
	}{{10, 5 * time.Second}, {60, 2500 * time.Millisecond}, {110, 0}, {500, 0}} {
		j.segments = []*segment{{end: c.end}}
		if got := j.pause(time.Second); got != c.want {
			t.Errorf("%d of 400 bytes wait: it rests %v, must rest %v", c.end-10, got, c.want)
		}
	}
	j.segments, j.handIn = nil, &handIn{done: time.Now().Add(-time.Minute)}
	if got := j.pause(time.Second); got != 0 {
		t.Errorf("other nodes wait: it rests %v", got)
	}
}

// TestCarriedInParts: many records that are carried over leave room for those
// that begin meanwhile, and are carried in the end.
func TestCarriedInParts(t *testing.T) {
	s := newShelf()
	j := opened(t, t.TempDir(), s, &disk{}, func(c *Config) { c.SegmentSize = 16 << 20 })
	var all []latchkey.Record
	for range 5000 {
		r := newRequest()
		r.UserAgent = strings.Repeat("a", 1000)
		if err := j.Begin(r); err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	first := segmentOf(j)
	j.mu.Lock()
	batch := j.carry(first)
	carried := len(batch.bytes)
	j.mu.Unlock()
	if carried == 0 || carried > maxPending/2 {
		t.Errorf("%d bytes are carried over at once, of %d that may wait", carried, maxPending)
	}
	wake(j.wakeWriter)
	j.sealNow(first)
	waitUntil(t, "all are carried over, and the segment is deleted", func() bool {
		_, err := os.Stat(first.path)
		return errors.Is(err, os.ErrNotExist)
	})
	for _, r := range all {
		j.End(r)
	}
	closed(t, j)
	if len(s.records) != len(all) || len(s.gaps) > 0 {
		t.Errorf("%d records of %d are stored, and there are gaps: %v", len(s.records), len(all), s.gaps)
	}
}

// TestHangsAgain: a disk that has hung once is waited for no more than shortly,
// until it has answered in time.
func TestHangsAgain(t *testing.T) {
	s, d := newShelf(), &disk{}
	j := opened(t, t.TempDir(), s, d, nil)
	sendTo(t, j, 1)
	idle := func() {
		waitUntil(t, "the writer has nothing to do", func() bool {
			j.mu.Lock()
			defer j.mu.Unlock()
			return j.writing == nil && len(j.pending.items) == 0
		})
	}
	again := stallTime // the shortest: a busy machine makes some longer
	for i := range 4 {
		idle()
		d.hanging.Store(true)
		began := time.Now()
		if err := j.Begin(newRequest()); err != nil {
			t.Fatal(err)
		}
		took := time.Since(began)
		if i == 0 && took < stallTime || took < stalledTime {
			t.Errorf("hang %d: a response waits only %v", i+1, took)
		}
		if i > 0 {
			again = min(again, took)
		}
		d.hanging.Store(false)
	}
	if again >= stallTime-stalledTime {
		t.Errorf("a disk that hangs again holds a response up for %v", again)
	}
	idle()
	waitUntil(t, "a disk that answers is trusted again", func() bool {
		sendTo(t, j, 1)
		j.mu.Lock()
		defer j.mu.Unlock()
		return j.patience == stallTime
	})
	closed(t, j)
}
