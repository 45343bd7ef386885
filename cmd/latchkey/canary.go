package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"latchkey"
	"latchkey/admin"
)

const (
	// canaryTime bounds what a canary does after an interrupt: it takes its team away.
	canaryTime = 2 * time.Minute
	// canaryPrefix begins the names of canaries' teams.
	canaryPrefix = "canary-"
	// leftoverAge is how old a team is that a canary has probably left behind.
	leftoverAge = time.Hour
)

type canaryCmd struct {
	Rolls    int           `default:"20" placeholder:"N" help:"How often to roll (1–100000). Default: ${default}."`
	Interval time.Duration `default:"0s" placeholder:"DURATION" help:"How long to wait between rolls. Default: not at all."`
	Path     string        `default:"/v1/contacts" placeholder:"PATH" help:"What to ask each node for, by GET; of what latchkey answers, every status but 401 and 503 says that the key was accepted. Default: ${default}."`
}

// Help says more.
func (*canaryCmd) Help() string {
	return `Makes a team of its own, rolls its key again and again, and meanwhile asks every node, at the address that it advertises, whether it accepts the old key and the new one. The record of a first answer says whether it was that node. It can be run in production: about a hundred requests a second go to each node, their records stay, and the team is deleted at the end. A canary that is killed cannot do that: the next one names teams that were left so.

A stale accept is an old key that was accepted by a request that began after the roll had returned. A wrong refusal is a new key that was refused by such a request. Both are 0, or latchkey does not hold what it promises. An answer without a request ID is not latchkey's, but of something in front of it, and counts as none. A node of which the roll said that it may go by the old state for a while (--stale-ok) is excused for that time.

Exit codes: 0 none of them was seen; 1 one was, or the canary could not do its work.`
}

// Validate refuses what makes no sense, before a team is made.
func (c *canaryCmd) Validate() error {
	if c.Rolls < 1 || c.Rolls > 100_000 {
		return usageError("--rolls must be between 1 and 100000")
	}
	if c.Interval < 0 {
		return usageError("--interval cannot be negative")
	}
	if !strings.HasPrefix(c.Path, "/") {
		return usageError("--path must begin with /")
	}
	if _, err := url.Parse("http://node" + c.Path); err != nil {
		return usageError("--path is none that a URL can have")
	}
	return nil
}

// Run rolls, verifies and reports.
func (c *canaryCmd) Run(s *session) error {
	var result *canaryResult
	err := s.call(func(ctx context.Context, api *admin.Client) error {
		all, err := api.Nodes(ctx)
		if err == nil {
			err = unlisted(all)
		}
		if err != nil {
			return err
		}
		nodes, lost := nodesOf(all.Nodes)
		for _, n := range lost {
			s.remark("%s is no node, but stands for those that a failover of the database may have lost: they are not asked.", plain(n.Name))
		}
		targets, silent, err := targetsOf(nodes)
		if err != nil {
			return &hintedError{err, "latchkey node list"}
		}
		for _, name := range silent {
			s.remark("%s advertises no address: it is not asked (give it one with --advertise).", plain(name))
		}
		if len(targets) == 0 {
			return &hintedError{errors.New("no node has an address at which it could be asked"), "latchkey node list"}
		}
		if err := leftovers(ctx, s, api, time.Now()); err != nil {
			return err
		}
		run := &canary{path: c.Path, targets: targets}
		if err := run.identify(ctx, api.Request); err != nil {
			return &hintedError{err, "latchkey node list"}
		}
		result, err = c.run(ctx, s, api, run)
		return err
	})
	if result == nil || len(result.took) == 0 {
		return err
	}
	if shown := s.show(result.summary(), func(w io.Writer) { result.describe(w) }); shown != nil {
		return errors.Join(err, shown)
	}
	return errors.Join(err, result.verdict())
}

// run makes the team, and takes it away whatever happens.
func (c *canaryCmd) run(ctx context.Context, s *session, api *admin.Client, run *canary) (result *canaryResult, err error) {
	name := canaryPrefix + strings.ToLower(rand.Text()[:12])
	made, _, err := api.CreateTeam(ctx, name)
	if err != nil {
		return nil, withdraw(ctx, s, api, name, err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), canaryTime)
		defer cancel()
		if _, _, gone := api.DeleteTeam(ctx, made.Team.ID); gone != nil {
			// Not wrapped: the server that went away must not make the canary begin anew.
			err = errors.Join(err, fmt.Errorf("the team %s could not be deleted: %v (%s)", name, gone, s.command("latchkey team delete "+made.Team.ID)))
		}
	}()
	s.remark("Rolling the key of team %s %d times, and asking %s. Interrupt to end it early.", name, c.Rolls, list(run.names()))
	roll := func(ctx context.Context) (string, admin.Settlement, error) {
		key, settlement, err := api.RollKey(ctx, made.Team.ID, 0)
		return key.APIKey, settlement, err
	}
	result, err = run.run(ctx, made.APIKey, c.Rolls, c.Interval, roll)
	if err != nil {
		err = fmt.Errorf("after %d of %d rolls: %v", len(result.took), c.Rolls, err)
	}
	return result, err
}

// withdraw is for a team of which nobody knows whether it was made: it may be
// there, with a key that is alive.
func withdraw(ctx context.Context, s *session, api *admin.Client, name string, err error) error {
	if !errors.Is(err, latchkey.ErrOutcomeUnknown) {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), canaryTime)
	defer cancel()
	_, _, gone := api.DeleteTeam(ctx, name)
	switch {
	case gone == nil:
		return fmt.Errorf("the team %s was made, and is deleted again: %v", name, err) // nothing is unknown any more
	case errors.Is(gone, latchkey.ErrNotFound):
		return fmt.Errorf("the team %s is not there, and may yet come: %w (%s)", name, err, s.command("latchkey team delete "+name))
	}
	return fmt.Errorf("the team %s may have been made, and could not be deleted: %v: %w (%s)", name, gone, err, s.command("latchkey team delete "+name))
}

// canaryTeam is what a canary's team is called.
var canaryTeam = regexp.MustCompile(`^` + canaryPrefix + `[a-z2-7]{12}$`)

// leftovers names the teams of canaries that were killed. They are not deleted
// here: one may be of a canary that takes its time.
func leftovers(ctx context.Context, s *session, api *admin.Client, now time.Time) error {
	all, err := api.Teams(ctx)
	if err != nil {
		return err
	}
	for _, t := range all.Teams {
		if canaryTeam.MatchString(t.Name) && now.Sub(t.Created) > leftoverAge {
			s.warn("The team %s of an earlier canary is there since %s, and its key is alive. If that canary runs no more: %s",
				t.Name, at(t.Created), s.command("latchkey team delete "+t.Name))
		}
	}
	return nil
}

// describe writes the result for people.
func (r *canaryResult) describe(w io.Writer) {
	sum := r.summary()
	ms := sum.RollMS
	fields(w,
		[2]string{"Rolls", strconv.Itoa(sum.Rolls)},
		[2]string{"Roll time", fmt.Sprintf("min %s, p50 %s, p90 %s, p99 %s, max %s ms",
			milliseconds(ms.Min), milliseconds(ms.P50), milliseconds(ms.P90), milliseconds(ms.P99), milliseconds(ms.Max))},
		[2]string{"Not confirmed", counted(sum.NotConfirmed, "by a node that may answer after its lease (--stale-ok)")},
		[2]string{"Waited out", counted(sum.Lapsed, "the lease of a node that was not heard from")},
		[2]string{"Requests", strconv.Itoa(sum.Verifies)},
		[2]string{"Stale accepts", strconv.Itoa(sum.StaleAccepts)},
		[2]string{"Wrong refusals", strconv.Itoa(sum.WrongRefusals)},
		[2]string{"Excused", counted(sum.Excused, "by a node that may answer after its lease, as the roll had said")},
		[2]string{"Unavailable", strconv.Itoa(sum.Unavailable)},
		[2]string{"Unreachable", strconv.Itoa(sum.Unreachable)},
		[2]string{"Not latchkey's", counted(sum.Foreign, "answers without a request ID, from something in front of a node: none is a verdict")},
	)
	fmt.Fprintln(w)
	var rows [][]string
	for _, n := range sum.Nodes {
		rows = append(rows, []string{n.Node, n.Address, strconv.Itoa(n.Verifies), strconv.Itoa(n.StaleAccepts),
			strconv.Itoa(n.WrongRefusals), strconv.Itoa(n.Unavailable), strconv.Itoa(n.Unreachable)})
	}
	table(w, []string{"NODE", "ADDRESS", "REQUESTS", "STALE ACCEPTS", "WRONG REFUSALS", "UNAVAILABLE", "UNREACHABLE"}, rows)
	for _, n := range sum.Nodes {
		if n.Failure != "" {
			fmt.Fprintf(w, "%s: %s\n", plain(n.Node), plain(n.Failure))
		} else if !n.Identified {
			fmt.Fprintf(w, "%s: no record says whether it was this node that answered at %s\n", plain(n.Node), plain(n.Address))
		}
	}
}

// counted is a number and what it is of; "" for none.
func counted(n int, what string) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%d, %s", n, what)
}
