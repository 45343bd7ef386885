package replica_test

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"latchkey"
)

// A state is what a database holds: the credentials, and who copies them.
type state struct {
	log           []entry // entry i made revision i+1
	teams         map[string]latchkey.Team
	credentials   map[string]latchkey.Credential
	registrations map[string]latchkey.Registration
	acceptances   []string
}

// An entry is a change in a history, with what it did to credentials.
type entry struct {
	id    string
	ended []string // what was accepted before, and is not afterwards
	begun []string // what was not accepted before, and is afterwards
	until []string // what was given an end in the future
}

func newState() *state {
	return &state{
		teams:         make(map[string]latchkey.Team),
		credentials:   make(map[string]latchkey.Credential),
		registrations: make(map[string]latchkey.Registration),
	}
}

// clone is a backup.
func (s *state) clone() *state {
	return &state{
		log: slices.Clone(s.log), teams: maps.Clone(s.teams), credentials: maps.Clone(s.credentials),
		registrations: maps.Clone(s.registrations), acceptances: slices.Clone(s.acceptances),
	}
}

func (s *state) position() latchkey.Position {
	return latchkey.Position{Revision: latchkey.Revision(len(s.log)), ChangeID: s.log[len(s.log)-1].id}
}

func (s *state) has(p latchkey.Position) bool {
	return p == latchkey.Position{} ||
		p.Revision >= 1 && int(p.Revision) <= len(s.log) && s.log[p.Revision-1].id == p.ChangeID
}

func (s *state) changes(after latchkey.Revision) latchkey.Changes {
	c := latchkey.Changes{After: max(after, 0), Revision: s.position().Revision, ChangeID: s.position().ChangeID}
	if after >= c.Revision {
		return c
	}
	for _, t := range s.teams {
		if t.Revision > after {
			c.Teams = append(c.Teams, t)
		}
	}
	for _, k := range s.credentials {
		if k.Revision > after {
			c.Credentials = append(c.Credentials, k)
		}
	}
	slices.SortFunc(c.Teams, func(a, b latchkey.Team) int { return strings.Compare(a.ID, b.ID) })
	slices.SortFunc(c.Credentials, func(a, b latchkey.Credential) int { return strings.Compare(a.ID, b.ID) })
	return c
}

// team finds a team that is not deleted, by ID or name.
func (s *state) team(name string) (latchkey.Team, bool) {
	if t, ok := s.teams[name]; ok && t.Deleted.IsZero() {
		return t, true
	}
	for _, t := range s.teams {
		if t.Deleted.IsZero() && strings.EqualFold(t.Name, name) {
			return t, true
		}
	}
	return latchkey.Team{}, false
}

func (s *state) holding(t latchkey.Team) latchkey.Holding {
	h := latchkey.Holding{Team: t}
	for _, c := range s.credentials {
		if c.TeamID == t.ID && c.Live() {
			h.Credentials = append(h.Credentials, c)
		}
	}
	slices.SortFunc(h.Credentials, func(a, b latchkey.Credential) int {
		return cmp.Or(a.Created.Compare(b.Created), strings.Compare(a.ID, b.ID))
	})
	return h
}

// accepted returns the team's credentials that are accepted.
func (s *state) accepted(teamID string) map[string]bool {
	alive := make(map[string]bool)
	if t := s.teams[teamID]; t.Disabled || !t.Deleted.IsZero() {
		return alive
	}
	for id, c := range s.credentials {
		if c.TeamID == teamID && c.Live() {
			alive[id] = true
		}
	}
	return alive
}

// commit writes a holding, if the team stands at the revision that the edit
// began with (0: there is no such team).
func (s *state) commit(h latchkey.Holding, seen latchkey.Revision, changeID string) (entry, error) {
	if s.teams[h.Team.ID].Revision != seen {
		return entry{}, errRetry
	}
	for _, t := range s.teams {
		if t.ID != h.Team.ID && t.Deleted.IsZero() && h.Team.Deleted.IsZero() && t.NameKey() == h.Team.NameKey() {
			return entry{}, latchkey.ErrConflict
		}
	}
	e, before := entry{id: changeID}, s.accepted(h.Team.ID)
	revision := latchkey.Revision(len(s.log) + 1)
	h.Team.Revision = revision
	s.teams[h.Team.ID] = h.Team
	for _, c := range h.Credentials {
		old, there := s.credentials[c.ID]
		if there && old.Ended.Equal(c.Ended) && old.Until.Equal(c.Until) {
			continue
		}
		if c.Live() && !c.Until.IsZero() {
			e.until = append(e.until, c.ID)
		}
		c.Revision = revision
		s.credentials[c.ID] = c
	}
	after := s.accepted(h.Team.ID)
	for id := range before {
		if !after[id] {
			e.ended = append(e.ended, id)
		}
	}
	for id := range after {
		if !before[id] {
			e.begun = append(e.begun, id)
		}
	}
	slices.Sort(e.ended)
	slices.Sort(e.begun)
	s.log = append(s.log, e)
	return e, nil
}

func (s *state) due(now time.Time) []string {
	var teams []string
	for _, c := range s.credentials {
		if c.Live() && !c.Until.IsZero() && !c.Until.After(now) && s.teams[c.TeamID].Deleted.IsZero() {
			teams = append(teams, c.TeamID)
		}
	}
	slices.Sort(teams)
	return teams
}

func (s *state) check(r latchkey.Renewal) error {
	return s.hasAll(r.Applied, r.Known)
}

func (s *state) hasAll(positions ...latchkey.Position) error {
	for _, p := range positions {
		if !s.has(p) {
			return &latchkey.AnotherHistoryError{Missing: p, Current: s.position(), Acceptances: slices.Clone(s.acceptances)}
		}
	}
	return nil
}

// acknowledge records what was applied; a renewal has an ID.
func (s *state) acknowledge(id string, applied latchkey.Position, renewal string, now time.Time) error {
	g, ok := s.registrations[id]
	if !ok {
		return latchkey.ErrNotRegistered
	}
	if err := s.hasAll(applied); err != nil {
		return err
	}
	g.Applied = max(g.Applied, applied.Revision)
	if renewal != "" {
		g.Renewals++
		g.Renewal, g.Renewed = renewal, now
	}
	s.registrations[id] = g
	return nil
}

func (s *state) register(g latchkey.Registration) error {
	if _, taken := s.registrations[g.ID]; taken {
		return latchkey.ErrConflict
	}
	g.Applied, g.Renewals, g.Renewal = 0, 0, ""
	s.registrations[g.ID] = g
	return nil
}

func (s *state) reap(id, renewal string) error {
	g, ok := s.registrations[id]
	if !ok || g.Renewal != renewal {
		return latchkey.ErrConflict
	}
	delete(s.registrations, id)
	return nil
}

func (s *state) list() []latchkey.Registration {
	list := slices.Collect(maps.Values(s.registrations))
	slices.SortFunc(list, func(a, b latchkey.Registration) int {
		return cmp.Or(strings.Compare(a.Node, b.Node), strings.Compare(a.ID, b.ID))
	})
	return list
}
