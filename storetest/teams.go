package storetest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"latchkey"
)

func examGenesis(x *exam) {
	x.rule(len(x.begun) == 1, "genesis is called once, not %d times", len(x.begun))
	equal(x, "genesis is given the store's clock, to the microsecond", x.begun[0], micros(x.begun[0]))
	want := stamped(x.genesis.Holding, 1)
	for _, s := range []Store{x.a, x.b} {
		probe, err := s.Probe(x.Context())
		x.must("read probe", err)
		equal(x, "Probe is what genesis gave", probe, x.genesis.Probe)
		all := x.changes(s, 0)
		x.rule(all.After == 0 && all.Revision == 1, "genesis is the change to revision 1, not %d", all.Revision)
		x.rule(all.ChangeID != "", "the first change has an ID")
		equal(x, "the first team is there", all.Teams, []latchkey.Team{want.Team})
		equal(x, "the first credentials are there", all.Credentials, sorted(want.Credentials))
		equal(x, "Holding returns the first team", x.holding(s, "default"), want)
	}
}

func examCreateTeam(x *exam) {
	before := x.changes(x.a, 0)
	at := x.clock.stop()
	var made latchkey.Holding
	h, change, err := x.a.CreateTeam(x.Context(), func(now time.Time) (latchkey.Holding, error) {
		equal(x, "build is given the store's clock, to the microsecond", now, at)
		made = newHolding("Ärger & Söhne", now)
		return made, nil
	})
	x.must("create team", err)
	equal(x, "a change moves the revision by one", change.Revision, before.Revision+1)
	x.rule(change.ID != "" && change.ID != before.ChangeID, "each change has an ID of its own")
	equal(x, "a change says when it was, by the store's clock", change.At, at)
	want := stamped(made, change.Revision)
	equal(x, "CreateTeam returns the team as it was stamped", h, want)
	for _, s := range []Store{x.a, x.b} {
		equal(x, "a team is there when CreateTeam returns", x.holding(s, h.Team.ID), want)
		after := x.changes(s, before.Revision)
		equal(x, "Changes returns a new team", after.Teams, []latchkey.Team{want.Team})
		equal(x, "Changes returns new credentials", after.Credentials, sorted(want.Credentials))
		equal(x, "Changes names the last change", after.ChangeID, change.ID)
	}

	state, failure := x.changes(x.a, 0), errors.New("no team today")
	_, _, err = x.a.CreateTeam(x.Context(), func(now time.Time) (latchkey.Holding, error) {
		return newHolding("never", now), failure
	})
	x.rule(err == failure, "an error of build comes back as it is, not as %v", err)
	x.unchanged("build failed", state)
}

func examUpdateTeam(x *exam) {
	h, _ := x.create(x.a, "acme")
	other, _ := x.create(x.b, "other")
	id := h.Team.ID
	key, secret := h.Credentials[0], h.Credentials[1]

	at := x.clock.stop()
	var next latchkey.Credential
	after, change, err := x.b.UpdateTeam(x.Context(), id, func(now time.Time, seen *latchkey.Holding) error {
		equal(x, "edit is given the store's clock, to the microsecond", now, at)
		equal(x, "edit is given the team as it stands", *seen, h)
		next = newKey(id, now)
		seen.Team.Name, seen.Team.Disabled = "Acme Ltd", true
		seen.Credentials[0].Until = now.Add(time.Hour)
		seen.Credentials = append(seen.Credentials, next)
		return nil
	})
	x.must("update team", err)
	equal(x, "a change moves the revision by one", change.Revision, other.Team.Revision+1)
	equal(x, "a change says when it was, by the store's clock", change.At, at)
	want := h
	want.Team.Name, want.Team.Disabled, want.Team.Revision = "Acme Ltd", true, change.Revision
	key.Until, key.Revision = at.Add(time.Hour), change.Revision
	next.Revision = change.Revision
	want.Credentials = []latchkey.Credential{key, secret, next}
	equal(x, "UpdateTeam returns the team as Holding does; what was not altered keeps its revision", after, want)
	equal(x, "a change is seen when UpdateTeam returns", x.holding(x.a, id), want)
	equal(x, "a change is seen from the other handle", x.holding(x.b, id), want)
	equal(x, "another team is not touched", x.holding(x.a, other.Team.ID), other)

	ended, change := x.update(x.a, id, func(now time.Time, seen *latchkey.Holding) {
		seen.Credentials[0].End(now, "examiner", latchkey.EndedByRetire)
	})
	want.Team.Revision, want.Credentials = change.Revision, []latchkey.Credential{secret, next}
	equal(x, "UpdateTeam returns live credentials only", ended, want)
	x.update(x.b, id, func(_ time.Time, seen *latchkey.Holding) {
		equal(x, "edit sees live credentials only", *seen, want)
	})

	_, _, err = x.a.UpdateTeam(x.Context(), "ACME LTD", func(_ time.Time, seen *latchkey.Holding) error {
		x.rule(seen.Team.ID == id, "UpdateTeam finds a team by its name, in any case: %+v", seen.Team)
		return latchkey.ErrNoChange
	})
	x.rule(errors.Is(err, latchkey.ErrNoChange), "an edit of a team that is named by its name is asked: %v", err)
	for _, unknown := range []string{"", "team_unknown", "acme", strings.ToLower(id)} {
		_, _, err = x.a.UpdateTeam(x.Context(), unknown, func(time.Time, *latchkey.Holding) error {
			x.Error("rule broken: edit is not called for a team that is not there")
			return nil
		})
		x.rule(errors.Is(err, latchkey.ErrNotFound), "UpdateTeam of an unknown team is ErrNotFound, not %v", err)
	}
}

// examAlteredFields alters one thing at a time.
func examAlteredFields(x *exam) {
	h, _ := x.create(x.a, "acme")
	later := x.clock.stop().Add(time.Hour)
	for _, c := range []struct {
		field string
		alter func(c *latchkey.Credential)
	}{
		{"Digest", func(c *latchkey.Credential) { c.Digest[0]++ }},
		{"Sealed", func(c *latchkey.Credential) { c.Sealed[0]++ }},
		{"Created", func(c *latchkey.Credential) { c.Created = later }},
		{"CreatedBy", func(c *latchkey.Credential) { c.CreatedBy = "somebody" }},
		{"Until", func(c *latchkey.Credential) { c.Until = later }},
		{"Until, to none", func(c *latchkey.Credential) { c.Until = time.Time{} }},
		{"Ended", func(c *latchkey.Credential) { c.Ended, c.Sealed = later, nil }},
	} {
		want := h.Credentials[0]
		want.Sealed = slices.Clone(want.Sealed)
		c.alter(&want)
		_, change := x.update(x.b, h.Team.ID, func(_ time.Time, h *latchkey.Holding) { c.alter(&h.Credentials[0]) })
		want.Revision = change.Revision
		got, err := x.a.Credential(x.Context(), want.ID)
		x.must("read credential", err)
		equal(x, "what an edit altered is written: "+c.field, got, want)
		h.Credentials[0] = got
	}
}

func examEditError(x *exam) {
	h, _ := x.create(x.a, "acme")
	before := x.changes(x.a, 0)
	for _, failure := range []error{errors.New("thought better of it"), latchkey.ErrNoChange} {
		_, _, err := x.b.UpdateTeam(x.Context(), h.Team.ID, func(now time.Time, h *latchkey.Holding) error {
			h.Team.Name = "changed"
			h.Credentials[0].End(now, "examiner", latchkey.EndedByRoll)
			h.Credentials[1].Sealed[0]++
			h.Credentials = append(h.Credentials, newKey(h.Team.ID, now))
			return failure
		})
		x.rule(err == failure, "an error of edit comes back as it is, not as %v", err)
		x.unchanged("edit failed", before)
	}
}

func examEndedContext(x *exam) {
	h, _ := x.create(x.a, "acme")
	before := x.changes(x.a, 0)

	ended, cancel := context.WithCancel(x.Context())
	cancel()
	_, _, err := x.a.UpdateTeam(ended, h.Team.ID, func(_ time.Time, h *latchkey.Holding) error {
		h.Team.Disabled = true
		return nil
	})
	x.rule(err != nil, "UpdateTeam fails under a context that has ended")
	x.unchanged("the context had ended before", before)

	ending, cancel := context.WithCancel(x.Context())
	defer cancel()
	_, _, err = x.a.UpdateTeam(ending, h.Team.ID, func(_ time.Time, h *latchkey.Holding) error {
		h.Team.Disabled = true
		cancel()
		return nil
	})
	x.rule(err != nil && !errors.Is(err, latchkey.ErrOutcomeUnknown), "UpdateTeam fails, and says so, where the context ends before the commit; it said %v", err)
	x.unchanged("the context ended during the edit", before)

	_, _, err = x.a.CreateTeam(ended, func(now time.Time) (latchkey.Holding, error) { return newHolding("never", now), nil })
	x.rule(err != nil, "CreateTeam fails under a context that has ended")
	x.unchanged("the context had ended before", before)

	x.update(x.a, h.Team.ID, func(_ time.Time, h *latchkey.Holding) { h.Team.Disabled = true })
	x.rule(x.holding(x.b, h.Team.ID).Team.Disabled, "the store works on after contexts that ended")
}

func examIllegalEdits(x *exam) {
	h, _ := x.create(x.a, "acme")
	other, _ := x.create(x.a, "other")
	before := x.changes(x.a, 0)
	for _, c := range []struct {
		what string
		edit func(now time.Time, h *latchkey.Holding)
	}{
		{"removes a credential", func(_ time.Time, h *latchkey.Holding) { h.Credentials = h.Credentials[:1] }},
		{"removes all credentials", func(_ time.Time, h *latchkey.Holding) { h.Credentials = nil }},
		{"replaces a credential", func(now time.Time, h *latchkey.Holding) { h.Credentials[0] = newKey(h.Team.ID, now) }},
		{"changes the team's ID", func(_ time.Time, h *latchkey.Holding) { h.Team.ID = "team_new" }},
		{"moves a credential to another team", func(_ time.Time, h *latchkey.Holding) { h.Credentials[0].TeamID = other.Team.ID }},
		{"adds another team's credential", func(now time.Time, h *latchkey.Holding) {
			h.Credentials = append(h.Credentials, newKey(other.Team.ID, now))
		}},
	} {
		_, _, err := x.a.UpdateTeam(x.Context(), h.Team.ID, func(now time.Time, h *latchkey.Holding) error {
			c.edit(now, h)
			return nil
		})
		x.rule(err != nil, "an edit that %s is an error", c.what)
		x.unchanged("an edit that "+c.what, before)
	}
}

func examHolding(x *exam) {
	h, _ := x.create(x.a, "Große Firma")
	for _, name := range []string{h.Team.ID, "Große Firma", "große firma", "GROßE FIRMA"} {
		equal(x, "Holding finds a team by ID, and by name without regard to case", x.holding(x.b, name), h)
	}
	for _, name := range []string{"", "Große", "Große Firma ", "%", strings.ToUpper(h.Team.ID), h.Credentials[0].ID} {
		_, err := x.a.Holding(x.Context(), name)
		x.rule(errors.Is(err, latchkey.ErrNotFound), "Holding(%q) is ErrNotFound, not %v", name, err)
	}
	x.delete(x.a, h.Team.ID)
	for _, name := range []string{h.Team.ID, "Große Firma"} {
		_, err := x.b.Holding(x.Context(), name)
		x.rule(errors.Is(err, latchkey.ErrNotFound), "a deleted team is ErrNotFound to Holding, not %v", err)
	}
	_, _, err := x.b.UpdateTeam(x.Context(), h.Team.ID, func(_ time.Time, h *latchkey.Holding) error { return nil })
	x.rule(errors.Is(err, latchkey.ErrNotFound), "a deleted team is ErrNotFound to UpdateTeam, not %v", err)

	again, _ := x.create(x.a, "große firma")
	equal(x, "the name of a deleted team is free", x.holding(x.b, "Große Firma"), again)
}

// delete ends a team as the keyring does.
func (x *exam) delete(s Store, id string) (latchkey.Holding, latchkey.Change) {
	x.Helper()
	return x.update(s, id, func(now time.Time, h *latchkey.Holding) {
		h.Team.Deleted = now
		for i := range h.Credentials {
			h.Credentials[i].End(now, "examiner", latchkey.EndedByDeletion)
		}
	})
}

func examTeams(x *exam) {
	want := []latchkey.Team{x.holding(x.a, "default").Team}
	for _, name := range []string{"zebra", "aardvark", "Mole"} {
		h, _ := x.create(x.b, name)
		want = append(want, h.Team)
	}
	gone, _ := x.create(x.a, "gone")
	x.delete(x.a, gone.Team.ID)
	renamed, _ := x.update(x.a, want[1].ID, func(_ time.Time, h *latchkey.Holding) { h.Team.Name = "yak" })
	want[1] = renamed.Team
	for _, s := range []Store{x.a, x.b} {
		teams, err := s.Teams(x.Context())
		x.must("read teams", err)
		equal(x, "Teams returns those that are not deleted, oldest first", teams, want)
	}
}

func examTombstones(x *exam) {
	h, _ := x.create(x.a, "acme")
	key, secret := h.Credentials[0], h.Credentials[1]
	at := x.clock.stop()
	_, change := x.update(x.a, h.Team.ID, func(now time.Time, h *latchkey.Holding) {
		h.Credentials[0].End(now, "somebody", latchkey.EndedByRoll)
		h.Credentials[1].Ended, h.Credentials[1].EndedBy, h.Credentials[1].EndedWhy = now, "somebody", latchkey.EndedByRevoke
	})
	key.End(at, "somebody", latchkey.EndedByRoll)
	secret.End(at, "somebody", latchkey.EndedByRevoke)
	key.Revision, secret.Revision = change.Revision, change.Revision
	for _, want := range []latchkey.Credential{key, secret} {
		got, err := x.b.Credential(x.Context(), want.ID)
		x.must("read credential", err)
		equal(x, "Credential returns a tombstone: digest, who, when and why stay; the sealed value is gone", got, want)
	}
	equal(x, "Changes returns tombstones", x.changes(x.b, change.Revision-1).Credentials, sorted([]latchkey.Credential{key, secret}))

	next, _ := x.update(x.a, h.Team.ID, func(now time.Time, h *latchkey.Holding) {
		h.Credentials = append(h.Credentials, newKey(h.Team.ID, now), newSecret(h.Team.ID, now))
	})
	_, change = x.delete(x.b, h.Team.ID)
	after := x.changes(x.a, change.Revision-1)
	x.rule(len(after.Teams) == 1 && after.Teams[0].Deleted.Equal(at), "Changes returns a deleted team: %+v", after.Teams)
	x.rule(len(after.Credentials) == len(next.Credentials), "Changes returns the credentials that ended with their team, and no others: %d", len(after.Credentials))
	for _, c := range after.Credentials {
		x.rule(!c.Live() && c.EndedWhy == latchkey.EndedByDeletion && c.Sealed == nil, "a credential ends with its team: %s", c.ID)
	}
	live, err := x.a.Credential(x.Context(), x.genesis.Holding.Credentials[1].ID)
	x.must("read credential", err)
	equal(x, "Credential returns a live one", live, stamped(x.genesis.Holding, 1).Credentials[1])
}
