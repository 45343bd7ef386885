package main

import (
	"context"
	"io"
	"time"

	"latchkey"
	"latchkey/admin"
)

type auditCmd struct {
	List auditList `cmd:"" help:"List who did what to teams, credentials and users, newest first."`
}

type auditList struct {
	Team  string `placeholder:"TEAM" help:"Only this team's: a name, or an ID, also of a deleted team."`
	Since since  `placeholder:"TIME" help:"Only what was done since then: a length of time such as 24h or 7d, a day such as 2026-05-01 (UTC), or a moment (RFC 3339)."`
	Limit int    `default:"100" placeholder:"N" help:"At most so many (1–1000). Default: ${default}."`
}

// Validate refuses what selects nothing, before anything is opened.
func (c *auditList) Validate() error {
	if c.Limit < 1 || c.Limit > maxListed {
		return usageError("--limit must be between 1 and %d", maxListed)
	}
	return nil
}

// Run lists events.
func (c *auditList) Run(s *session) error {
	return s.call(func(ctx context.Context, api *admin.Client) error {
		all, err := api.Events(ctx, admin.EventFilter{Team: c.Team, Since: c.Since.from(time.Now()), Limit: c.Limit})
		if err != nil {
			return withHint(err, "latchkey team list", latchkey.ErrNotFound)
		}
		if len(all.Events) == 0 {
			s.remark("There are no such events.")
		}
		err = s.show(all, func(w io.Writer) {
			var rows [][]string
			for _, e := range all.Events {
				rows = append(rows, []string{at(e.Time), string(e.Action), dash(e.TeamID), dash(e.Subject), e.Actor, dash(e.Source), dash(e.Detail)})
			}
			if len(rows) > 0 {
				table(w, []string{"TIME", "ACTION", "TEAM", "SUBJECT", "BY", "FROM", "DETAIL"}, rows)
			}
		})
		if err == nil && all.More {
			s.remark("There are more: raise --limit (at most %d), or say since when.", maxListed)
		}
		return err
	})
}
