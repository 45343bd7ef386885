package main

import (
	"bytes"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey"
)

// TestListsSayWhatIsMissing: a list, and an export, of a time in which records
// were lost says so beside what it has; one of another time does not.
func TestListsSayWhatIsMissing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	lock, err := claimDir(t.Context(), dir, true)
	if err != nil {
		t.Fatal(err)
	}
	n, err := openNode(t.Context(), lock, nodeConfig{Data: dir, Node: "node-1", Create: true, Command: true, By: latchkey.System, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	hour := func(ago int) time.Time { return now.Add(-time.Duration(ago) * time.Hour) }
	if err := n.store.AddGap(t.Context(), latchkey.Gap{Node: "node-1", From: hour(3), To: hour(2), Count: 1204}); err != nil {
		t.Fatal(err)
	}
	id, old := uuid.Must(uuid.NewV7()).String(), latchkey.RequestIDAt(hour(5).UnixMilli(), 0x77).String()
	err = n.store.AppendRecords(t.Context(), []latchkey.Record{{RequestID: id, Time: now.Add(-time.Second), Status: 200}, {RequestID: old, Time: hour(5), Status: 200}})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what         string
		since, until time.Time
		limit        int
		gap          bool
	}{
		{"everything", time.Time{}, time.Time{}, 100, true},
		{"since before the gap", hour(4), time.Time{}, 100, true},
		{"since within it", now.Add(-150 * time.Minute), time.Time{}, 100, true},
		{"after it", hour(1), time.Time{}, 100, false},
		{"before it", hour(9), hour(4), 100, false},
		{"a page that ends after it", time.Time{}, time.Time{}, 1, false},
		{"a page that ends with the last", time.Time{}, time.Time{}, 2, true},
	} {
		filter := requestFilter{Since: since{moment: c.since, set: !c.since.IsZero()}, Until: since{moment: c.until, set: !c.until.IsZero()}}
		for name, command := range map[string]interface{ Run(*session) error }{
			"list":   &requestList{requestFilter: filter, Limit: c.limit},
			"export": &requestExport{filter},
		} {
			if name == "export" && c.limit < 100 {
				continue
			}
			for _, asJSON := range []bool{false, true} {
				var stdout, stderr bytes.Buffer
				s := &session{globals: &globals{Data: dir, JSON: asJSON}, stdout: &stdout, stderr: &stderr}
				if err := command.Run(s); err != nil {
					t.Fatalf("%s, %s: %v", name, c.what, err)
				}
				saying, silent := &stderr, &stdout
				if name == "list" && asJSON { // the answer has a place for it
					saying, silent = &stdout, &stderr
				}
				if said := strings.Contains(saying.String(), "1204 records were not kept on node-1"); said != c.gap {
					t.Errorf("%s, %s, as JSON %t: that records are missing is said: %t, must be %t: %q", name, c.what, asJSON, said, c.gap, saying.String())
				}
				if strings.Contains(silent.String(), "1204") {
					t.Errorf("%s, %s, as JSON %t: it is said in the wrong place: %q", name, c.what, asJSON, silent.String())
				}
			}
		}
	}
}

// TestRequestThatGoesOn: of a response that has not ended nothing is said that is
// not known yet.
func TestRequestThatGoesOn(t *testing.T) {
	r := latchkey.Record{RequestID: "0198c5e2-7d3a-7b61-9f0e-3c1d5a8b2e47", Node: "node-1", Status: 101, Open: true}
	var said strings.Builder
	describeRequest(&said, r)
	if !strings.Contains(said.String(), "not ended yet, on node-1") || strings.Contains(said.String(), "0.000 ms") || strings.Contains(said.String(), "0 bytes") {
		t.Errorf("of a response that goes on it says:\n%s", said.String())
	}
	r.Open, r.DurationUS = false, 1500
	said.Reset()
	describeRequest(&said, r)
	if !strings.Contains(said.String(), "1.50 ms on node-1") || !strings.Contains(said.String(), "0 bytes in") {
		t.Errorf("of one that has ended it says:\n%s", said.String())
	}
}

// TestRequestWithoutDiagnosis: the reason is said in words, unless all was well.
func TestRequestWithoutDiagnosis(t *testing.T) {
	for _, c := range []struct {
		record latchkey.Record
		want   string
	}{
		{latchkey.Record{Outcome: latchkey.OutcomeUnavailable, Reason: latchkey.ReasonLeaseOver}, "had lost touch with its database, and could not tell whether the credential still holds. Try again"},
		{latchkey.Record{Outcome: latchkey.OutcomeDenied, Reason: latchkey.ReasonKeyRolled, Diagnosis: "Its own."}, "Its own.\n"},
		{latchkey.Record{Outcome: latchkey.OutcomeAccepted, Reason: latchkey.ReasonOK}, ""},
		{latchkey.Record{}, ""},
	} {
		var said strings.Builder
		describeRequest(&said, c.record)
		if has := strings.Contains(said.String(), "Diagnosis"); has != (c.want != "") || !strings.Contains(said.String(), c.want) {
			t.Errorf("of %s (%s) it must say %q:\n%s", c.record.Outcome, c.record.Reason, c.want, said.String())
		}
	}
}
