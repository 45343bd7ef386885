package console

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"latchkey"
)

const (
	pageRows   = 50              // of a list
	searchTime = 5 * time.Second // for one list
)

// A requestsPage looks a request up by its ID, and lists others.
type requestsPage struct {
	Support bool
	Asked   string // what was put into the box, when it is no ID
	Filter  filter
	Choices choices
	Rows    []requestRow
	Older   string   // the way to the next page
	Newest  string   // the way back to the first
	Slow    bool     // the search was given up
	Lacking []string // why some may be missing
	Error   string
}

type choices struct {
	Outcomes []choice
	Methods  []choice
	Since    []choice
	Teams    []choice
}

type choice struct {
	Value, Name string
	Chosen      bool
}

// A requestRow is one request in a list.
type requestRow struct {
	ID, Asked, From, Took, Team string
	Status                      int
	Outcome                     latchkey.Outcome
	Reason                      latchkey.Reason
	When                        moment
}

var sinceTimes = map[string]time.Duration{"1h": time.Hour, "24h": 24 * time.Hour, "7d": 7 * 24 * time.Hour, "30d": 30 * 24 * time.Hour}

func (v *visit) requests() (answer, error) {
	q := v.r.URL.Query()
	if asked := q.Get("id"); strings.TrimSpace(asked) != "" {
		if id, err := latchkey.ParseRequestID(asked); err == nil {
			return answer{location: onePath + id}, nil
		}
		p, err := v.requestsPage(url.Values{})
		p.Asked = cut(200, asked)
		p.Error = "This is no request ID. It looks like 0198c5e2-7d3a-7b61-9f0e-3c1d5a8b2e47, and stands in the X-Request-Id header of every response."
		return answer{status: http.StatusUnprocessableEntity, page: "requests", title: "Requests", data: p}, err
	}
	p, err := v.requestsPage(q)
	if err == nil && v.user.Role == latchkey.RoleSupport {
		err = v.note(latchkey.ActionLookup, p.teamID(), "", "listed requests")
	}
	return answer{page: "requests", title: "Requests", data: p}, err
}

func (p *requestsPage) teamID() string { return p.Filter.Team }

func (v *visit) requestsPage(q url.Values) (requestsPage, error) {
	p := requestsPage{Support: v.user.Role == latchkey.RoleSupport}
	p.Filter = filterOf(q, p.Support)
	teams, err := v.teamNames(p.Support)
	if err != nil {
		return p, err
	}
	p.Choices = p.choices(teams)
	query, problem := p.Filter.query(v.now())
	if problem != "" {
		p.Error = problem
		return p, nil
	}
	if !p.Support {
		query.TeamID = v.user.TeamID
	}
	if before, err := latchkey.ParseRequestID(q.Get("before")); err == nil {
		query.Before = before
		p.Newest = p.Filter.path("")
	}
	return p, v.list(&p, query, teams)
}

// list fills in the rows.
func (v *visit) list(p *requestsPage, query latchkey.RecordQuery, teams map[string]string) error {
	ctx, cancel := context.WithTimeout(v.ctx(), searchTime)
	defer cancel()
	records, err := v.Records.Records(ctx, query)
	if err != nil && ctx.Err() != nil && v.ctx().Err() == nil {
		p.Slow = true
		return nil
	}
	if err != nil {
		return err
	}
	if len(records) > pageRows {
		records = records[:pageRows]
		p.Older = p.Filter.path(records[pageRows-1].RequestID)
	}
	for i := range records {
		r := &records[i]
		p.Rows = append(p.Rows, requestRow{
			ID: r.RequestID, Asked: askedWords(r, 100), From: cut(45, r.ClientIP),
			Took: tookWords(r), Team: teamName(teams, r.TeamID), Status: r.Status, Outcome: r.Outcome,
			Reason: r.Reason, When: v.moment(r.Time),
		})
	}
	from, to := listed(&query, v.now())
	if p.Older != "" && records[pageRows-1].Time.After(from) {
		from = records[pageRows-1].Time
	}
	p.Lacking = v.lacking(ctx, from, to)
	return nil
}

func (p *requestsPage) choices(teams map[string]string) choices {
	c := choices{Outcomes: []choice{{Name: "Any outcome"}}, Methods: []choice{{Name: "Any method"}}}
	for _, o := range outcomes {
		c.Outcomes = append(c.Outcomes, choice{Value: string(o.outcome), Name: o.name})
	}
	for _, m := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"} {
		c.Methods = append(c.Methods, choice{Value: m, Name: m})
	}
	c.Since = []choice{{Value: "1h", Name: "Last hour"}, {Value: "24h", Name: "Last 24 hours"}, {Value: "7d", Name: "Last 7 days"}, {Value: "30d", Name: "Last 30 days"}}
	if p.Support {
		c.Teams = []choice{{Name: "All teams"}}
		for id, name := range teams {
			c.Teams = append(c.Teams, choice{Value: id, Name: name})
		}
		sortChoices(c.Teams[1:])
	}
	choose(c.Outcomes, p.Filter.Outcome)
	choose(c.Methods, p.Filter.Method)
	choose(c.Since, p.Filter.Since)
	choose(c.Teams, p.Filter.Team)
	return c
}

// teamNames are the names by ID, for those who see more than one team.
func (v *visit) teamNames(all bool) (map[string]string, error) {
	if !all {
		return map[string]string{v.holding.Team.ID: v.holding.Team.Name}, nil
	}
	list, err := v.Keyring.Store.Teams(v.ctx())
	names := make(map[string]string, len(list))
	for _, t := range list {
		names[t.ID] = t.Name
	}
	return names, err
}

func teamName(names map[string]string, id string) string {
	if name, ok := names[id]; ok || id == "" {
		return name
	}
	return id // it was deleted
}

// A requestPage is all that is known of one request.
type requestPage struct {
	latchkey.Record
	When       moment
	Asked      string // the method and the path
	ShownAgent string
	How        string
	Credential string // its ID
	Took       string
	Received   string
	Sent       string
	Team       string
	Support    bool
	What       string // the diagnosis, or the reason in words
	Mend       string
	Verdict    string
}

// A missingPage says that there is no such request, or none that one may see; or
// that nobody can say so.
type missingPage struct {
	ID     string
	Title  string
	Unsure bool
	Why    string
}

func (v *visit) request() (answer, error) {
	id, err := latchkey.ParseRequestID(strings.TrimPrefix(v.r.URL.Path, onePath))
	if err != nil {
		return answer{}, latchkey.NotFound("request", "")
	}
	r, err := v.Records.Record(v.ctx(), id)
	support := v.user.Role == latchkey.RoleSupport
	if !support && (errors.Is(err, latchkey.ErrNotFound) || err == nil && r.TeamID != v.user.TeamID) {
		// One answer for both: none may tell whether another team's request is there.
		if err = latchkey.ErrNotFound; v.Missing != nil {
			err = cmp.Or(v.Missing(v.ctx(), id), err)
		}
	}
	switch {
	case errors.Is(err, latchkey.ErrNotFound):
		p := v.missing(id, err)
		return answer{status: http.StatusNotFound, page: "missing", title: p.Title, data: p}, nil
	case err != nil:
		return answer{}, err
	case support:
		if err := v.note(latchkey.ActionLookup, r.TeamID, id, ""); err != nil {
			return answer{}, err
		}
	}
	teams, err := v.teamNames(support)
	if err != nil {
		return answer{}, err
	}
	what, mend := r.Reason.Words()
	p := requestPage{
		Record: r, When: v.moment(r.Time), Asked: askedWords(&r, 2000), ShownAgent: cut(1000, r.UserAgent),
		How: methodWords(r.Auth), Credential: credentialWords(&r), Took: tookWords(&r), Received: count(r.BytesIn, "byte"), Sent: count(r.BytesOut, "byte"),
		Team: teamName(teams, r.TeamID), Support: support, Verdict: verdictWords(&r),
	}
	switch {
	case r.Diagnosis != "": // it says how to mend it, too
		p.What = cut(1000, r.Diagnosis)
	case r.Outcome != latchkey.OutcomeAccepted || r.Reason != latchkey.ReasonOK:
		p.What, p.Mend = cmp.Or(failureWords(r.Reason), what), mend
	}
	return answer{page: "request", title: "Request", data: p}, nil
}

// missing says why a request may not be found. What nodes are called, and how
// much was lost, is for support.
func (v *visit) missing(id string, err error) missingPage {
	var notKept *latchkey.NotKeptError
	var waiting *latchkey.NotHandedInError
	support := v.user.Role == latchkey.RoleSupport
	p := missingPage{ID: id, Unsure: true}
	switch {
	case errors.As(err, &notKept):
		p.Title, p.Why = "Not recorded", "Some requests of that time could not be recorded. This may be one of them."
		if support {
			p.Why = "It may have been there all the same: " + notKept.Gap.String() + "."
		}
	case errors.As(err, &waiting):
		p.Title, p.Why = "Not here yet", "Some requests of that time are still to be handed in. This may be one of them: look again later."
		if support {
			p.Why = "It may yet come. " + handInWords(waiting)
		}
	default:
		return missingPage{ID: id, Title: "No such request", Why: keepWords(v.Keep)}
	}
	return p
}

// keepWords says how long records are kept, and how many.
func keepWords(r latchkey.Retention) string {
	size := strconv.FormatFloat(float64(r.Bytes)/1e9, 'g', 4, 64) + " GB"
	switch {
	case r.Age > 0 && r.Bytes > 0:
		return "Records are kept for " + span(r.Age) + ", and up to " + size + ": the oldest go first."
	case r.Age > 0:
		return "Records are kept for " + span(r.Age) + "."
	case r.Bytes > 0:
		return "Records are kept up to " + size + ": the oldest go first."
	}
	return "Records are kept without limit on this server."
}

// handInWords says which nodes are waited for, and since when.
func handInWords(e *latchkey.NotHandedInError) string {
	var nodes []string
	for _, h := range e.Nodes {
		nodes = append(nodes, fmt.Sprintf("%s (nothing since %s)", cut(100, h.Node), h.Until.UTC().Format("2006-01-02 15:04:05 UTC")))
	}
	return "These nodes have not handed in their records: " + strings.Join(nodes, ", ") + "."
}

// tookWords says how long a response took, if it has ended.
func tookWords(r *latchkey.Record) string {
	if r.Open {
		return "not ended yet"
	}
	return microseconds(r.DurationUS)
}
