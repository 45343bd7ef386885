package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"latchkey"
)

const recordColumns = `id, time, node, team_id, credential_id, auth, outcome, reason, diagnosis, method, host, path,
	status, bytes_in, bytes_out, duration_us, client_ip, user_agent, client_request_id, trace_id`

// AppendRecords adds records, in one transaction. A record whose ID is there
// already is left as it is.
func (s *Store) AppendRecords(ctx context.Context, records []latchkey.Record) error {
	if len(records) == 0 {
		return nil
	}
	ids := make([]uuid.UUID, len(records))
	for i := range records {
		id, err := uuid.Parse(records[i].RequestID)
		if err != nil {
			return &latchkey.InvalidError{Field: "request_id", Problem: "is not a UUID"}
		}
		ids[i] = id
	}
	return s.records.change(ctx, func(c *sql.Conn) error {
		counts := tallies{}
		used, err := insertRecords(ctx, c, ids, records, counts)
		if err == nil {
			err = moveLastUsed(ctx, c, used)
		}
		if err == nil {
			err = addTallies(ctx, c, counts)
		}
		if err == nil {
			err = moveLead(ctx, c, ids, records)
		}
		if err != nil {
			return s.records.fault("append records", err)
		}
		return nil
	})
}

// insertRecords returns when each credential was last accepted, by the records
// that were not there before, and adds those to counts.
func insertRecords(ctx context.Context, c *sql.Conn, ids []uuid.UUID, records []latchkey.Record, counts tallies) (map[string]int64, error) {
	insert, err := c.PrepareContext(ctx, `
		INSERT INTO records (`+recordColumns+`)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT DO NOTHING`)
	if err != nil {
		return nil, err
	}
	defer insert.Close()
	used := map[string]int64{}
	for i := range records {
		r, us := &records[i], records[i].Time.UnixMicro()
		credential := text(r.CredentialID)
		done, err := insert.ExecContext(ctx, ids[i][:], us, text(r.Node), text(r.TeamID), credential,
			text(string(r.Auth)), text(string(r.Outcome)), text(string(r.Reason)), text(r.Diagnosis),
			text(r.Method), text(r.Host), text(r.Path), r.Status, r.BytesIn, r.BytesOut, r.DurationUS,
			text(r.ClientIP), text(r.UserAgent), text(r.ClientRequestID), text(r.TraceID))
		if err != nil {
			return nil, err
		}
		added, err := done.RowsAffected()
		if err != nil {
			return nil, err
		}
		if added > 0 {
			counts.add(r)
		}
		if added == 0 || credential == "" || r.Outcome != latchkey.OutcomeAccepted {
			continue
		}
		if last, ok := used[credential]; !ok || us > last {
			used[credential] = us
		}
	}
	return used, nil
}

func moveLastUsed(ctx context.Context, c *sql.Conn, used map[string]int64) error {
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

// moveLead keeps the promise of the table "lead".
func moveLead(ctx context.Context, c *sql.Conn, ids []uuid.UUID, records []latchkey.Record) error {
	var lead int64
	for i := range ids {
		lead = max(lead, records[i].Time.UnixMicro()-idMillis(ids[i])*1000)
	}
	_, err := c.ExecContext(ctx, `UPDATE lead SET time = ?1 WHERE time < ?1`, lead)
	return err
}

// idMillis is the time in a UUIDv7: the first 48 bits, unix ms (RFC 9562,
// section 5.7).
func idMillis(id uuid.UUID) int64 {
	var ms int64
	for _, b := range id[:6] {
		ms = ms<<8 | int64(b)
	}
	return ms
}

// Record returns the record of a request ID.
func (s *Store) Record(ctx context.Context, requestID string) (latchkey.Record, error) {
	id, err := uuid.Parse(requestID)
	if err != nil {
		return latchkey.Record{}, latchkey.NotFound("request", requestID)
	}
	r, err := scanRecord(s.records.read.QueryRowContext(ctx,
		`SELECT `+recordColumns+` FROM records WHERE id = ?`, id[:]))
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return latchkey.Record{}, latchkey.NotFound("request", requestID)
	case err != nil:
		return latchkey.Record{}, s.records.fault("read record", err)
	}
	return r, nil
}

// scanRecord reads recordColumns.
func scanRecord(row interface{ Scan(...any) error }) (latchkey.Record, error) {
	var (
		r  latchkey.Record
		id []byte
		us int64
	)
	err := row.Scan(&id, &us, &r.Node, &r.TeamID, &r.CredentialID, &r.Auth, &r.Outcome, &r.Reason, &r.Diagnosis,
		&r.Method, &r.Host, &r.Path, &r.Status, &r.BytesIn, &r.BytesOut, &r.DurationUS,
		&r.ClientIP, &r.UserAgent, &r.ClientRequestID, &r.TraceID)
	if err != nil {
		return r, err
	}
	parsed, err := uuid.FromBytes(id)
	r.RequestID, r.Time = parsed.String(), fromMicros(us)
	return r, err
}

// Records returns the records that q selects, newest first.
func (s *Store) Records(ctx context.Context, q latchkey.RecordQuery) ([]latchkey.Record, error) {
	list, err := s.selectRecords(ctx, q)
	if err != nil {
		return nil, s.records.fault("read records", err)
	}
	return list, nil
}

func (s *Store) selectRecords(ctx context.Context, q latchkey.RecordQuery) ([]latchkey.Record, error) {
	where, args := conditions(q)
	limit := q.Limit
	if limit <= 0 {
		limit = latchkey.DefaultRecordLimit
	}
	rows, err := s.records.read.QueryContext(ctx,
		`SELECT `+recordColumns+` FROM records WHERE `+where+` ORDER BY id DESC LIMIT ?`, append(args, limit)...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []latchkey.Record
	for rows.Next() {
		r, err := scanRecord(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, rows.Err()
}

// conditions is [latchkey.RecordQuery.Matches] in SQL.
func conditions(q latchkey.RecordQuery) (where string, args []any) {
	terms := []string{"TRUE"}
	add := func(term string, values ...any) {
		terms, args = append(terms, term), append(args, values...)
	}
	if q.TeamID != "" {
		add("team_id <> '' AND team_id = ?", text(q.TeamID)) // <> '' as in the index
	}
	if q.CredentialID != "" {
		add("credential_id <> '' AND credential_id = ?", text(q.CredentialID))
	}
	if q.Method != "" {
		add("method = ?", text(q.Method))
	}
	if q.Path != "" {
		add("instr(path, ?) > 0", text(q.Path)) // LIKE would fold case, and know wildcards
	}
	if q.Status != 0 {
		add("status = ?", q.Status)
	}
	if q.Outcome != "" {
		add("outcome = ?", text(string(q.Outcome)))
	}
	if !q.Since.IsZero() {
		// The second term selects nothing more out: it lets SQLite stop at
		// the first ID that is too old. A shorter blob sorts before a longer.
		us := ceilMicros(q.Since)
		add(`time >= ? AND id >= unhex(printf('%012x',
			min(max((? - (SELECT time FROM lead)) / 1000 - 1, 0), 0xffffffffffff)))`, us, us)
	}
	if q.Before != "" {
		bound, inclusive := idBound(q.Before)
		if inclusive {
			add("id <= ?", bound[:])
		} else {
			add("id < ?", bound[:])
		}
	}
	return strings.Join(terms, " AND "), args
}

// idBound returns the bound of the IDs whose text is less than before, which
// may be any text: all below the bound, or with it if inclusive.
func idBound(before string) (bound uuid.UUID, inclusive bool) {
	const lowest, highest = "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"
	const digits = "0123456789abcdef"
	for i := range len(lowest) {
		if i == len(before) {
			// A prefix is less than every ID that begins with it.
			return uuid.MustParse(before + lowest[i:]), false
		}
		possible := digits
		if lowest[i] == '-' {
			possible = "-"
		}
		next := strings.IndexFunc(possible, func(r rune) bool { return r >= rune(before[i]) })
		switch {
		case next < 0:
			// All that share what went before are less.
			return uuid.MustParse(before[:i] + highest[i:]), true
		case possible[next] != before[i]:
			return uuid.MustParse(before[:i] + possible[next:next+1] + lowest[i+1:]), false
		}
	}
	return uuid.MustParse(before[:len(lowest)]), len(before) > len(lowest)
}

// LastUsed returns when each of the credentials was last accepted.
func (s *Store) LastUsed(ctx context.Context, credentialIDs []string) (map[string]time.Time, error) {
	used, err := s.lastUsed(ctx, credentialIDs)
	if err != nil {
		return nil, s.records.fault("read last use", err)
	}
	return used, nil
}

func (s *Store) lastUsed(ctx context.Context, credentialIDs []string) (map[string]time.Time, error) {
	clean := make([]string, len(credentialIDs))
	for i, id := range credentialIDs {
		clean[i] = text(id)
	}
	ids, err := json.Marshal(clean)
	if err != nil {
		return nil, fmt.Errorf("encode IDs: %w", err)
	}
	rows, err := s.records.read.QueryContext(ctx,
		`SELECT credential_id, time FROM last_used WHERE credential_id IN (SELECT value FROM json_each(?))`, string(ids))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	used := make(map[string]time.Time, len(credentialIDs))
	for rows.Next() {
		var (
			id string
			us int64
		)
		if err := rows.Scan(&id, &us); err != nil {
			return nil, err
		}
		used[id] = fromMicros(us)
	}
	return used, rows.Err()
}
