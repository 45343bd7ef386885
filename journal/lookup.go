package journal

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"latchkey"
)

// Record finds a record by its request ID, wherever it is. For one that is not
// there it says why, as far as it can be known: a [*latchkey.NotKeptError], a
// [*latchkey.NotHandedInError], or how long records are kept.
func (j *Journal) Record(ctx context.Context, requestID string) (latchkey.Record, error) {
	id, err := uuid.Parse(requestID)
	if err != nil {
		return latchkey.Record{}, latchkey.NotFound("request", requestID)
	}
	r, found, err := j.unmoved(id)
	if found || err != nil {
		return r, err
	}
	return j.reader().search(ctx, id, j.author(), j.gapsOf(id))
}

// reader returns what looks records up beyond this journal.
func (j *Journal) reader() Reader { return Reader{Store: j.store, HandIns: j.config.HandIns} }

// gapsOf returns this node's gaps at the time of an ID.
func (j *Journal) gapsOf(id uuid.UUID) []latchkey.Gap {
	from, to := around(id)
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.gaps.touching(from, to)
}

// unmoved finds a record that has not reached the store; or that has, but is
// still in a segment.
func (j *Journal) unmoved(id uuid.UUID) (r latchkey.Record, found bool, err error) {
	j.mu.Lock()
	if l := j.live[id]; l != nil {
		defer j.mu.Unlock()
		return l.seen(), true, nil
	}
	text := id.String()
	for i := range j.direct {
		if j.direct[i].RequestID == text {
			defer j.mu.Unlock()
			return j.direct[i], true, nil
		}
	}
	for _, s := range slices.Backward(j.segments) {
		if offset, here := s.index[id]; here {
			end := s.end
			s.use.RLock()
			defer s.use.RUnlock()
			j.mu.Unlock()
			r, err = s.recordAt(int64(offset), end)
			return r, err == nil, err
		}
	}
	j.mu.Unlock()
	return r, false, nil
}

// keeping says how long records are kept.
func keeping(r latchkey.Retention) string {
	var bounds []string
	if r.Age > 0 {
		bounds = append(bounds, "for "+days(r.Age))
	}
	if r.Bytes > 0 {
		bounds = append(bounds, fmt.Sprintf("up to %.4g GB", float64(r.Bytes)/1e9))
	}
	if len(bounds) == 0 {
		return "records are kept for ever"
	}
	return "records are kept " + strings.Join(bounds, ", and ")
}

func days(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d == day:
		return "a day"
	case d%day == 0:
		return fmt.Sprintf("%d days", d/day)
	}
	return d.String()
}

// Records returns the records that q selects, newest first, moved or not.
func (j *Journal) Records(ctx context.Context, q latchkey.RecordQuery) ([]latchkey.Record, error) {
	limit := cmp.Or(max(q.Limit, 0), latchkey.DefaultRecordLimit)
	// Here first: a record that is moved in between is seen twice, not missed.
	found, err := j.unmovedMatches(ctx, &q, limit)
	if err != nil {
		return nil, err
	}
	stored, err := j.store.Records(ctx, q)
	if err != nil {
		return nil, err
	}
	return newest(append(found, stored...), limit), nil
}

// newest returns the newest records, each once.
func newest(list []latchkey.Record, limit int) []latchkey.Record {
	slices.SortStableFunc(list, func(a, b latchkey.Record) int { return strings.Compare(b.RequestID, a.RequestID) })
	list = slices.CompactFunc(list, func(a, b latchkey.Record) bool { return a.RequestID == b.RequestID })
	return list[:min(limit, len(list))]
}

// seen returns the record as it is shown. j.mu is held.
func (l *live) seen() latchkey.Record {
	r := l.record
	r.Open = !l.ended
	return r
}

// unmovedMatches returns the newest records that match and may not have reached
// the store. It reads all of them.
func (j *Journal) unmovedMatches(ctx context.Context, q *latchkey.RecordQuery, limit int) (found []latchkey.Record, err error) {
	type part struct {
		*segment
		from, to int64
	}
	var parts []part
	j.mu.Lock()
	for _, l := range j.live {
		if q.Matches(&l.record) {
			found = append(found, l.seen())
		}
	}
	for i := range j.direct {
		if q.Matches(&j.direct[i]) {
			found = append(found, j.direct[i])
		}
	}
	from := j.moved
	for _, s := range j.segments {
		s.use.RLock()
		defer s.use.RUnlock()
		parts = append(parts, part{s, from, s.end})
		from = segmentHeader
	}
	j.mu.Unlock()
	for _, s := range parts {
		for at := s.from; at < s.to; {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			b, err := s.read(at, min(s.to, at+moveChunk))
			if err != nil {
				return nil, err
			}
			walked, _, _ := entries(b, s.salt, func(_ int, e *entry) error {
				if r, err := e.record(); e.kind == kindEnd && err == nil && q.Matches(&r) {
					found = append(found, r)
				}
				return nil
			})
			if len(found) > 2*limit+maxBatch {
				found = newest(found, limit)
			}
			if walked == 0 || at+int64(len(b)) >= s.to {
				walked = max(len(b), entryAlign)
			}
			at += int64(walked)
		}
	}
	return found, nil
}
