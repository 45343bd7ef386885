package main

import (
	"context"
	"io"
	"strings"

	"golang.org/x/term"

	"latchkey"
	"latchkey/admin"
)

// teamArg names a team.
type teamArg struct {
	Team string `arg:"" placeholder:"TEAM" help:"The team's name or ID."`
}

// hint adds to an unknown team where the teams are, and to an unknown outcome
// where to look.
func (a teamArg) hint(err error) error {
	err = withHint(err, "latchkey team list", latchkey.ErrNotFound)
	return withHint(err, "latchkey key show "+word(a.Team), latchkey.ErrOutcomeUnknown)
}

type teamCmd struct {
	Create  teamCreate  `cmd:"" help:"Make a team, with an API key and an API secret."`
	List    teamList    `cmd:"" help:"List the teams."`
	Disable teamDisable `cmd:"" help:"Refuse all credentials of a team until it is enabled again."`
	Enable  teamEnable  `cmd:"" help:"Accept the credentials of a team again."`
	Delete  teamDelete  `cmd:"" help:"End a team and all its credentials, for good."`
	Rename  teamRename  `cmd:"" help:"Give a team another name."`
}

type teamCreate struct {
	Name string `arg:"" placeholder:"NAME" help:"Its name: 1–64 printable characters, unique without regard to case."`
}

// Run makes a team.
func (c *teamCreate) Run(s *session) error {
	return s.call(func(ctx context.Context, api *admin.Client) error {
		made, settlement, err := api.CreateTeam(ctx, c.Name)
		if err != nil {
			return withHint(err, "latchkey team list", latchkey.ErrConflict, latchkey.ErrOutcomeUnknown)
		}
		err = s.show(made, func(w io.Writer) {
			fields(w, [2]string{"Team", made.Team.Name}, [2]string{"Team ID", made.Team.ID},
				[2]string{"API key", made.APIKey},
				[2]string{"API Secret ID", made.Secret.ID}, [2]string{"API Secret Key", made.Secret.Key})
		})
		if err != nil {
			return err
		}
		s.remark("The console shows the Secret Key again, and the API key is shown by: %s", s.command("latchkey key show "+word(made.Team.Name)))
		return s.settled(settlement)
	})
}

type teamList struct{}

// Run lists the teams.
func (c *teamList) Run(s *session) error {
	return s.call(func(ctx context.Context, api *admin.Client) error {
		all, err := api.Teams(ctx)
		if err != nil {
			return err
		}
		if len(all.Teams) == 0 {
			s.remark("There are no teams. Make one: latchkey team create NAME")
		}
		return s.show(all, func(w io.Writer) {
			var rows [][]string
			for _, t := range all.Teams {
				rows = append(rows, []string{t.Name, t.ID, state(t), at(t.Created)})
			}
			if len(rows) > 0 {
				table(w, []string{"NAME", "ID", "STATE", "CREATED"}, rows)
			}
		})
	})
}

func state(t admin.Team) string {
	if t.Disabled {
		return "disabled"
	}
	return "enabled"
}

// changedTeam prints a team after a change, and what became of it.
func (s *session) changedTeam(t admin.Team, settlement admin.Settlement, what string) error {
	err := s.show(t, func(w io.Writer) {
		_, _ = io.WriteString(w, "Team "+plain(t.Name)+" ("+t.ID+") "+what+".\n")
	})
	if err != nil {
		return err
	}
	return s.settled(settlement)
}

type teamDisable struct{ teamArg }

// Run disables a team.
func (c *teamDisable) Run(s *session) error {
	return s.call(func(ctx context.Context, api *admin.Client) error {
		t, settlement, err := api.DisableTeam(ctx, c.Team)
		if err != nil {
			return c.hint(err)
		}
		return s.changedTeam(t, settlement, "is disabled: its credentials are refused until it is enabled again")
	})
}

type teamEnable struct{ teamArg }

// Run enables a team.
func (c *teamEnable) Run(s *session) error {
	return s.call(func(ctx context.Context, api *admin.Client) error {
		t, settlement, err := api.EnableTeam(ctx, c.Team)
		if err != nil {
			return c.hint(err)
		}
		return s.changedTeam(t, settlement, "is enabled: its credentials are accepted")
	})
}

type teamRename struct {
	teamArg
	Name string `arg:"" placeholder:"NAME" help:"The new name."`
}

// Run renames a team.
func (c *teamRename) Run(s *session) error {
	return s.call(func(ctx context.Context, api *admin.Client) error {
		t, settlement, err := api.RenameTeam(ctx, c.Team, c.Name)
		if err != nil {
			return c.hint(err)
		}
		return s.changedTeam(t, settlement, "has its new name")
	})
}

type teamDelete struct {
	teamArg
	Yes bool `help:"Do not ask. Nothing is asked where standard input is not a terminal."`
}

// Run deletes a team; a person at a terminal types its name first.
func (c *teamDelete) Run(s *session) error {
	team := c.Team
	if !c.Yes && term.IsTerminal(int(s.stdin.Fd())) {
		// The store is not kept locked while somebody thinks.
		found, err := c.find(s)
		if err != nil {
			return err
		}
		if err := s.confirm("Team "+plain(found.Name)+" ("+found.ID+") and all its credentials will be ended, for good.", found.Name); err != nil {
			return err
		}
		team = found.ID
	}
	return s.call(func(ctx context.Context, api *admin.Client) error {
		t, settlement, err := api.DeleteTeam(ctx, team)
		if err != nil {
			return withHint(err, "latchkey team list", latchkey.ErrNotFound, latchkey.ErrOutcomeUnknown)
		}
		return s.changedTeam(t, settlement, "is deleted: its credentials are refused")
	})
}

// find returns the team that the argument names.
func (c *teamDelete) find(s *session) (found admin.Team, err error) {
	err = s.call(func(ctx context.Context, api *admin.Client) error {
		all, err := api.Teams(ctx)
		if err != nil {
			return err
		}
		for _, t := range all.Teams {
			if t.ID == c.Team || strings.EqualFold(t.Name, c.Team) {
				found = t
				return nil
			}
		}
		return c.hint(latchkey.NotFound("team", c.Team))
	})
	return found, err
}
