package console

import (
	"net/url"
	"strconv"
	"strings"
	"time"

	"latchkey"
)

// A filter is what the list is restricted to, as it was typed.
type filter struct {
	Status, Outcome, Method, Since, Path, Team string
	From, Until                                string // moments in UTC; they go before Since
	Address, Credential, ClientID, Trace       string
}

// byHand is the form of From and Until: what a browser sends of a
// datetime-local, with or without seconds.
var byHand = []string{"2006-01-02T15:04", "2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02 15:04:05", time.DateOnly, time.RFC3339}

// maxFilter is the longest text that is searched for, in bytes.
const maxFilter = 2048

func filterOf(q url.Values, support bool) filter {
	text := func(name string) string { return cut(maxFilter, strings.TrimSpace(q.Get(name))) }
	f := filter{
		Status: text("status"), Outcome: text("outcome"), Method: text("method"), Path: text("path"),
		Since: oneOf(q.Get("since"), "24h", "1h", "7d", "30d"), From: text("from"), Until: text("until"),
		Address: text("address"), Credential: text("credential"), ClientID: text("client"), Trace: text("trace"),
	}
	if support {
		f.Team = text("team")
	}
	return f
}

// More reports whether anything is asked for that is not in the first line of
// the form.
func (f filter) More() bool {
	return f.From+f.Until+f.Address+f.Credential+f.ClientID+f.Trace != ""
}

// query is what the filter selects, or what is wrong with it, in words.
func (f filter) query(now time.Time) (q latchkey.RecordQuery, problem string) {
	q = latchkey.RecordQuery{
		TeamID: f.Team, Outcome: latchkey.Outcome(f.Outcome), Method: f.Method, Path: f.Path, ClientIP: f.Address,
		CredentialID: f.Credential, ClientRequestID: f.ClientID, TraceID: f.Trace,
		Since: now.Add(-sinceTimes[f.Since]), Limit: pageRows + 1,
	}
	if err := q.Normalize(); err != nil {
		return q, "The " + err.Error() + "."
	}
	if f.Status != "" {
		var err error
		if q.Status, err = strconv.Atoi(f.Status); err != nil || q.Status < 100 || q.Status > 599 {
			return q, "A status is a number from 100 to 599."
		}
	}
	for _, bound := range []struct {
		typed string
		to    *time.Time
	}{{f.From, &q.Since}, {f.Until, &q.Until}} {
		if bound.typed == "" {
			continue
		}
		at, ok := readMoment(bound.typed)
		if !ok {
			return q, "A moment is a day, or a day and a time, in UTC: 2026-11-23T14:30."
		}
		*bound.to = at
	}
	if f.Until != "" && f.From == "" && q.Until.Before(q.Since) {
		q.Since = time.Time{}
	}
	return q, ""
}

func readMoment(typed string) (time.Time, bool) {
	for _, form := range byHand {
		if at, err := time.Parse(form, typed); err == nil {
			return at.UTC(), true
		}
	}
	return time.Time{}, false
}

// path is the way to a page of the list.
func (f filter) path(before string) string {
	q := url.Values{}
	for name, value := range map[string]string{
		"status": f.Status, "outcome": f.Outcome, "method": f.Method, "path": f.Path, "since": f.Since, "team": f.Team,
		"from": f.From, "until": f.Until, "address": f.Address, "credential": f.Credential, "client": f.ClientID, "trace": f.Trace,
		"before": before,
	} {
		if value != "" {
			q.Set(name, value)
		}
	}
	return "/requests?" + q.Encode()
}
