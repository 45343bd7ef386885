package sqlite

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey"
)

func openForConsole(t *testing.T) *Store {
	t.Helper()
	s, err := Open(t.Context(), Config{Dir: t.TempDir(), Genesis: func(time.Time) (latchkey.Genesis, error) {
		return latchkey.Genesis{Probe: []byte("probe"), Holding: latchkey.Holding{Team: latchkey.Team{ID: "team_1", Name: "one"}}}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestTalliesCountEachRecordOnce(t *testing.T) {
	s := openForConsole(t)
	hour := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	record := func(team string, at time.Time, outcome latchkey.Outcome) latchkey.Record {
		return latchkey.Record{RequestID: uuid.Must(uuid.NewV7()).String(), Time: at, TeamID: team, Outcome: outcome}
	}
	records := []latchkey.Record{
		record("team_1", hour, latchkey.OutcomeAccepted),
		record("team_1", hour.Add(time.Hour-time.Microsecond), latchkey.OutcomeAccepted),
		record("team_1", hour.Add(time.Hour), latchkey.OutcomeAccepted),
		record("team_1", hour.Add(time.Minute), latchkey.OutcomeDenied),
		record("team_1", hour.Add(-time.Minute), latchkey.OutcomeDenied), // before the hour that is asked for
		record("team_2", hour, latchkey.OutcomeAccepted),
		record("", hour, latchkey.OutcomeDenied),
	}
	for range 2 { // the second time, all of them are there already
		if err := s.AppendRecords(t.Context(), records); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.Tallies(t.Context(), "team_1", hour.Add(30*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	want := []latchkey.Tally{
		{Hour: hour, Outcome: latchkey.OutcomeAccepted, Count: 2},
		{Hour: hour, Outcome: latchkey.OutcomeDenied, Count: 1},
		{Hour: hour.Add(time.Hour), Outcome: latchkey.OutcomeAccepted, Count: 1},
	}
	if len(got) != len(want) {
		t.Fatalf("tallies are %v, not %v", got, want)
	}
	for i := range want {
		if !got[i].Hour.Equal(want[i].Hour) || got[i].Outcome != want[i].Outcome || got[i].Count != want[i].Count {
			t.Errorf("tally %d is %v, not %v", i, got[i], want[i])
		}
	}
}

func TestRecordsByCredentialMethodAndPath(t *testing.T) {
	s := openForConsole(t)
	records := []latchkey.Record{
		{CredentialID: "key_a", Method: "GET", Path: "/v1/contacts"},
		{CredentialID: "key_a", Method: "POST", Path: "/v1/contact"},
		{CredentialID: "key_b", Method: "GET", Path: "/v1/100%_done"},
		{Method: "GET", Path: "/V1/CONTACTS"},
	}
	for i := range records {
		records[i].RequestID = uuid.Must(uuid.NewV7()).String()
		records[i].Time = time.Now()
	}
	if err := s.AppendRecords(t.Context(), records); err != nil {
		t.Fatal(err)
	}
	for _, q := range []latchkey.RecordQuery{
		{CredentialID: "key_a"}, {CredentialID: "key_"}, {Method: "GET"}, {Method: "get"},
		{Path: "/v1/contact"}, {Path: "contacts"}, {Path: "%_"}, {Path: "_"}, {Path: "%"}, {Path: "' OR 1=1 --"},
		{CredentialID: "key_a", Method: "GET", Path: "/v1"},
	} {
		got, err := s.Records(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		want := 0
		for i := range records {
			if q.Matches(&records[i]) {
				want++
			}
		}
		if len(got) != want {
			t.Errorf("the store finds %d records for %+v, Matches %d", len(got), q, want)
		}
		for i := range got {
			if !q.Matches(&got[i]) {
				t.Errorf("the store finds %s for %+v, which Matches does not", got[i].Path, q)
			}
		}
	}
}
