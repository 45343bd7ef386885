package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"latchkey"
)

// readers is how many connections read one file at a time.
const readers = 4

// A database is one SQLite file: a single connection that writes, and some that
// read, which in WAL mode never wait for each other.
type database struct {
	path  string
	write *sql.DB
	read  *sql.DB
}

// querier is what *sql.DB, *sql.Conn and *sql.Tx have in common.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// openDatabase opens the two pools of a file that exists. synchronous is FULL
// (a commit is on disk) or NORMAL (it survives the process, and the machine
// only after the next checkpoint).
func openDatabase(ctx context.Context, path, synchronous string) (*database, error) {
	d := &database{path: path}
	settings := url.Values{
		"_busy_timeout": {"5000"},
		"_foreign_keys": {"1"},
		"_journal_mode": {"WAL"},
		"_synchronous":  {synchronous},
		"_txlock":       {"immediate"},
	}
	var err error
	if d.write, err = openPool(path, settings, 1); err != nil {
		return nil, err
	}
	settings.Set("_query_only", "1")
	if d.read, err = openPool(path, settings, readers); err != nil {
		return nil, errors.Join(err, d.write.Close())
	}
	var mode string
	err = d.write.QueryRowContext(ctx, `PRAGMA journal_mode`).Scan(&mode)
	if err == nil && mode != "wal" {
		err = fmt.Errorf("its file system cannot hold a write-ahead log (journal mode %q)", mode)
	}
	if err != nil {
		return nil, errors.Join(d.fault("open", err), d.close())
	}
	return d, nil
}

func openPool(path string, settings url.Values, size int) (*sql.DB, error) {
	settings.Set("mode", "rw")      // files are made by createFile only
	settings.Set("_defensive", "1") // no statement can corrupt the file
	settings.Set("_dqs", "0")       // a misspelt column is an error, not a text
	settings.Set("_error_rc", "1")  // no error text of another operation
	name := url.URL{Scheme: "file", Path: path, RawQuery: settings.Encode()}
	pool, err := sql.Open("sqlite", name.String())
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	pool.SetMaxOpenConns(size)
	pool.SetMaxIdleConns(size)
	return pool, nil
}

func (d *database) close() error {
	return errors.Join(d.read.Close(), d.write.Close())
}

// fault says what was being done to which file. A conflict is no fault.
func (d *database) fault(doing string, err error) error {
	if errors.Is(err, latchkey.ErrConflict) {
		return err
	}
	return fmt.Errorf("%s: %s: %w", doing, d.path, err)
}

// change runs f in one transaction, which holds the file's write lock from its
// beginning. An error of f comes back as it is, and nothing is changed.
//
// COMMIT is never interrupted: a context that ends before it undoes everything,
// one that ends later changes nothing. Only where COMMIT itself fails nobody
// can say whether the change is in the log: that is ErrOutcomeUnknown.
func (d *database) change(ctx context.Context, f func(c *sql.Conn) error) (err error) {
	conn, err := d.write.Conn(ctx)
	if err != nil {
		return d.fault("begin", err)
	}
	defer conn.Close()
	always := context.WithoutCancel(ctx)
	committed := false
	defer func() {
		if committed {
			return
		}
		if _, err := conn.ExecContext(always, `ROLLBACK`); err != nil {
			// SQLite has rolled back by itself, or cannot: the next change gets a new connection.
			_ = conn.Raw(func(any) error { return driver.ErrBadConn })
		}
	}()
	if _, err := conn.ExecContext(ctx, `BEGIN IMMEDIATE`); err != nil {
		return d.fault("begin", err)
	}
	if err := f(conn); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return d.fault("before commit", err)
	}
	if _, err := conn.ExecContext(always, `COMMIT`); err != nil {
		return fmt.Errorf("commit: %s: %w: %w", d.path, latchkey.ErrOutcomeUnknown, err)
	}
	committed = true
	return nil
}

// snapshot runs f on one state of the file.
func (d *database) snapshot(ctx context.Context, f func(tx *sql.Tx) error) error {
	tx, err := d.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	return f(tx)
}

// createFile makes an empty file, mode 0600, unless it exists. SQLite gives its
// -wal and -shm files the mode of the file that they belong to.
//
// A file that exists is never opened here: closing it again would drop the
// POSIX locks that this process may hold on it through SQLite.
func createFile(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	switch {
	case errors.Is(err, fs.ErrExist):
		return restrict(path)
	case err != nil:
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync() // or the file's name could be lost with a power failure
}

// restrict takes the rights of others away, where a copy or a restored backup
// has brought some.
func restrict(path string) error {
	for _, name := range []string{path, path + "-wal", path + "-shm"} {
		info, err := os.Stat(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
			err = os.Chmod(name, 0o600)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// asideSuffix is what the name of a file that was set aside ends with, before a
// number.
const asideSuffix = ".damaged"

// setAside makes room for a new file, and keeps the one that is there under
// another name. It must be closed.
func setAside(path string) error {
	n := 1
	for ; ; n++ {
		if _, err := os.Lstat(fmt.Sprint(path, asideSuffix, n)); errors.Is(err, fs.ErrNotExist) {
			break
		} else if err != nil {
			return fmt.Errorf("set %s aside: %w", path, err)
		}
	}
	aside := fmt.Sprint(path, asideSuffix, n)
	// The log goes first: a new file must never find it.
	for _, suffix := range []string{"-wal", "-shm", ""} {
		if err := os.Rename(path+suffix, aside+suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("set %s aside: %w", path, err)
		}
	}
	return nil
}
