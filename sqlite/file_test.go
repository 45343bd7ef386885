package sqlite

import (
	"bytes"
	"database/sql"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"latchkey"
)

// query runs a statement on a file, as another program would.
func query(t *testing.T, path, statement string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A spoiling makes of a file one that is not ours, or not whole.
type spoiling struct {
	what  string
	spoil func(t *testing.T, path string)
	words string // what is said of it
}

var spoilings = []spoiling{
	{"text", func(t *testing.T, path string) { write(t, path, bytes.Repeat([]byte("not a database\n"), 500)) }, "not a file of latchkey"},
	{"short text", func(t *testing.T, path string) { write(t, path, []byte("x")) }, "not a file of latchkey"},
	{"another program's database", func(t *testing.T, path string) {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		query(t, path, `CREATE TABLE teams (id TEXT)`)
	}, "not the file of latchkey"},
	{"a truncated file", func(t *testing.T, path string) {
		if err := os.Truncate(path, 5000); err != nil {
			t.Fatal(err)
		}
	}, "damaged"},
	{"zeros", func(t *testing.T, path string) { write(t, path, make([]byte, 8192)) }, "not a file of latchkey"},
	{"a directory", func(t *testing.T, path string) {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
	}, "not a regular file"},
}

// TestFilesThatAreNotOurs: each is refused by name, and left as it is.
func TestFilesThatAreNotOurs(t *testing.T) {
	newer := spoiling{"a newer schema", func(t *testing.T, path string) {
		query(t, path, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, 1)`)
	}, "made by a newer latchkey (schema 99; this one knows "}
	refused := func(t *testing.T, c spoiling, name string) {
		dir := t.TempDir()
		if err := mustOpen(t, dir).Close(); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name)
		c.spoil(t, path)
		before, _ := os.ReadFile(path)
		s, err := Open(t.Context(), Config{Dir: dir, Genesis: genesis})
		if err == nil {
			_ = s.Close()
			t.Fatal("it is refused")
		}
		if !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), c.words) {
			t.Errorf("the error names the file and says %q: %v", c.words, err)
		}
		after, _ := os.ReadFile(path)
		if !bytes.Equal(before, after) {
			t.Errorf("the file is left as it is")
		}
	}
	for _, c := range append(spoilings, newer) {
		t.Run(c.what, func(t *testing.T) { refused(t, c, credentialsFile) })
	}
	t.Run("records of a newer schema", func(t *testing.T) { refused(t, newer, recordsFile) })
}

// TestSwappedFiles: a file under the other's name is not ours either.
func TestSwappedFiles(t *testing.T) {
	dir := t.TempDir()
	if err := mustOpen(t, dir).Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(dir, recordsFile))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, credentialsFile), content)
	if _, err := Open(t.Context(), Config{Dir: dir, Genesis: genesis}); err == nil || !strings.Contains(err.Error(), credentialsFile) {
		t.Errorf("records under the name of credentials are refused by name: %v", err)
	}
}

// TestDamage: a page that went bad while nobody looked is an error that names
// the file, never an answer.
func TestDamage(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	id := mustChanges(t, s).Teams[0].ID
	for range 50 {
		if _, _, err := s.UpdateTeam(t.Context(), id, roll); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, credentialsFile)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := 2 * 4096; i < len(content); i++ {
		content[i] = 0xa5
	}
	write(t, path, content)
	s, err = Open(t.Context(), Config{Dir: dir})
	if err == nil {
		defer s.Close()
		_, err = s.Changes(t.Context(), 0)
	}
	if err == nil || !strings.Contains(err.Error(), credentialsFile) {
		t.Errorf("damage is an error that names the file: %v", err)
	}
}

func TestFileModes(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	checkModes(t, s, dir)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	// As a copy or a restored backup may be.
	if err := os.Chmod(filepath.Join(dir, recordsFile), 0o644); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, dir)
	checkModes(t, s, dir)
}

// checkModes looks at the files after both databases were written to.
func checkModes(t *testing.T, s *Store, dir string) {
	t.Helper()
	if _, _, err := s.UpdateTeam(t.Context(), mustChanges(t, s).Teams[0].ID, roll); err != nil {
		t.Fatal(err)
	}
	if err := s.AppendRecords(t.Context(), []latchkey.Record{{RequestID: "019a0000-0000-7000-8000-000000000000", Time: time.Now()}}); err != nil {
		t.Fatal(err)
	}
	files := 0
	err := filepath.WalkDir(dir, func(path string, f fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := f.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(0o600)
		if f.IsDir() {
			want = fs.ModeDir | 0o700
		} else {
			files++
		}
		if info.Mode() != want {
			t.Errorf("%s has mode %v, not %v", path, want, info.Mode())
		}
		return nil
	})
	if err != nil || files != 9 {
		t.Errorf("the data directory holds three databases in WAL mode, while they are open: %d files, %v", files, err)
	}
}

// TestDirectoryNames: a path is a path, whatever a URI would make of it.
func TestDirectoryNames(t *testing.T) {
	for _, name := range []string{"a b", "50%41", "what?mode=memory", "#1", "a&_query_only=1", "ä;b"} {
		dir := filepath.Join(t.TempDir(), name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		s, err := Open(t.Context(), Config{Dir: dir, Genesis: genesis})
		if err != nil {
			t.Errorf("a data directory may be called %q: %v", name, err)
			continue
		}
		if _, err := os.Stat(filepath.Join(dir, credentialsFile+"-wal")); err != nil {
			t.Errorf("the files are in %q: %v", name, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	_, err := Open(t.Context(), Config{Dir: filepath.Join(t.TempDir(), "missing"), Genesis: genesis})
	if err == nil || !strings.Contains(err.Error(), "missing") {
		t.Errorf("a data directory that is not there is an error that names it: %v", err)
	}
}

// TestDurability: what is promised of a power failure rests on these settings.
func TestDurability(t *testing.T) {
	s := mustOpen(t, t.TempDir())
	for _, c := range []struct {
		d           *database
		synchronous int
	}{{s.credentials, 2}, {s.records, 1}} {
		var mode string
		var synchronous, foreignKeys, busy int
		for pragma, dest := range map[string]any{
			"journal_mode": &mode, "synchronous": &synchronous, "foreign_keys": &foreignKeys, "busy_timeout": &busy,
		} {
			if err := c.d.write.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(dest); err != nil {
				t.Fatal(err)
			}
		}
		if mode != "wal" || synchronous != c.synchronous || foreignKeys != 1 || busy != 5000 {
			t.Errorf("%s: journal_mode %s, synchronous %d, foreign_keys %d, busy_timeout %d", c.d.path, mode, synchronous, foreignKeys, busy)
		}
	}
}
