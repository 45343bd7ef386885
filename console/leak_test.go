package console

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey"
)

// encodings are the forms in which a value could slip out.
func encodings(value string) []string {
	quoted, _ := json.Marshal(value)
	return []string{
		value, html.EscapeString(value), url.QueryEscape(value), url.PathEscape(value), strings.Trim(string(quoted), `"`),
		base64.StdEncoding.EncodeToString([]byte(value)), base64.RawURLEncoding.EncodeToString([]byte(value)),
		base64.StdEncoding.EncodeToString([]byte(value + ":")), hex.EncodeToString([]byte(value)),
		strings.ToUpper(hex.EncodeToString([]byte(value))), strings.ToLower(value), reversed(value), value[4:],
	}
}

func reversed(s string) string {
	b := []byte(s)
	for i, j := 0, len(b)-1; i < j; i, j = i+1, j-1 {
		b[i], b[j] = b[j], b[i]
	}
	return string(b)
}

// whole is an answer with its fields.
func whole(w *httptest.ResponseRecorder) string {
	var all strings.Builder
	_ = w.Result().Header.Write(&all)
	return all.String() + text(w)
}

// TestNoPageHoldsASecretBeforeItIsAskedFor looks through every page and answer of
// every visitor, and through the log and the audit.
func TestNoPageHoldsASecretBeforeItIsAskedFor(t *testing.T) {
	h := newHouse(t)
	id := h.furnish()
	visitors := []*agent{h.admin(), h.loggedIn("max@example.com", latchkey.RoleMember, h.made.Team.ID), h.loggedIn("sam@example.com", latchkey.RoleSupport, ""), h.agent()}
	secrets := map[string]string{"the first key": h.made.APIKey.Reveal(), "the password's hash": passwordHash(), "the password": password}
	holding, err := h.store.Holding(t.Context(), h.made.Team.ID)
	check(t, err)
	for _, c := range holding.Credentials {
		value, err := h.keyring.Sealer.Open(&c)
		check(t, err)
		secrets[string(c.Kind)+" "+c.ID] = value.Reveal()
	}
	look := func(where, all string, except string) {
		for name, value := range secrets {
			for _, form := range encodings(value) {
				if value != except && strings.Contains(all, form) {
					t.Errorf("%s holds %s", where, name)
				}
			}
		}
	}
	for n, v := range visitors {
		for _, s := range scenes(h, id) {
			look(fmt.Sprintf("%s as visitor %d", s.name, n), whole(v.get("/"+strings.TrimPrefix(s.path, "/"))), "")
		}
		look("a wrong roll", whole(v.post("/settings/integrations/roll", "team", "wrong", "keep", "now")), "")
	}
	a, key := visitors[0], h.key()
	value := secrets["api_key "+key.ID]
	w := a.post("/settings/integrations/reveal", "id", key.ID)
	page := text(w)
	if !strings.Contains(page, value) {
		t.Error("a reveal does not show the key")
	}
	look("the page that reveals the key", page, value)
	title, _, _ := strings.Cut(page, "</title>")
	look("the title of that page", title, "")
	var fields strings.Builder
	_ = w.Result().Header.Write(&fields)
	look("the fields of that page", fields.String(), "")
	look("the page after it", whole(a.get("/settings/integrations")), "")
	for _, e := range h.events() {
		look("the audit", fmt.Sprint(e), "")
	}
	look("the log", h.log.String(), "")
}

// TestHostileTextsAreInert is H12: what strangers choose is text on every page.
func TestHostileTextsAreInert(t *testing.T) {
	h := newHouse(t)
	a := h.admin()
	support := h.loggedIn("sam@example.com", latchkey.RoleSupport, "")
	hostile := []string{
		`<pwned onx=1>`, `"><pwned x="`, `'><pwned x='`, `</title><pwned>`, `</code></pre><pwned>`, `javascript:pwned()`, `" pwned="1`, `' pwned='1`,
		"` pwned=`1", `<!--<pwned>-->`, `{{.User.Password}}`, `&lt;pwned&gt;`, "\u202epwned\u202c", "a\x00<pwned>", "\xff<pwned>", `<svg/onload=pwned>`,
		`</textarea><pwned>`, `<a href="javascript:pwned">`, `\u003cpwned\u003e`, `%3Cpwned%3E`, `]]><pwned>`, "line\r\nbreak: <pwned>",
	}
	var ids []string
	for i, evil := range hostile {
		r := latchkey.Record{
			RequestID: uuid.Must(uuid.NewV7()).String(), Time: time.Now(), TeamID: h.made.Team.ID, Node: evil, CredentialID: evil, Auth: latchkey.Method(evil),
			Outcome: latchkey.OutcomeDenied, Reason: latchkey.Reason(evil), Diagnosis: evil, Method: evil, Host: evil, Path: "/" + evil, Status: 401,
			ClientIP: evil, UserAgent: evil, ClientRequestID: evil, TraceID: evil,
		}
		ids = append(ids, r.RequestID)
		check(t, h.store.AppendRecords(t.Context(), []latchkey.Record{r}))
		check(t, h.store.AddUsage(t.Context(), []latchkey.Usage{{CredentialID: h.key().ID, TeamID: h.made.Team.ID, Day: time.Now(), Accepted: int64(i + 1), Last: time.Now(),
			Caller: latchkey.Caller{ClientIP: evil, UserAgent: evil, Auth: latchkey.Method(evil)}}}))
		check(t, h.store.AppendEvents(t.Context(), latchkey.NewEvent(time.Now(), latchkey.Actor{Name: evil, Source: evil}, latchkey.Action(evil), h.made.Team.ID, evil, evil)))
	}
	pages := []string{"/settings/integrations", "/settings/integrations/roll", "/settings/audit", "/settings/members", "/requests?since=7d"}
	for _, id := range ids {
		pages = append(pages, "/requests/"+id)
	}
	for _, evil := range hostile {
		q := url.QueryEscape(evil)
		pages = append(pages, "/requests?id="+q, "/requests?path="+q+"&status="+q+"&outcome="+q+"&method="+q+"&since="+q+"&before="+q+"&team="+q,
			"/settings/integrations?range="+q, "/settings/audit?before="+q, "/settings/members?done="+q, "/settings/integrations/revoke?id="+q,
			"/login?next="+q, "/setup?token="+q, "/join?token="+q, "/requests/"+url.PathEscape(evil), "/"+url.PathEscape(evil))
	}
	for i, evil := range []string{`<pwned>`, `"><pwned x="`, `' pwned='`} { // names that a team can have
		if i == 1 {
			pages = pages[:8] // the name is in the frame of all
		}
		_, _, err := h.keyring.RenameTeam(t.Context(), h.made.Team.ID, evil, latchkey.Actor{Name: evil})
		check(t, err)
		for _, who := range []*agent{a, support, h.agent()} {
			for _, page := range pages {
				w := who.get(page)
				body := text(w)
				for _, bad := range []string{"<pwned", `" pwned="`, `' pwned='`, `href="javascript:`, "\u202e", "\x00", "<svg/on"} {
					if strings.Contains(body, bad) {
						t.Errorf("%s holds %q as it came", page, bad)
					}
				}
				if w.Code >= 500 {
					t.Errorf("%s: %d", page, w.Code)
				}
				if len(body) > 100<<10 {
					t.Errorf("%s has %d bytes, more than 100 KiB", page, len(body))
				}
			}
		}
	}
}

// TestPagesStaySmall with as much on them as there can be.
func TestPagesStaySmall(t *testing.T) {
	h := newHouse(t)
	a := h.admin()
	support := h.loggedIn("sam@example.com", latchkey.RoleSupport, "")
	long := strings.Repeat(`"<&'`, 4000)
	dead := h.key().ID
	_, _, err := h.keyring.RollKey(t.Context(), h.made.Team.ID, 0, latchkey.System)
	check(t, err)
	var records []latchkey.Record
	for range 60 {
		records = append(records, latchkey.Record{
			RequestID: uuid.Must(uuid.NewV7()).String(), Time: time.Now(), TeamID: h.made.Team.ID, Outcome: latchkey.OutcomeDenied, Diagnosis: long,
			Method: long, Host: long, Path: "/" + long, Status: 401, ClientIP: long, UserAgent: long, ClientRequestID: long, TraceID: long,
		})
		check(t, h.store.AppendEvents(t.Context(), latchkey.NewEvent(time.Now(), latchkey.Actor{Name: long, Source: long}, "x", h.made.Team.ID, long, long)))
		for _, id := range []string{dead, h.key().ID} {
			check(t, h.store.AddUsage(t.Context(), []latchkey.Usage{{CredentialID: id, TeamID: h.made.Team.ID, Day: time.Now(), Accepted: 1, Refused: 1, Last: time.Now(),
				Caller: latchkey.Caller{ClientIP: fmt.Sprint(len(records)), UserAgent: fmt.Sprint(len(records)) + long, Auth: latchkey.MethodBasic}}}))
		}
	}
	check(t, h.store.AppendRecords(t.Context(), records))
	for range 60 {
		h.addUser(strings.Repeat("a", 100)+latchkey.NewUserID()[5:]+"@example.com", latchkey.RoleMember, h.made.Team.ID)
	}
	for _, page := range []string{"/settings/integrations?range=7d", "/settings/integrations/roll", "/settings/audit", "/requests", "/settings/members", "/requests/" + records[0].RequestID} {
		for _, who := range []*agent{a, support} {
			if size := len(text(who.get(page))); size > 100<<10 {
				t.Errorf("%s has %d bytes, more than 100 KiB", page, size)
			}
		}
	}
}

// TestAudit is H21: each deed is there, with who and from where, and no value.
func TestAudit(t *testing.T) {
	h := newHouse(t)
	a := h.admin()
	a.source = "192.0.2.9:1"
	a.post("/settings/integrations/reveal", "id", h.key().ID)
	a.post("/settings/integrations/reveal", "id", h.made.SecretID, "copy", "1")
	a.post("/settings/integrations/copied", "id", h.key().ID)
	first := h.key().ID
	a.post("/settings/integrations/roll", a.rollFields("24h")...)
	a.post("/settings/integrations/retire", "id", first)
	a.post("/settings/integrations/secrets", "intent", "i")
	a.post("/settings/integrations/revoke", "id", h.made.SecretID)
	a.post("/settings/members/invite", "email", "max@example.com", "role", "member")
	user, err := h.store.UserByEmail(t.Context(), "max@example.com")
	check(t, err)
	a.post("/settings/members/role", "id", user.ID, "role", "admin")
	a.post("/settings/members/remove", "id", user.ID)
	a.post("/settings/account", "current", password, "new", "another good password")
	a.post("/logout")
	h.agent().post("/login", "email", "ada@example.com", "password", "wrong password")
	r := h.call("Bearer "+h.made.APIKey.Reveal(), "/v1/contacts", "", "127.0.0.1:1")
	support := h.loggedIn("sam@example.com", latchkey.RoleSupport, "")
	support.get("/requests/" + r.Header().Get("X-Request-Id"))
	seen := map[latchkey.Action]latchkey.Event{}
	for _, e := range h.events() {
		seen[e.Action] = e
	}
	for _, action := range []latchkey.Action{latchkey.ActionLogin, latchkey.ActionKeyReveal, latchkey.ActionSecretReveal, latchkey.ActionCopy, latchkey.ActionKeyRoll,
		latchkey.ActionKeyRetire, latchkey.ActionSecretCreate, latchkey.ActionSecretRevoke, latchkey.ActionInvite, latchkey.ActionRole, latchkey.ActionRemove,
		latchkey.ActionPassword, latchkey.ActionLogout, latchkey.ActionLoginFailed, latchkey.ActionLookup} {
		e, ok := seen[action]
		if !ok {
			t.Errorf("the audit has no %s", action)
			continue
		}
		if e.Actor.Name == "" || e.Actor.Source == "" || e.Time.IsZero() || e.TeamID != h.made.Team.ID {
			t.Errorf("%s does not say who, when and from where: %+v", action, e)
		}
	}
	if roll := seen[latchkey.ActionKeyRoll]; roll.Actor.Source != "192.0.2.9" || !strings.Contains(roll.Detail, first) {
		t.Errorf("the roll does not have source, old and new key: %+v", roll)
	}
	b := h.loggedIn("bob@example.com", latchkey.RoleAdmin, h.made.Team.ID)
	page := text(b.get("/settings/audit"))
	for _, words := range []string{"rolled the API key", "looked requests up, as support", "sam@example.com", "192.0.2.9", "removed a member"} {
		if !strings.Contains(page, words) {
			t.Errorf("the audit page does not show %q", words)
		}
	}
	if b.get("/settings/audit?before=nonsense").Code != http.StatusBadRequest {
		t.Error("a page of the audit before nonsense")
	}
}
