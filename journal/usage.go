package journal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"latchkey"
)

const (
	// usageEvery is how long counts wait in memory at most, while the store
	// takes them. What a killed process had not written is lost.
	usageEvery = time.Second
	// writeTime bounds one attempt to write them: readers wait for it.
	writeTime = 10 * time.Second
	// maxCallerText bounds the texts by which callers are told apart, in bytes.
	maxCallerText = 200
)

// Callers counts who uses which credential, and how often: in memory, and from
// there into a store. Its memory is bounded by the credentials that are in use:
// it tells at most [latchkey.MaxCallers] callers of each apart in a day, those
// that came first. Make it with [NewCallers]; it is safe for concurrent use.
//
// It is a [latchkey.UsageReader] that knows of every request from the moment
// when it was counted. Counts that the store did not take are added again. Only
// where a commit's outcome is not known ([latchkey.ErrOutcomeUnknown]) can they
// be there twice.
type Callers struct {
	store  latchkey.UsageStore
	logger *slog.Logger
	seed   maphash.Seed

	// writing is held while counts move from memory to the store, so that
	// nobody reads them twice, or not at all.
	writing sync.RWMutex

	mu     sync.Mutex
	counts map[usageKey]*count
	days   map[credentialDay]map[uint64]struct{} // the callers that are told apart

	stop chan struct{}
	done chan struct{}
}

type credentialDay struct {
	credentialID string
	day          int64 // days since 1970
}

type usageKey struct {
	credentialDay
	caller latchkey.Caller
}

// A count is what is not yet in the store.
type count struct {
	teamID            string
	accepted, refused int64
	last              time.Time
	dead              bool // the credential has ended, and will not come back
}

// NewCallers returns an empty Callers that writes to store. A nil logger means
// slog.Default().
func NewCallers(store latchkey.UsageStore, logger *slog.Logger) *Callers {
	if logger == nil {
		logger = slog.Default()
	}
	u := &Callers{
		store: store, logger: logger, seed: maphash.MakeSeed(),
		counts: make(map[usageKey]*count),
		days:   make(map[credentialDay]map[uint64]struct{}),
		stop:   make(chan struct{}),
		done:   make(chan struct{}),
	}
	go u.run()
	return u
}

// Count counts the request of a record, if it was accepted or its credential is
// a dead one of ours. A bad signature proves no use: anybody can name an iss.
func (u *Callers) Count(r *latchkey.Record) {
	if r.CredentialID == "" {
		return
	}
	var add count
	switch r.Outcome {
	case latchkey.OutcomeAccepted, latchkey.OutcomeError:
		add.accepted = 1
	case latchkey.OutcomeDenied:
		switch r.Reason {
		case latchkey.ReasonKeyRolled, latchkey.ReasonSecretRevoked:
			add.dead = true
		case latchkey.ReasonTeamDisabled:
		default:
			return
		}
		add.refused = 1
	default:
		return
	}
	add.teamID, add.last = r.TeamID, r.Time
	key := usageKey{
		credentialDay{r.CredentialID, dayOf(r.Time)},
		latchkey.Caller{ClientIP: cut(r.ClientIP), UserAgent: cut(r.UserAgent), Auth: r.Auth},
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.add(u.toldApart(key), &add)
}

// toldApart returns key, or that of all other callers if the day is full. u.mu
// is held.
func (u *Callers) toldApart(key usageKey) usageKey {
	callers := u.days[key.credentialDay]
	if callers == nil {
		callers = make(map[uint64]struct{})
		u.days[key.credentialDay] = callers
	}
	caller := maphash.Comparable(u.seed, key.caller)
	if _, known := callers[caller]; known {
		return key
	}
	if len(callers) >= latchkey.MaxCallers {
		key.caller = latchkey.Caller{}
		return key
	}
	callers[caller] = struct{}{}
	return key
}

// add adds to a count. u.mu is held.
func (u *Callers) add(key usageKey, c *count) {
	sum := u.counts[key]
	if sum == nil {
		// What is kept must not hold on to the request that it was read from.
		key.caller.ClientIP, key.caller.UserAgent = strings.Clone(key.caller.ClientIP), strings.Clone(key.caller.UserAgent)
		sum = &count{teamID: c.teamID}
		u.counts[key] = sum
	}
	sum.accepted += c.accepted
	sum.refused += c.refused
	sum.dead = sum.dead || c.dead
	if c.last.After(sum.last) {
		sum.last = c.last
	}
}

// run writes what was counted, until Close.
func (u *Callers) run() {
	defer close(u.done)
	tick := time.NewTicker(usageEvery)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-u.stop:
			return
		case <-tick.C:
		}
		err := u.flush(context.Background())
		if err != nil && !failing {
			u.logger.Error("who uses which credential cannot be written; it waits in memory", "error", err)
		}
		if err == nil && failing {
			u.logger.Info("who uses which credential is written again")
		}
		failing = err != nil
	}
}

// flush writes all that was counted. What the store does not take comes back.
func (u *Callers) flush(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, writeTime)
	defer cancel()
	u.writing.Lock()
	defer u.writing.Unlock()
	u.mu.Lock()
	taken := u.counts
	u.counts = make(map[usageKey]*count)
	u.forgetDays(time.Now())
	u.mu.Unlock()
	if len(taken) == 0 {
		return nil
	}
	err := u.store.AddUsage(ctx, usageOf(taken))
	if err != nil {
		u.mu.Lock()
		defer u.mu.Unlock()
		for key, c := range taken {
			u.add(key, c)
		}
	}
	return err
}

// forgetDays forgets who was told apart on days that are over. A request that
// began before midnight may end after it. u.mu is held.
func (u *Callers) forgetDays(now time.Time) {
	yesterday := dayOf(now) - 1
	maps.DeleteFunc(u.days, func(d credentialDay, _ map[uint64]struct{}) bool { return d.day < yesterday })
}

// Close writes what was counted, and returns an error that counts what could
// not be written.
func (u *Callers) Close(ctx context.Context) error {
	close(u.stop)
	<-u.done
	if err := u.flush(ctx); err != nil {
		u.mu.Lock()
		defer u.mu.Unlock()
		var lost int64
		for _, c := range u.counts {
			lost += c.accepted + c.refused
		}
		return fmt.Errorf("the use of credentials by %d requests was not written: %w", lost, err)
	}
	return nil
}

// Usage returns the usage of credentials since a day, summed over the days, most
// used first, written or not.
func (u *Callers) Usage(ctx context.Context, credentialIDs []string, since time.Time) ([]latchkey.Usage, error) {
	u.writing.RLock()
	defer u.writing.RUnlock()
	stored, err := u.store.Usage(ctx, credentialIDs, since)
	if err != nil && !errors.Is(err, latchkey.ErrNotFound) {
		return nil, err
	}
	first := dayOf(since)
	list := u.merge(stored, func(key usageKey, _ *count) bool {
		return key.day >= first && slices.Contains(credentialIDs, key.credentialID)
	})
	slices.SortStableFunc(list, func(a, b latchkey.Usage) int {
		return cmp.Or(cmp.Compare(b.Accepted+b.Refused, a.Accepted+a.Refused), b.Last.Compare(a.Last), byName(a, b))
	})
	return list, nil
}

// DeadInUse returns the usage since a time of a team's credentials that are
// dead, those sent last first, written or not.
func (u *Callers) DeadInUse(ctx context.Context, teamID string, since time.Time) ([]latchkey.Usage, error) {
	u.writing.RLock()
	defer u.writing.RUnlock()
	stored, err := u.store.DeadInUse(ctx, teamID, since)
	if err != nil && !errors.Is(err, latchkey.ErrNotFound) {
		return nil, err
	}
	dead := make(map[string]bool)
	for _, s := range stored {
		dead[s.CredentialID] = true
	}
	list := u.merge(stored, func(key usageKey, c *count) bool {
		return c.teamID == teamID && (c.dead || dead[key.credentialID] && c.refused > 0) && !c.last.Before(since)
	})
	slices.SortStableFunc(list, func(a, b latchkey.Usage) int { return cmp.Or(b.Last.Compare(a.Last), byName(a, b)) })
	return list, nil
}

// byName is an order for what is otherwise equal.
func byName(a, b latchkey.Usage) int {
	return cmp.Or(strings.Compare(a.CredentialID, b.CredentialID), strings.Compare(a.Caller.ClientIP, b.Caller.ClientIP),
		strings.Compare(a.Caller.UserAgent, b.Caller.UserAgent), strings.Compare(string(a.Caller.Auth), string(b.Caller.Auth)))
}

// merge adds the counts that are selected to what was stored.
func (u *Callers) merge(stored []latchkey.Usage, selected func(usageKey, *count) bool) []latchkey.Usage {
	type who struct {
		credentialID string
		caller       latchkey.Caller
	}
	place := make(map[who]int, len(stored))
	for i, s := range stored {
		place[who{s.CredentialID, s.Caller}] = i
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	for key, c := range u.counts {
		if !selected(key, c) {
			continue
		}
		more := key.usage(c)
		i, there := place[who{key.credentialID, key.caller}]
		if !there {
			place[who{key.credentialID, key.caller}] = len(stored)
			stored = append(stored, more)
			continue
		}
		s := &stored[i]
		s.Accepted += more.Accepted
		s.Refused += more.Refused
		s.Day, s.Last = latest(s.Day, more.Day), latest(s.Last, more.Last)
	}
	return stored
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func usageOf(counts map[usageKey]*count) []latchkey.Usage {
	list := make([]latchkey.Usage, 0, len(counts))
	for key, c := range counts {
		list = append(list, key.usage(c))
	}
	return list
}

func (k usageKey) usage(c *count) latchkey.Usage {
	return latchkey.Usage{
		CredentialID: k.credentialID, TeamID: c.teamID, Day: time.Unix(k.day*secondsOfDay, 0).UTC(),
		Caller: k.caller, Accepted: c.accepted, Refused: c.refused, Last: c.last,
	}
}

const secondsOfDay = 24 * 60 * 60

// dayOf returns the day of a time, UTC, in days since 1970.
func dayOf(t time.Time) int64 {
	s := t.Unix()
	if s < 0 {
		s -= secondsOfDay - 1
	}
	return s / secondsOfDay
}

// cut bounds a text, at the beginning of a character.
func cut(s string) string {
	if len(s) <= maxCallerText {
		return s
	}
	return strings.ToValidUTF8(s[:maxCallerText], "")
}

// Usage returns the usage of credentials since a day, written or not; see
// [Callers.Usage].
func (j *Journal) Usage(ctx context.Context, credentialIDs []string, since time.Time) ([]latchkey.Usage, error) {
	return j.callers.Usage(ctx, credentialIDs, since)
}

// DeadInUse returns who still uses a team's dead credentials, written or not;
// see [Callers.DeadInUse].
func (j *Journal) DeadInUse(ctx context.Context, teamID string, since time.Time) ([]latchkey.Usage, error) {
	return j.callers.DeadInUse(ctx, teamID, since)
}
