package console

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"latchkey"
)

// access is who may have what, written down a second time: GET and POST by role.
// a is admin, m member, s support; "open" needs no login.
var access = map[string]struct{ get, post string }{
	"/":       {"open", ""},
	"/login":  {"open", "open"},
	"/logout": {"", "ams"},
	"/setup":  {"open", "open"},
	"/join":   {"open", "open"},

	"/settings":                      {"open", ""}, // only leads on
	"/settings/integrations":         {"am", ""},
	"/settings/integrations/check":   {"", "am"},
	"/settings/integrations/reveal":  {"", "a"},
	"/settings/integrations/copied":  {"", "a"},
	"/settings/integrations/roll":    {"a", "a"},
	"/settings/integrations/retire":  {"a", "a"},
	"/settings/integrations/secrets": {"", "a"},
	"/settings/integrations/revoke":  {"a", "a"},
	"/settings/members":              {"a", ""},
	"/settings/members/invite":       {"", "a"},
	"/settings/members/link":         {"", "a"},
	"/settings/members/role":         {"", "a"},
	"/settings/members/remove":       {"", "a"},
	"/settings/audit":                {"a", ""},
	"/settings/account":              {"ams", "ams"},
	"/requests":                      {"ams", ""},
	"/requests/":                     {"ams", ""},
}

// state is all that a visitor without the right must not change.
func (h *house) state() string {
	h.t.Helper()
	var parts []string
	teams, err := h.store.Teams(h.t.Context())
	check(h.t, err)
	for _, team := range teams {
		holding, err := h.store.Holding(h.t.Context(), team.ID)
		check(h.t, err)
		for _, c := range holding.Credentials {
			parts = append(parts, c.ID, c.Until.String())
		}
		users, err := h.store.Users(h.t.Context(), team.ID)
		check(h.t, err)
		for _, u := range users {
			parts = append(parts, u.ID, string(u.Role), u.Password)
		}
		parts = append(parts, team.Name)
	}
	return strings.Join(parts, "\n")
}

// TestEveryDoorIsKept goes through every route as every kind of visitor: H14, H15.
func TestEveryDoorIsKept(t *testing.T) {
	h := newHouse(t)
	other, _, err := h.keyring.CreateTeam(t.Context(), "Other", latchkey.System)
	check(t, err)
	target := h.addUser("target@example.com", latchkey.RoleMember, h.made.Team.ID)
	_, _, err = h.keyring.RollKey(t.Context(), h.made.Team.ID, time.Hour, latchkey.System)
	check(t, err)
	visitors := map[string]*agent{
		"a": h.loggedIn("ada@example.com", latchkey.RoleAdmin, h.made.Team.ID), "m": h.loggedIn("max@example.com", latchkey.RoleMember, h.made.Team.ID),
		"s": h.loggedIn("sam@example.com", latchkey.RoleSupport, ""), "nobody": h.agent(),
		"other": h.loggedIn("eve@example.com", latchkey.RoleAdmin, other.Team.ID),
	}
	for path, methods := range routes() {
		want, ok := access[path]
		if !ok {
			t.Errorf("%s is not in the table of who may have what", path)
			continue
		}
		_, get := methods[http.MethodGet]
		_, post := methods[http.MethodPost]
		if get != (want.get != "") || post != (want.post != "") {
			t.Errorf("%s: GET %t and POST %t are not as in the table", path, get, post)
		}
		at := path
		if path == onePath {
			at += "00000000-0000-7000-8000-000000000000"
		}
		before := h.state()
		for who, a := range visitors {
			if who == "other" {
				continue // an admin, of its own team: below
			}
			if get {
				expect(t, "GET "+at+" as "+who, a.get(at).Code, who, want.get, http.StatusSeeOther)
			}
			if post && !strings.Contains(want.post, who) && want.post != "open" {
				w := a.post(at, "id", h.key().ID, "key", h.key().ID, "keep", "now", "team", "Other", "role", "admin", "email", "x@example.com", "intent", "i")
				expect(t, "POST "+at+" as "+who, w.Code, who, want.post, http.StatusForbidden)
				if h.state() != before {
					t.Errorf("POST %s as %s changed something", at, who)
				}
			}
		}
	}
	otherTeamGetsNothing(t, h, visitors["other"], target)
}

// expect compares a status with what the table says.
func expect(t *testing.T, what string, got int, who, allowed string, stranger int) {
	t.Helper()
	switch {
	case allowed == "open" || strings.Contains(allowed, who):
		if got == http.StatusForbidden || got >= 500 {
			t.Errorf("%s: %d", what, got)
		}
	case who == "nobody":
		if got != stranger {
			t.Errorf("%s: %d, not %d", what, got, stranger)
		}
	case got != http.StatusForbidden:
		t.Errorf("%s: %d, not 403", what, got)
	}
}

// otherTeamGetsNothing has an admin of another team name what is ours, and what
// never was: both look the same, and nothing happens.
func otherTeamGetsNothing(t *testing.T, h *house, eve *agent, target latchkey.User) {
	t.Helper()
	before := h.state()
	for _, path := range []string{"/settings/integrations/reveal", "/settings/integrations/copied", "/settings/integrations/revoke",
		"/settings/members/link", "/settings/members/role", "/settings/members/remove"} {
		var answers []string
		for _, id := range []string{h.made.SecretID, h.key().ID, target.ID, "0", "-1", "*", "[]", "", "key_0000000000000000000000", h.made.Team.ID, "' OR 1=1 --"} {
			w := eve.post(path, "id", id, "role", "admin", "team", h.made.Team.ID, "team_id", h.made.Team.ID)
			answers = append(answers, fmt.Sprint(w.Code, text(w)))
			if w.Code != http.StatusNotFound {
				t.Errorf("POST %s with %q of another team: %d, not 404", path, id, w.Code)
			}
		}
		for _, a := range answers {
			if a != answers[0] {
				t.Errorf("POST %s tells what there is in another team", path)
			}
		}
	}
	if w := eve.post("/settings/integrations/roll", "key", h.key().ID, "keep", "now", "team", "Other", "intent", "i"); w.Code != http.StatusConflict {
		t.Errorf("a roll of another team's key: %d", w.Code)
	}
	if w := eve.post("/settings/integrations/retire", "id", h.key().ID); w.Code != http.StatusConflict {
		t.Errorf("End now of another team's key: %d", w.Code)
	}
	if h.state() != before {
		t.Error("an admin of another team changed something of ours")
	}
}

// TestRemovedAtOnce: a member who is removed while the page is open gets nothing
// more, on the next request; so do one whose role changed, and one whose team is gone.
func TestRemovedAtOnce(t *testing.T) {
	h := newHouse(t)
	boss := h.admin()
	ex := h.loggedIn("ex@example.com", latchkey.RoleAdmin, h.made.Team.ID)
	demoted := h.loggedIn("demoted@example.com", latchkey.RoleAdmin, h.made.Team.ID)
	form := ex.rollFields("now")
	id := func(email string) string {
		u, err := h.store.UserByEmail(t.Context(), email)
		check(t, err)
		return u.ID
	}
	if w := boss.post("/settings/members/remove", "id", id("ex@example.com")); w.Code != http.StatusSeeOther {
		t.Fatalf("remove: %d, %s", w.Code, text(w))
	}
	if w := boss.post("/settings/members/role", "id", id("demoted@example.com"), "role", "member"); w.Code != http.StatusSeeOther {
		t.Fatalf("change role: %d, %s", w.Code, text(w))
	}
	before := h.state()
	cookie := ex.cookie
	if w := ex.post("/settings/integrations/roll", form...); w.Code != http.StatusForbidden {
		t.Errorf("one who was removed rolls: %d", w.Code)
	}
	ex.cookie = cookie
	if w := ex.get("/settings/integrations"); w.Code != http.StatusSeeOther {
		t.Errorf("one who was removed sees the page: %d", w.Code)
	}
	if w := demoted.post("/settings/integrations/reveal", "id", h.key().ID); w.Code != http.StatusForbidden {
		t.Errorf("an admin who is a member now reveals: %d", w.Code)
	}
	if w := demoted.get("/settings/integrations"); w.Code != http.StatusOK {
		t.Errorf("an admin who is a member now sees: %d", w.Code)
	}
	if h.state() != before {
		t.Error("something was changed")
	}
	refusedBy := map[string]bool{}
	for _, e := range h.events() {
		if e.Action == latchkey.ActionRefused {
			refusedBy[e.Actor.Name] = true
		}
	}
	if !refusedBy["ex@example.com"] || !refusedBy["demoted@example.com"] {
		t.Errorf("the audit does not have who was refused: %v", refusedBy)
	}
	_, _, err := h.keyring.DeleteTeam(t.Context(), h.made.Team.ID, latchkey.System)
	check(t, err)
	if w := boss.get("/settings/integrations"); w.Code != http.StatusSeeOther {
		t.Errorf("a member of a deleted team sees: %d", w.Code)
	}
}

func (h *house) events() []latchkey.Event {
	h.t.Helper()
	events, err := h.store.Events(h.t.Context(), h.made.Team.ID, "", 1000)
	check(h.t, err)
	return events
}

// TestLastAdminStays: a team is not left without one.
func TestLastAdminStays(t *testing.T) {
	h := newHouse(t)
	a := h.admin()
	invited := h.addUser("invited@example.com", latchkey.RoleAdmin, h.made.Team.ID)
	_, err := h.store.UpdateUser(t.Context(), invited.ID, func(u *latchkey.User) error { u.Password = ""; return nil })
	check(t, err)
	self, err := h.store.UserByEmail(t.Context(), "ada@example.com")
	check(t, err)
	before := h.state()
	for _, path := range []string{"/settings/members/remove", "/settings/members/role"} {
		if w := a.post(path, "id", self.ID, "role", "member"); w.Code != http.StatusConflict {
			t.Errorf("%s of the last admin: %d", path, w.Code)
		}
	}
	if h.state() != before {
		t.Error("the last admin was changed")
	}
}

// TestMembers goes the way of an invitation.
func TestMembers(t *testing.T) {
	h := newHouse(t)
	a := h.admin()
	page := text(a.post("/settings/members/invite", "email", "New@Example.com", "role", "member"))
	link := func(page string) string {
		_, rest, ok := strings.Cut(page, "/join?token=")
		if !ok {
			t.Fatalf("the page has no link:\n%s", page)
		}
		token, _, _ := strings.Cut(rest, "<")
		return token
	}
	first := link(page)
	if w := a.post("/settings/members/invite", "email", "new@example.com", "role", "admin"); w.Code != http.StatusConflict {
		t.Errorf("the same address twice: %d", w.Code)
	}
	for _, bad := range [][2]string{{"nothing", "member"}, {"x@example.com", "support"}, {"x@example.com", ""}, {"x@example.com", "root"}} {
		if w := a.post("/settings/members/invite", "email", bad[0], "role", bad[1]); w.Code != http.StatusUnprocessableEntity {
			t.Errorf("invite %v: %d", bad, w.Code)
		}
	}
	user, err := h.store.UserByEmail(t.Context(), "new@example.com")
	check(t, err)
	second := link(text(a.post("/settings/members/link", "id", user.ID)))
	if w := h.agent().get("/join?token=" + first); w.Code != http.StatusNotFound {
		t.Errorf("a link that another replaced: %d", w.Code)
	}
	n := h.agent()
	if w := n.get("/join?token=" + second); w.Code != http.StatusOK || !strings.Contains(text(w), "new@example.com") {
		t.Errorf("the link: %d", w.Code)
	}
	if w := n.post("/join", "token", second, "new", "too short"); w.Code != http.StatusUnprocessableEntity {
		t.Errorf("a short password: %d", w.Code)
	}
	if w := n.post("/join", "token", second, "new", password); w.Code != http.StatusSeeOther || n.cookie == "" {
		t.Errorf("join: %d", w.Code)
	}
	if w := n.get("/settings/integrations"); w.Code != http.StatusOK || strings.Contains(text(w), "Reveal") {
		t.Errorf("the new member's page: %d", w.Code)
	}
	if w := h.agent().post("/join", "token", second, "new", password); w.Code != http.StatusNotFound {
		t.Errorf("the link a second time: %d", w.Code)
	}
	// A link for one who has a password is for a new one, and ends the sessions of the old.
	third := link(text(a.post("/settings/members/link", "id", user.ID)))
	if w := h.agent().post("/join", "token", third, "new", "yet another password"); w.Code != http.StatusSeeOther {
		t.Errorf("a new password by link: %d", w.Code)
	}
	if w := n.get("/requests"); w.Code != http.StatusSeeOther {
		t.Errorf("the session of the old password: %d", w.Code)
	}
	for _, e := range h.events() {
		if strings.Contains(fmt.Sprint(e), second) {
			t.Error("the audit holds a link")
		}
	}
}
