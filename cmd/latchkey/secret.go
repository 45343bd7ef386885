package main

import (
	"context"
	"fmt"
	"io"

	"latchkey"
	"latchkey/admin"
)

type secretCmd struct {
	Create secretCreate `cmd:"" help:"Give a team another API secret (at most two live at a time)."`
	Import secretImport `cmd:"" help:"Give a team an API secret from elsewhere, its key read from standard input."`
	List   secretList   `cmd:"" help:"List a team's API secrets, without their keys."`
	Revoke secretRevoke `cmd:"" help:"End an API secret."`
}

// secretHint adds where the secrets are to what hint of the team says.
func (a teamArg) secretHint(err error) error {
	err = withHint(err, "latchkey team list", latchkey.ErrNotFound)
	return withHint(err, "latchkey secret list "+word(a.Team), latchkey.ErrConflict, latchkey.ErrOutcomeUnknown)
}

type secretCreate struct{ teamArg }

// Run makes an API secret.
func (c *secretCreate) Run(s *session) error {
	return s.call(func(ctx context.Context, api *admin.Client) error {
		secret, settlement, err := api.CreateSecret(ctx, c.Team)
		if err != nil {
			return c.secretHint(err)
		}
		err = s.show(secret, func(w io.Writer) {
			fields(w, [2]string{"API Secret ID", secret.ID}, [2]string{"API Secret Key", secret.Key})
		})
		if err != nil {
			return &hintedError{err, "latchkey secret revoke " + secret.ID}
		}
		s.remark("The console shows the Secret Key again.")
		return s.settled(settlement)
	})
}

type secretImport struct {
	teamArg
	ID string `required:"" placeholder:"ID" help:"The API Secret ID: visible ASCII without |."`
}

// Run imports an API secret.
func (c *secretImport) Run(s *session) error {
	key, err := s.readSecret("API Secret Key")
	if err != nil {
		return err
	}
	return s.call(func(ctx context.Context, api *admin.Client) error {
		secret, settlement, err := api.ImportSecret(ctx, c.Team, c.ID, key)
		if err != nil {
			return c.secretHint(err)
		}
		err = s.show(secret, func(w io.Writer) {
			fmt.Fprintf(w, "API secret %s is imported: tokens signed with it are accepted.\n", plain(secret.ID))
		})
		if err != nil {
			return err
		}
		return s.settled(settlement)
	})
}

type secretList struct{ teamArg }

// Run lists API secrets.
func (c *secretList) Run(s *session) error {
	return s.call(func(ctx context.Context, api *admin.Client) error {
		all, err := api.Secrets(ctx, c.Team)
		if err != nil {
			return c.secretHint(err)
		}
		if len(all.Secrets) == 0 {
			s.remark("The team has no API secrets. Make one: latchkey secret create %s", word(c.Team))
		}
		return s.show(all, func(w io.Writer) {
			var rows [][]string
			for _, secret := range all.Secrets {
				used := "never"
				if secret.LastUsed != nil {
					used = at(*secret.LastUsed)
				}
				rows = append(rows, []string{secret.ID, at(secret.Created), used})
			}
			if len(rows) > 0 {
				table(w, []string{"ID", "CREATED", "LAST USED"}, rows)
			}
		})
	})
}

type secretRevoke struct {
	ID string `arg:"" placeholder:"ID" help:"The API Secret ID."`
}

// Run revokes an API secret.
func (c *secretRevoke) Run(s *session) error {
	return s.call(func(ctx context.Context, api *admin.Client) error {
		revoked, settlement, err := api.RevokeSecret(ctx, c.ID)
		if err != nil {
			return withHint(err, "latchkey secret list TEAM", latchkey.ErrNotFound, latchkey.ErrOutcomeUnknown)
		}
		err = s.show(revoked, func(w io.Writer) {
			fmt.Fprintf(w, "API secret %s of team %s is revoked: tokens signed with it are refused.\n", plain(revoked.ID), plain(revoked.Team.Name))
		})
		if err != nil {
			return err
		}
		return s.settled(settlement)
	})
}
