package postgres

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"latchkey"
)

//go:embed migrations/*.sql
var migrations embed.FS

const (
	// genesisVersion is the migration that makes the first tables, and fills them.
	genesisVersion = 1

	// migrationLock is the advisory lock under which the schema is made or
	// brought up to date: of ten nodes that start at once, one does it.
	migrationLock = 0x6c617463686b6579 // "latchkey"

	// migrationTime is how long that may take, and how long the others wait.
	migrationTime = 10 * time.Minute
	// migrationPause is how long a node may be paused amid a migration, which holds locks
	// that renewals wait for.
	migrationPause = 500 * time.Millisecond
)

// migrate makes the schema, or brings it up to date.
func (s *Store) migrate(ctx context.Context, c *pgx.ConnConfig, genesis func(time.Time) (latchkey.Genesis, error)) error {
	provider, db, err := s.provider(c, genesis)
	if err != nil {
		return err
	}
	defer db.Close()
	conn, err := pgx.ConnectConfig(ctx, c)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	sources := provider.ListSources()
	newest := sources[len(sources)-1].Version
	version, err := schemaVersion(ctx, conn)
	if err == nil && version < newest {
		if _, err = conn.Exec(ctx, `SELECT pg_advisory_lock($1)`, int64(migrationLock)); err != nil {
			return fmt.Errorf("wait for others that make the schema: %w", err)
		}
		version, err = schemaVersion(ctx, conn)
	}
	switch {
	case err != nil:
		return fmt.Errorf("read schema version: %w", err)
	case version == newest:
		return keeps(ctx, conn)
	case version > newest:
		return fmt.Errorf("the database was made by a newer latchkey (schema %d; this one knows %d)", version, newest)
	case version == 0 && genesis == nil:
		return fmt.Errorf("%w in database %q", ErrNoStore, c.Database)
	}
	if err := makeSchema(ctx, conn); err != nil {
		return err
	}
	_, err = provider.Up(ctx)
	if failed := (*goose.PartialError)(nil); errors.As(err, &failed) {
		return fmt.Errorf("make schema %d: %w", failed.Failed.Source.Version, failed.Err)
	}
	if err != nil {
		return err
	}
	s.created = version == 0
	return keeps(ctx, conn)
}

func (s *Store) provider(c *pgx.ConnConfig, genesis func(time.Time) (latchkey.Genesis, error)) (*goose.Provider, *sql.DB, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, nil, err
	}
	// The schema and what a store begins with are one transaction: so its
	// first migration is one in Go, around the SQL.
	first := goose.NewGoMigration(genesisVersion, &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
		schema, err := migrations.ReadFile("migrations/00001_schema.sql")
		if err != nil {
			return err
		}
		// pgx sends a text without arguments as it is, however many statements it holds.
		if _, err := tx.ExecContext(ctx, string(schema), pgx.QueryExecModeSimpleProtocol); err != nil {
			return err
		}
		return s.writeGenesis(ctx, tx, genesis)
	}}, nil)
	db := stdlib.OpenDB(*c)
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files, goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()),
		goose.WithExcludeVersions([]int64{genesisVersion}), goose.WithGoMigrations(first))
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	return provider, db, nil
}

// schemaVersion returns the version of the schema, 0 if there is none.
func schemaVersion(ctx context.Context, conn *pgx.Conn) (version int64, err error) {
	var begun bool
	if err := conn.QueryRow(ctx, `SELECT to_regclass('latchkey.goose_db_version') IS NOT NULL`).Scan(&begun); err != nil || !begun {
		return 0, err
	}
	err = conn.QueryRow(ctx, `SELECT coalesce(max(version_id), 0) FROM latchkey.goose_db_version WHERE is_applied`).Scan(&version)
	return version, err
}

// makeSchema makes the schema that holds all tables, unless somebody with more
// rights has made it already.
func makeSchema(ctx context.Context, conn *pgx.Conn) error {
	var there bool
	err := conn.QueryRow(ctx, `SELECT to_regnamespace('latchkey') IS NOT NULL`).Scan(&there)
	if err == nil && !there {
		_, err = conn.Exec(ctx, `CREATE SCHEMA latchkey`)
	}
	if err != nil {
		return fmt.Errorf("make schema latchkey: %w", err)
	}
	return nil
}

// writeGenesis fills the tables of a new store: its first change.
func (s *Store) writeGenesis(ctx context.Context, tx *sql.Tx, genesis func(time.Time) (latchkey.Genesis, error)) error {
	var now int64
	if err := tx.QueryRowContext(ctx, `SELECT coalesce($1, latchkey_now())`, s.now()).Scan(&now); err != nil {
		return err
	}
	g, err := genesis(fromMicros(now))
	if err != nil {
		return err
	}
	if len(g.Probe) == 0 {
		return errors.New("genesis without a probe")
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO meta (one, probe, revision, change_id, purge_horizon) VALUES (1, $1, 0, '', 0)`, g.Probe)
	if err != nil {
		return err
	}
	change, _, err := createChange(g.Holding)
	if err != nil {
		return err
	}
	change.steps[0].query = moveCounterIf("") // the number of the protocol is a later migration's
	for _, step := range change.steps {
		if _, err := tx.ExecContext(ctx, step.query, step.args...); err != nil {
			return step.explain(err)
		}
	}
	return nil
}
