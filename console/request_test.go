package console

import (
	"context"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey"
)

// TestUnknownAndForeignRequestsLookTheSame: a team sees its own; support sees all.
func TestUnknownAndForeignRequestsLookTheSame(t *testing.T) {
	h := newHouse(t)
	other, _, err := h.keyring.CreateTeam(t.Context(), "Other", latchkey.System)
	check(t, err)
	a, support := h.admin(), h.loggedIn("sam@example.com", latchkey.RoleSupport, "")
	member := h.loggedIn("max@example.com", latchkey.RoleMember, h.made.Team.ID)
	own := h.call("Bearer "+h.made.APIKey.Reveal(), "/v1/contacts", "mine/1.0", "127.0.0.1:1").Header().Get("X-Request-Id")
	foreign := h.call("Bearer "+other.APIKey.Reveal(), "/v1/contacts", "theirs/1.0", "127.0.0.1:1").Header().Get("X-Request-Id")
	stranger := h.call("Bearer lk_nobodysKey", "/v1/contacts", "strange/1.0", "127.0.0.1:1").Header().Get("X-Request-Id")
	never := uuid.Must(uuid.NewV7()).String()
	for _, who := range []*agent{a, member} {
		if w := who.get("/requests/" + strings.ToUpper(own)); w.Code != http.StatusOK || !strings.Contains(text(w), "mine/1.0") {
			t.Errorf("a team's own request: %d", w.Code)
		}
		var answers []string
		for _, id := range []string{foreign, stranger, never} {
			w := who.get("/requests/" + id)
			answers = append(answers, strings.ReplaceAll(whole(w), id, "ID"))
			if w.Code != http.StatusNotFound {
				t.Errorf("a request of nobody's or another team: %d", w.Code)
			}
		}
		if answers[0] != answers[1] || answers[1] != answers[2] {
			t.Error("the answer tells a foreign request from one that never was")
		}
		if page := text(who.get("/requests")); strings.Contains(page, foreign) || strings.Contains(page, stranger) || !strings.Contains(page, own) {
			t.Error("the list of a team must have its own requests, and no other")
		}
		if page := text(who.get("/requests?team=" + other.Team.ID)); strings.Contains(page, foreign) {
			t.Error("a filter opens another team's list")
		}
	}
	for id, words := range map[string]string{own: "mine/1.0", foreign: "theirs/1.0", stranger: "cut short"} {
		if w := support.get("/requests/" + id); w.Code != http.StatusOK || !strings.Contains(text(w), words) {
			t.Errorf("support does not see %q: %d", words, w.Code)
		}
	}
	if page := text(support.get("/requests?team=" + other.Team.ID)); !strings.Contains(page, foreign) || strings.Contains(page, own) {
		t.Error("support's filter by team does not hold")
	}
	if page := text(a.get("/requests/" + never)); !strings.Contains(page, "kept without limit") {
		t.Error("an unknown ID does not say how long records are kept")
	}
	h.console.Keep = latchkey.Retention{Age: 30 * 24 * time.Hour}
	if page := text(a.get("/requests/" + never)); !strings.Contains(page, "Records are kept for 30 days.") {
		t.Error("an unknown ID does not say how long records are kept, with a limit")
	}
}

// TestMissingRequestSaysWhy: what may have been there is not said not to be; a
// team hears no more of it than that, and of a foreign request the same.
func TestMissingRequestSaysWhy(t *testing.T) {
	h := newHouse(t)
	h.console.Missing = h.journal.Missing
	a, support := h.admin(), h.loggedIn("sam@example.com", latchkey.RoleSupport, "")
	h.console.Keep = latchkey.Retention{Bytes: 20e9}
	if page := text(a.get("/requests/" + uuid.Must(uuid.NewV7()).String())); !strings.Contains(page, "up to 20 GB") || strings.Contains(page, "without limit") {
		t.Error("an unknown ID says how many records are kept")
	}
	h.console.Keep.Age = 30 * 24 * time.Hour
	if page := text(a.get("/requests/" + uuid.Must(uuid.NewV7()).String())); !strings.Contains(page, "for 30 days, and up to 20 GB") {
		t.Error("an unknown ID says both of how long and how many records are kept")
	}
	foreign := uuid.Must(uuid.NewV7()).String()
	check(t, h.store.AppendRecords(t.Context(), []latchkey.Record{{RequestID: foreign, Time: time.Now(), TeamID: "team_other"}}))
	lost := uuid.Must(uuid.NewV7()).String()
	never := uuid.Must(uuid.NewV7()).String()
	now := time.Now()
	check(t, h.store.AddGap(t.Context(), latchkey.Gap{Node: "node-secret", From: now.Add(-time.Minute), To: now.Add(time.Minute), Count: 1204}))

	if page := text(support.get("/requests/" + lost)); !strings.Contains(page, "1204") || !strings.Contains(page, "node-secret") || strings.Contains(page, "No such request") {
		t.Errorf("support is told of a gap:\n%s", page)
	}
	if w := support.get("/requests/" + foreign); w.Code != http.StatusOK {
		t.Errorf("support sees what is there, gap or not: %d", w.Code)
	}
	of := func(id string) string { return strings.ReplaceAll(whole(a.get("/requests/"+id)), id, "ID") }
	page := of(lost)
	if !strings.Contains(page, "could not be recorded") || strings.Contains(page, "No such request") {
		t.Errorf("a team is told that a request may not have been recorded:\n%s", page)
	}
	for _, secret := range []string{"1204", "node-secret"} {
		if strings.Contains(page, secret) {
			t.Errorf("a team is told %s, which is not its own", secret)
		}
	}
	if of(foreign) != page || of(never) != page {
		t.Error("in a gap, the answer tells a foreign request from one that is not there")
	}

	h.console.Missing = func(context.Context, string) error {
		return &latchkey.NotHandedInError{RequestID: lost, Nodes: []latchkey.HandIn{{Node: "node-secret", Until: now}}}
	}
	page = of(lost)
	if !strings.Contains(page, "still to be handed in") || strings.Contains(page, "No such request") || strings.Contains(page, "node-secret") {
		t.Errorf("a team is told that a request may yet come:\n%s", page)
	}
	if of(foreign) != page {
		t.Error("while nodes hand in, the answer tells a foreign request from one that is not there")
	}
}

// TestRefusalIsExplainedOnce: a diagnosis says what is wrong and how to mend it,
// and the general words for its reason do not say so again.
func TestRefusalIsExplainedOnce(t *testing.T) {
	h := newHouse(t)
	a := h.admin()
	what, mend := latchkey.ReasonBadSignature.Words()
	const diagnosis = "The token is signed with the API Secret Key alone. Sign with ID||KEY."
	r := latchkey.Record{
		RequestID: uuid.Must(uuid.NewV7()).String(), Time: time.Now(), TeamID: h.made.Team.ID, Outcome: latchkey.OutcomeDenied,
		Reason: latchkey.ReasonBadSignature, Method: "GET", Path: "/", Status: 401, Diagnosis: diagnosis,
	}
	plain := r
	plain.RequestID, plain.Diagnosis = uuid.Must(uuid.NewV7()).String(), ""
	check(t, h.store.AppendRecords(t.Context(), []latchkey.Record{r, plain}))
	page := html.UnescapeString(text(a.get("/requests/" + r.RequestID)))
	if strings.Count(page, diagnosis) != 1 || strings.Contains(page, what) || strings.Contains(page, mend) {
		t.Errorf("what is wrong is said more than once, or not:\n%s", page)
	}
	page = html.UnescapeString(text(a.get("/requests/" + plain.RequestID)))
	if strings.Count(page, what) != 1 || !strings.Contains(page, "mend it") {
		t.Errorf("without a diagnosis the reason's own words stand there, once:\n%s", page)
	}
}

// TestFiltersAndPaging: every request that fits is on one page, and one only.
func TestFiltersAndPaging(t *testing.T) {
	h := newHouse(t)
	a := h.admin()
	var records []latchkey.Record
	for n := range 137 {
		r := latchkey.Record{
			RequestID: uuid.Must(uuid.NewV7()).String(), Time: time.Now(), TeamID: h.made.Team.ID, Outcome: latchkey.OutcomeAccepted, Reason: latchkey.ReasonOK,
			Method: "GET", Path: fmt.Sprintf("/v1/contact/%d", n), Status: 200, ClientIP: "192.0.2.1", CredentialID: "key_a",
		}
		switch {
		case n == 7:
			r.ClientIP, r.CredentialID, r.ClientRequestID, r.TraceID = "2001:db8::1", "key_b", "order-7%", strings.Repeat("0a", 16)
		case n%3 == 0:
			r.Outcome, r.Status, r.Reason = latchkey.OutcomeDenied, 401, latchkey.ReasonBadSignature
		case n%5 == 0:
			r.Method, r.Path = "POST", "/v1/100%_special"
		}
		records = append(records, r)
	}
	check(t, h.store.AppendRecords(t.Context(), records))
	lone := func(r *latchkey.Record) bool { return r.ClientRequestID != "" }
	nothing := func(*latchkey.Record) bool { return false }
	for query, fits := range map[string]func(*latchkey.Record) bool{
		"":                            func(*latchkey.Record) bool { return true },
		"status=401":                  func(r *latchkey.Record) bool { return r.Status == 401 },
		"outcome=accepted":            func(r *latchkey.Record) bool { return r.Outcome == latchkey.OutcomeAccepted },
		"method=POST":                 func(r *latchkey.Record) bool { return r.Method == "POST" },
		"path=/contact/1":             func(r *latchkey.Record) bool { return strings.Contains(r.Path, "/contact/1") },
		"path=100%25_":                func(r *latchkey.Record) bool { return strings.Contains(r.Path, "100%_") },
		"method=GET&status=200":       func(r *latchkey.Record) bool { return r.Method == "GET" && r.Status == 200 },
		"path=%27+OR+1=1+--":          func(*latchkey.Record) bool { return false },
		"outcome=%27%3B+DROP+TABLE+x": func(*latchkey.Record) bool { return false },
		"address=2001:DB8:0::1":       lone, "address=192.0.2.9": nothing,
		"credential=key_b": lone, "credential=key_": nothing,
		"client=order-7%25": lone, "client=order-7": nothing,
		"trace=" + strings.Repeat("0A", 16): lone, "trace=" + strings.Repeat("0b", 16): nothing,
		"from=2000-01-01T00:00":            func(*latchkey.Record) bool { return true },
		"until=2000-01-01T00:00":           nothing,
		"from=2000-01-01&until=2001-01-01": nothing,
		"until=" + url.QueryEscape(time.Now().Add(time.Hour).UTC().Format("2006-01-02T15:04")): func(*latchkey.Record) bool { return true },
		"since=1h&method=nonsense": func(*latchkey.Record) bool { return false },
	} {
		seen, path := map[string]int{}, "/requests?"+query
		for pages := 0; path != "" && pages < 10; pages++ {
			page := text(a.get(path))
			for _, link := range strings.Split(page, `href="/requests/`)[1:] {
				seen[link[:36]]++
			}
			path = ""
			for _, link := range strings.Split(page, `class="button" href="`)[1:] {
				if at, rest, _ := strings.Cut(link, `"`); strings.HasPrefix(rest, ">Older") {
					path = strings.ReplaceAll(at, "&amp;", "&")
				}
			}
		}
		for i := range records {
			want := 0
			if fits(&records[i]) {
				want = 1
			}
			if seen[records[i].RequestID] != want {
				t.Errorf("%q lists %s %s %d times, not %d", query, records[i].Method, records[i].Path, seen[records[i].RequestID], want)
				break
			}
		}
	}
	for query, said := range map[string]string{
		"status=abc":     "A status is a number",
		"address=192.0.": "The address must be a whole IP address",
		"trace=0a":       "The trace ID must be 32 hexadecimal characters",
	} {
		if w := a.get("/requests?" + query); !strings.Contains(text(w), said) {
			t.Errorf("%s: it is not said that it is none", query)
		}
	}
}

// TestChartCounts holds the chart, the drawing and the table, to the records.
func TestChartCounts(t *testing.T) {
	h := newHouse(t)
	a := h.admin()
	if page := text(a.get("/settings/integrations")); !strings.Contains(page, "No requests in this time") {
		t.Error("without requests the chart must say so")
	}
	now := time.Now()
	for age, n := range map[time.Duration]int{0: 3, 5 * time.Hour: 1200, 30 * time.Hour: 2, 9 * 24 * time.Hour: 7} {
		var records []latchkey.Record
		for i := range n {
			r := latchkey.Record{RequestID: uuid.Must(uuid.NewV7()).String(), Time: now.Add(-age), TeamID: h.made.Team.ID, Outcome: latchkey.OutcomeAccepted}
			if i == 0 {
				r.Outcome = latchkey.OutcomeDenied
			}
			records = append(records, r)
		}
		check(t, h.store.AppendRecords(t.Context(), records))
	}
	for of, want := range map[string][]string{
		"24h": {"1,203 requests in the last 24 hours", "Accepted <strong>1,201</strong>", "Denied <strong>2</strong>", `>1,200</p>`},
		"7d":  {"1,205 requests in the last 7 days", "Accepted <strong>1,202</strong>", "Denied <strong>3</strong>"},
	} {
		page := text(a.get("/settings/integrations?range=" + of))
		for _, words := range want {
			if !strings.Contains(page, words) {
				t.Errorf("the chart of %s does not say %q", of, words)
			}
		}
		if strings.Count(page, "<rect") < 4 {
			t.Errorf("the chart of %s draws %d parts", of, strings.Count(page, "<rect"))
		}
	}
}

// TestTokenCheckKnowsOnlyItsTeam, and keeps nothing.
func TestTokenCheckKnowsOnlyItsTeam(t *testing.T) {
	h := newHouse(t)
	other, _, err := h.keyring.CreateTeam(t.Context(), "Other", latchkey.System)
	check(t, err)
	a := h.loggedIn("max@example.com", latchkey.RoleMember, h.made.Team.ID)
	_, _, err = h.keyring.RollKey(t.Context(), h.made.Team.ID, 0, latchkey.Actor{Name: "ada@example.com"})
	check(t, err)
	sign := func(id string, key latchkey.Secret) string { return latchkey.SignToken(id, key, time.Now()).Reveal() }
	before := len(h.events())
	for _, c := range []struct{ pasted, want string }{
		{h.made.APIKey.Reveal(), "This API key is dead. It was rolled at"},
		{h.made.APIKey.Reveal(), "by ada@example.com"},
		{other.APIKey.Reveal(), "It is no key of your team, now or before."},
		{sign(other.SecretID, other.SecretKey), "iss names no API secret of your team."},
		{sign(h.made.SecretID, h.made.SecretKey), "It would be accepted."},
		{sign(h.made.SecretID, other.SecretKey), "It would be refused."},
		{"", "There is no credential."},
		{"Authorization: Basic " + strings.Repeat("x", 20000), "It would be refused."},
		{h.made.SecretID + "||" + h.made.SecretKey.Reveal(), "It would be refused."},
	} {
		page := strings.ReplaceAll(text(a.post("/settings/integrations/check", "text", c.pasted)), "&#39;", "'")
		if !strings.Contains(page, c.want) {
			t.Errorf("%.12s…: the check does not say %q, but: %s", c.pasted, c.want, verdictOf(page))
		}
		if c.pasted != "" && strings.Contains(page, c.pasted) {
			t.Errorf("%.12s…: the page repeats what was pasted", c.pasted)
		}
		if c.pasted != "" && strings.Contains(h.log.String(), c.pasted) {
			t.Errorf("%.12s…: the log has what was pasted", c.pasted)
		}
	}
	if len(h.events()) != before {
		t.Error("the audit has what was pasted, or at least that it was")
	}
}

func verdictOf(page string) string {
	_, rest, _ := strings.Cut(page, `id="verdict">`)
	verdict, _, _ := strings.Cut(rest, "</div>")
	return verdict
}
