package storetest_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"latchkey"
	"latchkey/storetest"
)

// A fault breaks one rule of the contracts. exam is who must find it.
type fault struct {
	name  string
	exam  string
	plant func(good storetest.Store) storetest.Store
}

var faults = slices.Concat(credentialFaults, changeFaults, recordFaults, contactFaults, auditFaults, userFaults, usageFaults)

// changing returns a store whose UpdateTeam is f.
func changing(f func(good storetest.Store, ctx context.Context, id string, edit editFunc) (latchkey.Holding, latchkey.Change, error)) func(storetest.Store) storetest.Store {
	return func(good storetest.Store) storetest.Store {
		return &patched{Store: good, updateTeam: func(ctx context.Context, id string, edit editFunc) (latchkey.Holding, latchkey.Change, error) {
			return f(good, ctx, id, edit)
		}}
	}
}

// answering returns a store that alters the answers of Changes.
func answering(f func(after latchkey.Revision, c *latchkey.Changes)) func(storetest.Store) storetest.Store {
	return func(good storetest.Store) storetest.Store {
		return &patched{Store: good, changes: func(ctx context.Context, after latchkey.Revision) (latchkey.Changes, error) {
			c, err := good.Changes(ctx, after)
			f(after, &c)
			return c, err
		}}
	}
}

var credentialFaults = []fault{
	{"the probe is lost", "Genesis", func(good storetest.Store) storetest.Store {
		return &patched{Store: good, probe: func(context.Context) ([]byte, error) { return nil, nil }}
	}},
	{"build is given the wall clock", "CreateTeam", func(good storetest.Store) storetest.Store {
		return &patched{Store: good, createTeam: func(ctx context.Context, build buildFunc) (latchkey.Holding, latchkey.Change, error) {
			return good.CreateTeam(ctx, func(time.Time) (latchkey.Holding, error) { return build(time.Now()) })
		}}
	}},
	{"the revision is not moved", "UpdateTeam", changing(func(good storetest.Store, ctx context.Context, id string, edit editFunc) (latchkey.Holding, latchkey.Change, error) {
		h, change, err := good.UpdateTeam(ctx, id, edit)
		change.Revision--
		return h, change, err
	})},
	{"a change commits although edit failed", "EditErrorChangesNothing", changing(func(good storetest.Store, ctx context.Context, id string, edit editFunc) (h latchkey.Holding, c latchkey.Change, err error) {
		_, _, _ = good.UpdateTeam(ctx, id, func(now time.Time, h *latchkey.Holding) error {
			err = edit(now, h)
			return nil
		})
		return h, c, err
	})},
	{"an error of edit is wrapped", "EditErrorChangesNothing", changing(func(good storetest.Store, ctx context.Context, id string, edit editFunc) (latchkey.Holding, latchkey.Change, error) {
		h, change, err := good.UpdateTeam(ctx, id, edit)
		if err != nil {
			err = errors.Join(err)
		}
		return h, change, err
	})},
	{"a change commits although its context ended", "EndedContextChangesNothing", changing(func(good storetest.Store, ctx context.Context, id string, edit editFunc) (latchkey.Holding, latchkey.Change, error) {
		return good.UpdateTeam(context.WithoutCancel(ctx), id, edit)
	})},
	{"a credential can be removed", "IllegalEdits", changing(func(good storetest.Store, ctx context.Context, id string, edit editFunc) (latchkey.Holding, latchkey.Change, error) {
		return good.UpdateTeam(ctx, id, func(now time.Time, h *latchkey.Holding) error {
			before := slices.Clone(h.Credentials)
			err := edit(now, h)
			if len(h.Credentials) < len(before) {
				h.Credentials = before
			}
			return err
		})
	})},
	{"edit sees a copy from before", "ConcurrentChanges", changing(func(good storetest.Store, ctx context.Context, id string, edit editFunc) (latchkey.Holding, latchkey.Change, error) {
		early, err := good.Holding(ctx, id)
		if err != nil {
			return latchkey.Holding{}, latchkey.Change{}, err
		}
		return good.UpdateTeam(ctx, id, func(now time.Time, h *latchkey.Holding) error {
			h.Team.Name = early.Team.Name
			return edit(now, h)
		})
	})},
	{"an altered credential is not written", "UpdateTeam", changing(func(good storetest.Store, ctx context.Context, id string, edit editFunc) (latchkey.Holding, latchkey.Change, error) {
		return good.UpdateTeam(ctx, id, func(now time.Time, h *latchkey.Holding) error {
			before := slices.Clone(h.Credentials)
			err := edit(now, h)
			copy(h.Credentials, before[:min(len(before), len(h.Credentials))])
			return err
		})
	})},
	{"a value that was sealed anew is not written", "AlteredFields", changing(func(good storetest.Store, ctx context.Context, id string, edit editFunc) (latchkey.Holding, latchkey.Change, error) {
		return good.UpdateTeam(ctx, id, func(now time.Time, h *latchkey.Holding) error {
			sealed := slices.Clone(h.Credentials[0].Sealed)
			err := edit(now, h)
			if h.Credentials[0].Live() {
				h.Credentials[0].Sealed = sealed
			}
			return err
		})
	})},
	{"names have case", "Holding", func(good storetest.Store) storetest.Store {
		return &patched{Store: good, holding: func(ctx context.Context, team string) (latchkey.Holding, error) {
			h, err := good.Holding(ctx, team)
			if err == nil && h.Team.ID != team && h.Team.Name != team {
				return latchkey.Holding{}, latchkey.NotFound("team", team)
			}
			return h, err
		}}
	}},
	{"teams come by name", "Teams", func(good storetest.Store) storetest.Store {
		return &patched{Store: good, teams: func(ctx context.Context) ([]latchkey.Team, error) {
			teams, err := good.Teams(ctx)
			slices.SortFunc(teams, func(a, b latchkey.Team) int { return strings.Compare(a.Name, b.Name) })
			return teams, err
		}}
	}},
	{"a tombstone keeps its sealed value", "Tombstones", func(good storetest.Store) storetest.Store {
		return &patched{Store: good, credential: func(ctx context.Context, id string) (latchkey.Credential, error) {
			c, err := good.Credential(ctx, id)
			if err == nil && !c.Live() {
				c.Sealed = []byte("still here")
			}
			return c, err
		}}
	}},
	{"a tombstone loses its digest", "Tombstones", func(good storetest.Store) storetest.Store {
		return &patched{Store: good, credential: func(ctx context.Context, id string) (latchkey.Credential, error) {
			c, err := good.Credential(ctx, id)
			if err == nil && !c.Live() {
				c.Digest = latchkey.Digest{}
			}
			return c, err
		}}
	}},
	{"a conflict is any error", "Conflicts", func(good storetest.Store) storetest.Store {
		return &patched{Store: good, createTeam: func(ctx context.Context, build buildFunc) (latchkey.Holding, latchkey.Change, error) {
			h, change, err := good.CreateTeam(ctx, build)
			if errors.Is(err, latchkey.ErrConflict) {
				err = errors.New("UNIQUE constraint failed")
			}
			return h, change, err
		}}
	}},
	{"the digest of a dead key is free", "Conflicts", func(good storetest.Store) storetest.Store {
		return &patched{Store: good, createTeam: func(ctx context.Context, build buildFunc) (latchkey.Holding, latchkey.Change, error) {
			h, change, err := good.CreateTeam(ctx, build)
			all, _ := good.Changes(ctx, 0)
			made, _ := build(time.Now())
			for _, c := range all.Credentials {
				reused := slices.ContainsFunc(made.Credentials, func(n latchkey.Credential) bool { return n.Digest == c.Digest && n.Kind == c.Kind })
				if c.Kind == latchkey.KindAPIKey && !c.Live() && reused {
					err = nil
				}
			}
			return h, change, err
		}}
	}},
	{"overlaps are over by the wall clock", "DueOverlaps", func(good storetest.Store) storetest.Store {
		return &patched{Store: good, dueOverlaps: func(ctx context.Context) (due []string, err error) {
			all, err := good.Changes(ctx, 0)
			for _, c := range all.Credentials {
				if c.Live() && !c.Until.IsZero() && c.Until.Before(time.Now()) {
					due = append(due, c.TeamID)
				}
			}
			return due, err
		}}
	}},
	{"times are kept to the millisecond", "TimesToTheMicrosecond", func(good storetest.Store) storetest.Store {
		return &patched{Store: good, holding: func(ctx context.Context, team string) (latchkey.Holding, error) {
			h, err := good.Holding(ctx, team)
			h.Team.Created = h.Team.Created.Truncate(time.Millisecond)
			return h, err
		}}
	}},
	{"names are cut at a NUL", "HostileNames", func(good storetest.Store) storetest.Store {
		return &patched{Store: good, holding: func(ctx context.Context, team string) (latchkey.Holding, error) {
			name, _, _ := strings.Cut(team, "\x00")
			return good.Holding(ctx, name)
		}}
	}},
	{"a hostile text is an error of its own", "HostileLookups", func(good storetest.Store) storetest.Store {
		return &patched{Store: good, holding: func(ctx context.Context, team string) (latchkey.Holding, error) {
			if strings.Contains(team, "'") {
				return latchkey.Holding{}, errors.New("unterminated quoted string")
			}
			return good.Holding(ctx, team)
		}}
	}},
}

var changeFaults = []fault{
	{"Changes misses tombstones", "Tombstones", answering(func(_ latchkey.Revision, c *latchkey.Changes) {
		c.Credentials = slices.DeleteFunc(c.Credentials, func(c latchkey.Credential) bool { return !c.Live() })
	})},
	{"Changes misses its last change", "ChangesDuringWrites", answering(func(after latchkey.Revision, c *latchkey.Changes) {
		if after > 0 {
			c.Credentials = slices.DeleteFunc(c.Credentials, func(k latchkey.Credential) bool { return k.Revision == c.Revision })
		}
	})},
	{"Changes returns what did not change", "ChangesAfter", func(good storetest.Store) storetest.Store {
		return &patched{Store: good, changes: func(ctx context.Context, after latchkey.Revision) (latchkey.Changes, error) {
			c, err := good.Changes(ctx, 0)
			c.After = after
			return c, err
		}}
	}},
	{"Changes is no snapshot", "ChangesDuringWrites", func(good storetest.Store) storetest.Store {
		return &patched{Store: good, changes: func(ctx context.Context, after latchkey.Revision) (latchkey.Changes, error) {
			teams, err := good.Changes(ctx, after)
			if err != nil {
				return teams, err
			}
			time.Sleep(5 * time.Millisecond) // for a change to come between
			c, err := good.Changes(ctx, after)
			c.Teams = teams.Teams
			return c, err
		}}
	}},
	{"the change ID stays", "ConcurrentChanges", changing(func(good storetest.Store, ctx context.Context, id string, edit editFunc) (latchkey.Holding, latchkey.Change, error) {
		h, change, err := good.UpdateTeam(ctx, id, edit)
		change.ID = "constant"
		return h, change, err
	})},
	{"the purge horizon is not heeded", "PurgeTombstones", answering(func(after latchkey.Revision, c *latchkey.Changes) {
		c.After = after
		c.Teams = slices.DeleteFunc(c.Teams, func(t latchkey.Team) bool { return t.Revision <= after })
		c.Credentials = slices.DeleteFunc(c.Credentials, func(c latchkey.Credential) bool { return c.Revision <= after })
	})},
	{"a purge counts nothing", "PurgeTombstones", func(good storetest.Store) storetest.Store {
		return &patched{Store: good, purge: func(ctx context.Context, age time.Duration) (int, error) {
			_, err := good.PurgeTombstones(ctx, age)
			return 0, err
		}}
	}},
	{"a purge takes a moment too many", "PurgeTombstones", func(good storetest.Store) storetest.Store {
		return &patched{Store: good, purge: func(ctx context.Context, age time.Duration) (int, error) {
			return good.PurgeTombstones(ctx, age-time.Microsecond)
		}}
	}},
	{"a purge goes by the process's clock", "PurgeTombstones", func(good storetest.Store) storetest.Store {
		return &patched{Store: good, purge: func(ctx context.Context, age time.Duration) (int, error) {
			return good.PurgeTombstones(ctx, age-time.Since(time.Date(2026, 1, 1, 2, 0, 0, 0, time.UTC))) // the exam's time
		}}
	}},
}
