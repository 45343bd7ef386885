package admin

import (
	"cmp"
	"context"
	"errors"
	"time"

	"latchkey"
)

// defaultConsole is where links lead when the server has not said.
const defaultConsole = "http://127.0.0.1:8081"

// A User is a user of the console as the API shows it.
type User struct {
	ID      string        `json:"id"`
	Email   string        `json:"email"`
	Team    *Team         `json:"team"` // nil for support
	Role    latchkey.Role `json:"role"`
	Invited bool          `json:"invited"` // no password was set yet
	Created time.Time     `json:"created"`
}

// An Invited is the answer to an invitation. The link is not kept, and cannot be
// shown again.
type Invited struct {
	User    User      `json:"user"`
	Link    string    `json:"link"`
	Expires time.Time `json:"expires"`
}

// Users is the answer to a list of users.
type Users struct {
	Users []User `json:"users"`
}

type (
	newUser struct {
		Email string        `json:"email"`
		Team  string        `json:"team"`
		Role  latchkey.Role `json:"role"`
	}
	ofEmail struct {
		Email string `json:"email"`
	}
)

// CreateUser adds a user and makes the link that sets the password. Support
// belongs to no team.
func (c *Client) CreateUser(ctx context.Context, email, team string, role latchkey.Role) (Invited, error) {
	return ask[Invited](ctx, c, "/user/create", newUser{email, team, role})
}

// InviteUser makes another link, for one who lost the first or the password.
func (c *Client) InviteUser(ctx context.Context, email string) (Invited, error) {
	return ask[Invited](ctx, c, "/user/invite", ofEmail{email})
}

// Users returns the users of a team or, if team is empty, all users.
func (c *Client) Users(ctx context.Context, team string) (Users, error) {
	return ask[Users](ctx, c, "/user/list", ofTeam{team})
}

// RemoveUser removes a user, and ends every session of theirs.
func (c *Client) RemoveUser(ctx context.Context, email string) (User, error) {
	return ask[User](ctx, c, "/user/remove", ofEmail{email})
}

func (a *API) createUser(ctx context.Context, by latchkey.Actor, q newUser) (Invited, error) {
	email, err := latchkey.CanonicalEmail(q.Email)
	if err != nil {
		return Invited{}, err
	}
	var team *Team
	switch {
	case q.Role == latchkey.RoleSupport && q.Team != "":
		return Invited{}, &latchkey.InvalidError{Field: "team", Problem: "must not be given for support, who belong to none"}
	case q.Role == latchkey.RoleSupport:
	case q.Role != latchkey.RoleAdmin && q.Role != latchkey.RoleMember:
		return Invited{}, &latchkey.InvalidError{Field: "role", Problem: "must be admin, member or support"}
	default:
		if team, err = a.teamNamed(ctx, q.Team); err != nil {
			return Invited{}, err
		}
	}
	now := time.Now().Truncate(time.Microsecond) // as it is kept
	u := latchkey.User{ID: latchkey.NewUserID(), Email: email, Role: q.Role, Epoch: 1, Created: now, CreatedBy: by.Name}
	if team != nil {
		u.TeamID = team.ID
	}
	link, invitation := a.invitation(u.ID, now)
	err = a.Users.CreateUser(ctx, u, &invitation,
		latchkey.NewEvent(now, by, latchkey.ActionInvite, u.TeamID, email, "as "+string(u.Role)))
	return Invited{userOf(u, team), link, invitation.Expires.UTC()}, err
}

func (a *API) teamNamed(ctx context.Context, name string) (*Team, error) {
	h, err := a.Keyring.Store.Holding(ctx, name)
	if err != nil {
		return nil, err
	}
	t := teamOf(h.Team)
	return &t, nil
}

// invitation makes a link, and what is kept of it.
func (a *API) invitation(userID string, now time.Time) (link string, _ latchkey.Invitation) {
	secret, invitation := latchkey.NewInvitation(cmp.Or(a.ConsoleURL, defaultConsole), userID, now)
	return secret.Reveal(), invitation
}

func (a *API) inviteUser(ctx context.Context, by latchkey.Actor, q ofEmail) (Invited, error) {
	u, team, err := a.userNamed(ctx, q.Email)
	if err != nil {
		return Invited{}, err
	}
	now := time.Now().Truncate(time.Microsecond) // as it is kept
	link, invitation := a.invitation(u.ID, now)
	err = a.Users.Invite(ctx, invitation, latchkey.NewEvent(now, by, latchkey.ActionInvite, u.TeamID, u.Email, "a new link"))
	return Invited{userOf(u, team), link, invitation.Expires.UTC()}, err
}

// userNamed finds a user and the team; a deleted team is nil.
func (a *API) userNamed(ctx context.Context, address string) (latchkey.User, *Team, error) {
	email, err := latchkey.CanonicalEmail(address)
	if err != nil {
		return latchkey.User{}, nil, err
	}
	u, err := a.Users.UserByEmail(ctx, email)
	if err != nil || u.TeamID == "" {
		return u, nil, err
	}
	team, err := a.teamNamed(ctx, u.TeamID)
	if errors.Is(err, latchkey.ErrNotFound) {
		err = nil
	}
	return u, team, err
}

func (a *API) listUsers(ctx context.Context, _ latchkey.Actor, q ofTeam) (Users, error) {
	answer := Users{Users: []User{}}
	var teams []*Team
	if q.Team != "" {
		team, err := a.teamNamed(ctx, q.Team)
		if err != nil {
			return answer, err
		}
		teams = append(teams, team)
	} else {
		list, err := a.Keyring.Store.Teams(ctx)
		if err != nil {
			return answer, err
		}
		for _, t := range list {
			team := teamOf(t)
			teams = append(teams, &team)
		}
		teams = append(teams, nil) // support
	}
	for _, team := range teams {
		id := ""
		if team != nil {
			id = team.ID
		}
		users, err := a.Users.Users(ctx, id)
		if err != nil {
			return answer, err
		}
		for _, u := range users {
			answer.Users = append(answer.Users, userOf(u, team))
		}
	}
	return answer, nil
}

func (a *API) removeUser(ctx context.Context, by latchkey.Actor, q ofEmail) (User, error) {
	u, team, err := a.userNamed(ctx, q.Email)
	if err != nil {
		return User{}, err
	}
	now := time.Now().Truncate(time.Microsecond) // as it is kept
	_, err = a.Users.UpdateUser(ctx, u.ID, func(u *latchkey.User) error {
		u.Removed = now
		u.Epoch++
		return nil
	}, latchkey.NewEvent(now, by, latchkey.ActionRemove, u.TeamID, u.Email, ""))
	return userOf(u, team), err
}

func userOf(u latchkey.User, team *Team) User {
	return User{ID: u.ID, Email: u.Email, Team: team, Role: u.Role, Invited: u.Password == "", Created: u.Created.UTC()}
}
