package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"latchkey"
)

// Open opens the store of a database, after making it, or bringing its schema
// up to date, as needed. It refuses a database that cannot keep what is promised,
// and says how to mend it.
func Open(ctx context.Context, c Config) (*Store, error) {
	s := &Store{clock: c.Now, lease: c.Lease, logger: c.Logger}
	if s.lease == 0 {
		s.lease = latchkey.DefaultLease
	}
	if s.lease < latchkey.MinLease || s.lease > latchkey.MaxLease {
		return nil, fmt.Errorf("open store: a lease of %s is not between %s and %s", s.lease, latchkey.MinLease, latchkey.MaxLease)
	}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	if err := s.open(ctx, c); err != nil {
		_ = s.Close()
		return nil, fmt.Errorf("open store: %w", err)
	}
	return s, nil
}

func (s *Store) open(ctx context.Context, c Config) error {
	config, err := parse(c.URL)
	if err != nil {
		return err
	}
	if err := private(&config.ConnConfig.Config); err != nil && !c.Insecure {
		return err
	}
	if err := s.pools(ctx, config, c.Node); err != nil {
		return err
	}
	s.listening = s.connections(config.ConnConfig, c.Node, session{})
	if err := s.direct(ctx); err != nil {
		return explain(err)
	}
	return explain(s.migrate(ctx, s.connections(config.ConnConfig, c.Node, session{lock: migrationTime, idle: migrationPause}), c.Genesis))
}

// errStandby: what the database has could be older than what a node was told.
var errStandby = errors.New("the database server is a standby, and takes no writes: name the primary in the address, or all servers " +
	"(postgres://user@one,two/name), of which the primary is used")

// requirements are asked of every connection, in this order.
const requirements = `SELECT
	current_setting('server_version_num'),
	CASE WHEN pg_is_in_recovery() THEN 'recovery' ELSE current_setting('transaction_read_only') END,
	current_setting('fsync'),
	current_setting('full_page_writes'),
	current_setting('synchronous_commit'),
	current_setting('server_encoding'),
	current_setting('search_path'),
	set_config('synchronous_commit', current_setting('synchronous_commit'), false),
	CASE WHEN current_setting('server_version_num')::int >= 170000 AND $1::boolean
		THEN set_config('transaction_timeout', current_setting('statement_timeout'), false) END`

// validate sets a session up, and refuses one of a server that cannot keep what is
// promised. Where there are several servers, the next is tried.
// It then holds synchronous_commit as it is, whatever becomes of the server's own
// setting. Where the server can, a whole transaction is bounded as one statement is.
func validate(ctx context.Context, conn *pgconn.PgConn, settings map[string]string, whole bool) error {
	if err := set(ctx, conn, settings); err != nil {
		return fmt.Errorf("set up a session of the database: %w", err)
	}
	result := conn.ExecParams(ctx, requirements, [][]byte{strconv.AppendBool(nil, whole)}, nil, nil, nil).Read()
	if result.Err != nil {
		return fmt.Errorf("ask the database for its settings: %w", result.Err)
	}
	var values [7]string
	for i := range values {
		values[i] = string(result.Rows[0][i])
	}
	return require(values)
}

// set gives a session its settings.
func set(ctx context.Context, conn *pgconn.PgConn, settings map[string]string) error {
	var calls []string
	var values [][]byte
	for name, value := range settings {
		values = append(values, []byte(value))
		calls = append(calls, fmt.Sprintf("set_config('%s', $%d, false)", name, len(values)))
	}
	return conn.ExecParams(ctx, `SELECT `+strings.Join(calls, ", "), values, nil, nil, nil).Read().Err
}

// require looks at what a server answered to requirements.
func require(values [7]string) error {
	version, err := strconv.Atoi(values[0])
	switch {
	case err != nil || version < 140000:
		return fmt.Errorf("the database server is PostgreSQL %d: latchkey needs version 14 or later", version/10000)
	case values[1] == "recovery":
		return errStandby
	case values[1] != "off":
		return errors.New("the database takes no writes: set default_transaction_read_only = off")
	case values[2] != "on":
		return errors.New("the database server does not wait for its disk (fsync = off): a change that was confirmed could be lost. " +
			"Set fsync = on, and start it again")
	case values[3] != "on":
		return errors.New("the database server would not survive a power failure (full_page_writes = off): set full_page_writes = on, and reload it")
	case values[4] == "off" || values[4] == "local":
		return fmt.Errorf("the database confirms changes before they are safe (synchronous_commit = %s): "+
			"set synchronous_commit = on for the server, the database and the user", values[4])
	case values[5] != "UTF8":
		return fmt.Errorf("the database has the encoding %s: make one with CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0", values[5])
	case values[6] != searchPath:
		return errProxy
	}
	return nil
}

// errProxy: neither the settings of a session nor LISTEN work through one.
var errProxy = errors.New("a proxy stands in front of the database that shares its sessions among clients (PgBouncer in transaction mode, for example): " +
	"connect to the database itself, or let the proxy pool whole sessions (pool_mode = session)")

// proxyTime is how long a notification may take to come.
const proxyTime = 5 * time.Second

// direct returns nil if each connection is one session of the database, as long
// as it lives: LISTEN is nothing without.
func (s *Store) direct(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.patience()+proxyTime)
	defer cancel()
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	other, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer other.Release()
	before, err := backend(ctx, conn.Conn())
	if err != nil {
		return err
	}
	channel := "latchkey_" + newChangeID()
	if _, err := conn.Exec(ctx, `LISTEN `+channel); err != nil {
		return err
	}
	// While another transaction is open, a proxy would have to give us another session.
	tx, err := other.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	if _, err := tx.Exec(ctx, `NOTIFY `+channel); err != nil {
		return err
	}
	after, err := backend(ctx, conn.Conn())
	if err != nil {
		return err
	}
	if before != after {
		return errProxy
	}
	if err := tx.Commit(ctx); err != nil {
		return err
	}
	waiting, stop := context.WithTimeout(ctx, proxyTime)
	defer stop()
	if _, err := conn.Conn().WaitForNotification(waiting); err != nil {
		return errProxy
	}
	if _, err := conn.Exec(ctx, `UNLISTEN *`); err != nil {
		return err
	}
	return entitled(ctx, conn)
}

// backend returns the process that serves a connection.
func backend(ctx context.Context, conn *pgx.Conn) (pid int, err error) {
	// A prepared statement would be in one of a proxy's sessions only.
	err = conn.QueryRow(ctx, `SELECT pg_backend_pid()`, pgx.QueryExecModeSimpleProtocol).Scan(&pid)
	return pid, err
}

// rights is what the role of the nodes needs.
const rights = "the role that latchkey connects as needs GRANT CONNECT, CREATE, TEMPORARY ON DATABASE … TO …; " +
	"if the schema latchkey is there already, and not the role's, ALTER SCHEMA latchkey OWNER TO …"

// entitled returns nil if the role may make the temporary tables from which
// records are merged: it would be noticed long after the start.
func entitled(ctx context.Context, conn *pgxpool.Conn) error {
	var may bool
	if err := conn.QueryRow(ctx, `SELECT has_database_privilege(current_database(), 'TEMPORARY')`).Scan(&may); err != nil {
		return err
	}
	if !may {
		return fmt.Errorf("no temporary tables may be made in the database (%s)", rights)
	}
	return nil
}

// explain says how to mend what a server refused before it could be asked.
func explain(err error) error {
	var answer *pgconn.PgError
	if !errors.As(err, &answer) {
		return err
	}
	switch answer.Code {
	case "3D000": // invalid_catalog_name
		return fmt.Errorf("%w (make it with CREATE DATABASE)", err)
	case "42501": // insufficient_privilege
		return fmt.Errorf("%w (%s)", err, rights)
	case "08P01": // protocol_violation
		return fmt.Errorf("%w (%w)", errProxy, err)
	case "42704": // undefined_object
		return fmt.Errorf("%w (latchkey needs PostgreSQL 14 or later)", err)
	}
	return err
}
