package storetest

import (
	"errors"
	"slices"
	"strings"
	"time"

	"latchkey"
)

// examConflicts tries everything that is taken, in a new team and in one that
// is there.
func examConflicts(x *exam) {
	acme, _ := x.create(x.a, "Acme")
	other, _ := x.create(x.b, "other")
	rolled, _ := x.create(x.a, "rolled")
	x.update(x.a, rolled.Team.ID, func(now time.Time, h *latchkey.Holding) {
		for i := range h.Credentials {
			h.Credentials[i].End(now, "examiner", latchkey.EndedByRoll)
		}
	})
	gone, _ := x.create(x.a, "gone")
	x.delete(x.b, gone.Team.ID)
	before := x.changes(x.a, 0)

	key := func(c latchkey.Credential) func(*latchkey.Holding) {
		return func(h *latchkey.Holding) {
			next := newKey(h.Team.ID, x.clock.Now())
			next.Digest = c.Digest
			h.Credentials = append(h.Credentials, next)
		}
	}
	secret := func(id string) func(*latchkey.Holding) {
		return func(h *latchkey.Holding) {
			next := newSecret(h.Team.ID, x.clock.Now())
			next.ID = id
			h.Credentials = append(h.Credentials, next)
		}
	}
	named := func(name string) func(*latchkey.Holding) {
		return func(h *latchkey.Holding) { h.Team.Name = name }
	}
	for _, c := range []struct {
		what  string
		words string // that the error must hold
		edit  func(*latchkey.Holding)
	}{
		{"a name that is taken", `a team named "Acme" exists already`, named("Acme")},
		{"a name that is taken but for its case", `a team named "aCME" exists already`, named("aCME")},
		{"another team's key", "this key is or was in use already", key(acme.Credentials[0])},
		{"a dead key", "this key is or was in use already", key(rolled.Credentials[0])},
		{"a key of a deleted team", "this key is or was in use already", key(gone.Credentials[0])},
		{"another team's secret ID", "an API secret with this ID is or was in use already", secret(acme.Credentials[1].ID)},
		{"a dead secret's ID", "an API secret with this ID is or was in use already", secret(rolled.Credentials[1].ID)},
		{"the ID of a deleted team's secret", "an API secret with this ID is or was in use already", secret(gone.Credentials[1].ID)},
	} {
		_, _, err := x.a.CreateTeam(x.Context(), func(now time.Time) (latchkey.Holding, error) {
			h := newHolding("new", now)
			c.edit(&h)
			return h, nil
		})
		x.conflict("a new team with "+c.what, err, c.words)
		x.unchanged(c.what, before)
		_, _, err = x.b.UpdateTeam(x.Context(), other.Team.ID, func(_ time.Time, h *latchkey.Holding) error {
			c.edit(h)
			return nil
		})
		x.conflict("a change to "+c.what, err, c.words)
		x.unchanged(c.what, before)
	}
	for _, own := range []func(*latchkey.Holding){key(other.Credentials[0]), secret(other.Credentials[1].ID)} {
		_, _, err := x.a.UpdateTeam(x.Context(), other.Team.ID, func(_ time.Time, h *latchkey.Holding) error {
			own(h)
			return nil
		})
		x.conflict("a team's own credential once more", err, "is or was in use already")
	}
	_, _, err := x.a.CreateTeam(x.Context(), func(now time.Time) (latchkey.Holding, error) {
		h := newHolding("new", now)
		h.Team.ID, h.Credentials = acme.Team.ID, nil
		return h, nil
	})
	x.conflict("a team's ID that is taken", err, "")
	x.unchanged("a team's ID that is taken", before)

	renamed, _ := x.update(x.a, acme.Team.ID, func(_ time.Time, h *latchkey.Holding) { h.Team.Name = "ACME" })
	equal(x, "a team's own name in another case is no conflict", renamed.Team.Name, "ACME")
}

// conflict asks for an ErrConflict with words for people and without values.
func (x *exam) conflict(what string, err error, words string) {
	x.Helper()
	x.rule(errors.Is(err, latchkey.ErrConflict), "%s is ErrConflict, not %v", what, err)
	x.rule(strings.Contains(err.Error(), words), "%s reads %q, not %q", what, words, err)
	x.rule(!strings.Contains(strings.ToLower(err.Error()), "constraint"), "%s is said in words for people: %q", what, err)
	x.rule(len(err.Error()) < 100, "%s is said in few words: %q", what, err)
}

func examDueOverlaps(x *exam) {
	// In the past of every other clock, so that only the store's can be meant.
	start := x.clock.set(time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC))
	due := func(rule string, want ...string) {
		x.Helper()
		for _, s := range []Store{x.a, x.b} {
			ids, err := s.DueOverlaps(x.Context())
			x.must("read overlaps", err)
			slices.Sort(ids)
			slices.Sort(want)
			x.rule(slices.Equal(ids, want), "%s: %q are due, not %q", rule, want, ids)
		}
	}
	roll := func(name string, overlap time.Duration) string {
		h, _ := x.create(x.a, name)
		x.update(x.b, h.Team.ID, func(now time.Time, h *latchkey.Holding) {
			h.Credentials[0].Until = now.Add(overlap)
			h.Credentials = append(h.Credentials, newKey(h.Team.ID, now))
		})
		return h.Team.ID
	}
	due("without an overlap none is over")
	hour, day := roll("hour", time.Hour), roll("day", 24*time.Hour)
	due("no overlap is over when it begins")
	x.clock.set(start.Add(time.Hour - time.Microsecond))
	due("an overlap is not over before its end")
	x.clock.set(start.Add(time.Hour))
	due("an overlap is over at its end", hour)
	x.clock.set(start.Add(25 * time.Hour))
	due("overlaps stay due until they are ended", hour, day)
	x.update(x.a, hour, func(now time.Time, h *latchkey.Holding) {
		h.OldAPIKey().End(now, "latchkey", latchkey.EndedByOverlap)
	})
	due("an overlap that was ended is not due", day)
	x.delete(x.b, day)
	due("a deleted team has no overlap")
}

func examTimes(x *exam) {
	zone := time.FixedZone("elsewhere", 5*3600+1800)
	at := time.Date(2026, 1, 2, 3, 4, 5, 999_999_999, zone)
	h, _, err := x.a.CreateTeam(x.Context(), func(time.Time) (latchkey.Holding, error) {
		h := newHolding("acme", at)
		h.Credentials[0].Until = at.Add(time.Hour)
		return h, nil
	})
	x.must("create team", err)
	want := time.Date(2026, 1, 1, 21, 34, 5, 999_999_000, time.UTC)
	for _, got := range []latchkey.Holding{h, x.holding(x.b, "acme")} {
		equal(x, "times are kept to the microsecond, in UTC", got.Team.Created, want)
		equal(x, "times are kept to the microsecond, in UTC", got.Credentials[0].Created, want)
		equal(x, "times are kept to the microsecond, in UTC", got.Credentials[0].Until, want.Add(time.Hour))
		x.rule(got.Team.Deleted.IsZero() && got.Credentials[0].Ended.IsZero() && got.Credentials[1].Until.IsZero(), "a zero time stays one")
	}
}
