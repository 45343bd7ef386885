package sqlite

import (
	"bytes"
	"database/sql"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey"
)

// asked is how often any day was asked for.
func asked(s *Store) uint64 {
	s.days.mu.Lock()
	defer s.days.mu.Unlock()
	return s.days.turns
}

// TestDaysAreMeasuredOnce: years of days are not opened again each minute. What is
// written to is measured anew.
func TestDaysAreMeasuredOnce(t *testing.T) {
	const days = maxOpenDays + 2
	s := mustOpen(t, t.TempDir())
	fillDays(t, s, days)
	retain := func(bytes int64) uint64 {
		t.Helper()
		before := asked(s)
		if err := s.Retain(t.Context(), latchkey.Retention{Bytes: bytes}); err != nil {
			t.Fatal(err)
		}
		return asked(s) - before
	}
	if n := retain(1 << 40); n != days {
		t.Errorf("each day is measured once, and not three times: %d times for %d", n, days)
	}
	if n := retain(1 << 40); n != 0 {
		t.Errorf("a day that nobody wrote to is not opened again: %d are", n)
	}
	const grown, flood = 3, 300
	if err := s.AppendRecords(t.Context(), recordsOf(grown, flood, latchkey.OutcomeDenied)); err != nil {
		t.Fatal(err)
	}
	if n := retain(1 << 40); n != 1 {
		t.Errorf("a day that was written to is measured again, and no other: %d are", n)
	}
	_, sizes, err := s.measure(t.Context())
	if err != nil || sizes[grown].records != flood+1 || sizes[grown].refusals != flood {
		t.Errorf("what was written counts: %+v, %v", sizes[grown], err)
	}
}

// TestOpeningHoldsUpNobody: while the file of one day cannot be opened yet, others
// are read.
func TestOpeningHoldsUpNobody(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	list := fillDays(t, s, 3)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, dir) // which looks at the newest two days
	number := latchkey.RequestIDDay(uuid.MustParse(list[2].RequestID))
	other, err := sql.Open("sqlite", s.days.path(number))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	holder, err := other.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close()
	if _, err := holder.ExecContext(t.Context(), `BEGIN IMMEDIATE`); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := s.Record(t.Context(), list[2].RequestID)
		done <- err
	}()
	for begun := false; !begun; time.Sleep(time.Millisecond) {
		s.days.mu.Lock()
		begun = s.days.open[number] != nil
		s.days.mu.Unlock()
		select {
		case err := <-done:
			t.Fatalf("the day was not opened, or others waited for it: %v", err)
		default:
		}
	}
	for _, r := range list[:2] {
		if got, err := s.Record(t.Context(), r.RequestID); err != nil || got != r {
			t.Errorf("a record of another day: %v", err)
		}
	}
	select {
	case err := <-done:
		t.Fatalf("the records of other days were found after a file that is held up was opened: %v", err)
	default:
	}
	if _, err := holder.ExecContext(t.Context(), `ROLLBACK`); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("a file that was held up is opened when it can be: %v", err)
	}
}

func dayOf(r latchkey.Record) int64 { return latchkey.RequestIDDay(uuid.MustParse(r.RequestID)) }

// openAndNot tells the records whose days are open from the others.
func openAndNot(s *Store, list []latchkey.Record) (open, not []latchkey.Record) {
	s.days.mu.Lock()
	defer s.days.mu.Unlock()
	for _, r := range list {
		if s.days.open[dayOf(r)] != nil {
			open = append(open, r)
		} else {
			not = append(not, r)
		}
	}
	return open, not
}

// readBeside looks a record up, and says what was wrong.
func readBeside(t *testing.T, s *Store, r latchkey.Record) chan error {
	done := make(chan error, 1)
	go func() {
		got, err := s.Record(t.Context(), r.RequestID)
		if err == nil && got != r {
			err = errors.New("it is another record")
		}
		done <- err
	}()
	return done
}

// TestClosingHoldsUpNobody: while a day that is one too many is closed, others are
// read, and whoever asks for it waits; what is wrong with it is no error of theirs.
func TestClosingHoldsUpNobody(t *testing.T) {
	s := mustOpen(t, t.TempDir())
	list := fillDays(t, s, maxOpenDays+3)
	var log bytes.Buffer
	s.days.logger = slog.New(slog.NewTextHandler(&log, nil))
	closing, goOn := make(chan int64, 1), make(chan struct{})
	s.days.shut = func(d *day) error {
		closing <- d.number
		<-goOn
		return errors.Join(errors.New("planted"), d.close())
	}
	kept, shut := openAndNot(s, list)
	first := readBeside(t, s, shut[0])
	number := <-closing
	var again chan error
	for _, r := range kept {
		if dayOf(r) == number {
			again = readBeside(t, s, r)
			continue
		}
		select {
		case err := <-readBeside(t, s, r):
			if err != nil {
				t.Errorf("a record of another day: %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("records of other days wait for a file that is closed")
		}
	}
	if err := s.days.remove(number); err != nil || left(t, s) != len(list) {
		t.Errorf("a file that is being closed is not removed: %v", err)
	}
	select {
	case err := <-again:
		t.Errorf("a file is opened while it is closed: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	close(goOn)
	for _, done := range []chan error{first, again} {
		for open := true; open; {
			select {
			case <-closing: // the next one
			case err := <-done:
				open = false
				if err != nil {
					t.Errorf("what was read is good, whatever became of another day: %v", err)
				}
			}
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if !strings.Contains(log.String(), "planted") {
		t.Errorf("it is logged that a file could not be closed: %q", log.String())
	}
}
