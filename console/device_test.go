package console

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"latchkey"
)

// deviceIn returns the device cookie that an answer sets.
func deviceIn(t *testing.T, w *httptest.ResponseRecorder) *http.Cookie {
	t.Helper()
	for _, c := range w.Result().Cookies() {
		if c.Name == deviceCookie {
			return c
		}
	}
	t.Fatalf("a log-in sets no device cookie: %d", w.Code)
	return nil
}

// TestKnownDevices: whoever has logged in from a browser before is not held up
// by strangers at the same address, and has no more tries for it.
func TestKnownDevices(t *testing.T) {
	h := newHouse(t)
	h.addUser("ada@example.com", latchkey.RoleAdmin, h.made.Team.ID)
	h.addUser("eve@example.com", latchkey.RoleMember, h.made.Team.ID)
	login := func(email, password string, device *http.Cookie) *httptest.ResponseRecorder {
		r := request("/login", "email", email, "password", password)
		if device != nil {
			r.AddCookie(&http.Cookie{Name: device.Name, Value: device.Value})
		}
		return h.agent().do(r)
	}
	adas := deviceIn(t, login("ada@example.com", password, nil))
	eves := deviceIn(t, login("eve@example.com", password, nil))
	if c := adas; !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.MaxAge <= 0 || c.Domain != "" {
		t.Errorf("the device's cookie is %s", c.String())
	}
	for _, secret := range []string{"ada", password} {
		if strings.Contains(adas.Value, secret) {
			t.Errorf("the device's cookie holds %q in clear", secret)
		}
	}

	for range 30 { // a stranger in the same office
		login("ada@example.com", "wrong password", nil)
	}
	if w := login("ada@example.com", password, nil); w.Code != http.StatusTooManyRequests {
		t.Fatalf("a browser that nobody knows gets %d, though its address has tried too often", w.Code)
	}
	if w := login("ada@example.com", password, adas); w.Code != http.StatusSeeOther {
		t.Errorf("the owner's browser gets %d: a stranger at the same address holds it up", w.Code)
	}
	altered := *adas
	altered.Value = altered.Value[:len(altered.Value)-2] + "AA"
	for name, device := range map[string]*http.Cookie{"another user's": eves, "an altered": &altered, "a made-up": {Name: deviceCookie, Value: "x"}} {
		if w := login("ada@example.com", password, device); w.Code != http.StatusTooManyRequests {
			t.Errorf("%s cookie gets %d: it must be as good as none", name, w.Code)
		}
	}

	for i := range 6 { // whoever has the browser guesses no faster
		want := http.StatusForbidden
		if i == 5 {
			want = http.StatusTooManyRequests
		}
		if w := login("ada@example.com", "wrong password", adas); w.Code != want {
			t.Errorf("guess %d from a known browser: %d, must be %d", i+1, w.Code, want)
		}
	}
	h.pass(deviceTime)
	for range 30 {
		login("ada@example.com", "wrong password", nil)
	}
	if w := login("ada@example.com", password, adas); w.Code != http.StatusTooManyRequests {
		t.Errorf("a browser that was not used for %s is still known: %d", deviceTime, w.Code)
	}
}
