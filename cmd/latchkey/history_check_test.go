package main

import (
	"testing"
	"time"
)

// A script is a history that is made up: each step happens a moment after the
// one before.
type script struct {
	*ledger
	tally tally
	clock time.Duration
	keys  map[string]*rolled
	calls map[string]time.Duration
}

// leaseOfScript is the lease of its nodes.
const leaseOfScript = 10 * time.Second

func newScript() *script {
	s := &script{keys: map[string]*rolled{}, calls: map[string]time.Duration{}}
	s.ledger = &ledger{team: "t", tally: &s.tally, fault: func(string) {}, lease: leaseOfScript, now: func() time.Duration { s.clock++; return s.clock }}
	return s
}

func (s *script) begin(key string)      { s.keys[key] = s.ledger.begin() }
func (s *script) returns(key string)    { s.acknowledge(s.keys[key], key) }
func (s *script) fails(key string)      { s.fail(s.keys[key]) }
func (s *script) waits(d time.Duration) { s.clock += d }
func (s *script) asks(name string)      { s.calls[name] = s.ledger.now() }

// TestLedger holds the checker itself: what breaks the promise is found, and
// nothing else is.
func TestLedger(t *testing.T) {
	type counts struct{ stale, wrong, lost, other int64 }
	for _, c := range []struct {
		rule string
		play func(s *script)
		want counts
	}{
		{"an ended key that is called after the roll returned", func(s *script) {
			s.begin("b")
			s.returns("b")
			s.asks("v")
			s.verify(1, s.keys["a"], s.calls["v"], accepted)
		}, counts{stale: 1}},
		{"an ended key that was called while the roll was under way", func(s *script) {
			s.begin("b")
			s.asks("v")
			s.returns("b")
			s.verify(1, s.keys["a"], s.calls["v"], accepted)
		}, counts{}},
		{"a new key that is refused after its roll returned", func(s *script) {
			s.begin("b")
			s.returns("b")
			s.asks("v")
			s.verify(1, s.keys["b"], s.calls["v"], refused)
		}, counts{wrong: 1}},
		{"a node that cannot tell breaks nothing", func(s *script) {
			s.begin("b")
			s.returns("b")
			s.asks("v")
			s.verify(1, s.keys["b"], s.calls["v"], unavailable)
			s.verify(1, s.keys["a"], s.calls["v"], broken)
		}, counts{}},
		{"a new key that is refused while the next roll is under way", func(s *script) {
			s.begin("b")
			s.returns("b")
			s.asks("v")
			s.begin("c")
			s.verify(1, s.keys["b"], s.calls["v"], refused)
		}, counts{}},
		{"a new key that is refused after a roll that was not made", func(s *script) {
			s.begin("b")
			s.returns("b")
			s.begin("c")
			s.fails("c")
			s.asks("v")
			s.verify(1, s.keys["b"], s.calls["v"], refused)
		}, counts{wrong: 1}},
		{"a key is neither alive nor dead after a roll of unknown outcome", func(s *script) {
			s.begin("b")
			s.lose(s.keys["b"])
			s.asks("v")
			s.verify(1, s.keys["a"], s.calls["v"], refused)
			s.verify(2, s.keys["a"], s.calls["v"], accepted)
		}, counts{}},
		{"and it is dead when the next roll has returned", func(s *script) {
			s.begin("b")
			s.lose(s.keys["b"])
			s.begin("c")
			s.returns("c")
			s.asks("v")
			s.verify(2, s.keys["a"], s.calls["v"], accepted)
		}, counts{stale: 1}},
		{"a roll of unknown outcome may come after the next one", func(s *script) {
			s.begin("b")
			s.lose(s.keys["b"])
			s.begin("c")
			s.returns("c")
			s.asks("v")
			s.verify(2, s.keys["c"], s.calls["v"], refused)
		}, counts{}},
		{"but not once it was seen to be made", func(s *script) {
			s.begin("b")
			s.lose(s.keys["b"])
			s.resolve("b")
			s.begin("c")
			s.returns("c")
			s.asks("v")
			s.verify(2, s.keys["c"], s.calls["v"], refused)
			s.verify(2, s.keys["b"], s.calls["v"], accepted)
		}, counts{stale: 1, wrong: 1}},
		{"within a lease of when it was seen, a node may not have heard of it", func(s *script) {
			s.begin("b")
			s.lose(s.keys["b"])
			s.resolve("b")
			s.waits(leaseOfScript)
			s.asks("v")
			s.verify(2, s.keys["b"], s.calls["v"], refused)
			s.verify(1, s.keys["a"], s.calls["v"], accepted)
		}, counts{}},
		{"after it, every answer follows", func(s *script) {
			s.begin("b")
			s.lose(s.keys["b"])
			s.resolve("b")
			s.waits(leaseOfScript * 102 / 100)
			s.asks("v")
			s.verify(2, s.keys["b"], s.calls["v"], refused)
			s.verify(1, s.keys["a"], s.calls["v"], accepted)
			s.verify(0, s.keys["b"], s.calls["v"], unavailable)
		}, counts{other: 2}},
		{"but for a roll that may have come after it", func(s *script) {
			s.begin("b")
			s.lose(s.keys["b"])
			s.resolve("b")
			s.waits(leaseOfScript * 102 / 100)
			s.begin("c")
			s.lose(s.keys["c"])
			s.asks("v")
			s.verify(2, s.keys["b"], s.calls["v"], refused)
		}, counts{}},
		{"two rolls at once may come in either order", func(s *script) {
			s.begin("b")
			s.begin("c")
			s.returns("b")
			s.returns("c")
			s.asks("v")
			s.verify(0, s.keys["b"], s.calls["v"], accepted)
			s.verify(0, s.keys["c"], s.calls["v"], refused)
		}, counts{}},
		{"but what was there before is dead", func(s *script) {
			s.begin("b")
			s.begin("c")
			s.returns("b")
			s.asks("v")
			s.verify(0, s.keys["a"], s.calls["v"], accepted)
		}, counts{stale: 1}},
		{"an acknowledged roll that is gone", func(s *script) {
			s.begin("b")
			s.returns("b")
			s.resolve("a")
		}, counts{lost: 1}},
		{"an acknowledged roll that is there", func(s *script) {
			s.begin("b")
			s.returns("b")
			s.resolve("b")
		}, counts{}},
		{"a roll that was reported as failed, and made", func(s *script) {
			s.begin("b")
			s.fails("b")
			s.resolve("b")
		}, counts{other: 1}},
		{"a node that goes back while a roll is under way: porcupine's", func(s *script) {
			s.begin("b")
			for _, is := range []reply{refused, accepted} {
				s.asks("v")
				s.verify(1, s.keys["a"], s.calls["v"], is)
			}
			s.returns("b")
			s.linearize(3, time.Minute)
		}, counts{other: 1}},
		{"two nodes that follow a roll one after the other", func(s *script) {
			s.begin("b")
			for node, is := range []reply{refused, accepted} {
				s.asks("v")
				s.verify(node, s.keys["a"], s.calls["v"], is)
			}
			s.returns("b")
			s.linearize(3, time.Minute)
		}, counts{}},
		{"porcupine finds a stale accept too", func(s *script) {
			s.begin("b")
			s.returns("b")
			s.asks("v")
			s.verify(1, s.keys["a"], s.calls["v"], accepted)
			s.linearize(3, time.Minute)
		}, counts{stale: 1, other: 1}},
	} {
		s := newScript()
		s.begin("a")
		s.returns("a")
		c.play(s)
		got := counts{s.tally.stale.Load(), s.tally.wrong.Load(), s.tally.lost.Load(), s.tally.other.Load()}
		if got != c.want {
			t.Errorf("%s: the checker counts %+v, must be %+v", c.rule, got, c.want)
		}
	}
}

// TestBounds holds what holds the bounds: each is found to be broken, and one
// that is not is not.
func TestBounds(t *testing.T) {
	const lease = 300 * time.Millisecond
	late := []time.Duration{0, rollWithin(lease) + 1}
	for _, c := range []struct {
		rule  string
		of    func(b *bounds)
		over  bool
		slack int
	}{
		{"a node that is back in time", func(b *bounds) { b.returns = []time.Duration{backWithin} }, false, 1},
		{"a node that is back too late", func(b *bounds) { b.returns = []time.Duration{backWithin + time.Millisecond} }, true, 1},
		{"one that is late on a slow machine", func(b *bounds) { b.returns = []time.Duration{backWithin + time.Millisecond} }, false, 5},
		{"two of a hundred that are back too late", func(b *bounds) { b.returns = returnsWith(2) }, true, 1},
		{"one of a hundred", func(b *bounds) { b.returns = returnsWith(1) }, false, 1},
		{"half of them on a slow machine", func(b *bounds) { b.returns = returnsWith(51) }, true, 5},
		{"fewer on a slow machine", func(b *bounds) { b.returns = returnsWith(49) }, false, 5},
		{"a roll that is in time", func(b *bounds) { b.waits = []time.Duration{rollWithin(lease)} }, false, 1},
		{"one roll of two that is late", func(b *bounds) { b.waits = late }, true, 1},
		{"one that is late on a slow machine", func(b *bounds) { b.waits = late }, false, 5},
		{"an unknown roll that is followed in time", func(b *bounds) { b.follows = []time.Duration{lease} }, false, 1},
		{"one that is followed too late, on any machine", func(b *bounds) { b.follows = []time.Duration{0, lease*101/100 + 1} }, true, 5},
		{"others that do not notice", func(b *bounds) { b.unmoved.Add(1000) }, false, 1},
		{"others that notice once", func(b *bounds) { b.unmoved.Add(1000); b.noticed.Add(1) }, true, 1},
		{"others that notice once on a slow machine", func(b *bounds) { b.unmoved.Add(1000); b.noticed.Add(1) }, false, 5},
		{"others that notice often on a slow machine", func(b *bounds) { b.unmoved.Add(1000); b.noticed.Add(100) }, true, 5},
	} {
		b := &bounds{slack: c.slack}
		c.of(b)
		if kept, over := b.held(lease); len(over) > 0 != c.over || len(kept)+len(over) != 1 {
			t.Errorf("%s: kept %q, over %q", c.rule, kept, over)
		}
	}
}

// returnsWith is a hundred returns, of which so many are late on any machine.
func returnsWith(late int) []time.Duration {
	returns := make([]time.Duration, 100)
	for i := range late {
		returns[i] = 10 * backWithin
	}
	return returns
}

// TestBoundsOfOthers holds whom the bounds look at: the nodes that are not cut
// off, and rolls through nodes that do not suffer, from one end to the other.
func TestBoundsOfOthers(t *testing.T) {
	w := &fleet{began: time.Now()}
	h := &history{fleet: w}
	away, other := &member{fleet: w, index: 1}, &member{fleet: w}
	h.watchOthers(other, w.now(), unavailable)
	away.cut.Store(int64(w.now()))
	before := w.now() - time.Hour
	w.away.Store(away)
	h.watchOthers(away, w.now(), unavailable)
	h.watchOthers(other, before, unavailable)
	if got := h.noticed.Load(); got != 0 {
		t.Errorf("%d requests are counted that tell nothing", got)
	}
	h.watchOthers(other, w.now(), unavailable)
	h.watchOthers(other, w.now(), broken)
	h.watchOthers(other, w.now(), refused)
	if h.noticed.Load() != 2 || h.unmoved.Load() != 1 {
		t.Errorf("others noticed %d times and did not %d times, must be 2 and 1", h.noticed.Load(), h.unmoved.Load())
	}

	now := &illness{away}
	h.tookRoll(other, nil, 1)
	h.ill.Store(now)
	h.tookRoll(away, now, 2)
	h.tookRoll(other, &illness{away}, 3)
	h.tookRoll(other, now, 4)
	if len(h.waits) != 1 || h.waits[0] != 4 {
		t.Errorf("the rolls that count are %v, must be the fourth alone", h.waits)
	}

	away.back.Store(int64(w.now()))
	away.seen.Store(int64(never))
	h.returned(away)
	if h.other.Load() != 1 {
		t.Error("a node that never answered again is left out")
	}
}
