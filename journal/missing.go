package journal

import (
	"context"

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
	return j.missing(ctx, id)
}
