package console

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey"
)

// TestListSaysWhatItLacks: support is told why records may be missing in a list,
// a team that they may be, and only of the time that the list is of.
func TestListSaysWhatItLacks(t *testing.T) {
	h := newHouse(t)
	a, support := h.admin(), h.loggedIn("sam@example.com", latchkey.RoleSupport, "")
	var from, to time.Time
	reasons, failure := []string{"Some may be missing: 1204 on node-secret."}, error(nil)
	h.console.Lacking = func(_ context.Context, a, b time.Time) ([]string, error) {
		from, to = a, b
		return reasons, failure
	}
	if page := text(support.get("/requests")); !strings.Contains(page, "<p>"+reasons[0]+"</p>") {
		t.Errorf("support is not told:\n%s", page)
	}
	if d := to.Sub(from); d < 24*time.Hour || d > 25*time.Hour || time.Since(to) > time.Hour {
		t.Errorf("asked for %v until %v, must be for the day until now", d, to)
	}
	page := text(a.get("/requests?from=2026-05-01&until=2026-05-02"))
	if !strings.Contains(page, "may be missing here") || strings.Contains(page, "node-secret") || strings.Contains(page, "1204") {
		t.Errorf("a team is told\n%s", page)
	}
	if day := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC); !from.Equal(day) || !to.Equal(day.Add(24*time.Hour)) {
		t.Errorf("asked for %v to %v, must be for the first of May", from, to)
	}
	// A page that goes on speaks of its own time.
	var records []latchkey.Record
	now := time.Now()
	for i := range pageRows + 10 {
		r := unreadable(uuid.Must(uuid.NewV7()).String(), now.Add(-time.Duration(i)*time.Minute))
		r.RequestID = idAt(r.Time)
		records = append(records, r)
	}
	check(t, h.store.AppendRecords(t.Context(), records))
	support.get("/requests")
	if last := records[pageRows-1].Time; from.Sub(last).Abs() > time.Millisecond {
		t.Errorf("a full page asks from %v, must ask from its last record, %v", from, last)
	}
	support.get("/requests?before=" + records[pageRows-1].RequestID)
	if last := records[pageRows-1].Time; to.Before(last) || to.After(last.Add(2*time.Second)) {
		t.Errorf("the next page asks until %v, must ask until %v", to, last)
	}
	reasons = nil
	if page := text(support.get("/requests")); strings.Contains(page, "missing") {
		t.Errorf("nothing is missing, and the page says\n%s", page)
	}
	failure = errors.New("the store is away")
	if page := text(a.get("/requests")); !strings.Contains(page, "could not be found out") || strings.Contains(page, "away") {
		t.Errorf("it cannot be found out, and the page says\n%s", page)
	}
}
