// Package storetest is the one examination of whatever keeps latchkey's data.
// Each sentence of the contracts in the root package is asked for; nothing is
// optional. A failure names the rule that was broken.
package storetest

import (
	"crypto/rand"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey"
)

// A Store is what every database must offer.
type Store interface {
	latchkey.CredentialStore
	latchkey.RecordStore
	latchkey.RecordKeeper
	latchkey.ContactStore
	latchkey.AuditStore
	latchkey.UserStore
	latchkey.SessionStore
	latchkey.UsageStore
}

// An Opener makes a new store with the genesis and the clock given, and returns
// two handles on it: two nodes of one cluster, say. They may be the same. The
// opener cleans up with t.Cleanup.
type Opener func(t *testing.T, genesis func(now time.Time) (latchkey.Genesis, error), now func() time.Time) (a, b Store)

// exams are all there are, each on a store of its own.
var exams = []struct {
	name string
	run  func(x *exam)
}{
	{"Genesis", examGenesis},
	{"CreateTeam", examCreateTeam},
	{"UpdateTeam", examUpdateTeam},
	{"AlteredFields", examAlteredFields},
	{"EditErrorChangesNothing", examEditError},
	{"EndedContextChangesNothing", examEndedContext},
	{"IllegalEdits", examIllegalEdits},
	{"Holding", examHolding},
	{"Teams", examTeams},
	{"Tombstones", examTombstones},
	{"Conflicts", examConflicts},
	{"DueOverlaps", examDueOverlaps},
	{"TimesToTheMicrosecond", examTimes},
	{"ConcurrentChanges", examConcurrentChanges},
	{"ChangesAfter", examChangesAfter},
	{"ChangesDuringWrites", examChangesDuringWrites},
	{"PurgeTombstones", examPurge},
	{"HostileNames", examHostileNames},
	{"HostileLookups", examHostileLookups},
	{"Record", examRecord},
	{"AppendRecordsTwice", examAppendTwice},
	{"AppendRecordsConcurrently", examAppendConcurrently},
	{"Records", examRecords},
	{"RecordPages", examRecordPages},
	{"LastUsed", examLastUsed},
	{"HostileRecords", examHostileRecords},
	{"Retention", examRetention},
	{"Gaps", examGaps},
	{"CreateContact", examCreateContact},
	{"ContactsOfAnotherTeam", examOtherTeam},
	{"UpdateContact", examUpdateContact},
	{"ConcurrentContactUpdates", examConcurrentContacts},
	{"DeleteContact", examDeleteContact},
	{"ContactPages", examContactPages},
	{"HostileContacts", examHostileContacts},
	{"AppendEvents", examAppendEvents},
	{"EventPages", examEventPages},
	{"EventsOfChanges", examEventsOfChanges},
	{"EventsConcurrently", examEventsConcurrently},
	{"CreateUser", examCreateUser},
	{"UpdateUser", examUpdateUser},
	{"RemovedUser", examRemovedUser},
	{"Invite", examInvite},
	{"Redeem", examRedeem},
	{"Sessions", examSessions},
	{"Usage", examUsage},
	{"UsageCap", examUsageCap},
	{"UsageKept", examUsageKept},
	{"UsageConcurrently", examUsageConcurrently},
	{"DeadInUse", examDeadInUse},
}

// Run examines the store that open makes.
func Run(t *testing.T, open func(t *testing.T, genesis func(time.Time) (latchkey.Genesis, error), now func() time.Time) (a, b Store)) {
	for _, e := range exams {
		t.Run(e.name, func(t *testing.T) { e.run(newExam(t, open)) })
	}
}

// An exam is one new store, and what it should hold.
type exam struct {
	*testing.T
	a, b    Store // two handles on it
	clock   *clock
	genesis latchkey.Genesis
	begun   []time.Time // what genesis was given, at each call
}

func newExam(t *testing.T, open Opener) *exam {
	x := &exam{T: t, clock: newClock()}
	x.genesis.Probe = randomBytes()
	x.a, x.b = open(t, func(now time.Time) (latchkey.Genesis, error) {
		x.begun = append(x.begun, now)
		x.genesis.Holding = newHolding("default", now)
		return x.genesis, nil
	}, x.clock.Now)
	return x
}

// must fails the exam if err is not nil.
func (x *exam) must(doing string, err error) {
	x.Helper()
	if err != nil {
		x.Fatalf("rule broken: what is legal is done: %s: %v", doing, err)
	}
}

// rule fails the exam if it was broken.
func (x *exam) rule(held bool, rule string, args ...any) {
	x.Helper()
	if !held {
		x.Fatalf("rule broken: "+rule, args...)
	}
}

// equal fails the exam if two values differ.
func equal[T any](x *exam, rule string, got, want T) {
	x.Helper()
	if !reflect.DeepEqual(got, want) {
		x.Fatalf("rule broken: %s\n got %s\nwant %s", rule, abridge(got), abridge(want))
	}
}

func abridge(v any) string {
	const most = 2000
	s := fmt.Sprintf("%+v", v)
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

// create adds a team with a key and a secret.
func (x *exam) create(s Store, name string) (latchkey.Holding, latchkey.Change) {
	x.Helper()
	h, change, err := s.CreateTeam(x.Context(), func(now time.Time) (latchkey.Holding, error) {
		return newHolding(name, now), nil
	})
	x.must("create team", err)
	return h, change
}

// update changes a team with an edit that cannot fail.
func (x *exam) update(s Store, id string, edit func(now time.Time, h *latchkey.Holding)) (latchkey.Holding, latchkey.Change) {
	x.Helper()
	h, change, err := s.UpdateTeam(x.Context(), id, func(now time.Time, h *latchkey.Holding) error {
		edit(now, h)
		return nil
	})
	x.must("update team", err)
	return h, change
}

// holding reads a team.
func (x *exam) holding(s Store, team string) latchkey.Holding {
	x.Helper()
	h, err := s.Holding(x.Context(), team)
	x.must("read team", err)
	return h
}

// changes reads what changed after a revision (everything after 0), in an order
// that can be compared: the contract gives none.
func (x *exam) changes(s Store, after latchkey.Revision) latchkey.Changes {
	x.Helper()
	c, err := s.Changes(x.Context(), after)
	x.must("read changes", err)
	slices.SortFunc(c.Teams, func(a, b latchkey.Team) int { return strings.Compare(a.ID, b.ID) })
	c.Credentials = sorted(c.Credentials)
	return c
}

// sorted returns credentials by ID.
func sorted(list []latchkey.Credential) []latchkey.Credential {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b latchkey.Credential) int { return strings.Compare(a.ID, b.ID) })
	return list
}

// unchanged holds everything there is against an earlier state.
func (x *exam) unchanged(because string, before latchkey.Changes) {
	x.Helper()
	equal(x, because+": nothing is changed", x.changes(x.a, 0), before)
	equal(x, because+": nothing is changed, seen from the other handle", x.changes(x.b, 0), before)
}

// A clock goes on by step whenever it is read.
type clock struct {
	mu   sync.Mutex
	at   time.Time
	step time.Duration
}

func newClock() *clock {
	// Finer than a store keeps, and in a zone of its own: neither may show.
	zone := time.FixedZone("elsewhere", -7*3600)
	return &clock{at: time.Date(2026, 3, 1, 12, 0, 0, 123456789, zone), step: 1000*time.Microsecond + 7}
}

// Now is the store's clock.
func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(c.step)
	return c.at
}

// stop makes the clock stand, and returns its time.
func (c *clock) stop() time.Time { return c.set(c.peek()) }

// set makes the clock stand at t.
func (c *clock) set(t time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at, c.step = t, 0
	return micros(t)
}

func (c *clock) peek() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

// micros is how a store gives a time back.
func micros(t time.Time) time.Time { return time.UnixMicro(t.UnixMicro()).UTC() }

// kept is how a store gives a text back.
func kept(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// newHolding returns a team with one API key and one API secret.
func newHolding(name string, now time.Time) latchkey.Holding {
	h := latchkey.Holding{Team: latchkey.Team{ID: "team_" + rand.Text(), Name: name, Created: now}}
	h.Credentials = []latchkey.Credential{newKey(h.Team.ID, now), newSecret(h.Team.ID, now)}
	return h
}

func newKey(teamID string, now time.Time) latchkey.Credential {
	return latchkey.Credential{
		ID: "key_" + rand.Text(), TeamID: teamID, Kind: latchkey.KindAPIKey,
		Digest: latchkey.DigestOf(randomBytes()), Sealed: randomBytes(), Created: now, CreatedBy: "examiner",
	}
}

func newSecret(teamID string, now time.Time) latchkey.Credential {
	return latchkey.Credential{
		ID: uuid.NewString(), TeamID: teamID, Kind: latchkey.KindAPISecret,
		Sealed: randomBytes(), Created: now, CreatedBy: "examiner",
	}
}

func randomBytes() []byte {
	b := make([]byte, 48)
	_, _ = rand.Read(b)
	return b
}

// stamped returns h with the revision that wrote all of it.
func stamped(h latchkey.Holding, rev latchkey.Revision) latchkey.Holding {
	h.Team.Revision, h.Team.Created, h.Team.Deleted = rev, micros(h.Team.Created), micros(h.Team.Deleted)
	list := h.Credentials
	h.Credentials = nil
	for _, c := range list {
		c.Revision, c.Created, c.Until, c.Ended = rev, micros(c.Created), micros(c.Until), micros(c.Ended)
		h.Credentials = append(h.Credentials, c)
	}
	return h
}
