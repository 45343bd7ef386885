package journal

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"latchkey"
)

// Missing says what [Journal.Record] says of a request ID that it does not find,
// and looks for nothing: it is for one whose record somebody may not see.
func (j *Journal) Missing(ctx context.Context, requestID string) error {
	id, err := uuid.Parse(requestID)
	if err != nil {
		return latchkey.NotFound("request", requestID)
	}
	if id.Version() != 7 {
		return notOurs(id)
	}
	nodes, err := j.reader().await(ctx, id, j.author(), func() error { return latchkey.ErrNotFound })
	if err != nil {
		return err
	}
	return j.reader().missing(ctx, id, j.gapsOf(id), nodes)
}

// handInLag is how far behind the hand-ins of a node that works are, at most.
const handInLag = 10 * time.Second

// Lacking returns what [Journal.Records] may lack of the time between two
// moments: the gaps that touch it, oldest first, and the nodes that have not
// handed in their records of it, by name.
func (j *Journal) Lacking(ctx context.Context, from, to time.Time) ([]latchkey.Gap, []latchkey.HandIn, error) {
	j.mu.Lock()
	own := j.gaps.touching(from, to)
	j.mu.Unlock()
	gaps, nodes, err := j.reader().Lacking(ctx, from, to)
	if err != nil {
		return nil, nil, err
	}
	nodes = slices.DeleteFunc(nodes, func(h latchkey.HandIn) bool { return j.author().of(h) })
	for _, g := range own { // the store may have an open one as it was
		gaps = slices.DeleteFunc(gaps, func(o latchkey.Gap) bool { return o.Node == g.Node && o.From.Equal(g.From) })
	}
	gaps = append(gaps, own...)
	slices.SortStableFunc(gaps, func(a, b latchkey.Gap) int { return a.From.Compare(b.From) })
	return gaps, nodes, nil
}

// Lacking returns what Records may lack, as that of a [Journal] does.
func (r Reader) Lacking(ctx context.Context, from, to time.Time) ([]latchkey.Gap, []latchkey.HandIn, error) {
	gaps, err := r.Gaps(ctx, from, to)
	if err != nil || r.HandIns == nil {
		return gaps, nil, err
	}
	nodes, now, err := r.HandIns.HandIns(ctx)
	if limit := now.Add(-handInLag); to.After(limit) {
		to = limit
	}
	return gaps, slices.DeleteFunc(nodes, func(h latchkey.HandIn) bool { return !h.Until.Before(to) }), err
}
