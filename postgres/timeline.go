package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// mark is what a connection begins with over which leases are given or taken, or
// changes made that leases must follow: on a timeline that is new it adds the
// registration that stands for those that the promotion of a standby may have
// lost. A server that takes writes stays on its timeline while it runs, so all
// that comes over a connection comes after its mark.
func (s *Store) mark(ctx context.Context, conn *pgx.Conn) error {
	takeWarning(conn)
	if _, err := conn.Exec(ctx, `SELECT latchkey_mark($1)`, int64(s.lease)); err != nil {
		return fault("mark the timeline", err)
	}
	return warned(conn)
}
