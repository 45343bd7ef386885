package console

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"latchkey"
)

// rollFields is the roll form as the page has it.
func (a *agent) rollFields(keep string) []string {
	a.h.t.Helper()
	page := text(a.get("/settings/integrations/roll"))
	return []string{"key", attribute(a.h.t, page, "key"), "intent", attribute(a.h.t, page, "intent"), "keep", keep, "team", "default"}
}

// attribute reads the value of a hidden field.
func attribute(t *testing.T, page, name string) string {
	t.Helper()
	_, rest, ok := strings.Cut(page, `name="`+name+`" value="`)
	if !ok {
		t.Fatalf("the page has no field %q:\n%s", name, page)
	}
	value, _, _ := strings.Cut(rest, `"`)
	return value
}

// TestOnlyOurOwnPagesChangeAnything is H01: what does not come from a page of
// ours is refused, and nothing is rolled.
func TestOnlyOurOwnPagesChangeAnything(t *testing.T) {
	h := newHouse(t)
	a := h.admin()
	header := func(pairs ...string) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Del("Origin")
			r.Header.Del("Sec-Fetch-Site")
			for i := 0; i < len(pairs); i += 2 {
				r.Header.Add(pairs[i], pairs[i+1])
			}
		}
	}
	const own, site = "http://127.0.0.1:8081", "Sec-Fetch-Site"
	for name, change := range map[string]func(*http.Request){
		"cross-site":                    header(site, "cross-site", "Origin", "https://evil.example"),
		"cross-site with our origin":    header(site, "cross-site", "Origin", own),
		"same-site with our origin":     header(site, "same-site", "Origin", own),
		"cross-site from a neighbour":   header(site, "cross-site", "Origin", "http://127.0.0.2:8081"),
		"same-site":                     header(site, "same-site", "Origin", "http://127.0.0.1:9999"),
		"neither Origin nor fetch site": header(),
		"Origin null":                   header("Origin", "null"),
		"Origin null, from no page":     header("Origin", "null", site, "none"),
		"another origin":                header("Origin", "https://evil.example"),
		"our host, another scheme":      header("Origin", "https://127.0.0.1:8081", site, "cross-site"),
		"another port":                  header("Origin", "http://127.0.0.1:9999"),
		"two origins":                   header("Origin", own, "Origin", "https://evil.example"),
		"two fetch sites":               header("Origin", own, site, "same-origin", site, "cross-site"),
		"text/plain":                    func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") },
		"JSON":                          func(r *http.Request) { r.Header.Set("Content-Type", "application/json") },
		"multipart":                     func(r *http.Request) { r.Header.Set("Content-Type", "multipart/form-data; boundary=x") },
		"no content type":               func(r *http.Request) { r.Header.Del("Content-Type") },
	} {
		before := h.key().ID
		r := request("/settings/integrations/roll", a.rollFields("now")...)
		change(r)
		if got := a.do(r).Code; got != http.StatusForbidden {
			t.Errorf("%s: %d, not 403", name, got)
		}
		if h.key().ID != before {
			t.Errorf("%s: the key was rolled", name)
		}
	}
	for name, change := range map[string]func(*http.Request){
		"same-origin":                     func(*http.Request) {},
		"our origin, no fetch site":       header("Origin", own),
		"Origin null, but of same origin": header("Origin", "null", site, "same-origin"),
		"a charset": func(r *http.Request) {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
		},
	} {
		before := h.key().ID
		r := request("/settings/integrations/roll", a.rollFields("now")...)
		change(r)
		if got := a.do(r); got.Code != http.StatusOK || h.key().ID == before {
			t.Errorf("%s: a form of ours is refused: %d", name, got.Code)
		}
	}
}

// TestOnlyPostsChangeAnything is H18: no other method does, whatever it claims
// to be, and fields of the query count for nothing.
func TestOnlyPostsChangeAnything(t *testing.T) {
	h := newHouse(t)
	a := h.admin()
	before := h.key().ID
	for path := range routes() {
		for _, method := range []string{"TRACE", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "PROPFIND"} {
			r := request(path)
			r.Method = method
			w := a.do(r)
			if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD, POST" {
				t.Errorf("%s %s: %d, Allow %q", method, path, w.Code, w.Header().Get("Allow"))
			}
		}
	}
	fields := strings.Join([]string{"/settings/integrations/roll?key=" + before, "keep=now", "team=default", "intent=x"}, "&")
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		r := httptest.NewRequest(method, fields, nil)
		r.Host = "127.0.0.1:8081"
		r.Header.Set("X-HTTP-Method-Override", "POST")
		w := a.do(r)
		if w.Code != http.StatusOK {
			t.Errorf("%s of the roll page: %d", method, w.Code)
		}
		if body, _ := io.ReadAll(w.Result().Body); method == http.MethodHead && len(body) > 0 {
			t.Error("HEAD has a body")
		}
	}
	if w := a.do(request(fields)); w.Code != http.StatusUnprocessableEntity {
		t.Errorf("a POST whose fields are all in the query: %d, not 422", w.Code)
	}
	for _, path := range []string{"/settings/integrations/reveal", "/settings/integrations/secrets", "/logout", "/settings/members/remove"} {
		if w := a.get(path); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "POST" {
			t.Errorf("GET %s: %d, Allow %q", path, w.Code, w.Header().Get("Allow"))
		}
	}
	if h.key().ID != before {
		t.Error("the key was rolled")
	}
}

// TestEveryAnswerIsGuarded is H10 and H11: pages, errors and redirects carry the
// same fields.
func TestEveryAnswerIsGuarded(t *testing.T) {
	h := newHouse(t)
	a := h.admin()
	answers := map[string]*httptest.ResponseRecorder{
		"a page": a.get("/settings/integrations"), "a redirect": a.get("/"), "404": a.get("/nothing"), "405": a.get("/logout"),
		"login": h.agent().get("/login"), "to the login": h.agent().get("/requests"), "the stylesheet": a.get("/static/console.css"),
		"403": a.do(request("/settings/integrations/roll")), "a reveal": a.post("/settings/integrations/reveal", "id", h.key().ID),
		"413": a.post("/login", "email", strings.Repeat("x", maxForm)), "another method": a.do(httptest.NewRequest("TRACE", "/", nil)),
	}
	for name, w := range answers {
		csp := w.Header().Get("Content-Security-Policy")
		for _, part := range []string{"default-src 'none'", "frame-ancestors 'none'", "form-action 'self'", "base-uri 'none'"} {
			if !strings.Contains(csp, part) {
				t.Errorf("%s: the policy lacks %s", name, part)
			}
		}
		if strings.Contains(csp, "unsafe") || strings.Contains(csp, "*") || strings.Contains(csp, "http") {
			t.Errorf("%s: the policy is open: %s", name, csp)
		}
		for field, want := range map[string]string{
			"X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin", "Cache-Control": "no-store",
		} {
			if got := w.Header().Values(field); len(got) != 1 || got[0] != want {
				t.Errorf("%s: %s is %q, not %q", name, field, got, want)
			}
		}
		if w.Header().Get("ETag") != "" || w.Header().Get("Last-Modified") != "" {
			t.Errorf("%s can be asked for by condition", name)
		}
	}
	if w := answers["413"]; w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("a form over 64 KiB: %d", w.Code)
	}
}

// TestPagesHoldNothingInline: the policy would block it, so that it would only
// look as if it worked.
func TestPagesHoldNothingInline(t *testing.T) {
	h := newHouse(t)
	a := h.admin()
	id := h.furnish()
	for _, s := range scenes(h, id) {
		if s.role != latchkey.RoleAdmin {
			continue
		}
		page := text(a.get(s.path))
		for _, bad := range []string{"<style", " style=", "<script>", " onclick=", " onsubmit=", "javascript:", "https://", "<!--"} {
			if strings.Contains(page, bad) {
				t.Errorf("%s holds %s", s.name, bad)
			}
		}
		if strings.Count(page, "<script") != 1 || strings.Count(page, "stylesheet") != 1 {
			t.Errorf("%s must have one script and one stylesheet", s.name)
		}
	}
	if js := h.site.files["/static/console.js"].content; len(js) > 10<<10 {
		t.Errorf("the script has %d bytes, more than 10 KiB", len(js))
	}
}

// TestHosts is H19, and DNS rebinding.
func TestHosts(t *testing.T) {
	h := newHouse(t)
	a := h.admin()
	for host, want := range map[string]int{
		"127.0.0.1:8081": 200, "localhost:8081": 200, "[::1]:8081": 200, "localhost": 200, "127.9.9.9": 200,
		"evil.example": 403, "evil.example:8081": 403, "127.0.0.1.evil.example": 403, "192.0.2.1:8081": 403, "": 403, "localhost.evil.example:8081": 403,
	} {
		r := httptest.NewRequest(http.MethodGet, "/login", nil)
		r.Host = host
		if got := h.agent().do(r).Code; got != want {
			t.Errorf("Host %q: %d, not %d", host, got, want)
		}
	}
	r := request("/settings/members/invite", "email", "new@example.com", "role", "member")
	r.Host = "localhost:4711"
	r.Header.Set("X-Forwarded-Host", "evil.example")
	page := text(a.do(r))
	if !strings.Contains(page, "http://127.0.0.1:8081/join?token=") || strings.Contains(page, "evil") || strings.Contains(page, "4711") {
		t.Error("the link of an invitation does not carry the console's own origin")
	}
}

// TestNext is H13: after a login, only pages of ours.
func TestNext(t *testing.T) {
	h := newHouse(t)
	h.addUser("ada@example.com", latchkey.RoleAdmin, h.made.Team.ID)
	for next, want := range map[string]string{
		"/requests": "/requests", "/settings/audit": "/settings/audit", "/requests?since=7d&status=401": "/requests?since=7d&status=401",
		"/requests/0198c5e2-7d3a-7b61-9f0e-3c1d5a8b2e47": "/requests/0198c5e2-7d3a-7b61-9f0e-3c1d5a8b2e47",
		"": "/", "//evil.example": "/", `/\evil.example`: "/", "https:evil.example": "/", "https://evil.example": "/", "%2f%2fevil.example": "/",
		"javascript:alert(1)": "/", "\t//evil.example": "/", "/\t/evil.example": "/", "/requests/../../evil": "/", "/requests//evil.example": "/",
		"/login": "/", "/logout": "/", "/setup?token=x": "/", "/nothing": "/", "/requests\r\nSet-Cookie: x=y": "/", "/requests#x": "/",
		"requests": "/", "http:/requests": "/", "/requests/%2e%2e/login": "/", "@evil.example": "/", "/settings/integrations/reveal": "/",
	} {
		a := h.agent()
		w := a.post("/login", "email", "ada@example.com", "password", password, "next", next)
		if got := w.Header().Get("Location"); w.Code != http.StatusSeeOther || got != want {
			t.Errorf("next=%q leads to %q (%d), not to %q", next, got, w.Code, want)
		}
	}
	w := h.agent().get("/settings/audit?before=x")
	if got := w.Header().Get("Location"); got != "/login?next=%2Fsettings%2Faudit%3Fbefore%3Dx" {
		t.Errorf("a stranger is led to %q", got)
	}
}

// TestLinksFromElsewhere: the cookie does not come with them, so a page of ours
// goes there once more.
func TestLinksFromElsewhere(t *testing.T) {
	h := newHouse(t)
	r := httptest.NewRequest(http.MethodGet, "/requests/x", nil)
	r.Host = "127.0.0.1:8081"
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	if w := h.agent().do(r); w.Code != http.StatusOK || !strings.Contains(text(w), `http-equiv="refresh"`) {
		t.Errorf("a link from elsewhere: %d", w.Code)
	}
}

// TestSessions is H08 and H09.
func TestSessions(t *testing.T) {
	h := newHouse(t)
	h.addUser("ada@example.com", latchkey.RoleAdmin, h.made.Team.ID)
	a := h.agent()
	a.cookie = "fixed-by-somebody-else"
	w := a.post("/login", "email", "ada@example.com", "password", password)
	cookie := w.Header().Get("Set-Cookie")
	for _, part := range []string{"__Host-latchkey=", "; Path=/", "; Secure", "; HttpOnly", "; SameSite=Strict"} {
		if !strings.Contains(cookie, part) {
			t.Errorf("the cookie lacks %s", part)
		}
	}
	if strings.Contains(cookie, "Domain") || a.cookie == "fixed-by-somebody-else" || len(a.cookie) < 40 {
		t.Error("the cookie has a domain, an ID that was set before, or too short a one")
	}
	if _, found, _ := h.store.FindCtx(t.Context(), a.cookie); found {
		t.Error("the store holds the session's token itself")
	}
	page := func(cookie string) int {
		other := h.agent()
		other.cookie = cookie
		return other.get("/settings/integrations").Code
	}
	second := h.agent()
	second.login("ada@example.com")
	first := a.cookie
	a.post("/logout")
	if page(first) != http.StatusSeeOther || page(second.cookie) != http.StatusOK {
		t.Error("a logout must end its own session, and no other")
	}
	third := h.agent()
	third.login("ada@example.com")
	before := third.cookie
	w = third.post("/settings/account", "current", password, "new", "another good password")
	if w.Code != http.StatusSeeOther || third.cookie == before {
		t.Errorf("change of password: %d, and a new session: %t", w.Code, third.cookie != before)
	}
	if page(second.cookie) != http.StatusSeeOther || page(before) != http.StatusSeeOther || page(third.cookie) != http.StatusOK {
		t.Error("a new password must end all sessions but the one that set it")
	}
}

// lateStore is a store in which something else happens just before the next
// write.
type lateStore struct {
	latchkey.SessionStore
	before func()
}

func (l *lateStore) CommitCtx(ctx context.Context, token string, data []byte, expiry time.Time) error {
	if before := l.before; before != nil {
		l.before = nil
		before()
	}
	return l.SessionStore.CommitCtx(ctx, token, data, expiry)
}

// TestLogoutStays: a request that is under way does not bring the session back,
// whatever it writes, and however late.
func TestLogoutStays(t *testing.T) {
	h := newHouse(t)
	late := &lateStore{SessionStore: h.store}
	h.console.Sessions = late
	handler, err := h.console.Handler()
	check(t, err)
	h.site = handler.(*site)
	a := h.admin()
	same := *a
	h.pass(proofTime + time.Second)
	loggedOut := false
	late.before = func() { loggedOut = same.post("/logout").Code == http.StatusSeeOther }
	a.post("/settings/integrations/reveal", "id", h.key().ID, "password", password)
	if !loggedOut {
		t.Fatal("nothing was written for the password: this test tests nothing")
	}
	for _, cookie := range []string{same.cookie, a.cookie} {
		other := h.agent()
		other.cookie = cookie
		if w := other.get("/settings/integrations"); cookie != "" && w.Code != http.StatusSeeOther {
			t.Errorf("the session is back after its logout: %d", w.Code)
		}
	}
}
