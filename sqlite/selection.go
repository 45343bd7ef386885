package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"latchkey"
)

// Records returns the records that q selects, newest first: day after day, until
// there are enough.
func (s *Store) Records(ctx context.Context, q latchkey.RecordQuery) ([]latchkey.Record, error) {
	lead, lag, err := s.span(ctx)
	if err != nil {
		return nil, err
	}
	numbers, err := s.days.numbers()
	if err != nil {
		return nil, err
	}
	limit := q.Limit
	if limit <= 0 {
		limit = latchkey.DefaultRecordLimit
	}
	bounds := q.Bounds(lead, lag)
	var list []latchkey.Record
	for _, number := range numbers {
		if number > latchkey.RequestIDDay(bounds.Highest) {
			continue
		}
		if number < latchkey.RequestIDDay(bounds.Lowest) || len(list) >= limit {
			break
		}
		err := s.days.with(ctx, number, false, func(d *day) error {
			where, args, err := d.conditions(ctx, &q, bounds)
			if err != nil || where == "" {
				return err
			}
			found, err := d.query(ctx, where+` ORDER BY id DESC LIMIT ?`, append(args, limit-len(list))...)
			list = append(list, found...)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return list, nil
}

// conditions is [latchkey.RecordQuery.Matches] in SQL, for the file of one day;
// "" if nothing in it can match.
func (d *day) conditions(ctx context.Context, q *latchkey.RecordQuery, b latchkey.RecordBounds) (where string, args []any, err error) {
	terms := []string{"id >= ?", "id <= ?"}
	args = []any{b.Lowest[:], b.Highest[:]}
	add := func(term string, value any) {
		terms, args = append(terms, term), append(args, value)
	}
	for _, c := range []struct {
		kind   kind
		column string
		text   string
	}{
		{kindTeam, "team_id", q.TeamID}, {kindCredential, "credential_id", q.CredentialID}, {kindMethod, "method", q.Method},
		{kindOutcome, "outcome", string(q.Outcome)}, {kindClientIP, "client_ip", q.ClientIP},
	} {
		if c.text == "" {
			continue
		}
		number, err := numberOf(ctx, d.read, c.kind, text(c.text))
		switch {
		case err == nil:
			add(c.column+" = ?", number)
		case errors.Is(err, sql.ErrNoRows):
			add(c.column+" = ?", text(c.text))
		default:
			return "", nil, d.fault("read words", err)
		}
	}
	if q.ClientRequestID != "" {
		add("client_request_id = ?", packUUID(q.ClientRequestID))
	}
	if q.TraceID != "" {
		add("trace_id = ?", packTrace(q.TraceID))
	}
	if q.Path != "" { // LIKE would fold case, and know wildcards
		add(`(typeof(path) = 'text' AND instr(path, ?) > 0`, text(q.Path))
		terms[len(terms)-1] += ` OR path IN (SELECT id FROM words WHERE kind = ? AND instr(text, ?) > 0))`
		args = append(args, int64(kindPath), text(q.Path))
	}
	if q.Status != 0 {
		add("status = ?", q.Status)
	}
	if !q.Since.IsZero() {
		add("time >= ?", b.Since-d.begins())
	}
	if !q.Until.IsZero() {
		add("time < ?", b.Until-d.begins())
	}
	return "WHERE " + strings.Join(terms, " AND "), args, nil
}
