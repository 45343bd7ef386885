package postgres

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"latchkey"
)

// recordColumns are the columns of records, in the order of recordArgs and
// scanRecord.
var recordColumns = []string{"id", "time", "bytes_in", "bytes_out", "duration_us", "status", "node", "team_id", "credential_id",
	"auth", "outcome", "reason", "diagnosis", "method", "host", "path", "client_ip", "user_agent", "client_request_id", "trace_id"}

// columnsOfRecords are the same, as they stand in a statement.
var columnsOfRecords = strings.Join(recordColumns, ", ")

const (
	// appendTries bounds how often one call begins anew.
	appendTries = 4

	// maxKey is how long a text may be that is the key of a count, in bytes: an
	// index takes no more than a third of a page.
	maxKey = 1024
)

// An item is a record that is to be written.
type item struct {
	id     uuid.UUID
	us     int64 // its time
	record *latchkey.Record
}

// AppendRecords adds records, all of them in one transaction. A record whose ID
// is there already is left as it is.
func (s *Store) AppendRecords(ctx context.Context, records []latchkey.Record) error {
	items, err := itemsOf(records)
	if err != nil || len(items) == 0 {
		return err
	}
	for try := 1; ; try++ {
		if err := s.ensureDays(ctx, items); err != nil {
			return err
		}
		err := s.appendItems(ctx, items)
		switch state(err) {
		case stateCheck:
			// A partition that was known is gone: another node has dropped it.
			s.archive.forget()
		case stateDeadlock, stateSerialize:
		default:
			return appendError(err)
		}
		if try == appendTries {
			return appendError(err)
		}
	}
}

// appendError is an InvalidError if the database says that it will never take a
// record, so that it holds up no other.
func appendError(err error) error {
	if err == nil {
		return nil
	}
	// The classes "data exception" and "program limit exceeded".
	if code := state(err); len(code) == 5 && (code[:2] == "22" || code[:2] == "54") {
		return fmt.Errorf("append records: %w: %w", &latchkey.InvalidError{Field: "record", Problem: "is not one that the database can hold"}, err)
	}
	return fault("append records", err)
}

// itemsOf returns records in the order of their IDs, of twins the first: whoever
// appends the same ones at the same time takes locks in the same order.
func itemsOf(records []latchkey.Record) ([]item, error) {
	items := make([]item, len(records))
	for i := range records {
		r := &records[i]
		id, err := uuid.Parse(r.RequestID)
		if err != nil || latchkey.RequestIDDay(id) > lastDay {
			return nil, &latchkey.InvalidError{Field: "request_id", Problem: "is not a UUIDv7 of these millennia"}
		}
		if r.Status != int(int32(min(max(r.Status, math.MinInt32), math.MaxInt32))) {
			return nil, &latchkey.InvalidError{Field: "status", Problem: "is not an HTTP status"}
		}
		for _, key := range []struct{ field, value string }{
			{"team_id", r.TeamID}, {"credential_id", r.CredentialID}, {"outcome", string(r.Outcome)},
		} {
			if len(text(key.value)) > maxKey {
				return nil, &latchkey.InvalidError{Field: key.field, Problem: fmt.Sprintf("is longer than %d bytes", maxKey)}
			}
		}
		items[i] = item{id, r.Time.UnixMicro(), r}
	}
	slices.SortStableFunc(items, func(a, b item) int { return slices.Compare(a.id[:], b.id[:]) })
	return slices.CompactFunc(items, func(a, b item) bool { return a.id == b.id }), nil
}

// arriving is where records are copied to first, on each connection: a
// temporary table, which takes no lock that anybody else could wait for.
const arriving = `CREATE TEMPORARY TABLE arriving (LIKE records) ON COMMIT DELETE ROWS`

// merge takes over what has arrived and was not there, and counts that. It is
// one statement, and COMMIT goes out with it: a client that is stopped at any
// point holds up nobody.
var merge = `
	WITH added AS (
		INSERT INTO records (` + columnsOfRecords + `) SELECT ` + columnsOfRecords + ` FROM arriving
		ON CONFLICT DO NOTHING RETURNING time, team_id, credential_id, outcome
	), used AS (
		INSERT INTO last_used (credential_id, time)
		SELECT credential_id, max(time) FROM added WHERE outcome = 'accepted' AND credential_id <> ''
		GROUP BY credential_id ORDER BY credential_id
		ON CONFLICT (credential_id) DO UPDATE SET time = excluded.time WHERE excluded.time > last_used.time
	), counted AS (
		INSERT INTO tallies (team_id, hour, outcome, count)
		SELECT team_id, hour, outcome, count(*)
		FROM (SELECT team_id, time - time % 3600000000 AS hour, outcome FROM added WHERE team_id <> '') AS a
		GROUP BY team_id, hour, outcome ORDER BY team_id, hour, outcome
		ON CONFLICT (team_id, hour, outcome) DO UPDATE SET count = tallies.count + excluded.count
	)
	SELECT count(*) FROM added`

// appendItems writes records into partitions that are there.
func (s *Store) appendItems(ctx context.Context, items []item) error {
	pooled, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer pooled.Release() // which closes a connection that is within a transaction
	conn := pooled.Conn()
	if err := stage(ctx, conn, items); err != nil {
		return err
	}
	takeWarning(conn)
	lead, lag := spanOf(items)
	b := &pgx.Batch{}
	b.Queue(moveSpan, lead, lag)
	b.Queue(merge)
	b.Queue(`COMMIT`)
	if err := conn.SendBatch(ctx, b).Close(); err != nil {
		return err
	}
	if warning := takeWarning(conn); warning != "" {
		// Not what a commit should be. Appending again is safe.
		return fmt.Errorf("commit: the database warned: %s", warning)
	}
	return nil
}

// stage begins a transaction, and copies records into "arriving".
func stage(ctx context.Context, conn *pgx.Conn, items []item) error {
	if err := once(ctx, conn, arriving); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, `BEGIN`); err != nil {
		return err
	}
	args := make([]any, 0, len(recordColumns))
	_, err := conn.CopyFrom(ctx, pgx.Identifier{"arriving"}, recordColumns, pgx.CopyFromSlice(len(items), func(i int) ([]any, error) {
		args = recordArgs(args[:0], &items[i])
		return args, nil
	}))
	return err
}

func recordArgs(args []any, i *item) []any {
	r := i.record
	args = append(args, [16]byte(i.id), i.us, r.BytesIn, r.BytesOut, r.DurationUS, int32(r.Status))
	for _, s := range [...]string{r.Node, r.TeamID, r.CredentialID, string(r.Auth), string(r.Outcome), string(r.Reason),
		r.Diagnosis, r.Method, r.Host, r.Path, r.ClientIP, r.UserAgent, r.ClientRequestID, r.TraceID} {
		args = append(args, text(s))
	}
	return args
}

func scanRecord(row pgx.CollectableRow) (r latchkey.Record, err error) {
	var (
		id uuid.UUID
		us int64
	)
	err = row.Scan((*[16]byte)(&id), &us, &r.BytesIn, &r.BytesOut, &r.DurationUS, &r.Status, &r.Node, &r.TeamID, &r.CredentialID,
		&r.Auth, &r.Outcome, &r.Reason, &r.Diagnosis, &r.Method, &r.Host, &r.Path, &r.ClientIP, &r.UserAgent, &r.ClientRequestID, &r.TraceID)
	r.RequestID, r.Time = id.String(), fromMicros(us)
	return r, err
}

// queryRecords returns the records that a WHERE selects.
func (s *Store) queryRecords(ctx context.Context, where string, args ...any) ([]latchkey.Record, error) {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return nil, fault("read records", err)
	}
	defer conn.Release()
	if err := once(ctx, conn.Conn(), inOrder); err != nil {
		return nil, fault("read records", err)
	}
	// The mode plans each statement for its arguments: only then does it touch
	// no more than the partitions that they leave.
	args = append([]any{pgx.QueryExecModeExec}, args...)
	rows, err := conn.Query(ctx, `SELECT `+columnsOfRecords+` FROM records `+where, args...)
	if err != nil {
		return nil, fault("read records", err)
	}
	list, err := pgx.CollectRows(rows, scanRecord)
	if err != nil {
		return nil, fault("read records", err)
	}
	return list, nil
}

// inOrder keeps the planner from reading all that a query selects, and sorting
// it, where an index has the order and a page is enough: it counts what is told
// twice, by a hash and by a text, as twice as rare.
const inOrder = `SET enable_bitmapscan = off`

// once runs a statement, unless the connection remembers it.
func once(ctx context.Context, conn *pgx.Conn, statement string) error {
	known := conn.PgConn().CustomData()
	if known[statement] != nil {
		return nil
	}
	_, err := conn.Exec(ctx, statement)
	if err == nil {
		known[statement] = true
	}
	return err
}

// Record returns the record of a request ID, out of the one partition that it
// can be in.
func (s *Store) Record(ctx context.Context, requestID string) (latchkey.Record, error) {
	id, err := uuid.Parse(requestID)
	if err != nil || latchkey.RequestIDDay(id) > lastDay {
		return latchkey.Record{}, latchkey.NotFound("request", requestID)
	}
	list, err := s.queryRecords(ctx, `WHERE id = $1::uuid`, id.String())
	if err == nil && len(list) == 0 {
		err = latchkey.NotFound("request", requestID)
	}
	if err != nil {
		return latchkey.Record{}, err
	}
	return list[0], nil
}

// LastUsed returns when each of the credentials was last accepted.
func (s *Store) LastUsed(ctx context.Context, credentialIDs []string) (map[string]time.Time, error) {
	ids := make([]string, len(credentialIDs))
	for i, id := range credentialIDs {
		ids[i] = text(id)
	}
	used := make(map[string]time.Time, len(ids))
	rows, err := s.pool.Query(ctx, `SELECT credential_id, time FROM last_used WHERE credential_id = ANY ($1)`, ids)
	if err == nil {
		var (
			id string
			us int64
		)
		_, err = pgx.ForEachRow(rows, []any{&id, &us}, func() error {
			used[id] = fromMicros(us)
			return nil
		})
	}
	if err != nil {
		return nil, fault("read last use", err)
	}
	return used, nil
}

// moveSpan keeps the promise of the table "record_span". It writes nothing where
// the promise is kept already.
const moveSpan = `
	UPDATE record_span SET lead = greatest(lead, $1), lag = greatest(lag, $2) WHERE lead < $1 OR lag < $2`

// spanOf returns how far times are ahead of the times in their IDs, at most, and
// how far behind.
func spanOf(items []item) (lead, lag int64) {
	for _, i := range items {
		ahead := i.us - latchkey.RequestIDMillis(i.id)*1000
		lead, lag = max(lead, ahead), max(lag, -ahead)
	}
	return lead, lag
}

var (
	_ latchkey.RecordStore  = (*Store)(nil)
	_ latchkey.RecordKeeper = (*Store)(nil)
	_ latchkey.HandInStore  = (*Store)(nil)
	_ latchkey.ContactStore = (*Store)(nil)
	_ latchkey.UserStore    = (*Store)(nil)
	_ latchkey.SessionStore = (*Store)(nil)
	_ latchkey.UsageStore   = (*Store)(nil)
	_ latchkey.TallyReader  = (*Store)(nil)
)

// errLeaving: records of a day come in while its partition is being dropped.
var errLeaving = errors.New("the records of that day are being removed")
