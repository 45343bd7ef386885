package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"latchkey"
)

// querier is what pools, connections and transactions have in common.
type querier interface {
	Exec(ctx context.Context, query string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, query string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, query string, args ...any) pgx.Row
}

// warningKey is where a connection keeps the last warning that it was sent.
const warningKey = "latchkey.warning"

// noteWarning keeps a warning for whoever asks the connection next. One that
// comes with a COMMIT says that it is not what it should be: committed here,
// but not on the standby.
func noteWarning(conn *pgconn.PgConn, notice *pgconn.Notice) {
	if notice.SeverityUnlocalized == "WARNING" {
		conn.CustomData()[warningKey] = notice.Message
	}
}

// takeWarning returns the last warning, and forgets it.
func takeWarning(conn *pgx.Conn) (message string) {
	data := conn.PgConn().CustomData()
	message, _ = data[warningKey].(string)
	delete(data, warningKey)
	return message
}

// change runs f in one transaction: for what is not a change of credentials. An
// error of f comes back as it is, and nothing is changed.
//
// COMMIT is not given up with ctx: a context that ends before it undoes
// everything, one that ends later changes nothing. Where its answer is missing,
// or came with a warning, that is ErrOutcomeUnknown.
func (s *Store) change(ctx context.Context, f func(tx pgx.Tx) error) error {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return fault("begin", err)
	}
	defer conn.Release()
	tx, err := conn.Begin(ctx)
	if err != nil {
		return fault("begin", err)
	}
	always, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.patience())
	defer cancel()
	defer func() { _ = tx.Rollback(always) }()
	if err := f(tx); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return fault("before commit", err)
	}
	takeWarning(conn.Conn())
	if err := tx.Commit(always); err != nil {
		if refused(err) {
			return fault("commit", err)
		}
		return fmt.Errorf("commit: %w: %w", latchkey.ErrOutcomeUnknown, err)
	}
	if warning := takeWarning(conn.Conn()); warning != "" {
		return fmt.Errorf("commit: %w: the database warned: %s", latchkey.ErrOutcomeUnknown, warning)
	}
	return nil
}

// durable runs one statement on a connection of a pool; see the function.
func (s *Store) durable(ctx context.Context, pool *pgxpool.Pool, query string, args ...any) (pgconn.CommandTag, error) {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return pgconn.CommandTag{}, err
	}
	defer conn.Release()
	return durable(ctx, conn, query, args...)
}

// durable runs one statement in a transaction of its own, whose commit must be
// confirmed without a warning: an error is "could not find out".
func durable(ctx context.Context, conn *pgxpool.Conn, query string, args ...any) (pgconn.CommandTag, error) {
	takeWarning(conn.Conn())
	tag, err := conn.Exec(ctx, query, args...)
	if err != nil {
		return tag, err
	}
	return tag, warned(conn.Conn())
}

// warned returns an error if a warning came with the last commit.
func warned(conn *pgx.Conn) error {
	warning := takeWarning(conn)
	if warning == "" || leftOut("durablelease") {
		return nil
	}
	return fmt.Errorf("%w: %s", errUnconfirmed, warning)
}

// errUnconfirmed: a commit came with a warning. It holds on this server, and
// perhaps on no standby.
var errUnconfirmed = errors.New("the database did not confirm the commit")

// patience is how long the store waits for an answer of the database where the
// caller's context must not count.
func (s *Store) patience() time.Duration { return max(s.lease, latchkey.DefaultLease) }

// refused reports whether err is the database's word that a transaction was not
// committed. Anything else, once COMMIT was sent, may be a commit.
func refused(err error) bool {
	var answer *pgconn.PgError
	if errors.As(err, &answer) {
		return answer.SeverityUnlocalized == "ERROR"
	}
	return errors.Is(err, pgx.ErrTxCommitRollback) || pgconn.SafeToRetry(err)
}

// fault says what was being done. A conflict is no fault.
func fault(doing string, err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s: the database does not answer in time: %w", doing, err)
	}
	if errors.Is(err, latchkey.ErrConflict) {
		return err
	}
	return fmt.Errorf("%s: %w", doing, err)
}
