package latchkey

import (
	"context"
	"time"
)

// MaxCallers is how many callers of one credential are told apart in a day; all
// others are counted together.
const MaxCallers = 100

// A Caller is a program that uses a credential, as far as it can be told apart
// from others.
type Caller struct {
	ClientIP  string // empty, with an empty UserAgent: all callers beyond [MaxCallers]
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

// A UsageStore keeps who uses what.
type UsageStore interface {
	// AddUsage adds counts to what is there, in one transaction, and moves
	// Last forward. A credential has at most MaxCallers callers a day, and the
	// one for all others.
	AddUsage(ctx context.Context, add []Usage) error

	// Usage returns the usage of credentials since a day, summed over the
	// days (Day is then the last), most used first.
	Usage(ctx context.Context, credentialIDs []string, since time.Time) ([]Usage, error)

	// DeadInUse returns the usage since a time of a team's credentials that
	// are dead, those sent last first.
	DeadInUse(ctx context.Context, teamID string, since time.Time) ([]Usage, error)
}
