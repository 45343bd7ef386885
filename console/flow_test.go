package console

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	cdpbrowser "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/chromedp"

	"latchkey"
)

// TestInChromium goes the whole way of a team, from the set-up link to the
// logout, as a person does: with the page's script, and without any.
func TestInChromium(t *testing.T) {
	for _, scripted := range []bool{true, false} {
		t.Run(fmt.Sprintf("scripts=%t", scripted), func(t *testing.T) {
			t.Parallel()
			f := &flow{browser: chromium(t), h: newHouse(t), scripted: scripted}
			f.origin = f.h.open()
			f.scripts(scripted)
			f.setUp()
			f.reveal()
			f.roll()
			f.overlap()
			f.secrets()
			f.tokenCheck()
			f.proofAgain()
			f.lookUp()
			f.logout()
			f.open("/settings/integrations")
			f.sees("Log in")
			f.othersLookUp()
		})
	}
}

// A flow is one person's way through the console.
type flow struct {
	*browser
	h        *house
	scripted bool
	key      string // the team's API key, as the page showed it
	denied   string // the ID of a refused request
}

// answers calls the real API, and fails the test unless the status is as wanted.
func (f *flow) answers(authorization string, want int, why string) (requestID string) {
	f.t.Helper()
	r, err := http.NewRequestWithContext(f.t.Context(), http.MethodGet, f.h.console.APIURL, nil)
	check(f.t, err)
	r.Header.Set("Authorization", authorization)
	r.Header.Set("User-Agent", "flow-test/1.0")
	response, err := http.DefaultClient.Do(r)
	check(f.t, err)
	_ = response.Body.Close()
	if response.StatusCode != want {
		f.t.Errorf("%s: the API answers %d, not %d", why, response.StatusCode, want)
	}
	return response.Header.Get("X-Request-Id")
}

// opens clicks what opens a dialog or, without the script, another page.
func (f *flow) opens(selector string) {
	f.t.Helper()
	if f.scripted {
		f.do(chromedp.Click(selector), chromedp.WaitVisible("dialog[open] h1"))
		f.looks("dialog of " + selector)
		return
	}
	f.follow(chromedp.Click(selector))
}

// looks has axe-core look at the page, where it can run.
func (f *flow) looks(where string) {
	f.t.Helper()
	if f.scripted {
		f.axe(where)
		shoot(f.browser, "flow-"+strings.NewReplacer(" ", "-", "#", "", ".", "", ">", "").Replace(where))
	}
}

// swaps clicks what changes the page in place or, without the script, loads it anew.
func (f *flow) swaps(selector, result string) {
	f.t.Helper()
	if f.scripted {
		f.do(chromedp.Click(selector))
	} else {
		f.follow(chromedp.Click(selector))
	}
	f.do(chromedp.WaitVisible(result))
}

func (f *flow) setUp() {
	f.t.Helper()
	link, err := f.h.console.SetupLink(f.t.Context())
	check(f.t, err)
	f.open(link)
	f.do(chromedp.SetValue("#team", "Acme"), chromedp.SendKeys("#email", "Ada@Example.com"), chromedp.SendKeys("#new", password))
	f.follow(chromedp.Click("main button[type=submit]"))
	f.sees("Team API key")
	f.sees("Acme")
	f.sees("ada@example.com")
	f.open(link)
	f.sees("This link is used up")
}

func (f *flow) reveal() {
	f.t.Helper()
	f.open("/settings/integrations")
	if html := evaluate[string](f.browser, "document.documentElement.outerHTML"); strings.Contains(html, f.h.made.APIKey.Reveal()) {
		f.t.Error("the page holds the key before anybody asked for it")
	}
	f.swaps("#api-key button[name=reveal]", "#api-key .secret")
	f.key = f.text("#api-key .secret")
	if f.key != f.h.made.APIKey.Reveal() {
		f.t.Fatal("the page reveals another key than the team's")
	}
	f.answers("Bearer "+f.key, http.StatusOK, "the revealed key")
	if !strings.Contains(f.text("#try-key"), f.key) {
		f.t.Error("Try it does not have the revealed key")
	}
	f.looks("revealed")
	if !f.scripted {
		if evaluate[bool](f.browser, "[...document.querySelectorAll('[data-copy]')].some(b => b.checkVisibility())") {
			f.t.Error("a button that needs the script is there without it")
		}
		return
	}
	f.permit("clipboard-write", cdpbrowser.PermissionSettingGranted)
	f.permit("clipboard-read", cdpbrowser.PermissionSettingGranted)
	f.do(chromedp.Click("#api-key [data-copy]"), chromedp.Sleep(200*time.Millisecond))
	if got := evaluate[string](f.browser, "navigator.clipboard.readText()", chromedp.EvalAwaitPromise); got != f.key {
		f.t.Error("Copy does not put the key into the clipboard")
	}
	copied := func() bool {
		return slices.ContainsFunc(f.h.events(), func(e latchkey.Event) bool { return e.Action == latchkey.ActionCopy })
	}
	for deadline := time.Now().Add(10 * time.Second); !copied() && time.Now().Before(deadline); {
		time.Sleep(20 * time.Millisecond)
	}
	if !copied() {
		f.t.Error("the audit does not have that the key was copied")
	}
	f.permit("clipboard-write", cdpbrowser.PermissionSettingDenied)
	evaluate[chromedp.Void](f.browser, "getSelection().removeAllRanges(), undefined")
	f.do(chromedp.Click("#api-key [data-copy]"), chromedp.Sleep(200*time.Millisecond))
	if got := evaluate[string](f.browser, "getSelection().toString()"); got != f.key {
		f.t.Error("where the clipboard is denied, Copy does not select the key")
	}
	f.permit("clipboard-write", cdpbrowser.PermissionSettingGranted)
}

func (f *flow) permit(name string, setting cdpbrowser.PermissionSetting) {
	f.t.Helper()
	_, err := chromedp.CallBrowser(f.ctx, cdpbrowser.SetPermission, cdpbrowser.SetPermissionParams{
		Permission: &cdpbrowser.PermissionDescriptor{Name: name}, Setting: setting,
	})
	check(f.t, err)
}

func (f *flow) roll() {
	f.t.Helper()
	check(f.t, f.h.store.AddUsage(f.t.Context(), []latchkey.Usage{{
		CredentialID: f.h.key().ID, TeamID: f.h.made.Team.ID, Day: time.Now(), Accepted: 7, Last: time.Now(),
		Caller: latchkey.Caller{ClientIP: "203.0.113.9", UserAgent: "nightly-export/1.0", Auth: latchkey.MethodBasic},
	}}))
	old := f.key
	f.open("/settings/integrations")
	f.opens("#api-key a.danger")
	f.sees("203.0.113.9")
	f.sees("nightly-export/1.0")
	f.do(chromedp.SendKeys("#team", "Acme"))
	f.follow(chromedp.Click("form[data-once] button[type=submit]"))
	f.sees("The old one is refused already")
	f.sees("node-1")
	f.key = f.text(".secret")
	f.looks("rolled")
	f.answers("Bearer "+old, http.StatusUnauthorized, "the rolled key")
	f.answers("Bearer "+f.key, http.StatusOK, "the new key")
}

func (f *flow) overlap() {
	f.t.Helper()
	old := f.key
	f.open("/settings/integrations")
	f.opens("#api-key a.danger")
	f.do(chromedp.Click("input[value='1h']"), chromedp.SendKeys("#team", "wrong name"))
	f.follow(chromedp.Click("form[data-once] button[type=submit]"))
	f.sees("This is not your team’s name")
	f.answers("Bearer "+f.key, http.StatusOK, "the key after a roll that was not confirmed")
	f.do(chromedp.SendKeys("#team", "Acme"))
	f.follow(chromedp.Click("form[data-once] button[type=submit]"))
	f.key = f.text(".secret")
	f.answers("Bearer "+old, http.StatusOK, "the old key in its overlap")
	f.answers("Bearer "+f.key, http.StatusOK, "the new key in an overlap")
	f.open("/settings/integrations")
	f.opens("#api-key .note a")
	f.follow(chromedp.Click("form[data-once] button[type=submit]"))
	f.sees("The old key is refused now")
	f.answers("Bearer "+old, http.StatusUnauthorized, "the old key after End now")
	f.answers("Bearer "+f.key, http.StatusOK, "the new key after End now")
}

func (f *flow) secrets() {
	f.t.Helper()
	first, firstKey := f.h.made.SecretID, f.h.made.SecretKey
	f.open("/settings/integrations")
	f.follow(chromedp.Click("#secrets > .title button"))
	id, key := f.text("code.id"), f.text(".secret")
	sign := func(id string, key latchkey.Secret) string {
		return "Bearer " + latchkey.SignToken(id, key, time.Now()).Reveal()
	}
	f.answers(sign(id, latchkey.NewSecret(key)), http.StatusOK, "a token of the second secret")
	f.answers(sign(first, firstKey), http.StatusOK, "a token of the first secret, beside the second")
	f.open("/settings/integrations")
	f.swaps("#secret-"+id+" button[name=reveal]", "#secret-"+id+" .secret")
	if f.text("#secret-"+id+" .secret") != key {
		f.t.Error("the page reveals another API Secret Key than the one that it made")
	}
	token := strings.Fields(strings.SplitAfter(f.text("#try-jwt pre"), "Bearer ")[1])[0]
	f.answers("Bearer "+strings.Trim(token, `"`), http.StatusOK, "the token of Try it")
	f.opens("#secret-" + first + " a.danger")
	f.follow(chromedp.Click("form[data-once] button[type=submit]"))
	f.sees("are refused now")
	f.denied = f.answers(sign(first, firstKey), http.StatusUnauthorized, "a token of the revoked secret")
	f.answers(sign(id, latchkey.NewSecret(key)), http.StatusOK, "a token of the other secret")
}

func (f *flow) tokenCheck() {
	f.t.Helper()
	holding, err := f.h.store.Holding(f.t.Context(), f.h.made.Team.ID)
	check(f.t, err)
	secret := holding.Secrets()[0]
	key, err := f.h.keyring.Sealer.Open(secret)
	check(f.t, err)
	signed := func(with string) string {
		b64 := base64.RawURLEncoding
		head := b64.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." +
			b64.EncodeToString(fmt.Appendf(nil, `{"iss":%q,"iat":%d}`, secret.ID, time.Now().Unix()))
		mac := hmac.New(sha256.New, []byte(with))
		mac.Write([]byte(head))
		return head + "." + b64.EncodeToString(mac.Sum(nil))
	}
	for pasted, want := range map[string]string{
		signed(key.Reveal()): "the API Secret Key alone",
		"Authorization: Bearer " + signed(secret.ID+":"+key.Reveal()): "ID:KEY",
		signed(secret.ID + "||" + key.Reveal()):                       "It would be accepted.",
		f.key:                                                         "It is your team's current key.",
		latchkey.SignToken(secret.ID, key, time.Now().Add(300*time.Second)).Reveal(): "in the future",
	} {
		f.open("/settings/integrations")
		f.do(chromedp.SetValue("#text", pasted))
		f.swaps("#check button", "#verdict")
		if got := f.text("#verdict"); !strings.Contains(got, want) {
			f.t.Errorf("the token check does not say %q, but: %s", want, got)
		}
	}
	f.looks("token check")
}

// proofAgain lets eleven minutes go by: what shows a value asks for the password.
func (f *flow) proofAgain() {
	f.t.Helper()
	f.h.pass(11 * time.Minute)
	f.open("/settings/integrations")
	f.swaps("#api-key button[name=reveal]", "#password")
	f.looks("password again")
	f.do(chromedp.SendKeys("#password", password))
	f.follow(chromedp.Click("form:has(#password) button[type=submit]"))
	if f.text("#api-key .secret") != f.key {
		f.t.Error("the key is not there after the password was typed again")
	}
}

func (f *flow) lookUp() {
	f.t.Helper()
	f.open("/requests")
	f.do(chromedp.SendKeys("#id", "  X-Request-Id: "+strings.ToUpper(f.denied)+" "))
	f.follow(chromedp.Click(".lookup button"))
	f.sees(f.denied)
	f.sees("The API secret that iss names is revoked.")
	f.sees("flow-test/1.0")
	f.open("/requests/00000000-0000-7000-8000-000000000000")
	f.sees("Records are kept")
}

// othersLookUp is a member, and support.
func (f *flow) othersLookUp() {
	f.t.Helper()
	f.h.addUser("max@example.com", latchkey.RoleMember, f.h.made.Team.ID)
	f.h.addUser("sam@example.com", latchkey.RoleSupport, "")
	for _, email := range []string{"max@example.com", "sam@example.com"} {
		f.login(email)
		f.open("/requests?id=" + f.denied)
		f.sees("The API secret that iss names is revoked.")
		f.open("/settings/integrations")
		if evaluate[int](f.browser, "document.querySelectorAll('button[name=reveal], a.danger').length") > 0 {
			f.t.Errorf("%s is offered what only an admin may do", email)
		}
		f.logout()
	}
}
