package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"time"

	"github.com/pressly/goose/v3"

	"latchkey"
)

//go:embed migrations
var migrations embed.FS

// The application IDs that the migrations give the files.
const (
	credentialsID = 0x6c6b6372
	recordsID     = 0x6c6b7265
)

// headerSize is the least that a SQLite file can hold: one page of the smallest
// size.
const headerSize = 512

// genesisVersion is the migration that makes latchkey.db, and fills it.
const genesisVersion = 1

// openCredentials opens latchkey.db, and reports whether it has made it.
func (s *Store) openCredentials(ctx context.Context, path string, genesis func(time.Time) (latchkey.Genesis, error)) (*database, bool, error) {
	version, err := inspect(ctx, path, credentialsID)
	if err != nil {
		return nil, false, err
	}
	if version == 0 && genesis == nil {
		return nil, false, fmt.Errorf("there is no store yet: %s: %w", path, fs.ErrNotExist)
	}
	// The schema and what a store begins with are one transaction: so its
	// first migration is one in Go, around the SQL.
	first := goose.NewGoMigration(genesisVersion, &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
		schema, err := migrations.ReadFile("migrations/credentials/00001_schema.sql")
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, string(schema)); err != nil {
			return err
		}
		return s.writeGenesis(ctx, tx, genesis)
	}}, nil)
	d, err := openMigrated(ctx, path, "FULL", version, "migrations/credentials",
		goose.WithExcludeVersions([]int64{genesisVersion}), goose.WithGoMigrations(first))
	return d, err == nil && version == 0, err
}

// openMigrated opens a file that inspect found to have the given version, and
// brings it up to date.
func openMigrated(ctx context.Context, path, synchronous string, version int64, dir string, options ...goose.ProviderOption) (*database, error) {
	if err := createFile(path); err != nil {
		return nil, err
	}
	d, err := openDatabase(ctx, path, synchronous)
	if err != nil {
		return nil, err
	}
	if err := d.migrate(ctx, version, dir, options); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), d.close())
	}
	return d, nil
}

func (d *database) migrate(ctx context.Context, version int64, dir string, options []goose.ProviderOption) error {
	files, err := fs.Sub(migrations, dir)
	if err != nil {
		return err
	}
	options = append(options, goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	provider, err := goose.NewProvider(goose.DialectSQLite3, d.write, files, options...)
	if err != nil {
		return err
	}
	sources := provider.ListSources()
	switch newest := sources[len(sources)-1].Version; {
	case version == newest:
		return nil
	case version > newest:
		return fmt.Errorf("made by a newer latchkey (schema %d; this one knows %d)", version, newest)
	}
	_, err = provider.Up(ctx)
	if failed := (*goose.PartialError)(nil); errors.As(err, &failed) {
		return fmt.Errorf("make schema %d: %w", failed.Failed.Source.Version, failed.Err)
	}
	return err
}

// inspect returns the schema version of a file, 0 if it is missing or empty. It
// changes nothing, so that a file that is not ours stays as it is.
func inspect(ctx context.Context, path string, applicationID int64) (version int64, err error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return 0, nil
	case err != nil:
		return 0, err
	case !info.Mode().IsRegular():
		return 0, fmt.Errorf("%s is %w: it is not a regular file", path, errSpoilt)
	case info.Size() == 0:
		return 0, nil
	case info.Size() < headerSize:
		// SQLite would take it for an empty file, and write over it.
		return 0, fmt.Errorf("%s is %w: it is %d bytes long", path, errSpoilt, info.Size())
	}
	pool, err := openPool(path, url.Values{"_busy_timeout": {"5000"}, "_query_only": {"1"}}, 1)
	if err != nil {
		return 0, err
	}
	defer func() {
		if closeErr := pool.Close(); err == nil {
			err = closeErr
		}
	}()
	var (
		id        int64
		versioned bool // goose has begun
		others    int  // tables that are not goose's
	)
	err = pool.QueryRowContext(ctx, `
		SELECT (SELECT application_id FROM pragma_application_id),
			EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'goose_db_version'),
			(SELECT count(*) FROM sqlite_schema WHERE tbl_name NOT IN ('goose_db_version', 'sqlite_sequence'))`).
		Scan(&id, &versioned, &others)
	if damaged(err) {
		return 0, fmt.Errorf("%s is %w: %w", path, errSpoilt, err)
	}
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", path, err)
	}
	if id != applicationID && (id != 0 || others > 0) || id == applicationID && !versioned {
		return 0, fmt.Errorf("%s is %w: it is not the file of latchkey that its name says", path, errSpoilt)
	}
	if !versioned {
		return 0, nil
	}
	if err := pool.QueryRowContext(ctx, `SELECT coalesce(max(version_id), 0) FROM goose_db_version`).Scan(&version); err != nil {
		return 0, fmt.Errorf("%s: read schema version: %w", path, err)
	}
	return version, nil
}
