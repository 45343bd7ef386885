package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"golang.org/x/term"

	"latchkey"
	"latchkey/admin"
)

type nodeCmd struct {
	List nodeList `cmd:"" help:"List the nodes, and how they stand."`
}

type nodeList struct{}

// Run lists the nodes.
func (c *nodeList) Run(s *session) error {
	return s.call(func(ctx context.Context, api *admin.Client) error {
		all, err := api.Nodes(ctx)
		if err != nil {
			return err
		}
		if len(all.Nodes) == 0 {
			s.remark("There are no nodes: no server is running.")
		}
		for _, n := range all.Nodes {
			if n.State == admin.NodeLost {
				s.remark("%s is no node: the database failed over, and may have lost some; changes wait as if they were there, until it is removed.", plain(n.Name))
			}
			if n.Alarm != "" {
				s.remark("%s: %s (if what the database holds now is right, say so: %s)", plain(n.Name), plain(n.Alarm), s.command("latchkey database accept"))
			}
		}
		shown := s.show(all, func(w io.Writer) {
			var rows [][]string
			for _, n := range all.Nodes {
				rows = append(rows, []string{n.Name, dash(n.Address), n.Version, strconv.FormatInt(n.Revision, 10), n.State, leaseOf(n)})
			}
			if len(rows) > 0 {
				table(w, []string{"NODE", "ADDRESS", "VERSION", "REVISION", "STATE", "LEASE"}, rows)
			}
		})
		return errors.Join(shown, unlisted(all))
	})
}

// unlisted is an error if the nodes could not be read, but for the one that was asked.
func unlisted(all admin.Nodes) error {
	if all.Failure == "" {
		return nil
	}
	return fmt.Errorf("only the node that was asked is known, and not the others: %s", all.Failure)
}

// leaseOf says what is left of a node's lease, in words.
func leaseOf(n admin.Node) string {
	if n.LeaseMS == 0 {
		return "without end"
	}
	length, stale := seconds(n.LeaseMS), ""
	if n.StaleOKMS > 0 {
		stale = ", then " + seconds(n.StaleOKMS) + " stale"
	}
	switch {
	case n.State == admin.NodeLost:
		return "up to " + length + stale
	case n.State == admin.NodeStarting:
		return "none yet, of " + length + stale
	case n.RemainingMS > 0:
		return seconds(n.RemainingMS) + " of " + length + stale
	case n.State == admin.NodeStale:
		return "over; " + seconds(n.StaleMS) + " of " + seconds(n.StaleOKMS) + " stale"
	case n.Renewed != nil:
		return "renewed " + at(*n.Renewed) + ", for " + length + stale
	}
	return "over, of " + length + stale
}

// seconds writes milliseconds as seconds, to the tenth.
func seconds(ms int64) string {
	return strconv.FormatFloat((time.Duration(ms)*time.Millisecond).Seconds(), 'f', 1, 64) + " s"
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

type databaseCmd struct {
	Accept databaseAccept `cmd:"" help:"Say that what a restored or promoted database holds is right."`
}

type databaseAccept struct {
	Yes bool `help:"Do not ask. Nothing is asked where standard input is not a terminal."`
}

// Help says more.
func (*databaseAccept) Help() string {
	return `When a backup was restored, or a standby promoted that had fallen behind, the database does not have all that its nodes have applied: they answer "unavailable" until a person has looked. What was rolled or revoked in the part that is lost is alive again: roll it again. This command makes all nodes go by what the database holds now.`
}

// Run accepts the database's history.
func (c *databaseAccept) Run(s *session) error {
	if !c.Yes && term.IsTerminal(int(s.stdin.Fd())) {
		if err := s.confirm("All nodes will go by what the database holds now. Keys that were rolled in the part that it lost are alive again.", "accept"); err != nil {
			return err
		}
	}
	return s.call(func(ctx context.Context, api *admin.Client) error {
		accepted, err := api.AcceptHistory(ctx)
		if err != nil {
			return withHint(err, "latchkey node list", latchkey.ErrOutcomeUnknown)
		}
		return s.show(accepted, func(w io.Writer) {
			fmt.Fprintf(w, "The history of the database %s is accepted.\n", plain(accepted.Database))
		})
	})
}
