package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// markTimeline is what a transaction begins with that gives or takes a lease, or
// that leases must follow: on a timeline that is new it adds the registration that
// stands for those that the promotion of a standby may have lost.
const markTimeline = `SELECT latchkey_mark($1)`

func (s *Store) mark() query { return query{sql: markTimeline, args: []any{int64(s.lease)}} }

// marked runs a transaction that reads registrations, on a marked timeline
// only: it is run again if it has found one that was new.
func (s *Store) marked(ctx context.Context, conn *pgxpool.Conn, queries []query) error {
	var isNew bool
	queries = append(queries, query{
		sql:  `SELECT name <> latchkey_timeline() FROM timeline`,
		read: func(answers pgx.BatchResults) error { return answers.QueryRow().Scan(&isNew) },
	})
	for range 2 {
		if err := transact(ctx, conn, queries); err != nil || !isNew {
			return err
		}
		// On this connection: it must be the server that was read.
		if _, err := durable(ctx, conn, markTimeline, int64(s.lease)); err != nil {
			return err
		}
	}
	return errTimeline
}

// errTimeline: a server cannot be promoted while a connection to it lasts.
var errTimeline = errors.New("the database's timeline has changed twice meanwhile")
