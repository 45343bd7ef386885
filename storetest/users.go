package storetest

import (
	"crypto/rand"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"latchkey"
)

func newUser(teamID, email string, at time.Time) latchkey.User {
	role := latchkey.RoleMember
	if teamID == "" {
		role = latchkey.RoleSupport
	}
	return latchkey.User{ID: latchkey.NewUserID(), Email: email, TeamID: teamID, Role: role, Epoch: 1, Created: at, CreatedBy: "examiner"}
}

func newInvitation(userID string, expires time.Time) latchkey.Invitation {
	return latchkey.Invitation{Digest: latchkey.DigestOf([]byte(rand.Text())), UserID: userID, Expires: expires}
}

func keptUser(u latchkey.User) latchkey.User {
	u.Created, u.Removed = micros(u.Created), micros(u.Removed)
	if u.Removed.IsZero() || u.Removed.Year() < 1970 {
		u.Removed = time.Time{}
	}
	return u
}

func (x *exam) user(s Store, id string) latchkey.User {
	x.Helper()
	u, err := s.User(x.Context(), id)
	x.must("read user", err)
	return u
}

func (x *exam) createUser(s Store, u latchkey.User) {
	x.Helper()
	x.must("create user", s.CreateUser(x.Context(), u, nil))
}

// notFound holds an error against the rule that what is meant is not there.
func (x *exam) notFound(err error, what string) {
	x.Helper()
	x.rule(errors.Is(err, latchkey.ErrNotFound), "%s is ErrNotFound, not %v", what, err)
}

func examCreateUser(x *exam) {
	at := x.clock.Now()
	u, other, support := newUser("team_a", "a@example.com", at), newUser("team_a", "b@example.com", at), newUser("", "s@example.com", at)
	invitation := newInvitation(u.ID, at.Add(time.Hour))
	event := newEvent(at, "team_a")
	x.must("create user", x.a.CreateUser(x.Context(), u, &invitation, event))
	x.createUser(x.b, other)
	x.createUser(x.b, support)
	for _, s := range []Store{x.a, x.b} {
		equal(x, "a user is there, whole", x.user(s, u.ID), keptUser(u))
		byEmail, err := s.UserByEmail(x.Context(), u.Email)
		x.must("read user by address", err)
		equal(x, "a user is found by address", byEmail, keptUser(u))
		list, err := s.Users(x.Context(), "team_a")
		x.must("read users", err)
		equal(x, "a team's users are its own, oldest first", list, []latchkey.User{keptUser(u), keptUser(other)})
		list, err = s.Users(x.Context(), "")
		x.must("read users", err)
		equal(x, "an empty team stands for who belongs to none", list, []latchkey.User{keptUser(support)})
		list, err = s.Users(x.Context(), "team_b")
		x.rule(err == nil && len(list) == 0, "a team without users has none: %v", err)
		for _, id := range []string{"", "x", u.ID + "'", strings.ToUpper(u.ID)} {
			_, err := s.User(x.Context(), id)
			x.notFound(err, "a user who is not there")
			_, err = s.UserByEmail(x.Context(), id)
			x.notFound(err, "an address that is not there")
		}
	}
	_, err := x.b.Invitation(x.Context(), invitation.Digest)
	x.must("read the invitation that came with the user", err)
	equal(x, "the events that came with the user are written", x.events(x.b, "team_a"), keptEvents(event))

	twin := newUser("team_b", u.Email, at)
	lost := newInvitation(twin.ID, at.Add(time.Hour))
	err = x.b.CreateUser(x.Context(), twin, &lost, newEvent(at, "team_b"))
	x.rule(errors.Is(err, latchkey.ErrConflict), "an address that is taken is ErrConflict, not %v", err)
	_, err = x.a.User(x.Context(), twin.ID)
	x.notFound(err, "a user whose address was taken")
	_, err = x.a.Invitation(x.Context(), lost.Digest)
	x.notFound(err, "the invitation of a user whose address was taken")
	x.rule(len(x.events(x.a, "team_b")) == 0, "a conflict leaves no event")
}

func examUpdateUser(x *exam) {
	u := newUser("team_a", "a@example.com", x.clock.Now())
	x.createUser(x.a, u)
	event := newEvent(x.clock.Now(), "team_a")
	after, err := x.b.UpdateUser(x.Context(), u.ID, func(u *latchkey.User) error {
		u.Role, u.Password, u.Epoch = latchkey.RoleAdmin, "$argon2id$v=19$x", u.Epoch+1
		u.ID, u.Email, u.Created = "user_other", "other@example.com", time.Time{}
		return nil
	}, event)
	x.must("update user", err)
	want := keptUser(u)
	want.Role, want.Password, want.Epoch = latchkey.RoleAdmin, "$argon2id$v=19$x", 2
	equal(x, "UpdateUser alters all but ID, Email and Created, and returns what is there", after, want)
	equal(x, "what was altered is there", x.user(x.a, u.ID), want)
	equal(x, "the events of a change are written with it", x.events(x.a, "team_a"), keptEvents(event))

	stop := errors.New("stop")
	_, err = x.a.UpdateUser(x.Context(), u.ID, func(u *latchkey.User) error {
		u.Password = "lost"
		return stop
	}, newEvent(x.clock.Now(), "team_a"))
	x.rule(err == stop, "an error of edit comes back as it is, not %v", err)
	equal(x, "an error of edit changes nothing", x.user(x.b, u.ID), want)
	equal(x, "an error of edit leaves no event", x.events(x.b, "team_a"), keptEvents(event))

	const workers, each = 4, 10
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for range each {
				_, err := []Store{x.a, x.b}[w%2].UpdateUser(x.Context(), u.ID, func(u *latchkey.User) error { u.Epoch++; return nil })
				if err != nil {
					x.Errorf("update user: %v", err)
				}
			}
		})
	}
	wg.Wait()
	x.rule(x.user(x.a, u.ID).Epoch == 2+workers*each, "of changes at the same time, each sees the one before: epoch %d", x.user(x.a, u.ID).Epoch)
	_, err = x.a.UpdateUser(x.Context(), "user_nobody", func(*latchkey.User) error { return nil })
	x.notFound(err, "an update of a user who is not there")
}

func examRemovedUser(x *exam) {
	u := newUser("team_a", "a@example.com", x.clock.Now())
	x.createUser(x.a, u)
	invitation := newInvitation(u.ID, x.clock.Now().Add(time.Hour))
	x.must("invite", x.a.Invite(x.Context(), invitation))
	remove := func(u *latchkey.User) error { u.Removed, u.Epoch = x.clock.Now(), u.Epoch+1; return nil }
	gone, err := x.a.UpdateUser(x.Context(), u.ID, remove)
	x.must("remove user", err)
	x.rule(!gone.Removed.IsZero() && gone.Epoch == 2, "a user who is removed is returned so")
	_, err = x.b.User(x.Context(), u.ID)
	x.notFound(err, "a removed user")
	_, err = x.b.UserByEmail(x.Context(), u.Email)
	x.notFound(err, "a removed user's address")
	_, err = x.b.UpdateUser(x.Context(), u.ID, remove)
	x.notFound(err, "an update of a removed user")
	_, err = x.b.Redeem(x.Context(), invitation.Digest, func(*latchkey.User) error { return nil })
	x.notFound(err, "a removed user's invitation, redeemed,")
	list, err := x.b.Users(x.Context(), "team_a")
	x.rule(err == nil && len(list) == 0, "a removed user is not in the list: %v", err)

	again := newUser("team_b", u.Email, x.clock.Now())
	x.createUser(x.b, again)
	found, err := x.a.UserByEmail(x.Context(), u.Email)
	x.must("read user by address", err)
	x.rule(found.ID == again.ID, "a removed user's address is free again")
}

func examInvite(x *exam) {
	now := x.clock.stop()
	u, other := newUser("team_a", "a@example.com", now), newUser("team_a", "b@example.com", now)
	x.createUser(x.a, u)
	x.createUser(x.a, other)
	first, theirs, setup := newInvitation(u.ID, now.Add(time.Hour)), newInvitation(other.ID, now.Add(time.Hour)), newInvitation("", now.Add(time.Hour))
	for _, i := range []latchkey.Invitation{first, theirs, setup} {
		x.must("invite", x.a.Invite(x.Context(), i))
	}
	there := func(i latchkey.Invitation, what string) {
		x.Helper()
		got, err := x.b.Invitation(x.Context(), i.Digest)
		x.must("read "+what, err)
		i.Expires = micros(i.Expires)
		equal(x, "an invitation is there, whole: "+what, got, i)
	}
	there(first, "a user's")
	there(setup, "the set-up link")
	second, event := newInvitation(u.ID, now.Add(2*time.Hour)), newEvent(now, "team_a")
	x.must("invite again", x.b.Invite(x.Context(), second, event))
	_, err := x.a.Invitation(x.Context(), first.Digest)
	x.notFound(err, "an invitation that a later one of the same user ended")
	there(second, "a user's second")
	there(theirs, "another user's")
	there(setup, "the set-up link")
	equal(x, "the events of an invitation are written with it", x.events(x.a, "team_a"), keptEvents(event))
	next := newInvitation("", now.Add(time.Hour))
	x.must("make another set-up link", x.a.Invite(x.Context(), next))
	_, err = x.b.Invitation(x.Context(), setup.Digest)
	x.notFound(err, "an earlier set-up link")
	there(next, "the later set-up link")
	there(theirs, "another user's")
	_, err = x.a.Invitation(x.Context(), latchkey.DigestOf([]byte("none")))
	x.notFound(err, "an invitation that is not there")

	x.clock.set(now.Add(time.Hour - time.Microsecond))
	there(theirs, "one that is almost over")
	x.clock.set(now.Add(time.Hour))
	_, err = x.b.Invitation(x.Context(), theirs.Digest)
	x.notFound(err, "an invitation that is over by the store's clock")
	_, err = x.b.Redeem(x.Context(), theirs.Digest, func(*latchkey.User) error { return nil })
	x.notFound(err, "an invitation that is over, redeemed,")
	there(second, "one that ends later")
}

func examRedeem(x *exam) {
	now := x.clock.stop()
	u := newUser("team_a", "a@example.com", now)
	x.createUser(x.a, u)
	i := newInvitation(u.ID, now.Add(time.Hour))
	x.must("invite", x.a.Invite(x.Context(), i))
	stop := errors.New("stop")
	_, err := x.a.Redeem(x.Context(), i.Digest, func(*latchkey.User) error { return stop }, newEvent(now, "team_a"))
	x.rule(err == stop, "an error of edit comes back as it is, not %v", err)
	x.rule(len(x.events(x.b, "team_a")) == 0, "an error of edit leaves no event")

	// It is unused still: of those who try at the same time, one wins.
	const tries = 8
	var won atomic.Int64
	var wg sync.WaitGroup
	for n := range tries {
		wg.Go(func() {
			after, err := []Store{x.a, x.b}[n%2].Redeem(x.Context(), i.Digest, func(u *latchkey.User) error {
				u.Password, u.Epoch = "$argon2id$", u.Epoch+1
				return nil
			}, newEvent(now, "team_a"))
			switch {
			case err == nil && after.Epoch == 2 && after.ID == u.ID:
				won.Add(1)
			case !errors.Is(err, latchkey.ErrNotFound):
				x.Errorf("rule broken: who comes too late gets ErrNotFound, not %v", err)
			}
		})
	}
	wg.Wait()
	x.rule(won.Load() == 1, "of those who redeem at the same time one wins, not %d", won.Load())
	x.rule(len(x.events(x.b, "team_a")) == 1, "only the winner's events are written")
	x.rule(x.user(x.b, u.ID).Epoch == 2 && x.user(x.b, u.ID).Password == "$argon2id$", "the winner's edit is there")
	_, err = x.a.Invitation(x.Context(), i.Digest)
	x.notFound(err, "an invitation that was used")

	setup := newInvitation("", now.Add(time.Hour))
	x.must("make a set-up link", x.a.Invite(x.Context(), setup))
	admin := newUser("team_a", "admin@example.com", now)
	var given latchkey.User
	_, err = x.b.Redeem(x.Context(), setup.Digest, func(u *latchkey.User) error { given, *u = *u, admin; return nil })
	x.must("redeem the set-up link", err)
	equal(x, "the set-up link gives a zero user to fill in", given, latchkey.User{})
	equal(x, "the user of the set-up link is added", x.user(x.a, admin.ID), keptUser(admin))
	_, err = x.a.Redeem(x.Context(), setup.Digest, func(u *latchkey.User) error { *u = newUser("team_a", "c@example.com", now); return nil })
	x.notFound(err, "a set-up link that was used")

	clash := newInvitation("", now.Add(time.Hour))
	x.must("make a set-up link", x.a.Invite(x.Context(), clash))
	_, err = x.a.Redeem(x.Context(), clash.Digest, func(u *latchkey.User) error { *u = newUser("team_a", admin.Email, now); return nil })
	x.rule(errors.Is(err, latchkey.ErrConflict), "an address that is taken is ErrConflict, not %v", err)
	_, err = x.b.Invitation(x.Context(), clash.Digest)
	x.must("read a set-up link whose use failed", err)
}
