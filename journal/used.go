package journal

import (
	"context"
	"maps"
	"slices"
	"time"

	"latchkey"
)

const (
	// usedKept is for how long it is kept in memory that a credential was accepted,
	// at least, and how often is looked for what can be forgotten.
	usedKept = time.Hour
	// usedAtOnce is of how many credentials the store is asked at a time.
	usedAtOnce = 1000
)

// noteUse notes that a credential was accepted. j.mu is held.
func (j *Journal) noteUse(r *latchkey.Record) {
	if r.Outcome == latchkey.OutcomeAccepted && r.CredentialID != "" && r.Time.After(j.used[r.CredentialID]) {
		j.used[r.CredentialID] = r.Time
	}
}

// LastUsed returns when each of the credentials was last accepted.
func (j *Journal) LastUsed(ctx context.Context, credentialIDs []string) (map[string]time.Time, error) {
	used, err := j.store.LastUsed(ctx, credentialIDs)
	if err != nil {
		return nil, err
	}
	if used == nil {
		used = make(map[string]time.Time)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, id := range credentialIDs {
		if at, here := j.used[id]; here && at.After(used[id]) {
			used[id] = at
		}
	}
	return used, nil
}

// runForgetter keeps what is known of used credentials from growing, until Close.
func (j *Journal) runForgetter() {
	ctx, cancel := context.WithCancel(j.moving)
	defer cancel()
	go func() { // nobody is to wait for it
		select {
		case <-j.stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	look := time.NewTicker(usedKept)
	defer look.Stop()
	for {
		select {
		case <-j.stop:
			return
		case <-look.C:
			j.forgetUsed(ctx, time.Now().Add(-usedKept))
		}
	}
}

// forgetUsed forgets the uses before a time that the store knows by now. Should it not
// answer, they stay until it is asked again.
func (j *Journal) forgetUsed(ctx context.Context, before time.Time) {
	ctx, cancel := context.WithTimeout(ctx, moveTime)
	defer cancel()
	j.mu.Lock()
	old := maps.Clone(j.used)
	j.mu.Unlock()
	maps.DeleteFunc(old, func(_ string, at time.Time) bool { return !at.Before(before) })
	for ids := range slices.Chunk(slices.Collect(maps.Keys(old)), usedAtOnce) {
		known, err := j.store.LastUsed(ctx, ids)
		if err != nil {
			return
		}
		j.mu.Lock()
		for _, id := range ids {
			if !j.used[id].After(known[id]) {
				delete(j.used, id)
			}
		}
		j.mu.Unlock()
	}
}
