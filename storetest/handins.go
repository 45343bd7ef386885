package storetest

import (
	"slices"
	"sync"
	"testing"
	"time"

	"latchkey"
)

// HandIns examines what nodes tell each other of records: the store that open
// makes, by two handles on it. They may be the same.
func HandIns(t *testing.T, open func(t *testing.T) (a, b latchkey.HandInStore)) {
	for _, e := range []struct {
		name string
		run  func(x *handIns)
	}{
		{"HandIn", examHandIn},
		{"HandInNeverGoesBack", examHandInForward},
		{"ForgetHandIn", examForgetHandIn},
		{"HandInsConcurrently", examHandInsConcurrently},
		{"HostileNodes", examHostileNodes},
	} {
		t.Run(e.name, func(t *testing.T) {
			x := &handIns{T: t}
			x.a, x.b = open(t)
			e.run(x)
		})
	}
}

type handIns struct {
	*testing.T
	a, b latchkey.HandInStore
}

func (x *handIns) handIn(s latchkey.HandInStore, node string, until time.Time) {
	x.Helper()
	if err := s.HandIn(x.Context(), latchkey.HandIn{Node: node, Until: until}); err != nil {
		x.Fatalf("rule broken: what is legal is done: hand in: %v", err)
	}
}

func (x *handIns) want(rule string, want ...latchkey.HandIn) {
	x.Helper()
	for _, s := range []latchkey.HandInStore{x.a, x.b} {
		got, err := s.HandIns(x.Context())
		if err != nil {
			x.Fatalf("rule broken: what is legal is done: read hand-ins: %v", err)
		}
		if !slices.Equal(got, want) {
			x.Fatalf("rule broken: %s\n got %v\nwant %v", rule, got, want)
		}
	}
}

var handInTime = time.Date(2026, 3, 1, 12, 0, 0, 123456000, time.UTC)

func examHandIn(x *handIns) {
	x.want("a new store has no hand-ins")
	x.handIn(x.a, "node-2", handInTime)
	x.handIn(x.b, "node-10", handInTime.Add(time.Second))
	x.handIn(x.b, "Node-3", handInTime.In(time.FixedZone("elsewhere", 3600)))
	x.want("each node has one, by name, byte for byte, and its time in UTC",
		latchkey.HandIn{Node: "Node-3", Until: handInTime}, latchkey.HandIn{Node: "node-10", Until: handInTime.Add(time.Second)},
		latchkey.HandIn{Node: "node-2", Until: handInTime})
	x.handIn(x.a, "fine", handInTime.Add(999))
	got, err := x.b.HandIns(x.Context())
	if err != nil || !got[1].Until.Equal(handInTime) {
		x.Fatalf("rule broken: a time that is finer than is kept is rounded down, so that no more is said than is true: %v, %v", got, err)
	}
}

func examHandInForward(x *handIns) {
	x.handIn(x.a, "node", handInTime)
	x.handIn(x.b, "node", handInTime.Add(-time.Microsecond))
	x.want("a hand-in never goes back", latchkey.HandIn{Node: "node", Until: handInTime})
	x.handIn(x.b, "node", handInTime)
	x.want("a hand-in may be said again", latchkey.HandIn{Node: "node", Until: handInTime})
	x.handIn(x.b, "node", handInTime.Add(time.Microsecond))
	x.want("a hand-in goes on", latchkey.HandIn{Node: "node", Until: handInTime.Add(time.Microsecond)})
}

func examForgetHandIn(x *handIns) {
	x.handIn(x.a, "node-1", handInTime)
	x.handIn(x.a, "node-2", handInTime)
	for range 2 {
		if err := x.b.ForgetHandIn(x.Context(), "node-1"); err != nil {
			x.Fatalf("rule broken: a node may be forgotten, whether it is there or not: %v", err)
		}
	}
	x.want("a node that has stopped is not among them", latchkey.HandIn{Node: "node-2", Until: handInTime})
	x.handIn(x.a, "node-1", handInTime.Add(-time.Hour))
	x.want("a node that was forgotten begins anew", latchkey.HandIn{Node: "node-1", Until: handInTime.Add(-time.Hour)},
		latchkey.HandIn{Node: "node-2", Until: handInTime})
}

func examHandInsConcurrently(x *handIns) {
	const rounds, workers = 20, 4
	latest := handInTime.Add(workers * time.Second)
	for range rounds {
		var wg sync.WaitGroup
		for w := range workers {
			wg.Go(func() {
				h := latchkey.HandIn{Node: "node", Until: latest.Add(-time.Duration(w) * time.Second)}
				if err := []latchkey.HandInStore{x.a, x.b}[w%2].HandIn(x.Context(), h); err != nil {
					x.Errorf("hand in: %v", err)
				}
			})
		}
		wg.Wait()
		x.want("of hand-ins at the same time the latest counts", latchkey.HandIn{Node: "node", Until: latest})
		if err := x.a.ForgetHandIn(x.Context(), "node"); err != nil {
			x.Fatal(err)
		}
	}
}

func examHostileNodes(x *handIns) {
	for _, s := range hostile {
		x.handIn(x.a, s, handInTime)
		got, err := x.b.HandIns(x.Context())
		if err != nil || len(got) != 1 || got[0].Node != kept(s) {
			x.Fatalf("rule broken: any name is kept as text: %q is %v, %v", s, got, err)
		}
		if err := x.b.ForgetHandIn(x.Context(), s); err != nil {
			x.Fatalf("rule broken: any name can be forgotten: %v", err)
		}
		x.want("any name can be forgotten")
	}
}
