package admin

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"latchkey"
)

// TestEvents: the audit is read newest first, over the pages of the store, of one
// team or since a moment, and it is said that the limit left some out.
func TestEvents(t *testing.T) {
	everyWay(t, func(t *testing.T, c *Client, _ *API, m *memory) {
		ctx := t.Context()
		made := mustChange[NewTeam](t)(c.CreateTeam(ctx, "acme"))
		now := time.Now().UTC().Truncate(time.Microsecond)
		const all = 2*auditPage + 50 // every fifth is the team's, one a minute, the last of them now
		m.events = nil
		for i := range all {
			team := "team_gone"
			if i%5 == 0 {
				team = made.Team.ID
			}
			at := now.Add(time.Duration(i-all+1) * time.Minute)
			m.events = append(m.events, latchkey.NewEvent(at, latchkey.System, latchkey.ActionKeyRoll, team, fmt.Sprint(i), "words"))
		}
		hours, never := now.Add(-299*time.Minute), now.Add(time.Hour)
		for name, test := range map[string]struct {
			filter        EventFilter
			count         int
			newest, older string // subjects of the first and the last
			more          bool
		}{
			"no filter":          {EventFilter{}, 100, "449", "350", true},
			"all":                {EventFilter{Limit: 450}, 450, "449", "0", false},
			"one less":           {EventFilter{Limit: 449}, 449, "449", "1", true},
			"a team's, by name":  {EventFilter{Team: "Acme", Limit: 1000}, 90, "445", "0", false},
			"a team's, by ID":    {EventFilter{Team: made.Team.ID, Limit: 1}, 1, "445", "445", true},
			"a deleted team's":   {EventFilter{Team: "team_gone", Limit: 1}, 1, "449", "449", true},
			"since, inclusive":   {EventFilter{Since: &hours, Limit: 1000}, 300, "449", "150", false},
			"since, and limited": {EventFilter{Since: &hours, Limit: 300}, 300, "449", "150", false},
			"since the future":   {EventFilter{Since: &never}, 0, "", "", false},
		} {
			got := must2(c.Events(ctx, test.filter))(t)
			if len(got.Events) != test.count || got.More != test.more || got.Events == nil {
				t.Errorf("%s: %d events, more %t; want %d, %t", name, len(got.Events), got.More, test.count, test.more)
				continue
			}
			if test.count > 0 && (got.Events[0].Subject != test.newest || got.Events[test.count-1].Subject != test.older) {
				t.Errorf("%s: from %s to %s, want %s to %s", name, got.Events[0].Subject, got.Events[test.count-1].Subject, test.newest, test.older)
			}
		}
		first := must2(c.Events(ctx, EventFilter{Limit: 1}))(t).Events[0]
		if e := m.events[all-1]; first != eventOf(e) || first.Actor != "latchkey" || first.Detail != "words" || first.ID != e.ID {
			t.Errorf("an event is %+v, want %+v", first, e)
		}
		if _, err := c.Events(ctx, EventFilter{Team: "nobody"}); !errors.Is(err, latchkey.ErrNotFound) {
			t.Errorf("the audit of an unknown team: %v", err)
		}
		if _, err := c.Events(ctx, EventFilter{Limit: 1001}); err == nil {
			t.Error("a limit of 1001 is taken")
		}
	})
}
