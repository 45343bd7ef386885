package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"latchkey"
	"latchkey/admin"
)

type keyCmd struct {
	Show   keyShow   `cmd:"" help:"Print a team's API key."`
	Roll   keyRoll   `cmd:"" help:"Give a team a new API key, and end the old one."`
	Retire keyRetire `cmd:"" help:"End the old key of a roll with --overlap before its time."`
	Import keyImport `cmd:"" help:"Make a key from elsewhere, read from standard input, a team's API key."`
}

// showKey prints an API key alone on a line.
func (s *session) showKey(answer any, key string) error {
	return s.show(answer, func(w io.Writer) { fmt.Fprintln(w, key) })
}

type keyShow struct{ teamArg }

// Run shows an API key.
func (c *keyShow) Run(s *session) error {
	return s.call(func(ctx context.Context, api *admin.Client) error {
		key, err := api.Key(ctx, c.Team)
		if err != nil {
			return c.hint(err)
		}
		if err := s.showKey(key, key.APIKey); err != nil {
			return err
		}
		s.remark("The API key of team %s since %s.", plain(key.Team.Name), at(key.RolledAt))
		if key.OldKeyUntil != nil {
			s.remark("The old key is accepted too, until %s (end it now: %s).", at(*key.OldKeyUntil), s.command("latchkey key retire "+word(key.Team.Name)))
		}
		if key.Team.Disabled {
			s.remark("The team is disabled: the key is refused (latchkey team enable %s).", word(key.Team.Name))
		}
		return nil
	})
}

type keyRoll struct {
	teamArg
	Overlap span `placeholder:"DURATION" help:"Keep the old key alive for so long, at most 24h, give or take a second. Default: it ends at once."`
}

// Validate refuses an overlap that the server would refuse.
func (c *keyRoll) Validate() error {
	if time.Duration(c.Overlap) > latchkey.MaxOverlap {
		return usageError("--overlap must be between 0 and 24h")
	}
	return nil
}

// Run rolls an API key.
func (c *keyRoll) Run(s *session) error {
	return s.call(func(ctx context.Context, api *admin.Client) error {
		overlap := time.Duration(c.Overlap)
		key, settlement, err := api.RollKey(ctx, c.Team, overlap)
		if err != nil {
			return c.hint(err)
		}
		if err := s.showKey(key, key.APIKey); err != nil {
			return withKeyHint(err, key.Team)
		}
		if overlap > 0 {
			s.remark("The new API key of team %s. The old one is accepted until %s (end it now: %s).",
				plain(key.Team.Name), at(key.RolledAt.Add(overlap)), s.command("latchkey key retire "+word(key.Team.Name)))
		} else {
			s.remark("The new API key of team %s. The old one is refused.", plain(key.Team.Name))
		}
		s.superseded(key)
		return s.settled(settlement)
	})
}

// superseded says so if a key is not the current one any more.
func (s *session) superseded(key admin.RolledKey) {
	if key.Superseded {
		s.remark("This key is not the current one any more: another change came after it. See: %s.",
			s.command("latchkey key show "+word(key.Team.Name)))
	}
}

// withKeyHint says where the key is found that could not be printed.
func withKeyHint(err error, team admin.Team) error {
	return &hintedError{err, "latchkey key show " + word(team.Name)}
}

type keyRetire struct{ teamArg }

// Run ends an overlap.
func (c *keyRetire) Run(s *session) error {
	return s.call(func(ctx context.Context, api *admin.Client) error {
		retired, settlement, err := api.RetireKey(ctx, c.Team)
		if err != nil {
			return c.hint(err)
		}
		if err := s.show(retired, func(io.Writer) {}); err != nil {
			return err
		}
		s.remark("The old API key of team %s is refused.", plain(retired.Team.Name))
		return s.settled(settlement)
	})
}

type keyImport struct{ teamArg }

// Run imports an API key.
func (c *keyImport) Run(s *session) error {
	value, err := s.readSecret("API key")
	if err != nil {
		return err
	}
	return s.call(func(ctx context.Context, api *admin.Client) error {
		key, settlement, err := api.ImportKey(ctx, c.Team, value)
		if err != nil {
			return c.hint(err)
		}
		err = s.show(key, func(w io.Writer) {
			fmt.Fprintf(w, "Team %s has the imported API key. The one before it is refused.\n", plain(key.Team.Name))
		})
		if err != nil {
			return err
		}
		s.superseded(key)
		return s.settled(settlement)
	})
}
