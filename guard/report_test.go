package guard_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"latchkey"
	"latchkey/guard"
	"latchkey/problem"
)

// TestReport holds that the record says when what lies behind the door answers
// with a fault of ours, whose request it was, and that nothing else changes a verdict.
func TestReport(t *testing.T) {
	gone := &latchkey.Unavailable{Reason: latchkey.ReasonStoreUnavailable, Err: errors.New("the database is down")}
	for rule, c := range map[string]struct {
		err     error
		outcome latchkey.Outcome
		reason  latchkey.Reason
		says    string
	}{
		"the store is out of reach":    {fmt.Errorf("list contacts: %w", gone), latchkey.OutcomeUnavailable, latchkey.ReasonStoreUnavailable, ""},
		"the store takes too long":     {context.DeadlineExceeded, latchkey.OutcomeUnavailable, latchkey.ReasonStoreUnavailable, ""},
		"there is no such contact":     {latchkey.ErrNotFound, latchkey.OutcomeAccepted, latchkey.ReasonOK, ""},
		"the outcome is not known":     {fmt.Errorf("%w: %w", latchkey.ErrOutcomeUnknown, gone), latchkey.OutcomeError, "internal_error", "not known whether"},
		"the handler fails":            {errors.New("a secret of the handler's"), latchkey.OutcomeError, "internal_error", "The API failed."},
		"it is said to be not allowed": {&latchkey.Denial{Code: latchkey.CodeInvalidCredentials}, latchkey.OutcomeAccepted, latchkey.ReasonOK, ""},
	} {
		v, book := newVault(), &ledger{}
		g := &guard.Guard{Authenticate: v.keyring.Authenticate, Recorder: book, Logger: slog.New(slog.DiscardHandler)}
		handler := g.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			problem.Writer{}.Write(w, r, c.err)
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
			} else if !strings.Contains(got.Diagnosis, c.says) || (c.says == "") != (got.Diagnosis == "") {
				t.Errorf("%s: the diagnosis %s is %q, must say %q", rule, when, got.Diagnosis, c.says)
			}
		}
	}
	latchkey.Report(t.Context(), gone) // without a door, nobody hears it
}
