package storetest_test

import (
	"context"
	"slices"
	"time"

	"latchkey"
	"latchkey/storetest"
)

type editUser = func(*latchkey.User) error

// A rewired store does as the store below it, but where a function is set: what
// the console, the audit and the usage need.
type rewired struct {
	storetest.Store
	appendEvents func(ctx context.Context, events []latchkey.Event) error
	events       func(ctx context.Context, teamID, before string, limit int) ([]latchkey.Event, error)
	createUser   func(ctx context.Context, u latchkey.User, i *latchkey.Invitation, events []latchkey.Event) error
	updateUser   func(ctx context.Context, id string, edit editUser, events []latchkey.Event) (latchkey.User, error)
	users        func(ctx context.Context, teamID string) ([]latchkey.User, error)
	invitation   func(ctx context.Context, d latchkey.Digest) (latchkey.Invitation, error)
	redeem       func(ctx context.Context, d latchkey.Digest, edit editUser, events []latchkey.Event) (latchkey.User, error)
	find         func(ctx context.Context, token string) ([]byte, bool, error)
	addUsage     func(ctx context.Context, add []latchkey.Usage) error
	usage        func(ctx context.Context, ids []string, since time.Time) ([]latchkey.Usage, error)
	deadInUse    func(ctx context.Context, teamID string, since time.Time) ([]latchkey.Usage, error)
}

func (r *rewired) AppendEvents(ctx context.Context, events ...latchkey.Event) error {
	if r.appendEvents != nil {
		return r.appendEvents(ctx, events)
	}
	return r.Store.AppendEvents(ctx, events...)
}

func (r *rewired) Events(ctx context.Context, teamID, before string, limit int) ([]latchkey.Event, error) {
	if r.events != nil {
		return r.events(ctx, teamID, before, limit)
	}
	return r.Store.Events(ctx, teamID, before, limit)
}

func (r *rewired) CreateUser(ctx context.Context, u latchkey.User, i *latchkey.Invitation, events ...latchkey.Event) error {
	if r.createUser != nil {
		return r.createUser(ctx, u, i, events)
	}
	return r.Store.CreateUser(ctx, u, i, events...)
}

func (r *rewired) UpdateUser(ctx context.Context, id string, edit func(*latchkey.User) error, events ...latchkey.Event) (latchkey.User, error) {
	if r.updateUser != nil {
		return r.updateUser(ctx, id, edit, events)
	}
	return r.Store.UpdateUser(ctx, id, edit, events...)
}

func (r *rewired) Users(ctx context.Context, teamID string) ([]latchkey.User, error) {
	if r.users != nil {
		return r.users(ctx, teamID)
	}
	return r.Store.Users(ctx, teamID)
}

func (r *rewired) Invitation(ctx context.Context, d latchkey.Digest) (latchkey.Invitation, error) {
	if r.invitation != nil {
		return r.invitation(ctx, d)
	}
	return r.Store.Invitation(ctx, d)
}

func (r *rewired) Redeem(ctx context.Context, d latchkey.Digest, edit func(*latchkey.User) error, events ...latchkey.Event) (latchkey.User, error) {
	if r.redeem != nil {
		return r.redeem(ctx, d, edit, events)
	}
	return r.Store.Redeem(ctx, d, edit, events...)
}

func (r *rewired) FindCtx(ctx context.Context, token string) ([]byte, bool, error) {
	if r.find != nil {
		return r.find(ctx, token)
	}
	return r.Store.FindCtx(ctx, token)
}

func (r *rewired) AddUsage(ctx context.Context, add []latchkey.Usage) error {
	if r.addUsage != nil {
		return r.addUsage(ctx, add)
	}
	return r.Store.AddUsage(ctx, add)
}

func (r *rewired) Usage(ctx context.Context, ids []string, since time.Time) ([]latchkey.Usage, error) {
	if r.usage != nil {
		return r.usage(ctx, ids, since)
	}
	return r.Store.Usage(ctx, ids, since)
}

func (r *rewired) DeadInUse(ctx context.Context, teamID string, since time.Time) ([]latchkey.Usage, error) {
	if r.deadInUse != nil {
		return r.deadInUse(ctx, teamID, since)
	}
	return r.Store.DeadInUse(ctx, teamID, since)
}

// rewiring returns a fault that sets some functions.
func rewiring(name, exam string, wire func(good storetest.Store, r *rewired)) fault {
	return fault{name, exam, func(good storetest.Store) storetest.Store {
		r := &rewired{Store: good}
		wire(good, r)
		return r
	}}
}

var auditFaults = []fault{
	rewiring("a batch of events is written one by one", "AppendEvents", func(good storetest.Store, r *rewired) {
		r.appendEvents = func(ctx context.Context, events []latchkey.Event) error {
			for _, e := range events {
				if err := good.AppendEvents(ctx, e); err != nil {
					return err
				}
			}
			return nil
		}
	}),
	rewiring("all teams see all events", "AppendEvents", func(good storetest.Store, r *rewired) {
		r.events = func(ctx context.Context, _, before string, limit int) ([]latchkey.Event, error) {
			return good.Events(ctx, "", before, limit)
		}
	}),
	rewiring("events come oldest first", "AppendEvents", func(good storetest.Store, r *rewired) {
		r.events = func(ctx context.Context, teamID, before string, limit int) ([]latchkey.Event, error) {
			list, err := good.Events(ctx, teamID, before, limit)
			slices.Reverse(list)
			return list, err
		}
	}),
	rewiring("a page has one event too many", "EventPages", func(good storetest.Store, r *rewired) {
		r.events = func(ctx context.Context, teamID, before string, limit int) ([]latchkey.Event, error) {
			return good.Events(ctx, teamID, before, limit+1)
		}
	}),
	rewiring("a page leaves one out", "EventPages", func(good storetest.Store, r *rewired) {
		r.events = func(ctx context.Context, teamID, before string, limit int) ([]latchkey.Event, error) {
			list, err := good.Events(ctx, teamID, before, limit)
			if before != "" && len(list) > 0 {
				list = list[1:]
			}
			return list, err
		}
	}),
	changingFault("the events of a change are lost", "EventsOfChanges", func(good storetest.Store, ctx context.Context, id string, edit editFunc) (latchkey.Holding, latchkey.Change, error) {
		return good.UpdateTeam(ctx, id, func(now time.Time, h *latchkey.Holding) error {
			err := edit(now, h)
			h.Events = nil
			return err
		})
	}),
	rewiring("an event now and then is lost", "EventsConcurrently", func(good storetest.Store, r *rewired) {
		r.appendEvents = func(ctx context.Context, events []latchkey.Event) error {
			if len(events) > 0 && events[0].ID[35] < '8' {
				return nil
			}
			return good.AppendEvents(ctx, events...)
		}
	}),
}

func changingFault(name, exam string, f func(good storetest.Store, ctx context.Context, id string, edit editFunc) (latchkey.Holding, latchkey.Change, error)) fault {
	return fault{name, exam, changing(f)}
}

var userFaults = []fault{
	rewiring("the invitation is made although the address is taken", "CreateUser", func(good storetest.Store, r *rewired) {
		r.createUser = func(ctx context.Context, u latchkey.User, i *latchkey.Invitation, events []latchkey.Event) error {
			if i != nil {
				if err := good.Invite(ctx, *i); err != nil {
					return err
				}
			}
			return good.CreateUser(ctx, u, nil, events...)
		}
	}),
	rewiring("users come newest first", "CreateUser", func(good storetest.Store, r *rewired) {
		r.users = func(ctx context.Context, teamID string) ([]latchkey.User, error) {
			list, err := good.Users(ctx, teamID)
			slices.Reverse(list)
			return list, err
		}
	}),
	rewiring("an update goes by what was read before", "UpdateUser", func(good storetest.Store, r *rewired) {
		r.updateUser = func(ctx context.Context, id string, edit editUser, events []latchkey.Event) (latchkey.User, error) {
			u, err := good.User(ctx, id)
			if err != nil {
				return u, err
			}
			if err := edit(&u); err != nil {
				return u, err
			}
			time.Sleep(time.Millisecond)
			return good.UpdateUser(ctx, id, func(was *latchkey.User) error { *was = u; return nil }, events...)
		}
	}),
	rewiring("events stay although edit failed", "UpdateUser", func(good storetest.Store, r *rewired) {
		r.updateUser = func(ctx context.Context, id string, edit editUser, events []latchkey.Event) (latchkey.User, error) {
			if err := good.AppendEvents(ctx, events...); err != nil {
				return latchkey.User{}, err
			}
			return good.UpdateUser(ctx, id, edit)
		}
	}),
	rewiring("nobody is removed", "RemovedUser", func(good storetest.Store, r *rewired) {
		r.updateUser = func(ctx context.Context, id string, edit editUser, events []latchkey.Event) (latchkey.User, error) {
			var removed time.Time
			u, err := good.UpdateUser(ctx, id, func(u *latchkey.User) error {
				err := edit(u)
				removed, u.Removed = u.Removed, time.Time{}
				return err
			}, events...)
			u.Removed = removed
			return u, err
		}
	}),
	rewiring("an invitation never ends", "Invite", func(good storetest.Store, r *rewired) {
		kept := make(map[latchkey.Digest]latchkey.Invitation)
		r.invitation = func(ctx context.Context, d latchkey.Digest) (latchkey.Invitation, error) {
			i, err := good.Invitation(ctx, d)
			if err == nil {
				kept[d] = i
			} else if was, there := kept[d]; there {
				return was, nil
			}
			return i, err
		}
	}),
	rewiring("an invitation can be used twice", "Redeem", func(good storetest.Store, r *rewired) {
		r.redeem = func(ctx context.Context, d latchkey.Digest, edit editUser, events []latchkey.Event) (latchkey.User, error) {
			i, invited := good.Invitation(ctx, d)
			u, err := good.Redeem(ctx, d, edit, events...)
			if err == nil && invited == nil {
				err = good.Invite(ctx, i)
			}
			return u, err
		}
	}),
	rewiring("an invitation is used up although edit failed", "Redeem", func(good storetest.Store, r *rewired) {
		r.redeem = func(ctx context.Context, d latchkey.Digest, edit editUser, events []latchkey.Event) (latchkey.User, error) {
			var failed error
			u, err := good.Redeem(ctx, d, func(u *latchkey.User) error { failed = edit(u); return nil }, events...)
			if failed != nil {
				return latchkey.User{}, failed
			}
			return u, err
		}
	}),
	rewiring("a session never ends", "Sessions", func(good storetest.Store, r *rewired) {
		kept := make(map[string][]byte)
		r.find = func(ctx context.Context, token string) ([]byte, bool, error) {
			data, found, err := good.FindCtx(ctx, token)
			if found {
				kept[token] = data
			}
			return kept[token], kept[token] != nil, err
		}
	}),
}

var usageFaults = []fault{
	rewiring("Last is what was written last", "Usage", func(good storetest.Store, r *rewired) {
		last := make(map[latchkey.Caller]time.Time)
		r.addUsage = func(ctx context.Context, add []latchkey.Usage) error {
			for _, u := range add {
				last[u.Caller] = u.Last
			}
			return good.AddUsage(ctx, add)
		}
		r.usage = func(ctx context.Context, ids []string, since time.Time) ([]latchkey.Usage, error) {
			list, err := good.Usage(ctx, ids, since)
			for i := range list {
				list[i].Last = last[list[i].Caller]
			}
			return list, err
		}
	}),
	rewiring("the least used come first", "Usage", func(good storetest.Store, r *rewired) {
		r.usage = func(ctx context.Context, ids []string, since time.Time) ([]latchkey.Usage, error) {
			list, err := good.Usage(ctx, ids, since)
			slices.Reverse(list)
			return list, err
		}
	}),
	rewiring("a day that has begun is left out", "Usage", func(good storetest.Store, r *rewired) {
		r.usage = func(ctx context.Context, ids []string, since time.Time) ([]latchkey.Usage, error) {
			return good.Usage(ctx, ids, since.Add(24*time.Hour-time.Microsecond))
		}
	}),
	rewiring("callers beyond the last are lost", "UsageCap", func(good storetest.Store, r *rewired) {
		r.usage = func(ctx context.Context, ids []string, since time.Time) ([]latchkey.Usage, error) {
			list, err := good.Usage(ctx, ids, since)
			return slices.DeleteFunc(list, func(u latchkey.Usage) bool { return u.Caller == latchkey.Caller{} }), err
		}
	}),
	rewiring("an addition now and then is lost", "UsageConcurrently", func(good storetest.Store, r *rewired) {
		r.addUsage = func(ctx context.Context, add []latchkey.Usage) error {
			return good.AddUsage(ctx, slices.DeleteFunc(add, func(u latchkey.Usage) bool { return u.Caller.UserAgent == "2" }))
		}
	}),
	rewiring("a dead credential in use is sought from the day's beginning", "DeadInUse", func(good storetest.Store, r *rewired) {
		r.deadInUse = func(ctx context.Context, teamID string, since time.Time) ([]latchkey.Usage, error) {
			return good.DeadInUse(ctx, teamID, since.Truncate(24*time.Hour))
		}
	}),
	rewiring("dead credentials come in any order", "DeadInUse", func(good storetest.Store, r *rewired) {
		r.deadInUse = func(ctx context.Context, teamID string, since time.Time) ([]latchkey.Usage, error) {
			list, err := good.DeadInUse(ctx, teamID, since)
			slices.Reverse(list)
			return list, err
		}
	}),
}
