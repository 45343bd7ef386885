package postgres

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"latchkey"
)

// Register adds a registration.
func (s *Store) Register(ctx context.Context, r latchkey.Registration) error {
	ctx, cancel := context.WithTimeout(ctx, s.patience())
	defer cancel()
	tag, err := s.durable(ctx, s.leases, `
		WITH longest AS (
			UPDATE timeline SET lease = greatest(lease, $5), stale_ok = greatest(stale_ok, $6) WHERE lease < $5 OR stale_ok < $6)
		INSERT INTO registrations (id, node, address, version, lease, stale_ok, applied, renewals, renewal, renewed)
		SELECT $1, $2, $3, $4, $5, $6, 0, 0, $8, coalesce($7, latchkey_now()) WHERE `+keepsProtocol,
		text(r.ID), text(r.Node), text(r.Address), text(r.Version), int64(r.Lease), int64(r.StaleOK), s.now(), newChangeID())
	if state(err) == stateUnique {
		return conflict("a registration with this ID is there already")
	}
	if err != nil {
		return fault("register", err)
	}
	if tag.RowsAffected() == 0 {
		return fault("register", errOtherProtocol)
	}
	return nil
}

// Deregister removes a registration, if it is there.
func (s *Store) Deregister(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, s.patience())
	defer cancel()
	if _, err := s.durable(ctx, s.leases, `DELETE FROM registrations WHERE id = $1`, text(id)); err != nil {
		return fault("deregister", err)
	}
	return nil
}

// Reap removes a registration if its renewal is the one given.
func (s *Store) Reap(ctx context.Context, id, renewal string) error {
	ctx, cancel := context.WithTimeout(ctx, s.patience())
	defer cancel()
	tag, err := s.durable(ctx, s.leases, `DELETE FROM registrations WHERE id = $1 AND renewal = $2 AND `+keepsProtocol, text(id), text(renewal))
	switch {
	case err != nil:
		return fault("remove a registration", err)
	case tag.RowsAffected() == 0:
		return conflict("the registration was renewed, or is gone")
	}
	return nil
}

// Registrations returns all registrations, by the name of their node, from a
// snapshot that has all positions given.
func (s *Store) Registrations(ctx context.Context, has ...latchkey.Position) ([]latchkey.Registration, error) {
	ctx, cancel := context.WithTimeout(ctx, s.patience())
	defer cancel()
	conn, err := s.leases.Acquire(ctx)
	if err != nil {
		return nil, fault("read registrations", err)
	}
	defer conn.Release()
	var list []latchkey.Registration
	queries := []query{
		{sql: `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY`},
		{sql: `SELECT id, node, address, version, lease, stale_ok, applied, renewals, renewal, renewed,
			greatest(0, (SELECT coalesce($1, latchkey_now())) - renewed) FROM registrations ORDER BY node COLLATE "C", id`,
			args: []any{s.now()},
			read: func(answers pgx.BatchResults) error {
				rows, err := answers.Query()
				if err == nil {
					list, err = pgx.CollectRows(rows, scanRegistration)
				}
				return err
			}},
	}
	seen := make([]standing, len(has))
	for i, position := range has {
		queries = append(queries, seen[i].query("", position, latchkey.Position{}))
	}
	if err := transact(ctx, conn, queries); err != nil {
		return nil, fault("read registrations", err)
	}
	for i, position := range has {
		if err := seen[i].history(position, latchkey.Position{}); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func scanRegistration(row pgx.CollectableRow) (r latchkey.Registration, err error) {
	var lease, stale, renewed, age int64
	err = row.Scan(&r.ID, &r.Node, &r.Address, &r.Version, &lease, &stale, &r.Applied, &r.Renewals, &r.Renewal, &renewed, &age)
	r.Lease, r.StaleOK, r.Renewed = time.Duration(lease), time.Duration(stale), fromMicros(renewed)
	r.Age = time.Duration(age) * time.Microsecond
	return r, err
}

// Acknowledge records what was applied since.
func (s *Store) Acknowledge(ctx context.Context, id string, applied latchkey.Position) error {
	ctx, cancel := context.WithTimeout(ctx, s.patience())
	defer cancel()
	// One statement, whose commit waits for no disk: should it be lost, whoever
	// waits for it waits longer, and that is all.
	at := standing{known: true}
	err := s.leases.QueryRow(ctx, `
		WITH acknowledged AS (
			UPDATE registrations SET applied = greatest(applied, $2) WHERE id = $1 AND `+knows("$2", "$3")+` AND `+keepsProtocol+`)
		SELECT protocol, revision, change_id, EXISTS (SELECT FROM registrations WHERE id = $1), `+knows("$2", "$3")+`,
			ARRAY(SELECT id FROM acceptances ORDER BY seq)
		FROM meta WHERE set_config('synchronous_commit', 'off', true) = 'off'`,
		text(id), int64(applied.Revision), text(applied.ChangeID)).
		Scan(&at.protocol, &at.position.Revision, &at.position.ChangeID, &at.registered, &at.applied, &at.acceptances)
	if err != nil {
		return fault("acknowledge", err)
	}
	return at.judge(applied, latchkey.Position{})
}

// AcceptHistory says that the database's history is the right one.
func (s *Store) AcceptHistory(ctx context.Context, by latchkey.Actor) error {
	id := newChangeID()
	err := s.change(ctx, func(tx pgx.Tx) error {
		if err := keeps(ctx, tx); err != nil {
			return fault("accept the history", err)
		}
		var now int64
		var at latchkey.Position
		err := tx.QueryRow(ctx, `
			INSERT INTO acceptances (id, at) SELECT $1, coalesce($2, latchkey_now())
			RETURNING at, (SELECT revision FROM meta), (SELECT change_id FROM meta)`, id, s.now()).Scan(&now, &at.Revision, &at.ChangeID)
		if err != nil {
			return fault("accept the history", err)
		}
		detail := fmt.Sprintf("at revision %d, change %s", at.Revision, at.ChangeID)
		return writeEvents(ctx, tx, []latchkey.Event{latchkey.NewEvent(fromMicros(now), by, latchkey.ActionAccept, "", id, detail)})
	})
	if err == nil {
		// A hint, so that nodes which are waiting for it ask at once.
		_, _ = s.pool.Exec(ctx, `NOTIFY latchkey`)
	}
	return err
}

// Listen calls hint when it has begun to listen, and after changes that others
// made: whoever made one here sees to it.
func (s *Store) Listen(ctx context.Context, hint func(latchkey.Revision)) error {
	conn, err := pgx.ConnectConfig(ctx, s.listening)
	if err != nil {
		return fault("listen", err)
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(closing)
	}()
	if _, err := conn.Exec(ctx, `LISTEN latchkey`); err != nil {
		return fault("listen", err)
	}
	var revision int64 // 0, too, if the payload says nothing
	for {
		hint(latchkey.Revision(revision))
		notification, err := conn.WaitForNotification(ctx)
		for err == nil && s.own.has(notification.PID) {
			notification, err = conn.WaitForNotification(ctx)
		}
		if err != nil {
			return fault("listen", err)
		}
		revision, _ = strconv.ParseInt(notification.Payload, 10, 64)
	}
}

// A query is one statement of a transaction, and who reads its answer (nil:
// nobody).
type query struct {
	sql  string
	args []any
	read func(pgx.BatchResults) error
}

// transact sends a whole transaction at once, the first query of which begins
// it, and commits it. An error says that it may not have been, or not for good.
func transact(ctx context.Context, conn *pgxpool.Conn, queries []query) error {
	b := new(pgx.Batch)
	for _, q := range queries {
		b.Queue(q.sql, q.args...)
	}
	b.Queue(`COMMIT`)
	takeWarning(conn.Conn())
	answers := conn.SendBatch(ctx, b)
	tag, err := readTransaction(answers, queries)
	_ = answers.Close()
	switch {
	case err != nil && !conn.Conn().IsClosed():
		_, _ = conn.Exec(ctx, `ROLLBACK`)
		return err
	case err != nil:
		return err
	case tag.String() != "COMMIT":
		return fmt.Errorf("commit: the database answered %s", tag)
	}
	return warned(conn.Conn())
}

func readTransaction(answers pgx.BatchResults, queries []query) (tag pgconn.CommandTag, err error) {
	for _, q := range queries {
		if q.read != nil {
			err = q.read(answers)
		} else {
			_, err = answers.Exec()
		}
		if err != nil {
			return tag, err
		}
	}
	return answers.Exec()
}
