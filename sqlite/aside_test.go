package sqlite

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey"
)

// badPages is damage that a file's header does not show.
var badPages = spoiling{"pages that went bad", func(t *testing.T, path string) {
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := 2 * 4096; i < len(content); i++ {
		content[i] = 0xa5
	}
	write(t, path, content)
}, "damaged"}

// reopen opens a store again, and returns what it logs.
func reopen(t *testing.T, dir string) (*Store, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	s, err := Open(t.Context(), Config{Dir: dir, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatalf("a store is opened whatever became of records: %v", err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, &log
}

// TestDamagedRecords: what is known about records keeps no store from being opened
// when it is damaged. It is set aside, and said; records are there, and what is not
// there may have been.
func TestDamagedRecords(t *testing.T) {
	for _, c := range append(spoilings, badPages) {
		t.Run(c.what, func(t *testing.T) {
			dir := t.TempDir()
			s := mustOpen(t, dir)
			list := fillDays(t, s, 4)
			for i := range list { // a clock that was behind when the ID was made
				list[i].RequestID = newID(list[i].Time.Add(-time.Hour))
				list[i].Node, list[i].CredentialID = "node-1", "key_"+list[i].RequestID
			}
			if err := s.AppendRecords(t.Context(), list); err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, recordsFile)
			c.spoil(t, path)
			before, _ := os.ReadFile(path)

			s, log := reopen(t, dir)
			if !strings.Contains(log.String(), path) || !strings.Contains(log.String(), "set aside") {
				t.Errorf("the log says what was done to which file: %q", log)
			}
			if after, err := os.ReadFile(path + ".damaged1"); !bytes.Equal(before, after) {
				t.Errorf("the damaged file is kept as it is: %v", err)
			}
			holdsAfterDamage(t, s, list)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			_, log = reopen(t, dir)
			if log.Len() > 0 {
				t.Errorf("the next start finds nothing wrong: %q", log)
			}
		})
	}
}

// newID returns an ID of a time.
func newID(at time.Time) string {
	id := latchkey.RequestIDAt(at.UnixMilli(), 0x77)
	random := uuid.New()
	copy(id[10:], random[10:])
	return id.String()
}

func holdsAfterDamage(t *testing.T, s *Store, list []latchkey.Record) {
	t.Helper()
	ctx := t.Context()
	now := time.Now()
	oldest := list[len(list)-1]
	for _, r := range list {
		if got, err := s.Record(ctx, r.RequestID); err != nil || got != r {
			t.Errorf("a record is found: %v", err)
		}
		used, err := s.LastUsed(ctx, []string{r.CredentialID})
		if err != nil || !used[r.CredentialID].Equal(r.Time) {
			t.Errorf("when a credential was last used is known by the days: %v, %v", used, err)
		}
	}
	found, err := s.Records(ctx, latchkey.RecordQuery{Since: oldest.Time, Until: oldest.Time.Add(time.Microsecond)})
	if err != nil || len(found) < 2 { // both that have this time
		t.Errorf("a query by time finds what is there: %d, %v", len(found), err)
	}
	gaps, err := s.Gaps(ctx, oldest.Time, oldest.Time)
	if err != nil || len(gaps) != 1 || !gaps[0].AtMost || gaps[0].Count < 1 || gaps[0].Node != "node-1" || gaps[0].To.After(now) {
		t.Errorf("the time of what is not known any more is a gap: %+v, %v", gaps, err)
	}
	usage := latchkey.Usage{CredentialID: "key_a", TeamID: "team_a", Day: now.UTC().Truncate(24 * time.Hour), Accepted: 1, Last: now}
	for what, err := range map[string]error{
		"usage":     s.AddUsage(ctx, []latchkey.Usage{usage}),
		"records":   s.AppendRecords(ctx, recordsOf(0, 2, latchkey.OutcomeAccepted)),
		"retention": s.Retain(ctx, latchkey.Retention{Age: 72 * time.Hour, Bytes: 1 << 40}),
	} {
		if err != nil {
			t.Errorf("%s is written again: %v", what, err)
		}
	}
}

// TestSetAsideTwice: what was set aside once is kept when there is more.
func TestSetAsideTwice(t *testing.T) {
	dir := t.TempDir()
	if err := mustOpen(t, dir).Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, recordsFile)
	for _, text := range []string{"one", "two"} {
		write(t, path, []byte(text))
		s, _ := reopen(t, dir)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for suffix, want := range map[string]string{".damaged1": "one", ".damaged2": "two"} {
		if got, err := os.ReadFile(path + suffix); err != nil || string(got) != want {
			t.Errorf("what was set aside is never written over: %q, %v", got, err)
		}
	}
}

// TestSpoiltDay: a file of a day that is none, of whatever kind, keeps no store from
// being opened, and no day from going on.
func TestSpoiltDay(t *testing.T) {
	for _, c := range append(spoilings, badPages) {
		t.Run(c.what, func(t *testing.T) {
			dir := t.TempDir()
			s := mustOpen(t, dir)
			r := recordsOf(0, 1, latchkey.OutcomeAccepted)[0]
			flood := recordsOf(0, 500, latchkey.OutcomeAccepted)
			if err := s.AppendRecords(t.Context(), append(flood, r)); err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			path := s.days.path(latchkey.RequestIDDay(uuid.MustParse(r.RequestID)))
			c.spoil(t, path)
			s, _ = reopen(t, dir)
			if _, err := s.Record(t.Context(), r.RequestID); err == nil || errors.Is(err, latchkey.ErrNotFound) {
				t.Errorf("what is in a damaged file is no request that never was: %v", err)
			}
			late := recordsOf(0, 1, latchkey.OutcomeAccepted)
			if err := s.AppendRecords(t.Context(), late); err != nil {
				t.Fatalf("a damaged file is no end of the day: %v", err)
			}
			if got, err := s.Record(t.Context(), late[0].RequestID); err != nil || got != late[0] {
				t.Errorf("what was appended is found: %v", err)
			}
			if _, err := os.Stat(path + ".damaged1"); err != nil {
				t.Errorf("the damaged file is kept: %v", err)
			}
		})
	}
}
