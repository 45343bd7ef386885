package storetest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"latchkey"
)

const day = 24 * time.Hour

// newUsage returns one caller's use of a credential on the day of a time.
func newUsage(credentialID, agent string, at time.Time, accepted, refused int64) latchkey.Usage {
	return latchkey.Usage{
		CredentialID: credentialID, TeamID: "team_a", Day: at.UTC().Truncate(day),
		Caller:   latchkey.Caller{ClientIP: "192.0.2.1", UserAgent: agent, Auth: latchkey.MethodBearer},
		Accepted: accepted, Refused: refused, Last: micros(at),
	}
}

func (x *exam) addUsage(s Store, add ...latchkey.Usage) {
	x.Helper()
	x.must("add usage", s.AddUsage(x.Context(), add))
}

func (x *exam) usage(s Store, since time.Time, ids ...string) []latchkey.Usage {
	x.Helper()
	list, err := s.Usage(x.Context(), ids, since)
	x.must("read usage", err)
	return list
}

func examUsage(x *exam) {
	at := x.clock.stop()
	yesterday := at.Add(-day)
	x.addUsage(x.a)
	x.addUsage(x.a, newUsage("key_a", "one", at, 3, 0), newUsage("key_a", "two", at, 10, 2), newUsage("key_b", "one", at, 1, 0))
	later := newUsage("key_a", "one", at, 1, 4)
	later.Last = micros(at.Add(time.Second))
	earlier := newUsage("key_a", "one", at, 1, 0)
	earlier.Last = micros(at.Add(-time.Second))
	x.addUsage(x.b, later, earlier)
	x.addUsage(x.b, newUsage("key_a", "one", yesterday, 100, 0))

	want := []latchkey.Usage{newUsage("key_a", "two", at, 10, 2), newUsage("key_a", "one", at, 5, 4)}
	want[1].Last = later.Last
	for _, s := range []Store{x.a, x.b} {
		equal(x, "counts are added to what is there, Last moves forward only, most used come first", x.usage(s, at, "key_a"), want)
		equal(x, "since the day of a time is since its midnight", x.usage(s, at.UTC().Truncate(day), "key_a"), want)
		sum := slices.Clone(want)
		slices.Reverse(sum)
		sum[0].Accepted += 100
		equal(x, "usage is summed over the days, and Day is the last", x.usage(s, yesterday, "key_a"), sum)
		x.rule(len(x.usage(s, yesterday, "key_a", "key_b", "key_c")) == 3, "usage is of the credentials that are asked for, each apart")
		x.rule(len(x.usage(s, at.Add(day), "key_a")) == 0, "of days before, nothing is returned")
		x.rule(len(x.usage(s, yesterday)) == 0, "of no credentials, nothing is returned")
		x.rule(len(x.usage(s, yesterday, "key_a' OR '1'='1")) == 0, "a credential's ID is compared to the letter")
	}

	ended, cancel := context.WithCancel(x.Context())
	cancel()
	if err := x.a.AddUsage(ended, []latchkey.Usage{newUsage("key_a", "one", at, 1, 0)}); err == nil {
		x.Fatal("rule broken: AddUsage with a context that has ended is an error")
	}
	equal(x, "after an error nothing was added", x.usage(x.a, at, "key_a"), want)
	hostile := newUsage("key_h", "'; DROP TABLE usage; -- \x00\xff", at, 1, 0)
	x.addUsage(x.a, hostile)
	list := x.usage(x.a, at, "key_h")
	x.rule(len(list) == 1 && list[0].Caller.UserAgent == kept(hostile.Caller.UserAgent), "any text is kept as text")
}

// examUsageCap: a day has room for so many callers, and one for all others.
func examUsageCap(x *exam) {
	at := x.clock.stop()
	for i := range latchkey.MaxCallers {
		x.addUsage(x.a, newUsage("key_a", fmt.Sprint("bot/", i), at, 1, 0))
	}
	x.rule(len(x.usage(x.a, at, "key_a")) == latchkey.MaxCallers, "a day has room for %d callers", latchkey.MaxCallers)
	var more []latchkey.Usage
	for i := range 2 * latchkey.MaxCallers {
		more = append(more, newUsage("key_a", fmt.Sprint("bot/", i), at, 1, 1))
	}
	x.addUsage(x.b, more...)
	all := newUsage("key_a", "", at, 5, 0)
	all.Caller = latchkey.Caller{}
	x.addUsage(x.b, all)
	list := x.usage(x.a, at, "key_a")
	x.rule(len(list) == latchkey.MaxCallers+1, "a day has %d callers, and one for all others, not %d", latchkey.MaxCallers, len(list))
	x.rule(list[0].Caller == latchkey.Caller{} && list[0].Accepted == latchkey.MaxCallers+5 && list[0].Refused == latchkey.MaxCallers,
		"those beyond are counted together: %+v", list[0])
	for _, u := range list[1:] {
		x.rule(u.Accepted == 2 && u.Refused == 1, "who came first is still told apart: %+v", u)
	}
	x.addUsage(x.a, newUsage("key_b", "other", at, 1, 0), newUsage("key_a", "tomorrow", at.Add(day), 1, 0))
	x.rule(x.usage(x.a, at, "key_b")[0].Caller.UserAgent == "other", "each credential has room of its own")
	x.rule(x.usage(x.a, at.Add(day), "key_a")[0].Caller.UserAgent == "tomorrow", "each day has room of its own")

	all.CredentialID = "key_c"
	x.addUsage(x.a, all)
	for i := range latchkey.MaxCallers {
		x.addUsage(x.a, newUsage("key_c", fmt.Sprint("bot/", i), at, 1, 0))
	}
	x.rule(len(x.usage(x.a, at, "key_c")) == latchkey.MaxCallers+1, "the one for all others takes nobody's room")
}

// examUsageKept: usage goes as records do, and after so many days where they stay.
func examUsageKept(x *exam) {
	at := x.clock.stop()
	const kept = int(latchkey.UsageKept / day)
	ages := []int{0, 1, 2, 3, kept, kept + 1}
	for _, age := range ages {
		for _, id := range []string{"key_a", "key_b"} {
			x.addUsage(x.a, newUsage(id, fmt.Sprint(age), at.AddDate(0, 0, -age), int64(100+age), 0))
		}
	}
	left := func() (agents []string) {
		for _, u := range x.usage(x.b, at.AddDate(-1, 0, 0), "key_a") {
			agents = append(agents, u.Caller.UserAgent)
		}
		slices.Reverse(agents)
		x.rule(len(x.usage(x.b, at.AddDate(-1, 0, 0), "key_b")) == len(agents), "usage of each credential goes by its age alone")
		return agents
	}
	for _, c := range []struct {
		age  time.Duration
		want []string
	}{
		{0, []string{"0", "1", "2", "3", fmt.Sprint(kept)}},
		{2 * latchkey.UsageKept, []string{"0", "1", "2", "3", fmt.Sprint(kept)}},
		{2 * day, []string{"0", "1", "2"}},
		{time.Hour, []string{"0"}},
	} {
		x.must("retain", x.a.Retain(x.Context(), latchkey.Retention{Age: c.age}))
		equal(x, fmt.Sprintf("usage is kept as long as records are (%v), to the day, and for 90 days at most", c.age), left(), c.want)
	}
	x.clock.set(at.Add(day - time.Hour))
	x.must("retain", x.a.Retain(x.Context(), latchkey.Retention{Age: time.Hour}))
	equal(x, "usage goes from day to day", len(left()), 0)
}

func examUsageConcurrently(x *exam) {
	const workers, each = 4, 20
	at := x.clock.stop()
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				add := []latchkey.Usage{newUsage("key_a", "same", at, 1, 2), newUsage("key_a", fmt.Sprint(i%3), at, 1, 0)}
				if err := []Store{x.a, x.b}[w%2].AddUsage(x.Context(), add); err != nil {
					x.Errorf("add usage: %v", err)
				}
			}
		})
	}
	wg.Wait()
	var accepted, refused int64
	for _, u := range x.usage(x.a, at, "key_a") {
		accepted += u.Accepted
		refused += u.Refused
	}
	x.rule(accepted == 2*workers*each && refused == 2*workers*each, "what is added at the same time is all there: %d and %d", accepted, refused)
}

func examDeadInUse(x *exam) {
	at := x.clock.stop()
	mine, _ := x.create(x.a, "mine")
	theirs, _ := x.create(x.a, "theirs")
	end := func(h latchkey.Holding) (dead, live string) {
		x.update(x.a, h.Team.ID, func(now time.Time, h *latchkey.Holding) {
			h.Credentials[0].End(now, "examiner", latchkey.EndedByRoll)
		})
		return h.Credentials[0].ID, h.Credentials[1].ID
	}
	dead, live := end(mine)
	deadOfOthers, _ := end(theirs)
	use := func(teamID, credentialID, agent string, at time.Time, accepted, refused int64) latchkey.Usage {
		u := newUsage(credentialID, agent, at, accepted, refused)
		u.TeamID = teamID
		x.addUsage(x.a, u)
		return u
	}
	first := use(mine.Team.ID, dead, "first", at, 2, 3)
	last := use(mine.Team.ID, dead, "last", at.Add(time.Second), 0, 1)
	old := use(mine.Team.ID, dead, "old", at.Add(-3*day), 0, 1)
	use(mine.Team.ID, dead, "moved", at, 7, 0)
	use(mine.Team.ID, live, "first", at, 1, 1)
	use(theirs.Team.ID, deadOfOthers, "first", at, 0, 1)
	for _, s := range []Store{x.a, x.b} {
		list, err := s.DeadInUse(x.Context(), mine.Team.ID, at.Add(-day))
		x.must("read dead credentials in use", err)
		equal(x, "a team's dead credentials, by who was refused, last first", list, []latchkey.Usage{last, first})
		list, err = s.DeadInUse(x.Context(), mine.Team.ID, at.Add(time.Second))
		x.must("read dead credentials in use", err)
		equal(x, "a credential that was sent at the time counts, one that was sent before does not", list, []latchkey.Usage{last})
		list, err = s.DeadInUse(x.Context(), mine.Team.ID, at.Add(-5*day))
		x.must("read dead credentials in use", err)
		equal(x, "older use is there as well", list, []latchkey.Usage{last, first, old})
		list, err = s.DeadInUse(x.Context(), "team_nobody", at)
		x.rule(err == nil && len(list) == 0, "a team that is not there has none: %v", err)
	}
}
