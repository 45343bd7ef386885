package sqlite

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey"
)

// recordsOf makes n records of the day that was some days ago.
func recordsOf(age, n int, outcome latchkey.Outcome) (list []latchkey.Record) {
	at := time.Now().UTC().Truncate(time.Microsecond).AddDate(0, 0, -age)
	for i := range n {
		id := latchkey.RequestIDAt(at.UnixMilli(), 0x77)
		random := uuid.New()
		copy(id[10:], random[10:])
		list = append(list, latchkey.Record{RequestID: id.String(), Time: at, TeamID: "team_a", Outcome: outcome, Status: 200,
			CredentialID: "key_a", Path: "/" + strconv.Itoa(i), UserAgent: random.String()})
	}
	return list
}

// fillDays appends a record for each of the last days, and returns them, newest
// first.
func fillDays(t *testing.T, s *Store, days int) (list []latchkey.Record) {
	t.Helper()
	for age := range days {
		list = append(list, recordsOf(age, 1, latchkey.OutcomeAccepted)...)
	}
	if err := s.AppendRecords(t.Context(), list); err != nil {
		t.Fatal(err)
	}
	return list
}

// damage overwrites the file of a record's day. The store must be closed.
func damage(t *testing.T, s *Store, r latchkey.Record) string {
	t.Helper()
	path := s.days.path(latchkey.RequestIDDay(uuid.MustParse(r.RequestID)))
	if err := os.WriteFile(path, bytes.Repeat([]byte("no database "), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// unwritable makes every write to a file fail, as a disk that is full does.
func unwritable(t *testing.T, d *database) {
	t.Helper()
	if _, err := d.write.ExecContext(t.Context(), `PRAGMA query_only = 1`); err != nil {
		t.Fatal(err)
	}
}

func left(t *testing.T, s *Store) int {
	t.Helper()
	numbers, err := s.days.numbers()
	if err != nil {
		t.Fatal(err)
	}
	return len(numbers)
}

// TestRetainGoesOn: what is old goes, whatever else cannot be done.
func TestRetainGoesOn(t *testing.T) {
	const age = 48 * time.Hour
	for _, c := range []struct {
		what    string
		r       latchkey.Retention
		harm    func(t *testing.T, s *Store, list []latchkey.Record) *Store
		left    int
		harmful bool
	}{
		{"nothing is wrong", latchkey.Retention{Age: age}, nil, 3, false},
		{"nothing can be written", latchkey.Retention{Age: age}, full, 3, true},
		{"nothing can be written, and there is too much", latchkey.Retention{Bytes: 1}, full, 1, true},
		{"an old day is damaged", latchkey.Retention{Age: age}, withDamage(5), 3, false},
		{"a day that stays is damaged", latchkey.Retention{Age: age}, withDamage(2), 3, false},
		{"the newest day is damaged", latchkey.Retention{Age: age}, withDamage(0), 3, false},
		{"an old day is damaged, and there is too much", latchkey.Retention{Bytes: 1}, withDamage(5), 1, true},
		{"the newest day is damaged, and there is too much", latchkey.Retention{Bytes: 1}, withDamage(0), 1, true},
	} {
		t.Run(c.what, func(t *testing.T) {
			s := mustOpen(t, t.TempDir())
			list := fillDays(t, s, 8)
			if c.harm != nil {
				s = c.harm(t, s, list)
			}
			if err := s.Retain(t.Context(), c.r); (err != nil) != c.harmful {
				t.Errorf("what could not be done is said, and nothing else: %v", err)
			}
			if n := left(t, s); n != c.left {
				t.Errorf("%d days are left, not %d", n, c.left)
			}
		})
	}
}

func full(t *testing.T, s *Store, list []latchkey.Record) *Store {
	unwritable(t, s.records)
	for _, r := range list {
		err := s.days.with(t.Context(), latchkey.RequestIDDay(uuid.MustParse(r.RequestID)), false, func(d *day) error {
			unwritable(t, d.database)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func withDamage(age int) func(t *testing.T, s *Store, list []latchkey.Record) *Store {
	return func(t *testing.T, s *Store, list []latchkey.Record) *Store {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		damage(t, s, list[age])
		return mustOpen(t, filepath.Dir(s.days.dir))
	}
}

// TestRefusalsThatCannotGo: where refusals cannot be removed, days are.
func TestRefusalsThatCannotGo(t *testing.T) {
	s := mustOpen(t, t.TempDir())
	list := fillDays(t, s, 3)
	flood := recordsOf(2, 2000, latchkey.OutcomeDenied)
	if err := s.AppendRecords(t.Context(), flood); err != nil {
		t.Fatal(err)
	}
	full(t, s, list)
	err := s.Retain(t.Context(), latchkey.Retention{Bytes: 300_000})
	if err == nil || !strings.Contains(err.Error(), "readonly") {
		t.Errorf("it is said that refusals could not be removed: %v", err)
	}
	if _, err := s.Record(t.Context(), flood[0].RequestID); !errors.Is(err, latchkey.ErrNotFound) {
		t.Errorf("the oldest day goes where its refusals cannot: %v", err)
	}
	if n := left(t, s); n != 2 {
		t.Errorf("%d days are left, not 2", n)
	}
}

// TestDamagedDay: a damaged file keeps no store from being opened; who asks for
// what is in it hears of an error, or of a gap; and the day goes on.
func TestDamagedDay(t *testing.T) {
	for age := range 3 {
		t.Run(strconv.Itoa(age), func(t *testing.T) {
			dir := t.TempDir()
			s := mustOpen(t, dir)
			list := fillDays(t, s, 4)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			path := damage(t, s, list[age])
			var log bytes.Buffer
			s, err := Open(t.Context(), Config{Dir: dir, Logger: slog.New(slog.NewTextHandler(&log, nil))})
			if err != nil {
				t.Fatalf("a store is opened whatever became of records: %v", err)
			}
			defer s.Close()
			if age < 2 && !strings.Contains(log.String(), path) {
				t.Errorf("the log names the file: %q", log.String())
			}
			for i, r := range list {
				got, err := s.Record(t.Context(), r.RequestID)
				if i != age && (err != nil || got != r) {
					t.Errorf("what is in other files is found: %v", err)
				}
				if i == age && (err == nil || errors.Is(err, latchkey.ErrNotFound)) {
					t.Errorf("what is in a damaged file is no request that never was: %v", err)
				}
			}

			if tallies, err := s.Tallies(t.Context(), "team_a", list[3].Time); err != nil || len(tallies) != 3 {
				t.Errorf("a chart has the other days: %d, %v", len(tallies), err)
			}

			late := recordsOf(age, 1, latchkey.OutcomeAccepted)
			late[0].Node = "node-1"
			for range 2 {
				if err := s.AppendRecords(t.Context(), late); err != nil {
					t.Fatalf("a damaged file is no end of the day: %v", err)
				}
			}
			if got, err := s.Record(t.Context(), late[0].RequestID); err != nil || got != late[0] {
				t.Errorf("what was appended is found: %v", err)
			}
			at := list[age].Time
			gaps, err := s.Gaps(t.Context(), at, at)
			if err != nil || len(gaps) != 1 || gaps[0].Node != "node-1" || !gaps[0].AtMost || gaps[0].Count < 100 {
				t.Errorf("what was in a file that was set aside is a gap: %+v, %v", gaps, err)
			}
			if _, err := os.Stat(path + ".damaged1"); err != nil {
				t.Errorf("the damaged file is kept: %v", err)
			}
			if err := s.Retain(t.Context(), latchkey.Retention{Bytes: 1}); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(path + ".damaged1"); age > 0 && !errors.Is(err, os.ErrNotExist) {
				t.Errorf("what was set aside ends with its day: %v", err)
			}
		})
	}
}

// TestClockAhead: a clock that jumps takes no record before somebody could set it.
func TestClockAhead(t *testing.T) {
	const age = 48 * time.Hour
	year := 365 * 24 * time.Hour
	type step struct {
		clock time.Duration // ahead of the right one
		left  int
	}
	for _, c := range []struct {
		what  string
		steps []step
	}{
		{"hour by hour", []step{{0, 3}, {time.Hour, 3}, {24 * time.Hour, 2}, {48 * time.Hour, 1}}},
		{"it jumps, and is set", []step{{0, 3}, {year, 3}, {year + time.Hour, 3}, {time.Hour, 3}, {24 * time.Hour, 2}}},
		{"it jumps, and is right", []step{{0, 3}, {year, 3}, {year + 23*time.Hour, 3}, {year + 24*time.Hour, 0}}},
		{"it jumps twice", []step{{0, 3}, {year, 3}, {2 * year, 3}, {2*year + 23*time.Hour, 3}, {2*year + 24*time.Hour, 0}}},
	} {
		t.Run(c.what, func(t *testing.T) {
			dir := t.TempDir()
			fillDays(t, mustOpen(t, dir), 8)
			right := time.Now().UTC().Truncate(24 * time.Hour).Add(12 * time.Hour)
			for i, step := range c.steps {
				var log bytes.Buffer
				s, err := Open(t.Context(), Config{ // a restart forgets nothing of it
					Dir: dir, Now: func() time.Time { return right.Add(step.clock) }, Logger: slog.New(slog.NewTextHandler(&log, nil)),
				})
				if err != nil {
					t.Fatal(err)
				}
				if err := s.Retain(t.Context(), latchkey.Retention{Age: age}); err != nil {
					t.Fatal(err)
				}
				if n := left(t, s); n != step.left {
					t.Errorf("step %d: %d days are left, not %d", i, n, step.left)
				}
				jumped := i > 0 && step.clock-c.steps[i-1].clock > 24*time.Hour
				if said := strings.Contains(log.String(), "gone ahead"); said != jumped {
					t.Errorf("step %d: the log says of a jump: %t, must be %t", i, said, jumped)
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// TestTombstonesAndClockAhead: a clock that jumps takes no tombstone before
// somebody could set it, though nothing looked at it before the purge did.
func TestTombstonesAndClockAhead(t *testing.T) {
	const age, year = 90 * 24 * time.Hour, 365 * 24 * time.Hour
	dir, right := t.TempDir(), time.Now()
	s := mustOpen(t, dir)
	if _, _, err := s.UpdateTeam(t.Context(), mustChanges(t, s).Teams[0].ID, roll); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		clock time.Duration // ahead of the right one
		want  int           // what is purged
	}{{0, 0}, {year, 0}, {year + time.Hour, 0}, {time.Hour, 0}, {year, 0}, {year + 12*time.Hour, 0}, {year + 24*time.Hour, 1}} {
		s, err := Open(t.Context(), Config{Dir: dir, Now: func() time.Time { return right.Add(step.clock) }})
		if err != nil {
			t.Fatal(err)
		}
		if n, err := s.PurgeTombstones(t.Context(), age); err != nil || n != step.want {
			t.Errorf("with a clock that is %s ahead %d tombstones go, not %d: %v", step.clock, n, step.want, err)
		}
		if err := errors.Join(s.Retain(t.Context(), latchkey.Retention{}), s.Close()); err != nil {
			t.Fatal(err)
		}
	}
}
