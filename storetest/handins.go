package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

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
		{"HandInAgain", examHandInAgain},
		{"HandInClock", examHandInClock},
		{"JoinHandIns", examJoinHandIns},
		{"OpenRecords", examOpenRecords},
		{"OpenRecordsOfNodes", examOpenRecordsOfNodes},
		{"ForgetHandIn", examForgetHandIn},
		{"OldHandIns", examOldHandIns},
		{"HandInOfNobody", examHandInOfNobody},
		{"HandInsOfNamesakes", examNamesakes},
		{"LostJournals", examLostJournals},
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
	x.open(s, node, until, latchkey.OpenRecords{})
}

// open hands in, and returns the store's clock.
func (x *handIns) open(s latchkey.HandInStore, node string, until time.Time, open latchkey.OpenRecords) time.Time {
	x.Helper()
	return x.openOf(s, latchkey.HandIn{Node: node, Until: until}, open)
}

// openOf joins, if need be, and hands in.
func (x *handIns) openOf(s latchkey.HandInStore, h latchkey.HandIn, open latchkey.OpenRecords) time.Time {
	x.Helper()
	if _, err := s.JoinHandIns(x.Context(), h); err != nil {
		x.Fatalf("rule broken: what is legal is done: join: %v", err)
	}
	now, err := s.HandIn(x.Context(), h, open)
	if err != nil {
		x.Fatalf("rule broken: what is legal is done: hand in: %v", err)
	}
	return now
}

func (x *handIns) read(s latchkey.HandInStore) ([]latchkey.HandIn, time.Time) {
	x.Helper()
	list, now, err := s.HandIns(x.Context())
	if err != nil {
		x.Fatalf("rule broken: what is legal is done: read hand-ins: %v", err)
	}
	return list, now
}

func (x *handIns) join(s latchkey.HandInStore, node string, until time.Time) time.Time {
	x.Helper()
	now, err := s.JoinHandIns(x.Context(), latchkey.HandIn{Node: node, Until: until})
	if err != nil {
		x.Fatalf("rule broken: what is legal is done: join: %v", err)
	}
	return now
}

func (x *handIns) want(rule string, want ...latchkey.HandIn) {
	x.Helper()
	for _, s := range []latchkey.HandInStore{x.a, x.b} {
		if got, _ := x.read(s); !slices.Equal(got, want) {
			x.Fatalf("rule broken: %s\n got %v\nwant %v", rule, got, want)
		}
	}
}

// wantOpen holds that records are open, and no others of those given.
func (x *handIns) wantOpen(rule string, open []latchkey.Record, others ...latchkey.Record) {
	x.Helper()
	for _, s := range []latchkey.HandInStore{x.a, x.b} {
		for _, want := range open {
			want.Open = true
			for _, id := range []string{want.RequestID, strings.ToUpper(want.RequestID)} {
				if got, err := s.OpenRecord(x.Context(), id); err != nil || got != want {
					x.Fatalf("rule broken: %s\n got %+v, %v\nwant %+v", rule, got, err, want)
				}
			}
		}
		for _, r := range others {
			if got, err := s.OpenRecord(x.Context(), r.RequestID); !errors.Is(err, latchkey.ErrNotFound) {
				x.Fatalf("rule broken: %s\n got %+v, %v, must be ErrNotFound", rule, got, err)
			}
		}
	}
}

var handInTime = time.Now().UTC().Truncate(time.Hour).Add(123456 * time.Microsecond)

func examHandIn(x *handIns) {
	x.want("a new store has no hand-ins")
	x.handIn(x.a, "node-2", handInTime)
	x.handIn(x.b, "node-10", handInTime.Add(time.Second))
	x.handIn(x.b, "Node-3", handInTime.In(time.FixedZone("elsewhere", 3600)))
	x.want("each node has one, by name, byte for byte, and its time in UTC",
		latchkey.HandIn{Node: "Node-3", Until: handInTime}, latchkey.HandIn{Node: "node-10", Until: handInTime.Add(time.Second)},
		latchkey.HandIn{Node: "node-2", Until: handInTime})
	x.handIn(x.a, "fine", handInTime.Add(999))
	if got, _ := x.read(x.b); !got[1].Until.Equal(handInTime) {
		x.Fatalf("rule broken: a time that is finer than is kept is rounded down, so that no more is said than is true: %v", got)
	}
}

func examHandInAgain(x *handIns) {
	x.handIn(x.a, "node", handInTime)
	x.handIn(x.b, "node", handInTime)
	x.want("a hand-in may be said again", latchkey.HandIn{Node: "node", Until: handInTime})
	x.handIn(x.b, "node", handInTime.Add(time.Microsecond))
	x.want("a hand-in goes on", latchkey.HandIn{Node: "node", Until: handInTime.Add(time.Microsecond)})
	x.handIn(x.a, "node", handInTime.Add(-time.Hour))
	x.want("what a node says last counts, also if it is less", latchkey.HandIn{Node: "node", Until: handInTime.Add(-time.Hour)})
}

func examHandInClock(x *handIns) {
	const pause = 20 * time.Millisecond
	_, last := x.read(x.a)
	for _, next := range []func() time.Time{
		func() time.Time { return x.join(x.b, "node", time.Time{}) },
		func() time.Time { return x.join(x.a, "node", handInTime) },
		func() time.Time { return x.open(x.b, "node", handInTime, latchkey.OpenRecords{}) },
		func() time.Time { _, now := x.read(x.a); return now },
	} {
		time.Sleep(pause)
		now := next()
		if went := now.Sub(last); went < pause/2 || now.Location() != time.UTC {
			x.Fatalf("rule broken: each call returns the one clock of the store, of a moment during the call, in UTC: it went %v in %v: %v", went, pause, now)
		}
		last = now
	}
}

func examJoinHandIns(x *handIns) {
	_, before := x.read(x.a)
	x.join(x.b, "new", time.Time{})
	list, after := x.read(x.a)
	if len(list) != 1 || list[0].Node != "new" || list[0].Until.Before(before) || list[0].Until.After(after) {
		x.Fatalf("rule broken: a new node has handed in all up to now, which is between %v and %v: %v", before, after, list)
	}
	x.join(x.a, "new", handInTime)
	x.want("a node that is there stays as it is", list...)
	x.join(x.a, "left behind", handInTime.Add(-time.Hour))
	x.want("a node that comes back with records says since when", latchkey.HandIn{Node: "left behind", Until: handInTime.Add(-time.Hour)}, list[0])
}

// openRecord is one of a response that has begun to leave.
func openRecord(path string) latchkey.Record {
	return latchkey.Record{
		RequestID: uuid.Must(uuid.NewV7()).String(), Time: handInTime, Node: "node", TeamID: "team_a", CredentialID: "key_a",
		Auth: latchkey.MethodBearer, Outcome: latchkey.OutcomeAccepted, Reason: latchkey.ReasonOK, Diagnosis: "a “diagnosis”",
		Method: "GET", Host: "api.example.com", Path: path, Status: 101, ClientIP: "192.0.2.1", UserAgent: "<a> & 'b' \"c\" \\",
		ClientRequestID: "theirs", TraceID: "0af7651916cd43dd8448eb211c80319c",
	}
}

func examOpenRecords(x *handIns) {
	one, two, three := openRecord("/1"), openRecord("/2"), openRecord("/3")
	x.wantOpen("a new store has nothing open", nil, one)
	x.open(x.a, "node", handInTime, latchkey.OpenRecords{All: true, Began: []latchkey.Record{one, two}})
	x.wantOpen("what a node has open is found, whole", []latchkey.Record{one, two}, three)
	x.handIn(x.a, "node", handInTime)
	x.wantOpen("what is not spoken of stays", []latchkey.Record{one, two})
	x.open(x.b, "node", handInTime, latchkey.OpenRecords{Began: []latchkey.Record{three}, Ended: []string{one.RequestID, openRecord("/").RequestID}})
	x.wantOpen("what has ended is not open", []latchkey.Record{two, three}, one)
	three.Diagnosis = "another"
	x.open(x.a, "node", handInTime, latchkey.OpenRecords{Began: []latchkey.Record{three}})
	x.wantOpen("what is said again is replaced", []latchkey.Record{two, three}, one)
	x.open(x.a, "node", handInTime, latchkey.OpenRecords{All: true, Began: []latchkey.Record{one}})
	x.wantOpen("what a node had open before does not count if it says all", []latchkey.Record{one}, two, three)
	x.open(x.a, "node", handInTime, latchkey.OpenRecords{All: true})
	x.wantOpen("all may be nothing", nil, one, two, three)
	for _, id := range []string{"", "no ID", "' OR true --"} {
		if _, err := x.a.OpenRecord(x.Context(), id); !errors.Is(err, latchkey.ErrNotFound) {
			x.Fatalf("rule broken: %q is no ID, and nothing is found by it: %v", id, err)
		}
	}
}

func examOpenRecordsOfNodes(x *handIns) {
	one, two := openRecord("/1"), openRecord("/2")
	x.open(x.a, "node-1", handInTime, latchkey.OpenRecords{Began: []latchkey.Record{one}})
	x.open(x.a, "node-2", handInTime, latchkey.OpenRecords{Began: []latchkey.Record{two}})
	x.open(x.b, "node-1", handInTime, latchkey.OpenRecords{Ended: []string{two.RequestID}})
	x.open(x.b, "node-1", handInTime, latchkey.OpenRecords{All: true})
	x.wantOpen("a node speaks for itself alone", []latchkey.Record{two}, one)
	x.join(x.b, "node-2", time.Time{})
	x.wantOpen("what a node had open that comes back stays until it has handed in", []latchkey.Record{two})
	if err := x.a.ForgetHandIn(x.Context(), "node-2", ""); err != nil {
		x.Fatal(err)
	}
	x.wantOpen("what a node had open is forgotten with it", nil, one, two)
}

func examForgetHandIn(x *handIns) {
	x.handIn(x.a, "node-1", handInTime)
	x.handIn(x.a, "node-2", handInTime)
	for range 2 {
		if err := x.b.ForgetHandIn(x.Context(), "node-1", ""); err != nil {
			x.Fatalf("rule broken: a node may be forgotten, whether it is there or not: %v", err)
		}
	}
	x.want("a node that has stopped is not among them", latchkey.HandIn{Node: "node-2", Until: handInTime})
	x.handIn(x.a, "node-1", handInTime.Add(-time.Hour))
	x.want("a node that was forgotten begins anew", latchkey.HandIn{Node: "node-1", Until: handInTime.Add(-time.Hour)},
		latchkey.HandIn{Node: "node-2", Until: handInTime})
}

func examOldHandIns(x *handIns) {
	_, now := x.read(x.a)
	old, young := openRecord("/1"), openRecord("/2")
	limit := now.Truncate(time.Second).Add(-latchkey.MaxHandInAge)
	x.join(x.a, "old", limit)
	x.join(x.a, "young", limit.Add(time.Hour))
	x.open(x.a, "young", limit.Add(time.Hour), latchkey.OpenRecords{Began: []latchkey.Record{young}})
	x.open(x.a, "old", limit, latchkey.OpenRecords{Began: []latchkey.Record{old}})
	x.want("a node forgets others, not itself", latchkey.HandIn{Node: "old", Until: limit}, latchkey.HandIn{Node: "young", Until: limit.Add(time.Hour)})
	x.handIn(x.b, "node", handInTime)
	x.want("a node that has said nothing for a week is not waited for", latchkey.HandIn{Node: "node", Until: handInTime},
		latchkey.HandIn{Node: "young", Until: limit.Add(time.Hour)})
	x.wantOpen("what it had open is forgotten, too", []latchkey.Record{young}, old)
}

// examHandInOfNobody: whoever was forgotten hears of it before it leaves out what
// it has said already.
func examHandInOfNobody(x *handIns) {
	r := openRecord("/")
	for _, open := range []latchkey.OpenRecords{{}, {Began: []latchkey.Record{r}}, {Ended: []string{r.RequestID}}} {
		_, err := x.a.HandIn(x.Context(), latchkey.HandIn{Node: "node", Journal: "one", Until: handInTime}, open)
		if !errors.Is(err, latchkey.ErrNotFound) {
			x.Fatalf("rule broken: a journal that is not there, and does not say all, is ErrNotFound, not %v", err)
		}
	}
	x.want("what nobody says is not there")
	x.wantOpen("what nobody says is not there", nil, r)
	h := latchkey.HandIn{Node: "node", Journal: "one", Until: handInTime}
	if _, err := x.a.HandIn(x.Context(), h, latchkey.OpenRecords{All: true, Began: []latchkey.Record{r}}); err != nil {
		x.Fatalf("rule broken: a journal that says all is there from then on: %v", err)
	}
	x.want("a journal that says all is there from then on", h)
	x.wantOpen("a journal that says all is there from then on", []latchkey.Record{r})
}

// examNamesakes: a node of a name that is taken comes, and goes.
func examNamesakes(x *handIns) {
	_, now := x.read(x.a)
	here := latchkey.HandIn{Node: "node", Journal: "here", Until: now}
	visit := latchkey.HandIn{Node: "node", Journal: "visit", Until: now.Add(time.Second)}
	one, two := openRecord("/1"), openRecord("/2")
	x.openOf(x.a, here, latchkey.OpenRecords{All: true, Began: []latchkey.Record{one}})
	if _, err := x.b.JoinHandIns(x.Context(), visit); err != nil {
		x.Fatal(err)
	}
	x.openOf(x.b, visit, latchkey.OpenRecords{All: true, Began: []latchkey.Record{two}})
	x.openOf(x.b, visit, latchkey.OpenRecords{Ended: []string{one.RequestID}})
	x.want("of two nodes of one name each speaks for its own journal", here, visit)
	x.wantOpen("of two nodes of one name each speaks for its own journal", []latchkey.Record{one, two})
	if err := x.b.ForgetHandIn(x.Context(), visit.Node, visit.Journal); err != nil {
		x.Fatal(err)
	}
	x.want("a journal is forgotten alone", here)
	x.wantOpen("a journal is forgotten alone", []latchkey.Record{one}, two)
}

// examLostJournals: a node that comes back without its journal is not waited for
// under its own name.
func examLostJournals(x *handIns) {
	_, now := x.read(x.a)
	now = now.Truncate(time.Second)
	of := func(node, journal string, age time.Duration) latchkey.HandIn {
		return latchkey.HandIn{Node: node, Journal: journal, Until: now.Add(-age)}
	}
	lost, late := of("node", "lost", latchkey.LostJournalAge+time.Second), of("node", "late", latchkey.LostJournalAge-time.Minute)
	other, back := of("other", "lost", latchkey.LostJournalAge+time.Second), of("node", "new", latchkey.LostJournalAge+time.Hour)
	open := openRecord("/")
	for _, h := range []latchkey.HandIn{late, lost, other, back} {
		if _, err := x.a.JoinHandIns(x.Context(), h); err != nil {
			x.Fatal(err)
		}
	}
	x.openOf(x.a, lost, latchkey.OpenRecords{All: true, Began: []latchkey.Record{open}}) // which forgets "new"
	x.want("a journal forgets others of its node's name that have said nothing for long", late, lost, other)
	x.openOf(x.b, back, latchkey.OpenRecords{All: true})
	x.want("and neither itself, nor those of other nodes", late, back, other)
	x.wantOpen("what a lost journal had open is forgotten, too", nil, open)
}

func examHandInsConcurrently(x *handIns) {
	const rounds, workers = 20, 4
	var wg sync.WaitGroup
	var want []latchkey.HandIn
	var open, ended []latchkey.Record
	for w := range workers {
		node := fmt.Sprintf("node-%d", w)
		want = append(want, latchkey.HandIn{Node: node, Until: handInTime.Add(rounds * time.Second)})
		var records []latchkey.Record
		for range rounds {
			records = append(records, openRecord("/"))
		}
		open, ended = append(open, records[rounds-1]), append(ended, records[:rounds-1]...)
		wg.Go(func() {
			for i, r := range records {
				change := latchkey.OpenRecords{All: i == 0, Began: []latchkey.Record{r}}
				if i > 0 {
					change.Ended = []string{records[i-1].RequestID}
				}
				h := latchkey.HandIn{Node: node, Until: handInTime.Add(time.Duration(i+1) * time.Second)}
				if _, err := []latchkey.HandInStore{x.a, x.b}[w%2].HandIn(x.Context(), h, change); err != nil {
					x.Errorf("rule broken: nodes can hand in at the same time: %v", err)
				}
			}
		})
	}
	wg.Wait()
	x.want("of each node that hands in at the same time as others, what it said last counts", want...)
	x.wantOpen("and what it has open", open, ended...)
}

func examHostileNodes(x *handIns) {
	for _, s := range hostile {
		r := openRecord("/")
		x.openOf(x.a, latchkey.HandIn{Node: s, Journal: s, Until: handInTime}, latchkey.OpenRecords{Began: []latchkey.Record{r}})
		if got, _ := x.read(x.b); len(got) != 1 || got[0].Node != kept(s) || got[0].Journal != kept(s) {
			x.Fatalf("rule broken: any name is kept as text: %q is %v", s, got)
		}
		x.wantOpen("a node of any name can have something open", []latchkey.Record{r})
		if err := x.b.ForgetHandIn(x.Context(), s, s); err != nil {
			x.Fatalf("rule broken: any name can be forgotten: %v", err)
		}
		x.want("any name can be forgotten")
	}
}
