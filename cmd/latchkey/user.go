package main

import (
	"context"
	"io"

	"latchkey"
	"latchkey/admin"
)

type userCmd struct {
	Create userCreate `cmd:"" help:"Add a user of the console, and print the link that sets the password."`
	Invite userInvite `cmd:"" help:"Print another link that sets a user's password."`
	List   userList   `cmd:"" help:"List the users of the console."`
	Remove userRemove `cmd:"" help:"Remove a user, and end every session of theirs."`
}

// emailArg names a user.
type emailArg struct {
	Email string `arg:"" placeholder:"EMAIL" help:"The user's e-mail address."`
}

func (a emailArg) hint(err error) error {
	return withHint(err, "latchkey user list", latchkey.ErrNotFound, latchkey.ErrConflict)
}

type userCreate struct {
	emailArg
	Team    string        `placeholder:"TEAM" help:"The user's team: its name or ID."`
	Role    latchkey.Role `placeholder:"ROLE" help:"admin (sees and rolls credentials, manages members) or member (sees no secrets). For support: --support."`
	Support bool          `help:"For support: in no team, sees the requests of all, and no secrets."`
}

// Validate refuses what names no role.
func (c *userCreate) Validate() error {
	switch {
	case c.Support && (c.Team != "" || c.Role != ""):
		return usageError("--support stands alone: support belongs to no team")
	case c.Support:
		return nil
	case c.Role == latchkey.RoleSupport:
		return usageError("--role support is given as --support, without --team: support belongs to no team")
	case c.Team == "" || c.Role == "":
		return usageError("give --team TEAM and --role admin or member, or --support")
	case c.Role != latchkey.RoleAdmin && c.Role != latchkey.RoleMember:
		return usageError("--role must be admin or member")
	}
	return nil
}

// Run adds a user.
func (c *userCreate) Run(s *session) error {
	return s.call(func(ctx context.Context, api *admin.Client) error {
		role := c.Role
		if c.Support {
			role = latchkey.RoleSupport
		}
		made, err := api.CreateUser(ctx, c.Email, c.Team, role)
		if err != nil {
			return withHint(withHint(err, "latchkey user list", latchkey.ErrConflict), "latchkey team list", latchkey.ErrNotFound)
		}
		return s.showInvited(made)
	})
}

// showInvited prints a link alone on a line.
func (s *session) showInvited(made admin.Invited) error {
	err := s.show(made, func(w io.Writer) { _, _ = io.WriteString(w, made.Link+"\n") })
	if err == nil {
		s.remark("Send it to %s: it sets the password, works once, and until %s.", plain(made.User.Email), at(made.Expires))
	}
	return err
}

type userInvite struct{ emailArg }

// Run makes another link.
func (c *userInvite) Run(s *session) error {
	return s.call(func(ctx context.Context, api *admin.Client) error {
		made, err := api.InviteUser(ctx, c.Email)
		if err != nil {
			return c.hint(err)
		}
		return s.showInvited(made)
	})
}

type userList struct {
	Team string `placeholder:"TEAM" help:"Only this team's users: a name or an ID."`
}

// Run lists users.
func (c *userList) Run(s *session) error {
	return s.call(func(ctx context.Context, api *admin.Client) error {
		all, err := api.Users(ctx, c.Team)
		if err != nil {
			return withHint(err, "latchkey team list", latchkey.ErrNotFound)
		}
		if len(all.Users) == 0 {
			s.remark("There are no users. Add one: latchkey user create EMAIL --team TEAM --role admin")
		}
		return s.show(all, func(w io.Writer) {
			var rows [][]string
			for _, u := range all.Users {
				team, state := "-", "joined"
				if u.Team != nil {
					team = u.Team.Name
				}
				if u.Invited {
					state = "invited"
				}
				rows = append(rows, []string{u.Email, team, string(u.Role), state, at(u.Created)})
			}
			if len(rows) > 0 {
				table(w, []string{"EMAIL", "TEAM", "ROLE", "STATE", "CREATED"}, rows)
			}
		})
	})
}

type userRemove struct{ emailArg }

// Run removes a user.
func (c *userRemove) Run(s *session) error {
	return s.call(func(ctx context.Context, api *admin.Client) error {
		u, err := api.RemoveUser(ctx, c.Email)
		if err != nil {
			return c.hint(err)
		}
		return s.show(u, func(w io.Writer) {
			_, _ = io.WriteString(w, "User "+plain(u.Email)+" is removed, and every session has ended.\n")
		})
	})
}
