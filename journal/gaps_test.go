package journal

import (
	"context"
	"errors"
	"testing"
	"time"

	"latchkey"
)

// TestGapOfAnID: a gap reaches to the time in the ID of what is lost, by which
// it is looked up, also where the clock has been set in between.
func TestGapOfAnID(t *testing.T) {
	for _, apart := range []time.Duration{-time.Hour, 20 * time.Millisecond, time.Hour} {
		s, d := newShelf(), &disk{}
		j := opened(t, t.TempDir(), s, d, nil)
		d.broken.Store(true)
		lost := newRequest()
		lost.Time = lost.Time.Add(apart)
		_ = j.Begin(lost)
		_, err := j.Record(t.Context(), lost.RequestID)
		var not *latchkey.NotKeptError
		if !errors.As(err, &not) {
			t.Errorf("a record that is lost, of a clock %v off: %v", apart, err)
		}
		d.broken.Store(false)
		closed(t, j)
	}
}

// TestOthersKnowOfOpenGaps: while a node loses records, the others say so, before
// it says that its records are in the store.
func TestOthersKnowOfOpenGaps(t *testing.T) {
	s, l, d := newShelf(), newLedger(), &disk{}
	j := opened(t, t.TempDir(), s, d, member("node-1", l))
	d.broken.Store(true)
	other := Reader{Store: s, HandIns: l}
	for range 3 {
		lost := sendTo(t, j, 10)[9]
		left := time.Now()
		waitUntil(t, "a node that loses records hands in", func() bool { return l.of("node-1").After(left) })
		_, err := other.Record(t.Context(), lost.RequestID)
		var not *latchkey.NotKeptError
		if !errors.As(err, &not) {
			t.Errorf("another node says of a record that was lost: %v", err)
		}
	}
	d.broken.Store(false)
	time.Sleep(2 * retryEvery)
	sendTo(t, j, 1)
	closed(t, j)
	var sum int64
	for _, g := range s.gaps {
		sum += g.Count
	}
	if sum != 30 {
		t.Errorf("the gaps count %d, of 30: %v", sum, s.gaps)
	}
}

// TestGapThatMovesBack: a gap that the store knows keeps its beginning, by which
// the store knows it.
func TestGapThatMovesBack(t *testing.T) {
	g := &gaps{node: "node-1"}
	at := time.UnixMicro(1e15).UTC()
	g.lose(1, at, at)
	for _, n := range g.news() {
		g.give(n)
		g.gave(n)
	}
	g.lose(2, at.Add(-time.Second), at)
	g.end()
	list := g.closed()
	if len(list) != 2 || list[0].Count != 1 || !list[0].From.Equal(at) || list[1].Count != 2 {
		t.Errorf("gaps: %v", list)
	}
}

// A slowShelf holds gaps up on their way.
type slowShelf struct {
	*shelf
	onGap func(latchkey.Gap) error // before it is there
}

func (s *slowShelf) AddGap(ctx context.Context, g latchkey.Gap) error {
	err := s.onGap(g)
	return errors.Join(s.shelf.AddGap(ctx, g), err)
}

// TestGapThatMovesBackOnItsWay: the same while the gap is on its way to the store,
// also when nobody can say whether it got there.
func TestGapThatMovesBackOnItsWay(t *testing.T) {
	for _, outcome := range []error{nil, latchkey.ErrOutcomeUnknown} {
		s := &slowShelf{shelf: newShelf()}
		at := time.UnixMicro(1e15).UTC()
		j := &Journal{store: s, gaps: &gaps{node: "node-1"}, handIn: &handIn{}, wakeWriter: make(chan struct{}, 1)}
		j.gaps.lose(1, at, at)
		s.onGap = func(latchkey.Gap) error {
			j.mu.Lock()
			defer j.mu.Unlock()
			if j.gaps.lost == 1 {
				j.gaps.lose(1, at.Add(-time.Millisecond), at.Add(-time.Millisecond))
			}
			return outcome
		}
		if err := j.moveGaps(t.Context()); !errors.Is(err, outcome) {
			t.Fatal(err)
		}
		outcome = nil
		j.gaps.end()
		if err := j.moveGaps(t.Context()); err != nil {
			t.Fatal(err)
		}
		var sum int64
		for _, g := range s.gaps {
			sum += g.Count
		}
		if sum != 2 {
			t.Errorf("2 records are lost, the store's gaps count %d: %v", sum, s.gaps)
		}
	}
}
