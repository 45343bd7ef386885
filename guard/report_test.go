package guard_test

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"latchkey"
	"latchkey/guard"
	"latchkey/problem"
)

// TestReport holds that the record says when what lies behind the door could not
// reach its store, whose request it was, and that nothing else changes a verdict.
func TestReport(t *testing.T) {
	gone := &latchkey.Unavailable{Reason: latchkey.ReasonStoreUnavailable, Err: errors.New("the database is down")}
	for rule, c := range map[string]struct {
		err     error
		outcome latchkey.Outcome
		reason  latchkey.Reason
	}{
		"the store is out of reach":    {fmt.Errorf("list contacts: %w", gone), latchkey.OutcomeUnavailable, latchkey.ReasonStoreUnavailable},
		"there is no such contact":     {latchkey.ErrNotFound, latchkey.OutcomeAccepted, latchkey.ReasonOK},
		"the outcome is not known":     {fmt.Errorf("%w: %w", latchkey.ErrOutcomeUnknown, gone), latchkey.OutcomeAccepted, latchkey.ReasonOK},
		"nothing is said to be wrong":  {nil, latchkey.OutcomeAccepted, latchkey.ReasonOK},
		"it is said to be not allowed": {&latchkey.Denial{Code: latchkey.CodeInvalidCredentials}, latchkey.OutcomeAccepted, latchkey.ReasonOK},
	} {
		v, book := newVault(), &ledger{}
		g := &guard.Guard{Authenticate: v.keyring.Authenticate, Recorder: book, Logger: slog.New(slog.DiscardHandler)}
		handler := g.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			latchkey.Report(r.Context(), c.err)
			problem.Writer{}.Write(w, r, errors.Join(c.err, errors.New("answered")))
		}))
		r := httptest.NewRequest(http.MethodGet, "/v1/contacts", nil)
		r.Header.Set("Authorization", v.bearer())
		handler.ServeHTTP(httptest.NewRecorder(), r)
		for when, list := range map[string][]latchkey.Record{"begun": slices.Collect(maps.Values(book.begun)), "ended": book.ended} {
			if len(list) != 1 {
				t.Fatalf("%s: %d records %s", rule, len(list), when)
			}
			if got := list[0]; got.Outcome != c.outcome || got.Reason != c.reason || got.TeamID == "" || got.CredentialID == "" {
				t.Errorf("%s: the record %s says %s (%s) of team %q, must say %s (%s)", rule, when, got.Outcome, got.Reason, got.TeamID, c.outcome, c.reason)
			}
		}
	}
	latchkey.Report(t.Context(), gone) // without a door, nobody hears it
}
