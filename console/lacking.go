package console

import (
	"context"
	"time"

	"github.com/google/uuid"

	"latchkey"
)

// listed is the time that a list is of.
func listed(q *latchkey.RecordQuery, now time.Time) (from, to time.Time) {
	from, to = q.Since, now
	if !q.Until.IsZero() {
		to = q.Until
	}
	if id, err := uuid.Parse(q.Before); err == nil && id.Version() == 7 {
		if at := time.Unix(id.Time().UnixTime()).Add(time.Second); at.Before(to) {
			to = at
		}
	}
	return from, to
}

// lacking says why a list may lack records. What nodes are called, and how much
// was lost, is for support.
func (v *visit) lacking(ctx context.Context, from, to time.Time) []string {
	if v.Lacking == nil {
		return nil
	}
	list, err := v.Lacking(ctx, from, to)
	switch {
	case err != nil:
		return []string{"Whether requests of this time are missing here could not be found out."}
	case len(list) > 0 && v.user.Role != latchkey.RoleSupport:
		return []string{"Some requests of this time may be missing here: they could not be recorded, or are still to be handed in."}
	}
	return list
}
