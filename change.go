package latchkey

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// settleTime bounds a change and its settling together. It is far above what
// any lease allows: a change that takes longer is an unknown outcome.
const settleTime = 90 * time.Second

// supersededTime is how long a settled roll waits to hear whether its key is still
// the current one.
const supersededTime = time.Second

// Every change returns [ErrNotFound] for a team that is not there, [ErrConflict] for
// what another change has made impossible, an [*InvalidError] for what can never be,
// and [ErrOutcomeUnknown] where nobody can say whether it was made. The last may come
// with a settlement, if it was made and not every node is known to follow it.

// CreateTeam makes a team with an API key and an API secret. They work on every
// node when it returns. A name that is taken is [ErrConflict].
func (k *Keyring) CreateTeam(ctx context.Context, name string, by Actor) (NewTeam, Settlement, error) {
	if err := ValidTeamName(name); err != nil {
		return NewTeam{}, Settlement{}, err
	}
	var made NewTeam
	_, s, err := k.settle(ctx, func(ctx context.Context) (Holding, Change, error) {
		return k.Store.CreateTeam(ctx, func(now time.Time) (h Holding, err error) {
			h, made, err = NewHolding(k.Sealer, k.prefix(), name, by, now)
			return h, err
		})
	})
	k.observe(ActionTeamCreate, s, err)
	return made, s, err
}

// RenameTeam gives a team another name. One that is taken is [ErrConflict].
func (k *Keyring) RenameTeam(ctx context.Context, team, name string, by Actor) (Team, Settlement, error) {
	if err := ValidTeamName(name); err != nil {
		return Team{}, Settlement{}, err
	}
	h, s, err := k.edit(ctx, team, func(now time.Time, h *Holding) error {
		h.note(now, by, ActionTeamRename, h.Team.ID, fmt.Sprintf("%s, before %s", name, h.Team.Name))
		h.Team.Name = name
		return nil
	})
	return h.Team, s, err
}

// DisableTeam makes all credentials of a team refused until [Keyring.EnableTeam].
func (k *Keyring) DisableTeam(ctx context.Context, team string, by Actor) (Team, Settlement, error) {
	return k.setDisabled(ctx, team, true, ActionTeamDisable, by)
}

// EnableTeam undoes [Keyring.DisableTeam].
func (k *Keyring) EnableTeam(ctx context.Context, team string, by Actor) (Team, Settlement, error) {
	return k.setDisabled(ctx, team, false, ActionTeamEnable, by)
}

func (k *Keyring) setDisabled(ctx context.Context, team string, disabled bool, action Action, by Actor) (Team, Settlement, error) {
	h, s, err := k.edit(ctx, team, func(now time.Time, h *Holding) error {
		h.note(now, by, action, h.Team.ID, "")
		h.Team.Disabled = disabled
		return nil
	})
	return h.Team, s, err
}

// DeleteTeam ends a team and all its credentials, for good.
func (k *Keyring) DeleteTeam(ctx context.Context, team string, by Actor) (Team, Settlement, error) {
	h, s, err := k.edit(ctx, team, func(now time.Time, h *Holding) error {
		h.Team.Deleted = now
		h.note(now, by, ActionTeamDelete, h.Team.ID, h.Team.Name)
		for i := range h.Credentials {
			if c := &h.Credentials[i]; c.Live() {
				c.End(now, by.Name, EndedByDeletion)
			}
		}
		return nil
	})
	return h.Team, s, err
}

// A KeyView is a team's API key, in clear.
type KeyView struct {
	Team     Team
	APIKey   Secret
	KeyID    string
	RolledAt time.Time // when it was made, by the roll before it or with the team
	RolledBy string
	OldUntil time.Time // when the old key's overlap ends; zero without one

	// Superseded: by the time that a change returned, another had ended this key,
	// or had put it into an overlap.
	Superseded bool
}

// ShowKey returns the current API key of a team, once the audit has it that by
// has seen it. A team without one, or that is not there, is [ErrNotFound].
func (k *Keyring) ShowKey(ctx context.Context, team string, by Actor) (KeyView, error) {
	h, err := k.Store.Holding(ctx, team)
	if err != nil {
		return KeyView{}, err
	}
	c := h.APIKey()
	if c == nil {
		return KeyView{}, NotFound("current API key of team", h.Team.Name)
	}
	value, err := k.reveal(ctx, c, ActionKeyReveal, by)
	if err != nil {
		return KeyView{}, err
	}
	return viewKey(&h, value), nil
}

// ShowSecret returns the API Secret Key of a team's live API secret, once the
// audit has it that by has seen it.
func (k *Keyring) ShowSecret(ctx context.Context, team, id string, by Actor) (Secret, error) {
	h, err := k.Store.Holding(ctx, team)
	if err != nil {
		return Secret{}, err
	}
	c := h.find(func(c *Credential) bool { return c.Kind == KindAPISecret && c.ID == id })
	if c == nil {
		return Secret{}, NotFound("API secret", id)
	}
	return k.reveal(ctx, c, ActionSecretReveal, by)
}

func (k *Keyring) reveal(ctx context.Context, c *Credential, action Action, by Actor) (Secret, error) {
	value, err := k.Sealer.Open(c)
	if err != nil {
		return Secret{}, err
	}
	if err := k.Audit.AppendEvents(ctx, NewEvent(k.now(), by, action, c.TeamID, c.ID, "")); err != nil {
		// Not %w: that the event may yet be there is no unknown outcome of a change.
		return Secret{}, fmt.Errorf("record that the value was shown: %v", err)
	}
	return value, nil
}

func viewKey(h *Holding, value Secret) KeyView {
	c := h.APIKey()
	v := KeyView{Team: h.Team, APIKey: value, KeyID: c.ID, RolledAt: c.Created, RolledBy: c.CreatedBy}
	if old := h.OldAPIKey(); old != nil {
		v.OldUntil = old.Until
	}
	return v
}

// viewSettled is viewKey of what a change made, once it is settled.
func (k *Keyring) viewSettled(ctx context.Context, h *Holding, value Secret) KeyView {
	v := viewKey(h, value)
	v.Superseded = k.superseded(ctx, h.APIKey())
	return v
}

// superseded reports whether an API key is known to be the current one no more.
// It asks memory, if it answers at once, and else the store: some processes have
// no memory. Neither keeps the key from the caller for long.
func (k *Keyring) superseded(ctx context.Context, c *Credential) bool {
	ctx, cancel := context.WithTimeout(ctx, supersededTime)
	defer cancel()
	ended, end := context.WithCancel(ctx)
	end()
	latest := c
	if found, err := k.Replica.APIKey(ended, c.Digest); err == nil && found.Credential != nil {
		latest = found.Credential
	} else if kept, err := k.Store.Credential(ctx, c.ID); err == nil {
		latest = &kept
	}
	return !latest.Live() || !latest.Until.IsZero()
}

// RollKey gives a team a new API key. The old one is dead on every node when
// RollKey returns; with an overlap (0 … [MaxOverlap]) it lives on for so long,
// give or take a second. An earlier overlap ends at once.
func (k *Keyring) RollKey(ctx context.Context, team string, overlap time.Duration, by Actor) (KeyView, Settlement, error) {
	if overlap < 0 || overlap > MaxOverlap {
		return KeyView{}, Settlement{}, &InvalidError{Field: "overlap", Problem: "must be between 0 and 24h"}
	}
	return k.replaceKey(ctx, team, "", NewAPIKey(k.prefix()), overlap, ActionKeyRoll, by)
}

// RollKeyFrom is [Keyring.RollKey] for a key that was looked at before: if the
// team's current key is not the one with the ID given any more, nothing is
// changed and the error is [ErrConflict].
func (k *Keyring) RollKeyFrom(ctx context.Context, team, keyID string, overlap time.Duration, by Actor) (KeyView, Settlement, error) {
	switch {
	case overlap < 0 || overlap > MaxOverlap:
		return KeyView{}, Settlement{}, &InvalidError{Field: "overlap", Problem: "must be between 0 and 24h"}
	case keyID == "":
		return KeyView{}, Settlement{}, &InvalidError{Field: "key ID", Problem: "is empty"}
	}
	return k.replaceKey(ctx, team, keyID, NewAPIKey(k.prefix()), overlap, ActionKeyRoll, by)
}

// ImportKey makes value a team's current API key, as a roll without overlap
// does. A value that is or was somebody's key already is [ErrConflict].
func (k *Keyring) ImportKey(ctx context.Context, team string, value Secret, by Actor) (KeyView, Settlement, error) {
	if err := ValidAPIKey(value.Reveal()); err != nil {
		return KeyView{}, Settlement{}, err
	}
	return k.replaceKey(ctx, team, "", value, 0, ActionKeyImport, by)
}

// replaceKey replaces the current key, whichever it is or, if expected is not
// empty, only the one with that ID.
func (k *Keyring) replaceKey(ctx context.Context, team, expected string, value Secret, overlap time.Duration, action Action, by Actor) (KeyView, Settlement, error) {
	h, s, err := k.edit(ctx, team, func(now time.Time, h *Holding) error {
		if current := h.APIKey(); expected != "" && (current == nil || current.ID != expected) {
			return conflict("the API key of team %q was replaced in the meantime", h.Team.Name)
		}
		next, err := newKey(k.Sealer, h.Team.ID, value)
		if err != nil {
			return err
		}
		next.Created, next.CreatedBy = now, by.Name
		if old := h.OldAPIKey(); old != nil {
			old.End(now, by.Name, EndedByRoll)
		}
		current := h.APIKey()
		h.note(now, by, action, next.ID, replaced(current, overlap))
		if current != nil && overlap > 0 {
			current.Until = now.Add(overlap)
		} else if current != nil {
			current.End(now, by.Name, EndedByRoll)
		}
		h.Credentials = append(h.Credentials, next)
		return nil
	})
	if err != nil {
		return KeyView{}, s, err
	}
	return k.viewSettled(ctx, &h, value), s, nil
}

// replaced says for the audit which key made way, and when.
func replaced(current *Credential, overlap time.Duration) string {
	switch {
	case current == nil:
		return "in place of none"
	case overlap > 0:
		return fmt.Sprintf("in place of %s, which lives on for %s", current.ID, overlap)
	}
	return "in place of " + current.ID
}

// RetireKey ends a team's old API key before its overlap is over. It is
// [ErrConflict] if there is none.
func (k *Keyring) RetireKey(ctx context.Context, team string, by Actor) (Team, Settlement, error) {
	return k.retireKey(ctx, team, "", by)
}

// RetireKeyFrom is [Keyring.RetireKey] for an old key that was looked at before: if
// the team's old key is not the one with the ID given any more, nothing is changed
// and the error is [ErrConflict].
func (k *Keyring) RetireKeyFrom(ctx context.Context, team, keyID string, by Actor) (Team, Settlement, error) {
	if keyID == "" {
		return Team{}, Settlement{}, &InvalidError{Field: "key ID", Problem: "is empty"}
	}
	return k.retireKey(ctx, team, keyID, by)
}

func (k *Keyring) retireKey(ctx context.Context, team, expected string, by Actor) (Team, Settlement, error) {
	h, s, err := k.edit(ctx, team, func(now time.Time, h *Holding) error {
		old := h.OldAPIKey()
		switch {
		case old == nil:
			return conflict("team %q has no old key in an overlap", h.Team.Name)
		case expected != "" && old.ID != expected:
			return conflict("the old API key of team %q has ended, and another is in an overlap", h.Team.Name)
		}
		old.End(now, by.Name, EndedByRetire)
		h.note(now, by, ActionKeyRetire, old.ID, "")
		return nil
	})
	return h.Team, s, err
}

// CreateSecret gives a team another API secret. A team that has as many as it
// may is [ErrConflict].
func (k *Keyring) CreateSecret(ctx context.Context, team string, by Actor) (id string, key Secret, s Settlement, err error) {
	id, key = NewAPISecret()
	s, err = k.addSecret(ctx, team, id, key, ActionSecretCreate, by)
	return id, key, s, err
}

// CreateSecretAs is [Keyring.CreateSecret] with an ID that the caller chose, so
// that what is asked for twice, through two nodes, is made once: an ID that is or
// was in use is [ErrConflict].
func (k *Keyring) CreateSecretAs(ctx context.Context, team, id string, by Actor) (key Secret, s Settlement, err error) {
	_, key = NewAPISecret()
	if err := ValidAPISecret(id, key.Reveal()); err != nil {
		return Secret{}, Settlement{}, err
	}
	s, err = k.addSecret(ctx, team, id, key, ActionSecretCreate, by)
	return key, s, err
}

// ImportSecret gives a team an API secret that was made elsewhere. An ID that
// is or was in use is [ErrConflict].
func (k *Keyring) ImportSecret(ctx context.Context, team, id string, key Secret, by Actor) (Settlement, error) {
	if err := ValidAPISecret(id, key.Reveal()); err != nil {
		return Settlement{}, err
	}
	return k.addSecret(ctx, team, id, key, ActionSecretImport, by)
}

func (k *Keyring) addSecret(ctx context.Context, team, id string, key Secret, action Action, by Actor) (Settlement, error) {
	_, s, err := k.edit(ctx, team, func(now time.Time, h *Holding) error {
		if n := len(h.Secrets()); n >= k.maxSecrets() {
			return conflict("team %q has %d live API secrets already: revoke one first", h.Team.Name, n)
		}
		c, err := newSecret(k.Sealer, h.Team.ID, id, key)
		if err != nil {
			return err
		}
		c.Created, c.CreatedBy = now, by.Name
		h.note(now, by, action, id, "")
		h.Credentials = append(h.Credentials, c)
		return nil
	})
	return s, err
}

// Secrets returns a team and its live API secrets, oldest first, without their
// values.
func (k *Keyring) Secrets(ctx context.Context, team string) (Team, []Credential, error) {
	h, err := k.Store.Holding(ctx, team)
	if err != nil {
		return Team{}, nil, err
	}
	var list []Credential
	for _, c := range h.Secrets() {
		list = append(list, *c)
	}
	return h.Team, list, nil
}

// RevokeSecret ends an API secret: no node accepts a token signed with it when
// RevokeSecret returns. One that is revoked already is [ErrConflict], and one that
// never was [ErrNotFound].
func (k *Keyring) RevokeSecret(ctx context.Context, id string, by Actor) (Team, Settlement, error) {
	c, err := k.Store.Credential(ctx, id)
	if err != nil || c.Kind != KindAPISecret {
		if err == nil || errors.Is(err, ErrNotFound) {
			err = NotFound("API secret", id)
		}
		return Team{}, Settlement{}, err
	}
	h, s, err := k.edit(ctx, c.TeamID, func(now time.Time, h *Holding) error {
		live := h.find(func(c *Credential) bool { return c.Kind == KindAPISecret && c.ID == id })
		if live == nil {
			return conflict("API secret %s is revoked already", id)
		}
		live.End(now, by.Name, EndedByRevoke)
		h.note(now, by, ActionSecretRevoke, id, "")
		return nil
	})
	return h.Team, s, err
}

// edit is one change of one team, and its settling.
func (k *Keyring) edit(ctx context.Context, team string, edit func(now time.Time, h *Holding) error) (Holding, Settlement, error) {
	var action Action
	h, s, err := k.settle(ctx, func(ctx context.Context) (Holding, Change, error) {
		return k.Store.UpdateTeam(ctx, team, func(now time.Time, h *Holding) error {
			err := edit(now, h)
			if n := len(h.Events); n > 0 {
				action = h.Events[n-1].Action
			}
			return err
		})
	})
	k.observe(action, s, err)
	return h, s, err
}

func (k *Keyring) observe(action Action, s Settlement, err error) {
	if k.Observe != nil && (err == nil || errors.Is(err, ErrOutcomeUnknown)) {
		k.Observe(action, s, err)
	}
}

// settle commits a change and returns when it is true everywhere. A caller that
// goes away does not stop it half-way.
func (k *Keyring) settle(ctx context.Context, commit func(context.Context) (Holding, Change, error)) (Holding, Settlement, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	began := time.Now()
	h, change, err := commit(ctx)
	if errors.Is(err, ErrOutcomeUnknown) {
		// Whether it holds or not, this node must go by what the store says now.
		_, settleErr := k.Replica.Settle(ctx, Change{})
		return Holding{}, Settlement{}, errors.Join(err, settleErr)
	}
	if err != nil {
		return Holding{}, Settlement{}, err
	}
	s, err := k.await(ctx, change, began)
	return h, s, err
}

// Settled returns when every node follows whatever the store holds now: what a change
// made that was made before, by another process perhaps.
func (k *Keyring) Settled(ctx context.Context) (Settlement, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	return k.await(ctx, Change{}, time.Now())
}

// await waits until every node follows a change.
func (k *Keyring) await(ctx context.Context, change Change, began time.Time) (Settlement, error) {
	s, err := k.Replica.Settle(ctx, change)
	s.Took = time.Since(began)
	if err != nil {
		err = fmt.Errorf("the change was committed, but not every node is known to follow it: %w: %w", ErrOutcomeUnknown, err)
	}
	return s, err
}
