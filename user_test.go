package latchkey_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"latchkey"
)

// TestInvitations: a link leads to its page of the console, is new each time, and
// is not to be found in what is kept, nor in a log.
func TestInvitations(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	seen := map[string]bool{}
	for _, c := range []struct {
		origin, user, begins string
		lives                time.Duration
	}{
		{"https://console.example.com", "user_1", "https://console.example.com/join?token=", 72 * time.Hour},
		{"https://console.example.com/", "user_1", "https://console.example.com/join?token=", 72 * time.Hour},
		{"http://127.0.0.1:8081", "", "http://127.0.0.1:8081/setup?token=", 24 * time.Hour},
	} {
		link, kept := latchkey.NewInvitation(c.origin, c.user, now)
		token, ok := strings.CutPrefix(link.Reveal(), c.begins)
		if !ok || len(token) != 32 {
			t.Errorf("the link for %q at %s must begin with %s, and go on with 32 characters", c.user, c.origin, c.begins)
		}
		if seen[token] {
			t.Error("two links have one token")
		}
		seen[token] = true
		if kept.UserID != c.user || !kept.Expires.Equal(now.Add(c.lives)) || kept.Digest != latchkey.DigestOf([]byte(token)) {
			t.Errorf("what is kept of the link for %q: user %q, until %s", c.user, kept.UserID, kept.Expires)
		}
		if strings.Contains(fmt.Sprintf("%v %+v", link, kept), token) {
			t.Error("a link that is printed shows its token")
		}
	}
}
