package latchkey

import (
	"context"
	"time"
)

// A Tally is how many requests of a team ended in one way within one hour.
type Tally struct {
	Hour    time.Time // its beginning, UTC
	Outcome Outcome
	Count   int64
}

// A TallyReader counts requests, as far as their records have reached the store.
type TallyReader interface {
	// Tallies returns the counts of a team's requests since the hour of a
	// time, oldest first. Hours and outcomes without requests are left out.
	Tallies(ctx context.Context, teamID string, since time.Time) ([]Tally, error)
}
