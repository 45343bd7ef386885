package admin

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"time"

	"latchkey"
)

const (
	auditPage = 200       // events that are read from the store at a time
	auditLag  = time.Hour // how far an event's time is before its ID's, by which the store sorts, at most
)

// An Event is a line of the audit as the API shows it.
type Event struct {
	ID      string          `json:"id"`
	Time    time.Time       `json:"time"`
	Actor   string          `json:"actor"`
	Source  string          `json:"source"` // where from
	Action  latchkey.Action `json:"action"`
	TeamID  string          `json:"team_id"` // empty for what concerns no team
	Subject string          `json:"subject"` // what it was done to
	Detail  string          `json:"detail"`
}

// Events is the answer to a list of the audit, newest first.
type Events struct {
	Events []Event `json:"events"`
	More   bool    `json:"more"` // the limit left older ones out
}

// An EventFilter selects events. Zero fields select nothing out.
type EventFilter struct {
	Team  string     `json:"team,omitempty"`  // ID or name; a deleted team's ID too
	Since *time.Time `json:"since,omitempty"` // inclusive
	Limit int        `json:"limit,omitempty"` // 1–1000; 0 means 100
}

// Events returns the events that f selects, newest first.
func (c *Client) Events(ctx context.Context, f EventFilter) (Events, error) {
	return ask[Events](ctx, c, "/audit/list", f)
}

func (a *API) listEvents(ctx context.Context, _ latchkey.Actor, q EventFilter) (Events, error) {
	answer := Events{Events: []Event{}}
	if q.Limit < 0 || q.Limit > maxRequests {
		return answer, &latchkey.InvalidError{Field: "limit", Problem: "must be between 1 and 1000"}
	}
	team, err := a.teamID(ctx, q.Team)
	if err != nil {
		return answer, err
	}
	var since time.Time
	if q.Since != nil {
		since = *q.Since
	}
	limit := cmp.Or(q.Limit, latchkey.DefaultRecordLimit)
	for before := ""; ; {
		page, err := a.Keyring.Audit.Events(ctx, team, before, auditPage)
		if err != nil {
			return answer, err
		}
		for _, e := range page {
			if e.Time.Before(since) {
				continue
			}
			if len(answer.Events) == limit {
				answer.More = true
				return answer, nil
			}
			answer.Events = append(answer.Events, eventOf(e))
		}
		if len(page) < auditPage || page[len(page)-1].Time.Before(since.Add(-auditLag)) {
			return answer, nil
		}
		before = page[len(page)-1].ID
	}
}

func eventOf(e latchkey.Event) Event {
	return Event{
		ID: e.ID, Time: e.Time.UTC(), Actor: e.Actor.Name, Source: e.Actor.Source, Action: e.Action,
		TeamID: e.TeamID, Subject: e.Subject, Detail: e.Detail,
	}
}

// teamID returns the ID of a team that a filter names; "" stays. A deleted team's
// records are still there, and no name looks like its ID.
func (a *API) teamID(ctx context.Context, team string) (string, error) {
	if team == "" {
		return "", nil
	}
	h, err := a.Keyring.Store.Holding(ctx, team)
	switch {
	case err == nil:
		return h.Team.ID, nil
	case errors.Is(err, latchkey.ErrNotFound) && strings.HasPrefix(team, "team_"):
		return team, nil
	}
	return "", err
}
