package console

import (
	"strings"
	"testing"
	"time"

	"latchkey"
)

// TestTokenCheckKnowsTheEndOfAnOverlap: a key that the door refuses is not
// called live, though the store has not recorded its end.
func TestTokenCheckKnowsTheEndOfAnOverlap(t *testing.T) {
	h := newHouse(t)
	a := h.admin()
	old := h.made.APIKey.Reveal()
	_, _, err := h.keyring.RollKey(t.Context(), h.made.Team.ID, time.Hour, latchkey.Actor{Name: "ada@example.com"})
	check(t, err)
	for _, c := range []struct {
		after time.Duration
		want  string
	}{
		{0, "It would be accepted."},
		{time.Hour + 2*time.Second, "It was rolled, and its overlap was over at"},
	} {
		h.pass(c.after)
		page := text(a.post("/settings/integrations/check", "text", old))
		if !strings.Contains(page, c.want) {
			t.Errorf("%s after the roll, the check does not say %q, but: %s", c.after, c.want, verdictOf(page))
		}
	}
}
