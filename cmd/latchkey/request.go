package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"latchkey"
	"latchkey/admin"
	"latchkey/journal"
)

type requestCmd struct {
	Show   requestShow   `cmd:"" help:"Tell what became of a request, by its X-Request-Id."`
	List   requestList   `cmd:"" help:"List requests, newest first."`
	Export requestExport `cmd:"" help:"Write the records of a time as lines of JSON, newest first."`
}

type requestShow struct {
	ID []string `arg:"" placeholder:"ID" help:"The request's ID, as it was pasted: in any case, with spaces or the header's name."`
}

// Run shows a record.
func (c *requestShow) Run(s *session) error {
	return s.call(func(ctx context.Context, api *admin.Client) error {
		pasted := strings.Join(c.ID, " ")
		r, err := api.Request(ctx, pasted)
		if err != nil {
			hint := "latchkey request list"
			if id, parseErr := latchkey.ParseRequestID(pasted); parseErr == nil && uuid.MustParse(id).Version() != 7 {
				hint += " --client-id " + id // it may be the caller's own
			}
			return withHint(err, hint, latchkey.ErrNotFound)
		}
		return s.show(r, func(w io.Writer) { describeRequest(w, r) })
	})
}

func describeRequest(w io.Writer, r latchkey.Record) {
	credential := r.CredentialID
	if credential != "" && r.Auth != latchkey.MethodNone {
		credential += " (" + string(r.Auth) + ")"
	} else if r.Auth != latchkey.MethodNone {
		credential = "unknown (" + string(r.Auth) + ")"
	}
	body, took := fmt.Sprintf("%d bytes in, %d bytes out", r.BytesIn, r.BytesOut), milliseconds(float64(r.DurationUS)/1000)+" ms on "+r.Node
	if r.Open {
		body, took = "", "not ended yet, on "+r.Node
	}
	fields(w,
		[2]string{"Request", r.RequestID},
		[2]string{"Time", r.Time.UTC().Format("2006-01-02T15:04:05.000000Z")},
		[2]string{"Outcome", fmt.Sprintf("%s (%s), status %d", r.Outcome, r.Reason, r.Status)},
		[2]string{"Diagnosis", diagnosisOf(r)},
		[2]string{"Team", r.TeamID},
		[2]string{"Credential", credential},
		[2]string{"Asked for", strings.TrimSpace(r.Method + " " + r.Path)},
		[2]string{"Host", r.Host},
		[2]string{"From", r.ClientIP},
		[2]string{"User agent", r.UserAgent},
		[2]string{"Caller's ID", r.ClientRequestID},
		[2]string{"Trace", r.TraceID},
		[2]string{"Body", body},
		[2]string{"Took", took},
	)
}

// diagnosisOf is the record's own diagnosis or, where it has none, what its
// reason means.
func diagnosisOf(r latchkey.Record) string {
	if r.Diagnosis != "" || r.Reason == "" || r.Reason == latchkey.ReasonOK {
		return r.Diagnosis
	}
	what, mend := r.Reason.Words()
	return strings.TrimSpace(what + " " + mend)
}

// A requestFilter is the flags that select records.
type requestFilter struct {
	Team       string           `placeholder:"TEAM" help:"Only this team's: a name, or an ID, also of a deleted team."`
	Credential string           `placeholder:"ID" help:"Only those that this credential was sent with: key_…, an API Secret ID, or the unknown_… of one that nobody has."`
	Status     int              `placeholder:"STATUS" help:"Only those answered with this HTTP status."`
	Outcome    latchkey.Outcome `placeholder:"OUTCOME" help:"Only this outcome: accepted, denied, unavailable or error."`
	Method     string           `placeholder:"VERB" help:"Only this HTTP method, in any case."`
	IP         string           `name:"ip" placeholder:"ADDRESS" help:"Only those from this address."`
	Path       string           `placeholder:"TEXT" help:"Only those with this text in their path."`
	ClientID   string           `name:"client-id" placeholder:"ID" help:"Only those with this X-Request-Id of the caller's own."`
	Trace      string           `placeholder:"ID" help:"Only those of this trace: 32 hexadecimal characters."`
	Since      since            `placeholder:"TIME" help:"Only those since then: a length of time such as 24h or 7d, a day such as 2026-05-01 (UTC), or a moment (RFC 3339)."`
	Until      since            `placeholder:"TIME" help:"Only those before then, likewise."`
}

// maxListed is the largest --limit.
const maxListed = 1000

type requestList struct {
	requestFilter
	Limit int `default:"100" placeholder:"N" help:"At most so many (1–1000). Default: ${default}."`
}

// filter is what the flags say, at a moment.
func (c *requestFilter) filter(now time.Time) admin.RequestFilter {
	return admin.RequestFilter{
		Team: c.Team, Credential: c.Credential, Status: c.Status, Outcome: c.Outcome, Method: strings.ToUpper(c.Method), ClientIP: c.IP,
		Path: c.Path, ClientRequestID: c.ClientID, TraceID: c.Trace, Since: c.Since.from(now), Until: c.Until.from(now),
	}
}

// Validate refuses what selects nothing, before anything is opened.
func (c *requestList) Validate() error {
	if c.Limit < 1 || c.Limit > maxListed {
		return usageError("--limit must be between 1 and %d", maxListed)
	}
	return c.requestFilter.check()
}

// hint adds where the names are that the flags may have wrong.
func (c *requestFilter) hint(err error) error {
	if c.Team == "" {
		return withHint(err, "latchkey request list", latchkey.ErrNotFound)
	}
	return withHint(err, "latchkey team list", latchkey.ErrNotFound)
}

func (c *requestFilter) check() error {
	// 32 letters and digits may be an ID that was imported.
	if credential := latchkey.CredentialIn(c.Credential); credential != "" && len(c.Credential) != 32 {
		return usageError("--credential is %s: give its ID (an API Secret ID, key_… or unknown_…), as latchkey request show tells it", credential)
	}
	if c.Status != 0 && (c.Status < 100 || c.Status > 599) {
		return usageError("--status must be between 100 and 599")
	}
	now := time.Now()
	if from, to := c.Since.from(now), c.Until.from(now); from != nil && to != nil && !from.Before(*to) {
		return usageError("--until is not after --since: no time is between them")
	}
	switch c.Outcome {
	case "", latchkey.OutcomeAccepted, latchkey.OutcomeDenied, latchkey.OutcomeUnavailable, latchkey.OutcomeError:
		return nil
	}
	return usageError("--outcome must be accepted, denied, unavailable or error")
}

// Run lists records.
func (c *requestList) Run(s *session) error {
	return s.call(func(ctx context.Context, api *admin.Client) error {
		filter := c.filter(time.Now())
		filter.Limit = c.Limit
		all, err := api.Requests(ctx, filter)
		if err != nil {
			return c.hint(err)
		}
		for _, why := range all.Missing {
			s.remark("%s", why)
		}
		if len(all.Requests) == 0 {
			s.remark("There are no such requests.")
		}
		err = s.show(all, func(w io.Writer) {
			var rows [][]string
			for _, r := range all.Requests {
				rows = append(rows, []string{at(r.Time), r.RequestID, strconv.Itoa(r.Status), string(r.Outcome),
					string(r.Reason), dash(r.ClientIP), dash(strings.TrimSpace(r.Method + " " + r.Path))})
			}
			if len(rows) > 0 {
				table(w, []string{"TIME", "REQUEST ID", "STATUS", "OUTCOME", "REASON", "FROM", "REQUEST"}, rows)
			}
		})
		if err == nil && all.More {
			s.remark("There are more: raise --limit (at most %d), or use latchkey request export.", maxListed)
		}
		return err
	})
}

// maxLacking is how many reasons are said why requests may be missing.
const maxLacking = 10

// lacking says why requests between two moments may be missing in a list.
func (n *node) lacking(ctx context.Context, from, to time.Time) ([]string, error) {
	find := journal.Reader{Store: n.store, HandIns: n.leases}.Lacking
	if n.journal != nil {
		find = n.journal.Lacking
	}
	gaps, nodes, err := find(ctx, from, to)
	if err != nil {
		return nil, fmt.Errorf("find out what is missing: %w", err)
	}
	var list []string
	for _, h := range nodes {
		list = append(list, fmt.Sprintf("Some may yet come: %s has handed in nothing since %s.", h.Node, at(h.Until)))
	}
	for _, g := range gaps {
		list = append(list, "Some may be missing: "+g.String()+".")
	}
	if more := len(list) - maxLacking; more > 0 {
		list = append(list[:maxLacking], fmt.Sprintf("Some may be missing for %d more reasons: ask for a shorter time.", more))
	}
	return list, nil
}
