package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"modernc.org/sqlite"

	"latchkey"
)

// onWriter runs f on the one connection that writes.
func onWriter(t *testing.T, d *database, f func(driverConn any) error) {
	t.Helper()
	c, err := d.write.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Raw(f); err != nil {
		t.Fatal(err)
	}
}

// failCommits makes COMMIT fail while the returned switch is on.
func failCommits(t *testing.T, d *database) *atomic.Bool {
	t.Helper()
	var on atomic.Bool
	onWriter(t, d, func(c any) error {
		c.(sqlite.HookRegisterer).RegisterCommitHook(func() int32 {
			if on.Load() {
				return 1
			}
			return 0
		})
		return nil
	})
	return &on
}

func TestCommitUnknown(t *testing.T) {
	s := mustOpen(t, t.TempDir())
	before := mustChanges(t, s)
	id := before.Teams[0].ID
	fail := failCommits(t, s.credentials)
	fail.Store(true)
	_, _, err := s.UpdateTeam(t.Context(), id, roll)
	if !errors.Is(err, latchkey.ErrOutcomeUnknown) {
		t.Errorf("a COMMIT that fails is ErrOutcomeUnknown, not %v", err)
	}
	if err == nil || !strings.Contains(err.Error(), credentialsFile) {
		t.Errorf("the error names the file: %v", err)
	}
	fail = failCommits(t, s.credentials) // SQLite rolled back: this is another connection
	fail.Store(true)
	_, err = s.CreateContact(t.Context(), id, latchkey.Contact{Phone: "15550100"})
	if !errors.Is(err, latchkey.ErrOutcomeUnknown) {
		t.Errorf("a COMMIT that fails is ErrOutcomeUnknown, not %v", err)
	}
	fail.Store(false)
	_, change, err := s.UpdateTeam(t.Context(), id, roll)
	if err != nil || change.Revision < before.Revision+1 {
		t.Errorf("the store works on after a COMMIT that failed: revision %d, %v", change.Revision, err)
	}
}

// TestContextEndsDuringCommit: what has begun to be committed is not given up.
func TestContextEndsDuringCommit(t *testing.T) {
	s := mustOpen(t, t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	onWriter(t, s.credentials, func(c any) error {
		c.(sqlite.HookRegisterer).RegisterCommitHook(func() int32 {
			cancel()
			time.Sleep(10 * time.Millisecond) // for whoever could interrupt it
			return 0
		})
		return nil
	})
	_, change, err := s.UpdateTeam(ctx, mustChanges(t, s).Teams[0].ID, roll)
	if err != nil && !errors.Is(err, latchkey.ErrOutcomeUnknown) {
		t.Errorf("a context that ends during COMMIT is never a failure: %v", err)
	}
	if all := mustChanges(t, s); err == nil && all.Revision != change.Revision {
		t.Errorf("a change that was acknowledged is there: revision %d, not %d", all.Revision, change.Revision)
	}
}

func TestPanicInEdit(t *testing.T) {
	s := mustOpen(t, t.TempDir())
	before := mustChanges(t, s)
	func() {
		defer func() { _ = recover() }()
		_, _, _ = s.UpdateTeam(t.Context(), before.Teams[0].ID, func(_ time.Time, h *latchkey.Holding) error {
			panic("an edit gone wrong")
		})
	}()
	if _, _, err := s.UpdateTeam(t.Context(), before.Teams[0].ID, roll); err != nil {
		t.Errorf("the store works on after an edit that panicked: %v", err)
	}
	if got := mustChanges(t, s).Revision; got != before.Revision+1 {
		t.Errorf("an edit that panicked changes nothing: revision %d", got)
	}
}

// limitPages makes a file full after so many pages.
func limitPages(t *testing.T, d *database, pages int) {
	t.Helper()
	if _, err := d.write.ExecContext(t.Context(), fmt.Sprintf(`PRAGMA max_page_count = %d`, pages)); err != nil {
		t.Fatal(err)
	}
}

func TestDiskFull(t *testing.T) {
	s := mustOpen(t, t.TempDir())
	id := mustChanges(t, s).Teams[0].ID
	limitPages(t, s.credentials, 1) // SQLite takes what there is already
	var before latchkey.Changes
	var err error
	for range 500 {
		before = mustChanges(t, s)
		if _, _, err = s.UpdateTeam(t.Context(), id, roll); err != nil {
			break
		}
	}
	if err == nil || !strings.Contains(err.Error(), "full") || !strings.Contains(err.Error(), credentialsFile) {
		t.Fatalf("a full disk is an error that says so and names the file, not %v", err)
	}
	if after := mustChanges(t, s); !reflect.DeepEqual(after, before) {
		t.Errorf("with a full disk nothing is half done: revision %d, not %d", after.Revision, before.Revision)
	}
	limitPages(t, s.credentials, 1<<20)
	if _, _, err := s.UpdateTeam(t.Context(), id, roll); err != nil {
		t.Errorf("the store works on when there is room again: %v", err)
	}

	first := latchkey.Record{RequestID: uuid.Must(uuid.NewV7()).String(), Time: time.Now()}
	if err := s.AppendRecords(t.Context(), []latchkey.Record{first}); err != nil {
		t.Fatal(err)
	}
	today, err := s.days.acquire(t.Context(), latchkey.RequestIDDay(uuid.MustParse(first.RequestID)), false)
	if err != nil {
		t.Fatal(err)
	}
	limitPages(t, today.database, 1)
	var batch []latchkey.Record
	for i := range 1000 {
		id := uuid.MustParse(first.RequestID) // whatever the time, of one day
		id[14], id[15] = byte(i>>8), byte(i)
		batch = append(batch, latchkey.Record{RequestID: id.String(), Time: time.Now(), CredentialID: "key", Path: strings.Repeat("x", 100), Outcome: latchkey.OutcomeAccepted})
	}
	if err := s.AppendRecords(t.Context(), batch); err == nil || !strings.Contains(err.Error(), recordsDir) {
		t.Errorf("a full disk is an error that names the file, not %v", err)
	}
	list, err := s.Records(t.Context(), latchkey.RecordQuery{})
	used, usedErr := s.LastUsed(t.Context(), []string{"key"})
	if err != nil || usedErr != nil || len(list) != 1 || len(used) > 0 {
		t.Errorf("with a full disk nothing of a batch is there: %d records, %v, %v", len(list), err, usedErr)
	}
	limitPages(t, today.database, 1<<20)
	if err := s.AppendRecords(t.Context(), batch); err != nil {
		t.Errorf("a batch can be appended again when there is room: %v", err)
	}
	if got, err := s.Record(t.Context(), batch[7].RequestID); err != nil || got.CredentialID != "key" {
		t.Errorf("a word whose transaction was undone is not taken for one that is there: %+v, %v", got, err)
	}
	s.days.release(today)
}

func TestGenesisIsWholeOrNothing(t *testing.T) {
	dir := t.TempDir()
	failure := errors.New("no entropy today")
	conflicting := func(now time.Time) (latchkey.Genesis, error) {
		g, err := genesis(now)
		g.Holding.Credentials = append(g.Holding.Credentials, g.Holding.Credentials[0])
		return g, err
	}
	for _, c := range []struct {
		what    string
		genesis func(time.Time) (latchkey.Genesis, error)
		want    error
	}{
		{"no genesis", nil, os.ErrNotExist},
		{"a genesis that fails", func(time.Time) (latchkey.Genesis, error) { return latchkey.Genesis{}, failure }, failure},
		{"a genesis that cannot be written", conflicting, latchkey.ErrConflict},
		{"no genesis, after some that failed", nil, os.ErrNotExist},
	} {
		_, err := Open(t.Context(), Config{Dir: dir, Genesis: c.genesis})
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), credentialsFile) {
			t.Errorf("%s: the error is %v, and does not wrap %v or name the file", c.what, err, c.want)
		}
		if version, err := inspect(t.Context(), filepath.Join(dir, credentialsFile), credentialsID); version != 0 || err != nil {
			t.Errorf("%s: no schema is left behind: version %d, %v", c.what, version, err)
		}
		if tables := tables(t, filepath.Join(dir, credentialsFile)); strings.Contains(tables, "teams") {
			t.Errorf("%s: no table is left behind: %s", c.what, tables)
		}
	}
	s := mustOpen(t, dir)
	if !s.Created() {
		t.Errorf("the store that made the schema says so")
	}
	first := mustChanges(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), Config{Dir: dir})
	if err != nil {
		t.Fatalf("a store that exists needs no genesis: %v", err)
	}
	defer s.Close()
	if s.Created() || !reflect.DeepEqual(mustChanges(t, s), first) {
		t.Errorf("a store that exists is opened as it is")
	}
}

func tables(t *testing.T, path string) string {
	t.Helper()
	if _, err := os.Stat(path); err != nil {
		return ""
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var names sql.NullString
	if err := db.QueryRow(`SELECT group_concat(name) FROM sqlite_schema`).Scan(&names); err != nil {
		t.Fatal(err)
	}
	return names.String
}
