package latchkey

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// A Gap is a time in which some records of a node could not be kept. Both ends
// belong to it.
type Gap struct {
	Node   string    `json:"node"`
	From   time.Time `json:"from"`
	To     time.Time `json:"to"`
	Count  int64     `json:"count"`
	AtMost bool      `json:"at_most"` // the node was killed: some of Count may never have been answered
}

// String says how many records are missing, and of when.
func (g Gap) String() string {
	most, are := "", "records were"
	if g.AtMost {
		most = "at most "
	}
	if g.Count == 1 {
		are = "record was"
	}
	return fmt.Sprintf("between %s and %s %s%d %s not kept on %s",
		g.From.UTC().Format(recordTime), g.To.UTC().Format(recordTime), most, g.Count, are, g.Node)
}

// A NotKeptError is [ErrNotFound] of a request whose time lies in a gap.
type NotKeptError struct {
	RequestID string
	Gap       Gap
}

// Error says that the request may have been there all the same.
func (e *NotKeptError) Error() string {
	return fmt.Sprintf("request %s is not recorded: %s", e.RequestID, e.Gap)
}

// Unwrap returns [ErrNotFound].
func (e *NotKeptError) Unwrap() error { return ErrNotFound }

// A NotHandedInError is [ErrNotFound] of a request whose record may yet come:
// some nodes have not handed in what they recorded at its time.
type NotHandedInError struct {
	RequestID string
	Nodes     []HandIn // those that have not; by name
}

// Error names the nodes, and since when nothing came from each.
func (e *NotHandedInError) Error() string {
	nodes := make([]string, len(e.Nodes))
	for i, h := range e.Nodes {
		nodes[i] = fmt.Sprintf("%s (nothing since %s)", h.Node, h.Until.UTC().Format(recordTime))
	}
	return fmt.Sprintf("request %s is not found, but may yet be: records have not been handed in by %s", e.RequestID, strings.Join(nodes, ", "))
}

// Unwrap returns [ErrNotFound].
func (e *NotHandedInError) Unwrap() error { return ErrNotFound }

// Retention is how long records are kept, and how many. Zero fields bound
// nothing.
type Retention struct {
	Age   time.Duration
	Bytes int64 // on disk; the newest day and all that are not over are kept whatever their size, but for refusals

	// Beyond Bytes, refusals and records without a team go first, the oldest
	// before others, until they take a half of it; and then whole days, the
	// oldest first.
}

// A RecordKeeper knows which records are not there any more, or never were.
type RecordKeeper interface {
	// AddGap keeps a gap. One of the same node and From is replaced.
	AddGap(ctx context.Context, g Gap) error

	// Gaps returns the gaps that touch the time between two moments, oldest
	// first.
	Gaps(ctx context.Context, from, to time.Time) ([]Gap, error)

	// Retention returns what [RecordKeeper.Retain] was called with last.
	Retention(ctx context.Context) (Retention, error)

	// Retain forgets the records, and the usage, that r does not keep, by the
	// store's clock, and remembers r.
	Retain(ctx context.Context, r Retention) error
}
