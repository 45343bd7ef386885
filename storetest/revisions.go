package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"latchkey"
)

// counted is a team of which every change leaves a trace: it counts in the name,
// adds a secret, and ends the oldest one but one.
type counted struct {
	id   string
	base int // credentials that it began with
}

func (x *exam) counted(n int) counted {
	h, _ := x.create(x.a, teamCount(n, 0))
	return counted{h.Team.ID, len(h.Credentials)}
}

func teamCount(team, count int) string { return fmt.Sprintf("team %d changed %d", team, count) }

func readCount(name string) (team, count int, err error) {
	_, err = fmt.Sscanf(name, "team %d changed %d", &team, &count)
	return team, count, err
}

// countUp is the edit. It looks at nothing but what it is given.
func countUp(now time.Time, h *latchkey.Holding) error {
	team, count, err := readCount(h.Team.Name)
	if err != nil {
		return fmt.Errorf("read %q: %w", h.Team.Name, err)
	}
	h.Team.Name = teamCount(team, count+1)
	if live := h.Secrets(); len(live) > 1 {
		live[0].End(now, "examiner", latchkey.EndedByRevoke)
	}
	h.Credentials = append(h.Credentials, newSecret(h.Team.ID, now))
	return nil
}

// together lets workers change teams through both handles, each a few times. It
// returns all changes.
func (x *exam) together(teams []counted, workers, times int) []latchkey.Change {
	x.Helper()
	var (
		wg      sync.WaitGroup
		mu      sync.Mutex
		changes []latchkey.Change
	)
	for w := range workers {
		wg.Go(func() {
			s := []Store{x.a, x.b}[w%2]
			for i := range times {
				_, change, err := s.UpdateTeam(x.Context(), teams[(w/2+i)%len(teams)].id, countUp)
				if err != nil {
					x.Errorf("concurrent change: %v", err)
					return
				}
				mu.Lock()
				changes = append(changes, change)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if x.Failed() {
		x.FailNow()
	}
	return changes
}

func examConcurrentChanges(x *exam) {
	teams := []counted{x.counted(0), x.counted(1)}
	before := x.changes(x.a, 0)
	changes := x.together(teams, 8, 50)

	slices.SortFunc(changes, func(a, b latchkey.Change) int { return int(a.Revision - b.Revision) })
	ids := map[string]bool{before.ChangeID: true}
	for i, c := range changes {
		want := before.Revision + latchkey.Revision(i) + 1
		x.rule(c.Revision == want, "every change moves the revision by one: change %d made %d, not %d", i, c.Revision, want)
		x.rule(c.ID != "" && !ids[c.ID], "every change has an ID of its own: revision %d has %q", c.Revision, c.ID)
		ids[c.ID] = true
	}
	last := changes[len(changes)-1]
	for _, s := range []Store{x.a, x.b} {
		all := x.changes(s, 0)
		x.rule(all.Revision == last.Revision, "Changes reaches to the last revision, %d, not %d", last.Revision, all.Revision)
		equal(x, "Changes names the last change", all.ChangeID, last.ID)
		sum := 0
		for _, team := range teams {
			h := x.holding(s, team.id)
			_, count, err := readCount(h.Team.Name)
			x.must("read count", err)
			sum += count
			x.rule(has(all, team.id) == count+team.base, "no change is lost: team was changed %d times, and has %d new credentials",
				count, has(all, team.id)-team.base)
			x.rule(len(h.Secrets()) == 2, "concurrent changes end as serial ones do: two live secrets, not %d", len(h.Secrets()))
		}
		x.rule(sum == len(changes), "no other change of a team comes between: %d changes were acknowledged, %d are there", len(changes), sum)
	}
}

// has returns how many credentials of a team are there, dead ones included.
func has(all latchkey.Changes, teamID string) (n int) {
	for _, c := range all.Credentials {
		if c.TeamID == teamID {
			n++
		}
	}
	return n
}

func examChangesAfter(x *exam) {
	h, first := x.create(x.a, "acme")
	other, second := x.create(x.b, "other")
	_, third := x.update(x.a, h.Team.ID, func(now time.Time, h *latchkey.Holding) {
		h.Credentials[0].End(now, "examiner", latchkey.EndedByRoll)
	})
	all := x.changes(x.b, 0)
	x.rule(all.Revision == third.Revision && all.ChangeID == third.ID, "Changes names the last change: %d", all.Revision)

	none := x.changes(x.a, third.Revision)
	x.rule(none.After == third.Revision && none.Revision == third.Revision && none.ChangeID == third.ID && len(none.Teams)+len(none.Credentials) == 0,
		"after the last revision there are no changes: %s", abridge(none))

	// What the last change did not touch keeps its revision, and stays away.
	latest := x.changes(x.b, second.Revision)
	x.rule(latest.After == second.Revision, "Changes begins where it was asked to")
	x.rule(len(latest.Teams) == 1 && latest.Teams[0].ID == h.Team.ID, "Changes returns the team of a change: %s", abridge(latest.Teams))
	x.rule(len(latest.Credentials) == 1 && latest.Credentials[0].ID == h.Credentials[0].ID && !latest.Credentials[0].Live(),
		"Changes returns what was touched, tombstones included, and nothing else: %s", abridge(latest.Credentials))

	// Of a row that changed twice there is the last state only.
	both := x.changes(x.a, first.Revision-1)
	x.rule(len(both.Teams) == 2 && len(both.Credentials) == len(h.Credentials)+len(other.Credentials),
		"Changes returns each row once: %d teams, %d credentials", len(both.Teams), len(both.Credentials))
}

// a memory is what a node keeps, from changes alone.
type memory struct {
	at          latchkey.Revision
	changeID    string
	teams       map[string]latchkey.Team
	credentials map[string]latchkey.Credential
}

func (m *memory) apply(c latchkey.Changes) error {
	if c.After != m.at || c.Revision < m.at {
		return fmt.Errorf("asked for what came after %d, and got %d to %d", m.at, c.After, c.Revision)
	}
	for _, t := range c.Teams {
		if t.Revision <= c.After || t.Revision > c.Revision {
			return fmt.Errorf("a team of revision %d is among the changes from %d to %d", t.Revision, c.After, c.Revision)
		}
		m.teams[t.ID] = t
	}
	for _, k := range c.Credentials {
		if k.Revision <= c.After || k.Revision > c.Revision {
			return fmt.Errorf("a credential of revision %d is among the changes from %d to %d", k.Revision, c.After, c.Revision)
		}
		m.credentials[k.ID] = k
	}
	m.at, m.changeID = c.Revision, c.ChangeID
	return nil
}

// whole reports an error unless what is remembered was true at one moment.
func (m *memory) whole(base latchkey.Revision, teams []counted) error {
	sum := 0
	for _, team := range teams {
		_, count, err := readCount(m.teams[team.id].Name)
		if err != nil {
			return err
		}
		sum += count
		held := -team.base
		for _, c := range m.credentials {
			if c.TeamID == team.id {
				held++
			}
		}
		if held != count {
			return fmt.Errorf("at revision %d a team was changed %d times, but %d new credentials are there", m.at, count, held)
		}
	}
	if want := int(m.at - base); sum != want {
		return fmt.Errorf("at revision %d there are %d changes, not %d", m.at, sum, want)
	}
	return nil
}

// examChangesDuringWrites follows the changes while they are made. Each answer
// must be one moment, and the answers together miss none.
func examChangesDuringWrites(x *exam) {
	teams := []counted{x.counted(0), x.counted(1), x.counted(2)}
	start := x.changes(x.a, 0)
	m := &memory{teams: map[string]latchkey.Team{}, credentials: map[string]latchkey.Credential{}}
	x.must("apply", m.apply(start))

	stop, polled := make(chan struct{}), make(chan error)
	seen := map[latchkey.Revision]string{}
	follow := func() error {
		c, err := x.b.Changes(x.Context(), m.at)
		if err == nil {
			err = m.apply(c)
		}
		seen[m.at] = m.changeID
		return errors.Join(err, m.whole(start.Revision, teams))
	}
	go func() {
		for {
			select {
			case <-stop:
				polled <- follow()
				return
			default:
			}
			if err := follow(); err != nil {
				polled <- err
				return
			}
		}
	}()
	changes := x.together(teams, 4, 25)
	close(stop)
	err := <-polled
	x.rule(err == nil, "Changes is one snapshot, and whoever follows it misses nothing: %v", err)
	x.rule(len(seen) > 3, "the follower ran beside the writers: it saw %d revisions", len(seen))
	for _, c := range changes {
		if id, ok := seen[c.Revision]; ok {
			equal(x, "Changes names the change that made its revision", id, c.ID)
		}
	}
	all := x.changes(x.a, 0)
	x.rule(m.at == all.Revision && m.changeID == all.ChangeID, "the changes lead to revision %d, not %d", all.Revision, m.at)
	x.rule(len(m.teams) == len(all.Teams) && len(m.credentials) == len(all.Credentials), "the changes add up to everything: %d of %d credentials",
		len(m.credentials), len(all.Credentials))
	for _, t := range all.Teams {
		equal(x, "the changes add up to the last state of each team", m.teams[t.ID], t)
	}
	for _, c := range all.Credentials {
		equal(x, "the changes add up to the last state of each credential", m.credentials[c.ID], c)
	}
}

func examPurge(x *exam) {
	start := x.clock.set(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	acme, _ := x.create(x.a, "acme")
	gone, _ := x.create(x.a, "gone")
	c, err := x.a.CreateContact(x.Context(), gone.Team.ID, latchkey.Contact{Phone: "15550100"})
	x.must("create contact", err)
	roll := func(now time.Time, h *latchkey.Holding) {
		h.Credentials[0].End(now, "examiner", latchkey.EndedByRoll)
		h.Credentials = append(h.Credentials, newKey(h.Team.ID, now))
	}
	x.update(x.a, acme.Team.ID, roll)
	x.update(x.b, gone.Team.ID, func(now time.Time, h *latchkey.Holding) {
		h.Credentials[0].End(now, "examiner", latchkey.EndedByRoll)
		h.Credentials[1].End(now, "examiner", latchkey.EndedByRevoke)
	})
	x.clock.set(start.Add(time.Hour))
	_, deletion := x.delete(x.b, gone.Team.ID)
	x.clock.set(start.Add(2 * time.Hour))
	x.update(x.a, acme.Team.ID, roll)
	before := x.changes(x.a, 0)

	// The machine's clock is months ahead of the store's, and takes no part.
	purge := func(age time.Duration, want int) {
		x.Helper()
		n, err := x.a.PurgeTombstones(x.Context(), age)
		x.must("purge", err)
		x.rule(n == want, "PurgeTombstones returns how many credentials it forgot: %d, not %d", want, n)
	}
	purge(2*time.Hour, 0)
	x.unchanged("nothing ended before", before)
	x.rule(x.changes(x.b, 1).After == 1, "a purge of nothing does not move the horizon")

	purge(time.Hour, 3)
	equal(x, "a purge forgets no team that was deleted later", x.changes(x.b, 0).Teams, before.Teams)
	x.rule(x.changes(x.b, deletion.Revision-1).After == deletion.Revision-1, "the horizon is the highest revision among what was purged")
	purge(time.Hour-time.Microsecond, 0)
	after := x.changes(x.b, 0)
	x.rule(before.Horizon == 0 && after.Horizon == deletion.Revision, "Changes says up to where what ended may have been purged: %d, then %d", before.Horizon, after.Horizon)
	x.rule(after.Revision == before.Revision && after.ChangeID == before.ChangeID, "a purge is no change: revision %d became %d", before.Revision, after.Revision)
	left := slices.DeleteFunc(slices.Clone(before.Credentials), func(c latchkey.Credential) bool {
		return c.TeamID == gone.Team.ID || c.ID == acme.Credentials[0].ID
	})
	equal(x, "a purge forgets what ended before, and nothing else", after.Credentials, left)
	equal(x, "a purge forgets teams that were deleted before, and nothing else", after.Teams,
		slices.DeleteFunc(slices.Clone(before.Teams), func(t latchkey.Team) bool { return t.ID == gone.Team.ID }))
	_, err = x.b.Credential(x.Context(), acme.Credentials[0].ID)
	x.rule(errors.Is(err, latchkey.ErrNotFound), "a purged credential is ErrNotFound, not %v", err)
	_, err = x.b.Contact(x.Context(), gone.Team.ID, c.ID)
	x.rule(errors.Is(err, latchkey.ErrNotFound), "what a purged team held is forgotten with it: %v", err)

	horizon := deletion.Revision
	equal(x, "below the purge horizon Changes returns everything", x.changes(x.a, horizon-1), after)
	equal(x, "below the purge horizon Changes returns everything", x.changes(x.a, 1), after)
	delta := x.changes(x.a, horizon)
	x.rule(delta.After == horizon && len(delta.Teams) == 1, "from the purge horizon on Changes returns what changed: %s", abridge(delta))

	purge(time.Hour-time.Microsecond, 0)
	x.rule(x.changes(x.b, horizon).After == horizon, "a purge never moves the horizon without need")
	x.update(x.b, acme.Team.ID, func(now time.Time, h *latchkey.Holding) {
		next := newKey(h.Team.ID, now)
		next.Digest = acme.Credentials[0].Digest
		h.Credentials = append(h.Credentials, next)
	})
	equal(x, "a purge is no change: the next one has the next revision", x.changes(x.a, 0).Revision, before.Revision+1)
	x.rule(strings.Contains(x.holding(x.b, "default").Team.Name, "default"), "what lives is never purged")
}
