package sqlite

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"latchkey"
)

// The files of a data directory.
const (
	credentialsFile = "latchkey.db"
	recordsFile     = "records.db"
)

// A Config says where a store is, and what it begins with.
type Config struct {
	// Dir is the data directory, which must exist. It holds latchkey.db
	// (credentials, contacts, meta), records.db (what is known about records)
	// and records/ with a file of records for each day, all for their owner
	// alone.
	Dir string

	// Genesis gives what a new store holds. It is called only if the store
	// does not exist yet, with the store's clock, inside the transaction that
	// makes the schema; if it fails, there is no store. Nil: a store that does
	// not exist is an error, fs.ErrNotExist.
	Genesis func(now time.Time) (latchkey.Genesis, error)

	Now    func() time.Time // the store's clock; nil means time.Now
	Logger *slog.Logger     // nil means slog.Default()
}

// A Store is all the stores of package latchkey. Texts that are not UTF-8, or hold a NUL, are kept
// with U+FFFD in place of what is wrong; times are kept to the microsecond.
type Store struct {
	credentials *database
	records     *database
	days        *days
	clock       func() time.Time
	logger      *slog.Logger
	created     bool
	doubt       clockDoubt
	usageFrom   atomic.Int64 // unix µs: usage of days before it is removed
}

var (
	_ latchkey.CredentialStore = (*Store)(nil)
	_ latchkey.RecordStore     = (*Store)(nil)
	_ latchkey.RecordKeeper    = (*Store)(nil)
	_ latchkey.ContactStore    = (*Store)(nil)
	_ latchkey.AuditStore      = (*Store)(nil)
	_ latchkey.UserStore       = (*Store)(nil)
	_ latchkey.SessionStore    = (*Store)(nil)
	_ latchkey.UsageStore      = (*Store)(nil)
	_ latchkey.TallyReader     = (*Store)(nil)
)

// Open opens the store of a data directory, after making it, or bringing its
// schema up to date, as needed.
func Open(ctx context.Context, c Config) (*Store, error) {
	s := &Store{clock: c.Now, logger: c.Logger}
	if s.clock == nil {
		s.clock = time.Now
	}
	if s.logger == nil {
		s.logger = slog.Default()
	}
	dir, err := filepath.Abs(c.Dir) // the working directory may change under a relative one
	if err != nil {
		return nil, fmt.Errorf("open store in %q: %w", c.Dir, err)
	}
	s.credentials, s.created, err = s.openCredentials(ctx, filepath.Join(dir, credentialsFile), c.Genesis)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	s.days = &days{
		dir: filepath.Join(dir, recordsDir), logger: s.logger, shut: func(d *day) error { return d.close() },
		open: make(map[int64]*day), sizes: make(map[int64]daySize), writes: make(map[int64]uint64),
	}
	if err = makeDir(s.days.dir); err == nil {
		err = s.openRecords(ctx, filepath.Join(dir, recordsFile))
	}
	if err != nil {
		return nil, fmt.Errorf("open store: %w", errors.Join(err, s.credentials.close(), s.days.close()))
	}
	// Credentials hold whatever became of records.
	if err := s.gatherLastUsed(ctx, 2); err != nil {
		s.logger.Error("some records cannot be read, or when credentials were last used cannot be written", "error", err)
	}
	return s, nil
}

// makeDir makes a directory for its owner alone, unless it exists.
func makeDir(path string) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return err
	}
	return os.Chmod(path, 0o700)
}

// Close closes the store's files. Calls that are under way may fail.
func (s *Store) Close() error {
	return errors.Join(s.credentials.close(), s.records.close(), s.days.close())
}

// Created reports whether this Open made the store.
func (s *Store) Created() bool { return s.created }

// now is the store's clock, as precise as the store keeps it.
func (s *Store) now() time.Time { return micros(s.clock()) }

// Probe returns the value that was sealed when the store was created.
func (s *Store) Probe(ctx context.Context) ([]byte, error) {
	var probe []byte
	err := s.credentials.read.QueryRowContext(ctx, `SELECT probe FROM meta`).Scan(&probe)
	if err != nil {
		return nil, s.credentials.fault("read probe", err)
	}
	return probe, nil
}

// Changes returns what changed after a revision, from one snapshot; everything,
// if some of what changed since has been purged.
func (s *Store) Changes(ctx context.Context, after latchkey.Revision) (latchkey.Changes, error) {
	var changes latchkey.Changes
	err := s.credentials.snapshot(ctx, func(tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, `SELECT revision, change_id, purge_horizon FROM meta`).
			Scan(&changes.Revision, &changes.ChangeID, &changes.Horizon)
		if err != nil {
			return err
		}
		if after >= changes.Horizon {
			changes.After = max(after, 0)
		}
		changes.Teams, err = teamsAfter(ctx, tx, changes.After)
		if err != nil {
			return err
		}
		changes.Credentials, err = credentialsAfter(ctx, tx, changes.After)
		return err
	})
	if err != nil {
		return latchkey.Changes{}, s.credentials.fault("read changes", err)
	}
	return changes, nil
}

// writeGenesis fills the tables of a new store: its first change.
func (s *Store) writeGenesis(ctx context.Context, tx *sql.Tx, genesis func(time.Time) (latchkey.Genesis, error)) error {
	g, err := genesis(s.now())
	if err != nil {
		return err
	}
	if len(g.Probe) == 0 {
		return errors.New("genesis without a probe")
	}
	_, err = tx.ExecContext(ctx,
		`INSERT INTO meta (one, probe, revision, change_id, purge_horizon) VALUES (1, ?, 1, ?, 0)`,
		g.Probe, newChangeID())
	if err != nil {
		return err
	}
	_, err = insertHolding(ctx, tx, g.Holding, 1)
	return err
}

// nextRevision moves the counter. It comes before all else that a change
// writes, and is undone with it.
func nextRevision(ctx context.Context, q querier, now time.Time) (latchkey.Change, error) {
	change := latchkey.Change{ID: newChangeID(), At: now}
	err := q.QueryRowContext(ctx, `UPDATE meta SET revision = revision + 1, change_id = ? RETURNING revision`, change.ID).
		Scan(&change.Revision)
	return change, err
}

// newChangeID returns 128 random bits in hexadecimal.
func newChangeID() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	return hex.EncodeToString(id[:])
}

// text returns s as it is kept: a text that any database, and JSON, can hold.
func text(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	return strings.ReplaceAll(s, "\x00", "\uFFFD")
}

// micros returns t as it is kept: UTC, to the microsecond, without a monotonic
// clock reading.
func micros(t time.Time) time.Time { return fromMicros(t.UnixMicro()) }

func fromMicros(us int64) time.Time { return time.UnixMicro(us).UTC() }

// nullable keeps a zero time as NULL.
func nullable(t time.Time) sql.NullInt64 {
	return sql.NullInt64{Int64: t.UnixMicro(), Valid: !t.IsZero()}
}

func fromNullable(us sql.NullInt64) time.Time {
	if !us.Valid {
		return time.Time{}
	}
	return fromMicros(us.Int64)
}
