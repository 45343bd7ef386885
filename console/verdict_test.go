package console

import (
	"html"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey"
)

// TestVerdictWords: nothing is said of a credential that nobody looked at, and
// what the door itself refused did not go through.
func TestVerdictWords(t *testing.T) {
	const team = "team_a"
	for _, c := range []struct {
		rule    string
		outcome latchkey.Outcome
		team    string
		status  int
		says    string
		never   string
	}{
		{"a request that went through", latchkey.OutcomeAccepted, team, 200, "went through", "answered"},
		{"an API that finds nothing", latchkey.OutcomeAccepted, team, 404, "went through", "answered"},
		{"a method that the door refuses", latchkey.OutcomeAccepted, team, 405, "answered 405, by the door or", "went through"},
		{"a body that the door refuses", latchkey.OutcomeAccepted, team, 413, "answered 413, by the door or", "went through"},
		{"a path that the door refuses", latchkey.OutcomeAccepted, team, 400, "answered 400, by the door or", "went through"},
		{"a caller that left", latchkey.OutcomeAccepted, team, 499, "caller went away", "went through"},
		{"a refusal", latchkey.OutcomeDenied, "", 401, "refused at the door", "held"},
		{"a refusal of a known credential", latchkey.OutcomeDenied, team, 401, "refused at the door", "held"},
		{"a lease that is over", latchkey.OutcomeUnavailable, "", 503, "could not tell whether the credential holds", "held"},
		{"a handler without its database", latchkey.OutcomeUnavailable, team, 503, "The credential held", "whether the credential holds"},
		{"an upstream that is down", latchkey.OutcomeError, team, 502, "The credential held, but what stands behind", "No credential"},
		{"what is no HTTP", latchkey.OutcomeError, "", 400, "No credential was looked at", "held"},
	} {
		got := verdictWords(&latchkey.Record{Outcome: c.outcome, TeamID: c.team, Status: c.status})
		if !strings.Contains(got, c.says) || strings.Contains(got, c.never) {
			t.Errorf("%s: %q", c.rule, got)
		}
	}
}

// TestUnreadableRequest: what had no method and no path can be looked at, and
// opened from the list.
func TestUnreadableRequest(t *testing.T) {
	h := newHouse(t)
	support := h.loggedIn("sam@example.com", latchkey.RoleSupport, "")
	id := uuid.Must(uuid.NewV7()).String()
	check(t, h.store.AppendRecords(t.Context(), []latchkey.Record{unreadable(id, time.Now())}))
	if page := text(support.get("/requests")); !strings.Contains(page, `href="/requests/`+id+`">No HTTP request</a>`) {
		t.Errorf("the list has no words for its link:\n%s", page)
	}
	page := html.UnescapeString(text(support.get("/requests/" + id)))
	if !strings.Contains(page, ">No HTTP request</h1>") || !strings.Contains(page, "No credential was looked at") || strings.Contains(page, "credential held") || !strings.Contains(page, ">not looked at</dd>") {
		t.Errorf("the page says\n%s", page)
	}
	failed := unreadable(uuid.Must(uuid.NewV7()).String(), time.Now())
	failed.TeamID, failed.Reason, failed.Diagnosis, failed.Status = h.made.Team.ID, latchkey.Reason(latchkey.CodeUpstreamTimeout), "", http.StatusGatewayTimeout
	check(t, h.store.AppendRecords(t.Context(), []latchkey.Record{failed}))
	if page := text(support.get("/requests/" + failed.RequestID)); !strings.Contains(page, "did not answer in time") || strings.Contains(page, "No reason was recorded") {
		t.Errorf("of a failure the page says\n%s", page)
	}
}
