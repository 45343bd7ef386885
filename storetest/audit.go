package storetest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"latchkey"
)

func newEvent(at time.Time, teamID string) latchkey.Event {
	by := latchkey.Actor{Name: "examiner", Source: "192.0.2.7"}
	return latchkey.NewEvent(at, by, latchkey.ActionKeyReveal, teamID, "key_1", "why; \"quoted\"")
}

// events returns a team's events, as many as there are.
func (x *exam) events(s Store, teamID string) []latchkey.Event {
	x.Helper()
	list, err := s.Events(x.Context(), teamID, "", 10_000)
	x.must("read events", err)
	return list
}

// keptEvents is how a store gives events back, newest first.
func keptEvents(events ...latchkey.Event) []latchkey.Event {
	list := slices.Clone(events)
	slices.Reverse(list)
	for i := range list {
		list[i].Time = micros(list[i].Time)
	}
	return list
}

func examAppendEvents(x *exam) {
	before := x.events(x.a, "")
	ours, theirs, nobodys := newEvent(x.clock.Now(), "team_a"), newEvent(x.clock.Now(), "team_b"), newEvent(x.clock.Now(), "")
	last := newEvent(x.clock.Now(), "team_a")
	x.must("append events", x.a.AppendEvents(x.Context(), ours, theirs))
	x.must("append nothing", x.a.AppendEvents(x.Context()))
	x.must("append events", x.b.AppendEvents(x.Context(), nobodys, last))
	for _, s := range []Store{x.a, x.b} {
		equal(x, "a team's events are its own, whole, newest first", x.events(s, "team_a"), keptEvents(ours, last))
		equal(x, "an empty team stands for all events", x.events(s, ""), append(keptEvents(ours, theirs, nobodys, last), before...))
		x.rule(len(x.events(s, "team_c")) == 0, "a team without events has none")
	}

	altered, broken := ours, newEvent(x.clock.Now(), "team_a")
	altered.Detail, altered.Actor.Name = "never was", "somebody else"
	_ = x.a.AppendEvents(x.Context(), altered) // an error or not: nothing is altered
	broken.ID = "no UUID"
	err := x.a.AppendEvents(x.Context(), newEvent(x.clock.Now(), "team_a"), broken)
	x.rule(err != nil, "an event without a proper ID is an error")
	equal(x, "nothing alters an event, and AppendEvents is one transaction", x.events(x.b, "team_a"), keptEvents(ours, last))
}

func examEventPages(x *exam) {
	var ours []latchkey.Event
	var foreign string
	for i := range 25 {
		e := newEvent(x.clock.Now(), "team_a")
		other := newEvent(x.clock.Now(), "team_b")
		x.must("append events", x.a.AppendEvents(x.Context(), e, other))
		ours = append(ours, e)
		if i == 12 {
			foreign = other.ID
		}
	}
	want := keptEvents(ours...)
	var got []latchkey.Event
	for before := ""; ; before = got[len(got)-1].ID {
		page, err := x.b.Events(x.Context(), "team_a", before, 7)
		x.must("read a page of events", err)
		x.rule(len(page) <= 7, "a page has at most limit events, not %d", len(page))
		if len(page) == 0 {
			break
		}
		got = append(got, page...)
		x.rule(len(got) <= len(want), "pages come to an end")
	}
	equal(x, "pages hold each event once, newest first", got, want)
	page, err := x.a.Events(x.Context(), "team_a", foreign, 100)
	x.must("read a page of events", err)
	equal(x, "older than an event means any event, also another team's", page, keptEvents(ours[:13]...))
	for _, before := range []string{"x", "' OR 1=1", ours[0].ID + "0"} {
		page, err := x.a.Events(x.Context(), "team_a", before, 7)
		x.rule(err != nil || len(page) == 0, "before what is no event's ID, there is no page")
	}
	page, err = x.a.Events(x.Context(), "team_a", uuid.Nil.String(), 7)
	x.rule(err == nil && len(page) == 0, "before the first ID there is nothing: %v", err)
}

// examEventsOfChanges: the events of a change are there if the change is.
func examEventsOfChanges(x *exam) {
	h, _ := x.create(x.a, "acme")
	made := newEvent(x.clock.Now(), h.Team.ID)
	x.update(x.a, h.Team.ID, func(_ time.Time, h *latchkey.Holding) {
		h.Team.Disabled = true
		h.Events = append(h.Events, made)
	})
	equal(x, "the events of a change are written with it", x.events(x.b, h.Team.ID), keptEvents(made))
	x.rule(len(x.holding(x.a, "acme").Events) == 0, "events are never read back with a holding")

	stop := errors.New("stop")
	_, _, err := x.a.UpdateTeam(x.Context(), h.Team.ID, func(_ time.Time, h *latchkey.Holding) error {
		h.Events = append(h.Events, newEvent(x.clock.Now(), h.Team.ID))
		return stop
	})
	x.rule(err == stop, "an error of edit comes back as it is, not %v", err)
	equal(x, "an error of edit leaves no event", x.events(x.b, h.Team.ID), keptEvents(made))

	_, _, err = x.a.CreateTeam(x.Context(), func(now time.Time) (latchkey.Holding, error) {
		twin := newHolding("ACME", now)
		twin.Events = append(twin.Events, newEvent(now, twin.Team.ID))
		return twin, nil
	})
	x.rule(errors.Is(err, latchkey.ErrConflict), "a name that is taken is ErrConflict, not %v", err)
	x.rule(len(x.events(x.b, "")) == 1, "a conflict leaves no event")
}

func examEventsConcurrently(x *exam) {
	const workers, each = 4, 25
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for range each {
				if err := []Store{x.a, x.b}[w%2].AppendEvents(x.Context(), newEvent(time.Now(), fmt.Sprint("team_", w))); err != nil {
					x.Errorf("append event: %v", err)
				}
			}
		})
	}
	wg.Wait()
	for w := range workers {
		x.rule(len(x.events(x.a, fmt.Sprint("team_", w))) == each, "every event that was appended is there")
	}
}
