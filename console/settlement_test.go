package console

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"latchkey"
)

// A far replica adds nodes elsewhere to what a change comes to, or an error.
type far struct {
	latchkey.Replica
	settlement latchkey.Settlement
	err        error
}

// Settle settles on this node, and says more.
func (f *far) Settle(ctx context.Context, c latchkey.Change) (latchkey.Settlement, error) {
	if _, err := f.Replica.Settle(ctx, c); err != nil {
		return latchkey.Settlement{}, err
	}
	return f.settlement, f.err
}

// TestWhoConfirmed holds that the page of a roll names the nodes that follow it,
// those that were not heard from, and those that may yet go by the old state.
func TestWhoConfirmed(t *testing.T) {
	h := newHouse(t)
	nodes := &far{Replica: h.keyring.Replica, settlement: latchkey.Settlement{
		Confirmed: []string{"alpha", "beta"}, Lapsed: []string{"gamma"},
		NotConfirmed: []latchkey.Unconfirmed{{Node: "delta", MaxSeconds: 58.0012}},
	}}
	h.keyring.Replica = nodes
	a := h.admin()
	page := text(a.post("/settings/integrations/roll", a.rollFields("now")...))
	for _, line := range []string{
		`<dt>Confirmed by</dt><dd><span class="mono">alpha</span>, <span class="mono">beta</span></dd>`,
		`<dt>Not heard from</dt><dd><span class="mono">gamma</span>: their leases are over, and they accept nothing</dd>`,
		`<dt>Not confirmed by</dt><dd><span class="line"><span class="mono">delta</span>, which may go by the old state for at most 59 s</span></dd>`,
	} {
		if !strings.Contains(page, line) {
			t.Errorf("the page does not say %s", line)
		}
	}

	nodes.err = errors.New("the database went away")
	before := h.rolls()
	w := a.post("/settings/integrations/roll", a.rollFields("now")...)
	if w.Code == http.StatusOK || !strings.Contains(text(w), "We cannot tell whether that was done") || strings.Contains(text(w), "lk_") {
		t.Errorf("a roll of unknown outcome: %d, must say that nobody can tell, and show no key", w.Code)
	}
	if h.rolls() != before+1 {
		t.Errorf("%d rolls, must be one more than %d: this one was committed", h.rolls(), before)
	}
}
