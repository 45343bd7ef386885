package latchkey

import (
	"context"
	"time"
)

// MaxCallers is how many callers of one credential are told apart in a day,
// those that come first; all others are counted together.
const MaxCallers = 100

// A Caller is a program that uses a credential, as far as it can be told apart
// from others. The zero Caller stands for all those beyond [MaxCallers].
type Caller struct {
	ClientIP  string
	UserAgent string
	Auth      Method
}

// Usage is how often one caller sent one credential in one day, accepted or
// refused as a dead one.
type Usage struct {
	CredentialID string
	TeamID       string
	Day          time.Time // midnight, UTC
	Caller       Caller
	Accepted     int64
	Refused      int64 // the credential was dead, or its team disabled
	Last         time.Time
}

// UsageKept is how long usage is kept at most, however long records are.
const UsageKept = 90 * 24 * time.Hour

// UsageFrom returns the first day (midnight, UTC) of which r keeps usage at a
// time.
func (r Retention) UsageFrom(now time.Time) time.Time {
	age := UsageKept
	if r.Age > 0 {
		age = min(age, r.Age)
	}
	return now.Add(-age).UTC().Truncate(24 * time.Hour)
}

// A UsageStore keeps who uses what.
type UsageStore interface {
	UsageReader

	// AddUsage adds counts to what is there, in one transaction, and moves
	// Last forward. A credential has at most MaxCallers callers a day, and the
	// one for all others.
	AddUsage(ctx context.Context, add []Usage) error
}

// A UsageReader tells who uses what.
type UsageReader interface {
	// Usage returns the usage of credentials since the day of a time, summed
	// over the days (Day is then the last), most used first.
	Usage(ctx context.Context, credentialIDs []string, since time.Time) ([]Usage, error)

	// DeadInUse returns the usage of a team's credentials that are dead by
	// callers who were refused, and who sent them at or after a time, those
	// that did last first. Counts are of whole days, and summed as in Usage.
	DeadInUse(ctx context.Context, teamID string, since time.Time) ([]Usage, error)
}
