package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"latchkey"
)

// recordColumns begins with the ID, and with the columns of [wordsOf].
const recordColumns = `id, node, team_id, credential_id, auth, outcome, reason, diagnosis, method, host, path,
	client_ip, user_agent, client_request_id, trace_id, time, status, bytes_in, bytes_out, duration_us`

// lastDay is the last whose file has a name that time.Parse reads.
var lastDay = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC).UnixMicro() / microsPerDay

// leastRecord is less than the smallest record takes, in bytes.
const leastRecord = 32

// moveSpan keeps the promise of the table "span".
func (s *Store) moveSpan(ctx context.Context, items []item) error {
	var lead, lag int64
	for _, i := range items {
		ahead := i.us - latchkey.RequestIDMillis(i.id)*1000
		lead, lag = max(lead, ahead), max(lag, -ahead)
	}
	nowLead, nowLag, err := s.span(ctx)
	if err != nil || lead <= nowLead && lag <= nowLag {
		return err
	}
	return s.records.change(ctx, func(c *sql.Conn) error {
		_, err := c.ExecContext(ctx, `UPDATE span SET lead = max(lead, ?), lag = max(lag, ?)`, lead, lag)
		if err != nil {
			return s.records.fault("append records", err)
		}
		return nil
	})
}

func (s *Store) span(ctx context.Context) (lead, lag int64, err error) {
	err = s.records.read.QueryRowContext(ctx, `SELECT lead, lag FROM span`).Scan(&lead, &lag)
	if err != nil {
		return 0, 0, s.records.fault("read span", err)
	}
	return lead, lag, nil
}

func addLastUsed(ctx context.Context, c *sql.Conn, used map[string]int64) error {
	if len(used) == 0 {
		return nil
	}
	move, err := c.PrepareContext(ctx, `
		INSERT INTO last_used (credential_id, time) VALUES (?, ?)
		ON CONFLICT DO UPDATE SET time = excluded.time WHERE excluded.time > time`)
	if err != nil {
		return err
	}
	defer move.Close()
	for id, us := range used {
		if _, err := move.ExecContext(ctx, id, us); err != nil {
			return err
		}
	}
	return nil
}

// moveLastUsed gathers what the days know, so that it is one look-up, and
// outlives them.
func (s *Store) moveLastUsed(ctx context.Context, used map[string]int64) error {
	if len(used) == 0 {
		return nil
	}
	return s.records.change(ctx, func(c *sql.Conn) error {
		if err := addLastUsed(ctx, c, used); err != nil {
			return s.records.fault("write last use", err)
		}
		return nil
	})
}

// gatherLastUsed does that again for the newest so many days: a process that was killed
// may have written the day, and not the gathering. A day that cannot be read does
// not keep the others.
func (s *Store) gatherLastUsed(ctx context.Context, newest int) error {
	numbers, err := s.days.numbers()
	if err != nil {
		return err
	}
	var errs []error
	used := map[string]int64{}
	for _, number := range numbers[:min(newest, len(numbers))] {
		errs = append(errs, s.days.with(ctx, number, false, func(d *day) error {
			rows, err := d.read.QueryContext(ctx, `SELECT credential_id, time FROM last_used`)
			if err == nil {
				err = scanLastUsed(rows, func(id string, us int64) { used[id] = max(us, used[id]) })
			}
			if err != nil {
				return d.fault("read last use", err)
			}
			return nil
		}))
	}
	return errors.Join(append(errs, s.moveLastUsed(ctx, used))...)
}

func scanLastUsed(rows *sql.Rows, each func(id string, us int64)) error {
	defer rows.Close()
	for rows.Next() {
		var (
			id string
			us int64
		)
		if err := rows.Scan(&id, &us); err != nil {
			return err
		}
		each(id, us)
	}
	return rows.Err()
}

// Record returns the record of a request ID, out of the one file that it can be
// in.
func (s *Store) Record(ctx context.Context, requestID string) (latchkey.Record, error) {
	id, err := uuid.Parse(requestID)
	if err != nil || latchkey.RequestIDDay(id) > lastDay {
		return latchkey.Record{}, latchkey.NotFound("request", requestID)
	}
	var list []latchkey.Record
	err = s.days.with(ctx, latchkey.RequestIDDay(id), false, func(d *day) error {
		var err error
		list, err = d.query(ctx, `WHERE id = ?`, id[:])
		return err
	})
	if err == nil && len(list) == 0 {
		err = latchkey.NotFound("request", requestID)
	}
	if err != nil {
		return latchkey.Record{}, err
	}
	return list[0], nil
}

// A row is what is stored of a record.
type row struct {
	id                        []byte
	words                     [12]any
	clientRequest, trace      any
	time                      int64
	status                    int
	bytesIn, bytesOut, tookUS int64
}

// query returns the records that a WHERE selects.
func (d *day) query(ctx context.Context, where string, args ...any) ([]latchkey.Record, error) {
	stored, err := d.rows(ctx, where, args)
	if err != nil {
		return nil, d.fault("read records", err)
	}
	list := make([]latchkey.Record, len(stored))
	for i := range stored {
		if list[i], err = d.recordOf(ctx, &stored[i]); err != nil {
			return nil, d.fault("read records", err)
		}
	}
	return list, nil
}

// rows reads them all before their words are asked for: a reader holds one
// connection at a time.
func (d *day) rows(ctx context.Context, where string, args []any) (list []row, err error) {
	rows, err := d.read.QueryContext(ctx, `SELECT `+recordColumns+` FROM records `+where, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var r row
		dest := []any{&r.id}
		for i := range r.words {
			dest = append(dest, &r.words[i])
		}
		dest = append(dest, &r.clientRequest, &r.trace, &r.time, &r.status, &r.bytesIn, &r.bytesOut, &r.tookUS)
		if err := rows.Scan(dest...); err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, rows.Err()
}

func (d *day) recordOf(ctx context.Context, stored *row) (latchkey.Record, error) {
	r := latchkey.Record{
		Time: fromMicros(d.begins() + stored.time), Status: stored.status,
		BytesIn: stored.bytesIn, BytesOut: stored.bytesOut, DurationUS: stored.tookUS,
	}
	id, err := uuid.FromBytes(stored.id)
	if err != nil {
		return r, err
	}
	r.RequestID = id.String()
	for i, to := range [12]*string{&r.Node, &r.TeamID, &r.CredentialID, (*string)(&r.Auth), (*string)(&r.Outcome), (*string)(&r.Reason),
		&r.Diagnosis, &r.Method, &r.Host, &r.Path, &r.ClientIP, &r.UserAgent} {
		if *to, err = d.words.text(ctx, d.read, stored.words[i]); err != nil {
			return r, fmt.Errorf("read word: %w", err)
		}
	}
	r.ClientRequestID, err = unpackUUID(stored.clientRequest)
	r.TraceID = unpackTrace(stored.trace)
	return r, err
}

// LastUsed returns when each of the credentials was last accepted.
func (s *Store) LastUsed(ctx context.Context, credentialIDs []string) (map[string]time.Time, error) {
	clean := make([]string, len(credentialIDs))
	for i, id := range credentialIDs {
		clean[i] = text(id)
	}
	ids, err := json.Marshal(clean)
	if err != nil {
		return nil, fmt.Errorf("encode IDs: %w", err)
	}
	used := make(map[string]time.Time, len(credentialIDs))
	rows, err := s.records.read.QueryContext(ctx,
		`SELECT credential_id, time FROM last_used WHERE credential_id IN (SELECT value FROM json_each(?))`, string(ids))
	if err == nil {
		err = scanLastUsed(rows, func(id string, us int64) { used[id] = fromMicros(us) })
	}
	if err != nil {
		return nil, s.records.fault("read last use", err)
	}
	return used, nil
}
