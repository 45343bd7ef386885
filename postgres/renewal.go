package postgres

import (
	"context"
	"errors"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"latchkey"
)

// Changes returns what changed after a revision, from one snapshot; everything,
// if some of what changed since has been purged.
func (s *Store) Changes(ctx context.Context, after latchkey.Revision) (latchkey.Changes, error) {
	var r reading
	err := reread(ctx, func() error { return s.read(ctx, &r, max(after, 0)) })
	if err == nil && r.at.horizon > after {
		err = reread(ctx, func() error { return s.read(ctx, &r, 0) })
	}
	if err != nil {
		return latchkey.Changes{}, fault("read changes", err)
	}
	return r.result(), nil
}

// read reads what changed after a revision, in one transaction.
func (s *Store) read(ctx context.Context, r *reading, after latchkey.Revision) error {
	*r = reading{}
	pool := s.leases
	if s.stale != nil {
		pool = s.stale
	}
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	queries := append(begin(after), r.at.query("", latchkey.Position{}, latchkey.Position{}))
	return transact(ctx, conn, append(queries, r.queries(after)...))
}

// begin begins the transaction of a renewal: all its statements see one
// snapshot, which the first of them that reads takes.
func begin(after latchkey.Revision) []query {
	isolation := `REPEATABLE READ`
	if leftOut("onesnapshot") {
		isolation = `READ COMMITTED`
	}
	queries := []query{{sql: `BEGIN ISOLATION LEVEL ` + isolation}}
	if after == 0 {
		// Everything may be much.
		queries = append(queries, query{sql: `SET LOCAL statement_timeout = ` + strconv.FormatInt(bulkTime.Milliseconds(), 10)})
	}
	return queries
}

// Renew counts the registration's renewals up, records what was applied, and
// returns what changed since: in one transaction, which goes out as a whole, and
// from its one snapshot.
func (s *Store) Renew(ctx context.Context, r latchkey.Renewal) (latchkey.Renewed, error) {
	var tries int
	for after := r.Applied.Revision; ; {
		var got reading
		err := s.renew(ctx, r, after, &got)
		if err == nil {
			err = got.at.judge(r.Applied, r.Known)
		}
		another, alien := (*latchkey.AnotherHistoryError)(nil), (*protocolError)(nil)
		switch {
		case errors.As(err, &alien):
			s.warn(alien)
			return latchkey.Renewed{}, fault("renew the lease", err)
		case errors.As(err, &another), errors.Is(err, latchkey.ErrNotRegistered):
			return latchkey.Renewed{}, err
		case err != nil && again(ctx, err, &tries):
		case err != nil:
			return latchkey.Renewed{}, err // whoever renews says so
		case after > 0 && got.at.horizon > after:
			after = 0 // some of what changed since was purged: everything, then
		default:
			return latchkey.Renewed{Changes: got.result(), Acceptances: got.at.acceptances}, nil
		}
	}
}

// again reports whether a renewal that failed is tried again at once: where
// another of ours, or an acknowledgement, wrote to the registration at that
// moment, and a few times where the connection had died in the pool. To renew
// twice does no harm.
func again(ctx context.Context, err error, tries *int) bool {
	if ctx.Err() != nil || errors.Is(err, errUnconfirmed) {
		return false
	}
	var answer *pgconn.PgError
	if errors.As(err, &answer) && answer.SeverityUnlocalized == "ERROR" {
		return answer.Code == stateSerialize
	}
	*tries++
	return *tries < 3
}

// reread reads, again if the connection had died in the pool.
func reread(ctx context.Context, read func() error) error {
	for tries := 0; ; {
		if err := read(); err == nil || errors.Is(err, pgx.ErrNoRows) || !again(ctx, err, &tries) {
			return err
		}
	}
}

func (s *Store) renew(ctx context.Context, r latchkey.Renewal, after latchkey.Revision, got *reading) error {
	bound := s.patience()
	if after > 0 {
		bound = s.lease
	}
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	conn, err := s.leases.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	queries := begin(after)
	if leftOut("durablelease") {
		queries = append(queries, query{sql: `SET LOCAL synchronous_commit = local`})
	}
	// It is written only if all that could be wrong is right.
	queries = append(queries, query{
		sql: `
			UPDATE registrations SET renewals = renewals + 1, renewal = $8, applied = greatest(applied, $2), renewed = coalesce($6, latchkey_now())
			WHERE id = $1 AND ` + knows("$2", "$3") + ` AND ` + knows("$4", "$5") + `
				AND ($7 OR $2 >= (SELECT purge_horizon FROM meta)) AND ` + keepsProtocol,
		args: []any{text(r.ID), int64(r.Applied.Revision), text(r.Applied.ChangeID), int64(r.Known.Revision), text(r.Known.ChangeID), s.now(), after == 0, newChangeID()},
	})
	if s.stale != nil || leftOut("onesnapshot") {
		return s.renewBroken(ctx, conn, queries, r, after, got)
	}
	queries = append(queries, got.at.query(r.ID, r.Applied, r.Known))
	return transact(ctx, conn, append(queries, got.queries(after)...))
}

// renewBroken leaves out the rule "onesnapshot" or "standbyread".
func (s *Store) renewBroken(ctx context.Context, conn *pgxpool.Conn, queries []query, r latchkey.Renewal, after latchkey.Revision, got *reading) error {
	if s.stale != nil {
		// The renewal is the primary's; what changed is any server's.
		queries = append(queries, got.at.query(r.ID, r.Applied, r.Known))
		if err := transact(ctx, conn, queries); err != nil {
			return err
		}
		elsewhere := reading{}
		err := s.read(ctx, &elsewhere, after)
		elsewhere.at.applied, elsewhere.at.known, elsewhere.at.registered = got.at.applied, got.at.known, got.at.registered
		*got = elsewhere
		return err
	}
	queries = append(queries, got.queries(after)...)
	queries = append(queries, query{sql: `SELECT pg_sleep(0.002)`})
	return transact(ctx, conn, append(queries, got.at.query(r.ID, r.Applied, r.Known)))
}

// A standing is where the database stands, and whether it knows a renewal's
// registration and positions.
type standing struct {
	protocol       int
	position       latchkey.Position
	horizon        latchkey.Revision
	registered     bool
	applied, known bool
	acceptances    []string
}

// knows is the condition that the database's history has a position, whose parts
// are parameters. The position of nothing is in every history. It is no function of
// the database's: that would be parsed and planned at each call.
func knows(revision, changeID string) string {
	return `(` + revision + `::bigint = 0 AND ` + changeID + `::text = ''
		OR EXISTS (SELECT FROM changes WHERE revision = ` + revision + `::bigint AND change_id = ` + changeID + `::text))`
}

func (at *standing) query(id string, applied, known latchkey.Position) query {
	return query{
		sql: `
			SELECT protocol, revision, change_id, purge_horizon, EXISTS (SELECT FROM registrations WHERE id = $1),
				` + knows("$2", "$3") + `, ` + knows("$4", "$5") + `, ARRAY(SELECT id FROM acceptances ORDER BY seq)
			FROM meta`,
		args: []any{text(id), int64(applied.Revision), text(applied.ChangeID), int64(known.Revision), text(known.ChangeID)},
		read: func(answers pgx.BatchResults) error {
			return answers.QueryRow().Scan(&at.protocol, &at.position.Revision, &at.position.ChangeID, &at.horizon, &at.registered,
				&at.applied, &at.known, &at.acceptances)
		},
	}
}

// judge says what is wrong with a renewal or an acknowledgement.
func (at *standing) judge(applied, known latchkey.Position) error {
	if err := at.history(applied, known); err != nil {
		return err
	}
	if !at.registered {
		return latchkey.ErrNotRegistered
	}
	return nil
}

// history returns an error if one of the positions is not in the database's, or
// cannot be judged, since the database's nodes keep another protocol.
func (at *standing) history(applied, other latchkey.Position) error {
	if err := known(at.protocol); err != nil {
		return err
	}
	another := &latchkey.AnotherHistoryError{Missing: applied, Current: at.position, Acceptances: at.acceptances}
	switch {
	case at.applied && at.known:
		return nil
	case at.applied:
		another.Missing = other
	}
	another.Forgotten = another.Missing.Revision < at.horizon
	return another
}

// A reading is what a snapshot holds.
type reading struct {
	at      standing
	changes latchkey.Changes
}

func (r *reading) result() latchkey.Changes {
	r.changes.Revision, r.changes.ChangeID, r.changes.Horizon = r.at.position.Revision, r.at.position.ChangeID, r.at.horizon
	return r.changes
}

// since is the condition that a row was changed after a revision, which is the
// statement's parameter. Nothing is newer than the last change, but only a range
// that has two ends is taken for a small part of a table, and read by its index.
const since = `revision > $1 AND revision <= (SELECT revision FROM meta)`

// queries reads what changed after a revision. It comes in two statements, each
// of which walks one index.
func (r *reading) queries(after latchkey.Revision) []query {
	r.changes.After = after
	return []query{
		{`SELECT ` + teamColumns + ` FROM teams WHERE ` + since + ` ORDER BY revision, seq`, []any{int64(after)}, func(answers pgx.BatchResults) error {
			rows, err := answers.Query()
			if err == nil {
				r.changes.Teams, err = pgx.CollectRows(rows, scanTeam)
			}
			return err
		}},
		{`SELECT ` + credentialColumns + ` FROM credentials WHERE ` + since + ` ORDER BY revision, seq`, []any{int64(after)}, func(answers pgx.BatchResults) error {
			rows, err := answers.Query()
			if err == nil {
				r.changes.Credentials, err = pgx.CollectRows(rows, scanCredential)
			}
			return err
		}},
	}
}
