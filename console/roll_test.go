package console

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey"
)

// rolls counts the rolls in the audit.
func (h *house) rolls() (n int) {
	for _, e := range h.events() {
		if e.Action == latchkey.ActionKeyRoll {
			n++
		}
	}
	return n
}

// shownKey reads the API key that a page shows.
func shownKey(page string) string {
	_, rest, _ := strings.Cut(page, `class="secret"`)
	_, rest, _ = strings.Cut(rest, ">")
	key, _, _ := strings.Cut(rest, "<")
	return key
}

// TestDoubleClick is H02: the same form rolls once, and every answer has the key.
func TestDoubleClick(t *testing.T) {
	h := newHouse(t)
	a := h.admin()
	form := a.rollFields("now")
	var (
		all  sync.WaitGroup
		mu   sync.Mutex
		keys = map[string]int{}
	)
	for range 8 {
		all.Go(func() {
			clicker := *a
			w := clicker.post("/settings/integrations/roll", form...)
			mu.Lock()
			defer mu.Unlock()
			if w.Code != http.StatusOK {
				t.Errorf("a click: %d", w.Code)
			}
			keys[shownKey(text(w))]++
		})
	}
	all.Wait()
	if h.rolls() != 1 || len(keys) != 1 {
		t.Fatalf("eight clicks on one form: %d rolls, %d keys shown", h.rolls(), len(keys))
	}
	for key := range keys {
		if w := h.call("Bearer "+key, "/v1/contacts", "", "127.0.0.1:1"); w.Code != http.StatusOK {
			t.Errorf("the key that was shown gets %d", w.Code)
		}
	}
	if w := h.call("Bearer "+h.made.APIKey.Reveal(), "/v1/contacts", "", "127.0.0.1:1"); w.Code != http.StatusUnauthorized {
		t.Errorf("the old key gets %d", w.Code)
	}
	h.pass(deedTime + time.Second)
	a.login("ada@example.com") // for a fresh password
	if w := a.post("/settings/integrations/roll", form...); w.Code != http.StatusConflict || h.rolls() != 1 {
		t.Errorf("the form, an age later: %d, %d rolls", w.Code, h.rolls())
	}
}

// TestTwoAdminsRetire: a form ends the old key that it was about, and no other that
// is in an overlap by then.
func TestTwoAdminsRetire(t *testing.T) {
	h := newHouse(t)
	a := h.admin()
	team := h.made.Team.ID
	roll := func() latchkey.KeyView {
		view, _, err := h.keyring.RollKey(t.Context(), team, time.Hour, latchkey.System)
		check(t, err)
		return view
	}
	first := h.key().ID
	second := roll() // first is in an overlap: the form is about it
	roll()           // and now second is
	if w := a.post("/settings/integrations/retire", "id", first); w.Code != http.StatusConflict {
		t.Errorf("the form about a key that has ended: %d", w.Code)
	}
	if w := h.call("Bearer "+second.APIKey.Reveal(), "/v1/contacts", "", "127.0.0.1:1"); w.Code != http.StatusOK {
		t.Errorf("the key that another admin left alive gets %d", w.Code)
	}
	if w := a.post("/settings/integrations/retire", "id", second.KeyID); w.Code != http.StatusOK {
		t.Errorf("the form about the old key: %d, %s", w.Code, text(w))
	}
}

// TestTwoAdminsRoll: of two forms about the same key, one rolls, and the other is told.
func TestTwoAdminsRoll(t *testing.T) {
	h := newHouse(t)
	a, b := h.admin(), h.loggedIn("bob@example.com", latchkey.RoleAdmin, h.made.Team.ID)
	formA, formB := a.rollFields("now"), b.rollFields("24h")
	if w := a.post("/settings/integrations/roll", formA...); w.Code != http.StatusOK {
		t.Errorf("the first: %d", w.Code)
	}
	if w := b.post("/settings/integrations/roll", formB...); w.Code != http.StatusConflict || strings.Contains(text(w), "lk_") {
		t.Errorf("the second: %d", w.Code)
	}
	if h.rolls() != 1 {
		t.Errorf("%d rolls", h.rolls())
	}
	// H03: whoever did not see the answer finds the key on the page.
	w := b.post("/settings/integrations/reveal", "id", h.key().ID)
	if key := shownKey(text(w)); h.call("Bearer "+key, "/v1/contacts", "", "127.0.0.1:1").Code != http.StatusOK {
		t.Error("the page does not show the key that works")
	}
}

// TestRollIsConfirmed by the team's name, as it stands there, and by a choice.
func TestRollIsConfirmed(t *testing.T) {
	h := newHouse(t)
	a := h.admin()
	for name, change := range map[string][]string{
		"no name": {"", "now"}, "another name": {"Default", "now"}, "the ID": {h.made.Team.ID, "now"},
		"no choice": {"default", ""}, "a choice of their own": {"default", "48h"}, "a negative one": {"default", "-1h"},
	} {
		form := a.rollFields("now")
		form[7], form[5] = change[0], change[1]
		if w := a.post("/settings/integrations/roll", form...); w.Code != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d", name, w.Code)
		}
	}
	form := a.rollFields("now")
	form[1] = ""
	if w := a.post("/settings/integrations/roll", form...); w.Code == http.StatusOK {
		t.Errorf("without the key's ID: %d", w.Code)
	}
	if h.rolls() != 0 {
		t.Errorf("%d rolls", h.rolls())
	}
}

// TestProofIsAskedForAgain is H16: ten minutes after the password was typed, it
// is asked for before anything is shown or changed.
func TestProofIsAskedForAgain(t *testing.T) {
	h := newHouse(t)
	a := h.admin()
	form := a.rollFields("now")
	h.pass(proofTime + time.Second)
	before := h.state()
	for path, methods := range routes() {
		if !methods[http.MethodPost].proof {
			continue
		}
		w := a.post(path, append(form, "id", h.key().ID, "email", "x@example.com", "role", "member")...)
		page := text(w)
		if w.Code != http.StatusForbidden || !strings.Contains(page, `type="password"`) || strings.Contains(page, h.made.APIKey.Reveal()) {
			t.Errorf("%s without the password: %d", path, w.Code)
		}
	}
	for _, typed := range []string{"", "wrong password"} {
		if w := a.post("/settings/integrations/roll", append(form, "password", typed)...); w.Code != http.StatusForbidden {
			t.Errorf("with the password %q: %d", typed, w.Code)
		}
	}
	if h.state() != before {
		t.Fatal("something was changed without the password")
	}
	if w := a.post("/settings/integrations/roll", append(form, "password", password)...); w.Code != http.StatusOK || h.rolls() != 1 {
		t.Errorf("with the right password: %d, %d rolls", w.Code, h.rolls())
	}
	if w := a.post("/settings/integrations/reveal", "id", h.key().ID); w.Code != http.StatusOK {
		t.Errorf("after it was typed: %d", w.Code)
	}
	h.pass(proofTime + time.Second)
	for range 8 {
		a.post("/settings/integrations/reveal", "id", h.key().ID, "password", "wrong password")
	}
	if w := a.post("/settings/integrations/reveal", "id", h.key().ID, "password", password); w.Code != http.StatusTooManyRequests {
		t.Errorf("guessing here is not throttled: %d", w.Code)
	}
}

// TestSecondSecret: a double click makes one, and there are no more than two.
func TestSecondSecret(t *testing.T) {
	h := newHouse(t)
	a := h.admin()
	intent := attribute(t, text(a.get("/settings/integrations")), "intent")
	first := text(a.post("/settings/integrations/secrets", "intent", intent))
	again := text(a.post("/settings/integrations/secrets", "intent", intent))
	holding, err := h.store.Holding(t.Context(), h.made.Team.ID)
	check(t, err)
	if len(holding.Secrets()) != 2 || shownKey(first) == "" || shownKey(first) != shownKey(again) {
		t.Errorf("a double click: %d secrets, and the answers show the same: %t", len(holding.Secrets()), shownKey(first) == shownKey(again))
	}
	if w := a.post("/settings/integrations/secrets", "intent", "another"); w.Code != http.StatusConflict {
		t.Errorf("a third: %d", w.Code)
	}
	page := text(a.get("/settings/integrations"))
	if strings.Contains(page, "Create second secret") || !strings.Contains(page, "Nobody has used either secret") {
		t.Error("with two secrets the page must say which is used, and offer no third")
	}
	if w := a.post("/settings/integrations/revoke", "id", h.made.SecretID); w.Code != http.StatusOK {
		t.Errorf("revoke: %d", w.Code)
	}
	if w := a.post("/settings/integrations/revoke", "id", h.made.SecretID); w.Code != http.StatusNotFound {
		t.Errorf("revoke again: %d", w.Code)
	}
}

// TestOneFormThroughTwoNodes: a form that is sent to two nodes makes one secret,
// whichever of them is asked first, and none once that is revoked.
func TestOneFormThroughTwoNodes(t *testing.T) {
	h := newHouse(t)
	a := h.admin()
	intent := attribute(t, text(a.get("/settings/integrations")), "intent")
	first := text(a.post("/settings/integrations/secrets", "intent", intent))
	other, err := h.console.Handler() // it remembers none of the first one's forms
	check(t, err)
	h.site = other.(*site)
	again := a.post("/settings/integrations/secrets", "intent", intent)
	if page := text(again); again.Code != http.StatusOK || shownKey(first) == "" || shownKey(page) != shownKey(first) || !strings.Contains(page, "node-1") {
		t.Errorf("the same form on another node: %d, it shows the same: %t", again.Code, shownKey(page) == shownKey(first))
	}
	holding, err := h.store.Holding(t.Context(), h.made.Team.ID)
	check(t, err)
	if n := len(holding.Secrets()); n != 2 {
		t.Fatalf("there are %d secrets, must be the first and one more", n)
	}
	made := holding.Secrets()[1].ID
	if id, err := uuid.Parse(made); err != nil || id.Version() != 4 || id.Variant() != uuid.RFC4122 {
		t.Errorf("the ID %q is no UUIDv4 (%v)", made, err)
	}
	if w := a.post("/settings/integrations/revoke", "id", made); w.Code != http.StatusOK {
		t.Fatalf("revoke: %d", w.Code)
	}
	third, err := h.console.Handler()
	check(t, err)
	h.site = third.(*site)
	if w := a.post("/settings/integrations/secrets", "intent", intent); w.Code != http.StatusConflict || !strings.Contains(text(w), "revoked since") {
		t.Errorf("the same form, once its secret is revoked: %d, %s", w.Code, text(w))
	}
	if w := a.post("/settings/integrations/secrets", "intent", "another"); w.Code != http.StatusOK {
		t.Errorf("another form: %d", w.Code)
	}
}

// TestAdvice tells which secret callers still use.
func TestAdvice(t *testing.T) {
	cards := []secretCard{{ID: "older-secret"}, {ID: "newer-secret"}}
	used := []latchkey.Usage{{Accepted: 1}}
	for want, usage := range map[string]map[string][]latchkey.Usage{
		"Nobody has used either":                  {},
		"it can be revoked":                       {"newer-secret": used},
		"Revoking the older one would break them": {"older-secret": used},
		"Move the first before you revoke it":     {"older-secret": used, "newer-secret": used},
	} {
		if got := advice(cards, usage); !strings.Contains(got, want) {
			t.Errorf("%v: %s", usage, got)
		}
	}
}

// TestPreviewShowsWhoWouldBreak, and no page grows with the number of callers.
func TestPreviewShowsWhoWouldBreak(t *testing.T) {
	h := newHouse(t)
	a := h.admin()
	add := func(day int, agent string, accepted int64) {
		at := time.Now().Add(-time.Duration(day) * 24 * time.Hour)
		check(t, h.store.AddUsage(t.Context(), []latchkey.Usage{{
			CredentialID: h.key().ID, TeamID: h.made.Team.ID, Day: at, Accepted: accepted, Last: at,
			Caller: latchkey.Caller{ClientIP: "203.0.113.9", UserAgent: agent, Auth: latchkey.MethodBasic},
		}}))
	}
	add(0, "today", 1204)
	add(6, "last-week", 1)
	add(8, "long-ago", 1)
	for n := range 80 {
		add(1, "crowd-"+strings.Repeat("x", n)+strings.Repeat("<", 400), 1)
	}
	page := text(a.get("/settings/integrations/roll"))
	for _, want := range []string{"203.0.113.9", "today", "1,204", "all others", "Basic"} {
		if !strings.Contains(page, want) {
			t.Errorf("the preview does not show %q", want)
		}
	}
	if strings.Contains(page, "long-ago") {
		t.Error("the preview shows who used the key more than 7 days ago")
	}
	if len(page) > 100<<10 {
		t.Errorf("the preview has %d bytes", len(page))
	}
}
