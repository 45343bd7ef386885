package latchkey

import (
	"context"
	"errors"
	"time"
)

// A CredentialStore keeps teams and credentials. All its methods are safe for
// concurrent use. They return [ErrNotFound] for what is not there; an error
// that says "could not find out" is any other.
//
// Every change is one transaction: it moves the revision by one, stamps the
// team and each credential that it touched with it, and is durable when the
// method returns. Changes commit in the order of their revisions, so that a
// reader that has seen revision R has seen every change up to R. A commit whose
// outcome is not known is [ErrOutcomeUnknown].
type CredentialStore interface {
	// CreateTeam adds the holding that build returns. The time given to build
	// is the store's clock. A name, digest or ID that is taken is ErrConflict.
	CreateTeam(ctx context.Context, build func(now time.Time) (Holding, error)) (Holding, Change, error)

	// UpdateTeam changes one team, which is named as for Holding, and its
	// credentials. edit gets the team as it stands, with its live credentials, and
	// alters it in place; no other change of that team can come between.
	// Credentials that edit appended are inserted, those that it altered are
	// updated; none is removed. The events that it appended are written in the
	// same transaction.
	// If edit returns an error, nothing is changed and that error comes back
	// as it is. edit may be called more than once.
	UpdateTeam(ctx context.Context, team string, edit func(now time.Time, h *Holding) error) (Holding, Change, error)

	// Holding returns a team that is not deleted, with its live credentials,
	// by the team's ID or name (without regard to case).
	Holding(ctx context.Context, team string) (Holding, error)

	// Teams returns all teams that are not deleted, oldest first.
	Teams(ctx context.Context) ([]Team, error)

	// Credential returns a credential, alive or dead, by its ID.
	Credential(ctx context.Context, id string) (Credential, error)

	// Changes returns what changed after a revision, from one snapshot.
	Changes(ctx context.Context, after Revision) (Changes, error)

	// DueOverlaps returns the IDs of the teams with an old API key whose
	// overlap is over by the store's clock.
	DueOverlaps(ctx context.Context) ([]string, error)

	// PurgeTombstones forgets the teams and credentials that ended longer ago
	// than age, to the microsecond and by the store's clock, and moves the
	// purge horizon to the highest revision among them. With a team go the
	// contacts that it held. It returns how many credentials it forgot; none
	// while the store is in doubt about its clock.
	PurgeTombstones(ctx context.Context, age time.Duration) (int, error)

	// Probe returns the value that was sealed when the store was created; see
	// [Sealer.CheckProbe].
	Probe(ctx context.Context) ([]byte, error)
}

// Changes is what changed between two revisions: the last state of each team
// and credential that was touched, tombstones included.
type Changes struct {
	After       Revision // the changes begin above this revision; 0: this is everything
	Revision    Revision // and reach to this one, inclusive
	ChangeID    string   // the ID of the change that made Revision
	Horizon     Revision // what ended up to here may have been purged
	Teams       []Team
	Credentials []Credential
}

// A Genesis is what a store holds from the moment it exists: it is written in
// the transaction that makes the schema.
type Genesis struct {
	Probe   []byte // see [Sealer.Probe]
	Holding Holding
}

// ErrNoChange is what an edit returns when there is nothing to do.
var ErrNoChange = errors.New("no change")

// A RecordStore keeps records.
type RecordStore interface {
	RecordReader

	// AppendRecords adds records. A record whose ID is there already is left
	// as it is: appending again after an error is safe. An error leaves
	// nothing behind of those whose IDs are of one day (UTC), or all of them;
	// one that cannot be kept is an [*InvalidError], and then none is added.
	AppendRecords(ctx context.Context, records []Record) error
}

// A RecordReader looks records up.
type RecordReader interface {
	// Record returns the record of a request ID, or ErrNotFound. The ID is
	// compared as a UUID, whatever the case of its letters.
	Record(ctx context.Context, requestID string) (Record, error)

	// Records returns the records that q selects, newest first.
	Records(ctx context.Context, q RecordQuery) ([]Record, error)

	// LastUsed returns when each of the credentials was last accepted. One
	// that never was is not in the map.
	LastUsed(ctx context.Context, credentialIDs []string) (map[string]time.Time, error)
}

// A Recorder takes records as responses are made. Its methods never block on a
// store; they are safe for concurrent use.
type Recorder interface {
	// Begin is called before the first byte of a response leaves, with all
	// that is known then: everything but BytesIn, BytesOut and DurationUS.
	// Its error says that the response must not leave, because it could not be
	// recorded; there is none but where recording was made a condition.
	Begin(Record) error

	// End is called once for each Begin, when the response has ended, with
	// the whole record.
	End(Record)
}

// A ContactStore keeps the contacts of the built-in API. A team sees only its
// own: another team's contact is ErrNotFound.
type ContactStore interface {
	// CreateContact adds c under an ID of its own, with Rev 1 and the
	// store's time in Created and Updated, and returns it.
	CreateContact(ctx context.Context, teamID string, c Contact) (Contact, error)

	// Contact returns a contact, by its ID.
	Contact(ctx context.Context, teamID string, id int64) (Contact, error)

	// UpdateContact alters a contact in one transaction. It keeps ID and
	// Created, adds one to Rev, and sets Updated. An error of edit comes back
	// as it is, and nothing is changed.
	UpdateContact(ctx context.Context, teamID string, id int64, edit func(*Contact) error) (Contact, error)

	// DeleteContact removes a contact.
	DeleteContact(ctx context.Context, teamID string, id int64) error

	// Contacts returns at most limit contacts with an ID below before (0: no
	// bound), newest first.
	Contacts(ctx context.Context, teamID string, before int64, limit int) ([]Contact, error)
}

// A Contact is a person that a team keeps in the built-in contacts API.
type Contact struct {
	ID          int64 // unique among all teams, ascending, never used twice
	First       string
	Last        string
	DisplayName string
	Email       string
	Phone       string            // E.164 without "+": 2–15 digits, the first not 0
	Custom      map[string]string // the team's own fields
	Created     time.Time
	Updated     time.Time
	Rev         int64 // 1 when created, one more at each change
}
