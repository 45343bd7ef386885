package postgres

import (
	"context"
	"fmt"
	"strings"

	"latchkey"
)

// Records returns the records that q selects, newest first: day after day, until
// there are enough, so that none is read, or locked, that is not asked for.
func (s *Store) Records(ctx context.Context, q latchkey.RecordQuery) ([]latchkey.Record, error) {
	var lead, lag int64
	err := s.pool.QueryRow(ctx, `SELECT lead, lag FROM record_span`).Scan(&lead, &lag)
	if err != nil {
		return nil, fault("read span", err)
	}
	days, err := partitions(ctx, s.pool, false)
	if err != nil {
		return nil, fault("list days of records", err)
	}
	limit := q.Limit
	if limit <= 0 {
		limit = latchkey.DefaultRecordLimit
	}
	b := q.Bounds(lead, lag)
	var list []latchkey.Record
	for _, p := range days {
		if p.day > latchkey.RequestIDDay(b.Highest) || !p.attached || p.leaving {
			continue
		}
		if p.day < latchkey.RequestIDDay(b.Lowest) || len(list) >= limit {
			break
		}
		where, args := conditions(&q, b.Within(p.day*microsPerDay/1000, (p.day+1)*microsPerDay/1000), limit-len(list))
		found, err := s.queryRecords(ctx, where, args...)
		if err != nil {
			return nil, err
		}
		list = append(list, found...)
	}
	return list, nil
}

// conditions is [latchkey.RecordQuery.Matches] in SQL, with an order and a limit.
func conditions(q *latchkey.RecordQuery, b latchkey.RecordBounds, limit int) (where string, args []any) {
	var terms []string
	add := func(term string, value any) {
		args = append(args, value)
		terms = append(terms, strings.ReplaceAll(term, "?", fmt.Sprintf("$%d", len(args))))
	}
	add("id >= ?::uuid", b.Lowest.String())
	add("id <= ?::uuid", b.Highest.String())
	for _, c := range []struct{ column, value string }{
		{"trace_id", q.TraceID}, {"client_request_id", q.ClientRequestID}, {"credential_id", q.CredentialID},
		{"team_id", q.TeamID}, {"client_ip", q.ClientIP},
	} {
		if c.value != "" { // the hash and the last term are those of an index
			add(strings.ReplaceAll("hashtextextended(@, 0) = hashtextextended(?, 0) AND @ = ? AND @ <> ''", "@", c.column), text(c.value))
		}
	}
	for _, c := range []struct{ column, value string }{{"method", q.Method}, {"outcome", string(q.Outcome)}} {
		if c.value != "" {
			add(c.column+" = ?", text(c.value))
		}
	}
	if q.Path != "" { // LIKE would know wildcards
		add("strpos(path, ?) > 0", text(q.Path))
	}
	if q.Status != 0 {
		add("status = ?", int64(q.Status))
	}
	if !q.Since.IsZero() {
		add("time >= ?", b.Since)
	}
	if !q.Until.IsZero() {
		add("time < ?", b.Until)
	}
	where = "WHERE " + strings.Join(terms, " AND ")
	return fmt.Sprintf("%s ORDER BY id DESC LIMIT $%d", where, len(args)+1), append(args, limit)
}
