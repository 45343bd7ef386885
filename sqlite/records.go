package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
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

// An item is a record that is to be written.
type item struct {
	id     uuid.UUID
	us     int64 // its time
	record *latchkey.Record
}

// AppendRecords adds records, those of a day in one transaction. A record whose
// ID is there already is left as it is.
func (s *Store) AppendRecords(ctx context.Context, records []latchkey.Record) error {
	items := make([]item, len(records))
	for i := range records {
		id, err := uuid.Parse(records[i].RequestID)
		if err != nil || latchkey.RequestIDDay(id) > lastDay {
			return &latchkey.InvalidError{Field: "request_id", Problem: "is not a UUIDv7 of these millennia"}
		}
		items[i] = item{id, records[i].Time.UnixMicro(), &records[i]}
	}
	// Neighbours in the file are written together; of twins the first.
	slices.SortStableFunc(items, func(a, b item) int { return slices.Compare(a.id[:], b.id[:]) })
	if err := s.moveSpan(ctx, items); err != nil {
		return err
	}
	used := map[string]int64{}
	for len(items) > 0 {
		number := latchkey.RequestIDDay(items[0].id)
		n := slices.IndexFunc(items, func(i item) bool { return latchkey.RequestIDDay(i.id) != number })
		if n < 0 {
			n = len(items)
		}
		if err := s.appendDay(ctx, number, items[:n], used); err != nil {
			return err
		}
		items = items[n:]
	}
	return s.moveLastUsed(ctx, used)
}

// appendDay adds records to the file of a day. One that is damaged is set aside
// for a new one, and what was in it is a gap: else nothing would be kept from
// then on.
func (s *Store) appendDay(ctx context.Context, number int64, items []item, used map[string]int64) error {
	add := func(d *day) error { return d.append(ctx, items, used) }
	err := s.days.alter(ctx, number, true, add)
	if !unreadable(err) {
		return err
	}
	begin := number * microsPerDay
	lost := latchkey.Gap{
		Node: items[0].record.Node, Count: s.days.onDisk(number)/leastRecord + 1, AtMost: true,
		From: fromMicros(begin), To: fromMicros(max(begin, min(begin+microsPerDay-1, s.now().UnixMicro()))),
	}
	if err := s.AddGap(ctx, lost); err != nil {
		return err
	}
	if err := s.days.setAside(number); err != nil {
		return err
	}
	s.logger.Error("a file of records is damaged, and is set aside", "file", s.days.path(number), "error", err)
	return s.days.alter(ctx, number, true, add)
}

// append adds records of the day, and what they say of credentials' use to used.
func (d *day) append(ctx context.Context, items []item, used map[string]int64) error {
	d.words.writing.Lock()
	defer d.words.writing.Unlock()
	usedNow, err := d.appendAll(ctx, items, rowsAtOnce)
	if errors.Is(err, errThere) {
		usedNow, err = d.appendAll(ctx, items, 1)
	}
	if err != nil {
		return err
	}
	for id, us := range usedNow {
		if last, known := used[id]; !known || us > last {
			used[id] = us
		}
	}
	return nil
}

// appendAll is append with so many records in a statement.
func (d *day) appendAll(ctx context.Context, items []item, atOnce int) (used map[string]int64, err error) {
	used = map[string]int64{}
	err = d.change(ctx, func(c *sql.Conn) error {
		counts := tallies{}
		err := d.insert(ctx, c, items, atOnce, used, counts)
		if err == nil {
			err = counts.addSizes(ctx, c)
		}
		if err == nil {
			err = addLastUsed(ctx, c, used)
		}
		if err == nil {
			err = addTallies(ctx, c, counts)
		}
		if err != nil {
			return d.fault("append records", err)
		}
		return nil
	})
	if err != nil {
		d.words.forget()
	}
	return used, err
}

// rowsAtOnce is how many records go into a statement. A statement costs as much as a
// few rows.
const rowsAtOnce = 32

// errThere: of several records that went into one statement some are there already,
// and which ones is not known.
var errThere = errors.New("some of the records are there already")

// insertRecords returns the statement that adds so many records.
func insertRecords(n int) string {
	const row = `(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	return `INSERT INTO records (` + recordColumns + `) VALUES ` + row + strings.Repeat(`, `+row, n-1) + ` ON CONFLICT DO NOTHING`
}

// insert tells when each credential was last accepted, by the records that were
// not there before, and counts those. With several records in a statement it fails
// with errThere instead if some were.
func (d *day) insert(ctx context.Context, c *sql.Conn, items []item, atOnce int, used map[string]int64, counts tallies) error {
	for len(items) > 0 {
		if len(items) < atOnce {
			atOnce = 1
		}
		whole := len(items) - len(items)%atOnce
		if err := d.insertChunks(ctx, c, items[:whole], atOnce, used, counts); err != nil {
			return err
		}
		items = items[whole:]
	}
	return nil
}

func (d *day) insertChunks(ctx context.Context, c *sql.Conn, items []item, atOnce int, used map[string]int64, counts tallies) error {
	statement, err := c.PrepareContext(ctx, insertRecords(atOnce))
	if err != nil {
		return err
	}
	defer statement.Close()
	// What is short need not be watched by a goroutine of its own.
	always := context.WithoutCancel(ctx)
	var args []any
	for chunk := range slices.Chunk(items, atOnce) {
		if err := ctx.Err(); err != nil {
			return err
		}
		args = args[:0]
		for _, i := range chunk {
			if args, err = d.appendArgs(ctx, c, args, i); err != nil {
				return err
			}
		}
		done, err := statement.ExecContext(always, args...)
		if err != nil {
			return err
		}
		added, err := done.RowsAffected()
		switch {
		case err != nil:
			return err
		case int(added) == len(chunk):
		case len(chunk) > 1:
			return errThere
		default:
			continue
		}
		for _, i := range chunk {
			r := i.record
			counts.add(r)
			if r.CredentialID == "" || r.Outcome != latchkey.OutcomeAccepted {
				continue
			}
			credential := text(r.CredentialID)
			if last, ok := used[credential]; !ok || i.us > last {
				used[credential] = i.us
			}
		}
	}
	return nil
}

// appendArgs appends the values of recordColumns.
func (d *day) appendArgs(ctx context.Context, c *sql.Conn, args []any, i item) ([]any, error) {
	r := i.record
	args = append(args, i.id[:])
	for k, s := range wordsOf(r) {
		value, err := d.words.value(ctx, c, kind(k+1), s)
		if err != nil {
			return nil, err
		}
		args = append(args, value)
	}
	return append(args, packUUID(r.ClientRequestID), packTrace(r.TraceID),
		i.us-d.begins(), r.Status, r.BytesIn, r.BytesOut, r.DurationUS), nil
}

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
