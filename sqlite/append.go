package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"

	"github.com/google/uuid"

	"latchkey"
)

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
	whole := len(items) - len(items)%atOnce
	if whole > 0 {
		if err := d.insertChunks(ctx, c, items[:whole], atOnce, used, counts); err != nil {
			return err
		}
	}
	if whole == len(items) {
		return nil
	}
	return d.insertChunks(ctx, c, items[whole:], 1, used, counts)
}

// insertChunks is insert for as many records as fill statements.
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
