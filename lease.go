package latchkey

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// The bounds of a lease, and what it is by default.
const (
	MinLease     = 200 * time.Millisecond
	MaxLease     = time.Minute
	DefaultLease = 3 * time.Second
)

// A Registration is a node's entry in the database that it shares with others.
// Whoever changes something waits for each registered node. A registration is
// one incarnation of a node: it is never taken up again by another.
type Registration struct {
	ID      string        // random, never used twice
	Node    string        // the node's name
	Address string        // where others reach its API, a URL; may be empty
	Version string        // of its software
	Lease   time.Duration // [MinLease] … [MaxLease]; fixed for the registration's life
	StaleOK time.Duration // for how long after its lease the node may answer; 0: not at all

	Applied  Revision  // the node's memory holds all changes up to this one; 0: it has said nothing yet
	Renewals int64     // how often it was renewed
	Renewal  string    // random, another at each renewal: where it stays the same, the node does not renew
	Renewed  time.Time // when last, by the database's clock; for people: nothing is decided by it

	// Age is how long ago that was when the registration was read, by the same
	// clock; for people, too. Only [LeaseStore.Registrations] sets it.
	Age time.Duration
}

// lostPrefix begins the IDs of registrations that stand for lost ones. No node's ID
// begins so: those are base32.
const lostPrefix = "lost_"

// Lost reports whether this is no node's registration: the database was promoted,
// and may have lost registrations of nodes whose leases are good. It stands for all
// of them, with the longest lease and StaleOK that there ever was. Nobody renews it, and
// it is reaped as a dead node's is.
func (r *Registration) Lost() bool { return strings.HasPrefix(r.ID, lostPrefix) }

// A Position is a point in a database's history: a revision, and the change
// that made it. A database that has the revision by another change, or not at
// all, has another history: a backup was restored, or a standby promoted that
// had fallen behind.
type Position struct {
	Revision Revision
	ChangeID string
}

// A Renewal asks for a lease, and for what changed.
type Renewal struct {
	ID      string   // of the registration
	Applied Position // what the node's memory holds, and where the changes begin; zero: nothing
	Known   Position // what the node knew before it was started; zero: nothing
}

// Renewed is what a renewal brings.
type Renewed struct {
	Changes Changes // after what was applied, or everything; see [Changes]

	// Acceptances are the IDs of all acceptances of this database's history;
	// see [LeaseStore.AcceptHistory].
	Acceptances []string
}

// A LeaseStore is what the nodes of a cluster share beside the credentials. Each
// method is one round trip. An error says "could not find out", but for those
// that are named.
//
// What a method writes is durable when it returns, by whatever the database
// promises of a commit (its standbys, too), unless the method says otherwise. A
// commit that came with a warning counts as none.
type LeaseStore interface {
	// Register adds a registration. Applied and Renewals begin at 0. An ID that
	// is there already is [ErrConflict].
	Register(ctx context.Context, r Registration) error

	// Renew counts the registration's renewals up, records what was applied, and
	// returns what changed since, in one transaction and from one snapshot,
	// which is taken after the call began.
	//
	// A registration that is not there is [ErrNotRegistered]. A position, of
	// the two given, that is not in the database's history is
	// [*AnotherHistoryError]. In both cases nothing is written.
	Renew(ctx context.Context, r Renewal) (Renewed, error)

	// Acknowledge records what was applied since. It fails as Renew does, and
	// need not be durable: losing it delays a change, and no more. It never
	// records less than was recorded before.
	Acknowledge(ctx context.Context, id string, applied Position) error

	// Deregister removes a registration, if it is there.
	Deregister(ctx context.Context, id string) error

	// Registrations returns all registrations, by the name of their node, from
	// a snapshot that has all positions given; one that is not in the database's
	// history is [*AnotherHistoryError]. A list without it could come from an
	// old primary, or from one that has lost the change.
	Registrations(ctx context.Context, has ...Position) ([]Registration, error)

	// Reap removes a registration if its Renewal is the one given. If it was
	// renewed since, or is not there, that is [ErrConflict]. (A count in its
	// place could be reached twice, on two primaries.)
	Reap(ctx context.Context, id, renewal string) error

	// AcceptHistory says that the database's history is the right one, whatever
	// nodes remember: it adds an acceptance, under a new random ID, and an event
	// to the audit. It does not move the revision.
	AcceptHistory(ctx context.Context, by Actor) error

	// Listen calls hint when it has begun to listen, and after any change that
	// others committed from then on, sooner or later or not at all: nothing may
	// depend on it. The hint says which revision there is now; 0 says that
	// anything may have changed. It returns when ctx ends or the connection fails.
	Listen(ctx context.Context, hint func(Revision)) error
}

// ErrNotRegistered: the registration was removed.
var ErrNotRegistered = errors.New("this node's registration is gone")

// An AnotherHistoryError says that the database does not have a change that the
// node has applied. Nobody can say which credentials are alive until a person
// has looked: see [LeaseStore.AcceptHistory].
type AnotherHistoryError struct {
	Missing     Position // what the database does not have
	Current     Position // where it stands instead
	Acceptances []string // as in [Renewed]
	Forgotten   bool     // Missing is from before the purge horizon: the database may have had it, and forgotten it
}

// Error says which change is missing.
func (e *AnotherHistoryError) Error() string {
	if e.Forgotten {
		return fmt.Sprintf("the database cannot tell whether it ever had the change %s, which made revision %d: changes are remembered for 90 days, and it stands at revision %d",
			e.Missing.ChangeID, e.Missing.Revision, e.Current.Revision)
	}
	return fmt.Sprintf("the database has another history: it stands at revision %d and does not have the change %s that made revision %d",
		e.Current.Revision, e.Missing.ChangeID, e.Missing.Revision)
}

// A HandIn says how far a node has handed in its records.
type HandIn struct {
	Node    string
	Journal string    // the ID of the journal that it hands them in from: of two nodes of one name, each speaks for its own
	Until   time.Time // all its responses that began to leave before are in the store, as records or as open; by the store's clock
}

// MaxHandInAge is how long a node that has stopped without a word is waited for,
// at most: as long as records are kept, if that is shorter.
const MaxHandInAge = 7 * 24 * time.Hour

// LostJournalAge is how long a journal is waited for, at most, once a node of the
// same name hands in from another: it was lost, or is not the first's at all.
const LostJournalAge = 10 * time.Minute

// OpenRecords is what a node has open: responses that have begun to leave, and
// have not ended.
type OpenRecords struct {
	All   bool     // what the node had open before does not count any more
	Began []Record // are open from now on
	Ended []string // the IDs of those that are not any more
}

// A HandInStore is the part of a record store that nodes share: it tells a
// record that is not there from one that is not there yet. Its times are of the
// store's clock, so that the nodes' clocks take no part.
type HandInStore interface {
	// JoinHandIns adds a node that is about to answer, so that others wait for
	// it; one that is there stays as it is. Until is the store's clock if it is
	// zero. It returns the store's clock, of a moment during the call.
	JoinHandIns(ctx context.Context, h HandIn) (now time.Time, err error)

	// HandIn says that a node's records up to a time are in the store, and what
	// it has open, in one step. What was said last counts, also if it is less:
	// a journal alone speaks for itself. Unless all is said, one that is not
	// there, since another forgot it, is ErrNotFound, and nothing is said.
	// Others whose time lies further back than [MaxHandInAge], or than records
	// are kept, are forgotten, and those of the node's own name that do so by
	// [LostJournalAge]. It returns the store's clock, of a moment during the call.
	HandIn(ctx context.Context, h HandIn, open OpenRecords) (now time.Time, err error)

	// HandIns returns the latest of each journal, by node, and the store's
	// clock, of a moment during the call. A node that handed in everything and
	// stopped is not among them; see ForgetHandIn.
	HandIns(ctx context.Context) (list []HandIn, now time.Time, err error)

	// OpenRecord returns what a node has open by its request ID, with
	// [Record.Open], or ErrNotFound.
	OpenRecord(ctx context.Context, requestID string) (Record, error)

	// ForgetHandIn is called by a node that has handed in everything and stops.
	// What it had open is forgotten, too.
	ForgetHandIn(ctx context.Context, node, journal string) error
}
