package latchkey

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// A Revision is a state of all credentials together. The store has one
// counter; each change of a team or a credential moves it by one, in commit
// order: whoever has read revision R has seen every change up to R.
type Revision int64

// A Change is one committed change of teams or credentials.
type Change struct {
	Revision Revision  // the revision that the change made
	ID       string    // random: tells this history from another with the same revision
	At       time.Time // when, by the store's clock
}

// Position is where the change stands in the database's history.
func (c Change) Position() Position { return Position{Revision: c.Revision, ChangeID: c.ID} }

// A Team holds credentials. Its name is unique among the teams that are not
// deleted, without regard to case.
type Team struct {
	ID       string // "team_" and 22 base62 characters
	Name     string // 1–64 printable characters
	Disabled bool   // none of its credentials is accepted while it is set
	Created  time.Time
	Deleted  time.Time // zero while the team exists
	Revision Revision  // of its last change
}

// NameKey returns the form of the name that must be unique.
func (t Team) NameKey() string { return strings.ToLower(t.Name) }

// maxTeamName is the longest team name, in characters.
const maxTeamName = 64

// ValidTeamName returns nil, or an [*InvalidError] that says what is wrong with
// name. A name that looks like a team's ID is refused: it could shadow one. So is
// one that has a credential of ours in it: names are no secret.
func ValidTeamName(name string) error {
	wrong := func(problem string) error { return &InvalidError{Field: "name", Problem: problem} }
	switch {
	case name == "":
		return wrong("is empty")
	case !utf8.ValidString(name):
		return wrong("is not valid UTF-8")
	case utf8.RuneCountInString(name) > maxTeamName:
		return wrong("is longer than 64 characters")
	case strings.TrimSpace(name) != name:
		return wrong("begins or ends with a space")
	case strings.HasPrefix(strings.ToLower(name), teamIDPrefix):
		return wrong("begins with team_, as team IDs do")
	}
	for _, r := range name {
		if !unicode.IsPrint(r) {
			return wrong("holds a character that cannot be printed")
		}
	}
	if credential := CredentialIn(name); credential != "" {
		return wrong("holds what has the form of " + credential + ", and a name is no secret")
	}
	return nil
}

// A Holding is a team with the credentials that it holds: what one change sees,
// and rewrites as a whole.
type Holding struct {
	Team        Team
	Credentials []Credential // live ones; an edit may end them, and append new ones
	Events      []Event      // what an edit did, for the audit: written with the change, never read back
}

// APIKey returns the current API key, or nil.
func (h *Holding) APIKey() *Credential {
	return h.find(func(c *Credential) bool { return c.Kind == KindAPIKey && c.Until.IsZero() })
}

// OldAPIKey returns the key that lives on in an overlap, or nil.
func (h *Holding) OldAPIKey() *Credential {
	return h.find(func(c *Credential) bool { return c.Kind == KindAPIKey && !c.Until.IsZero() })
}

// Secrets returns the live API secrets, oldest first.
func (h *Holding) Secrets() []*Credential {
	var live []*Credential
	for i := range h.Credentials {
		if c := &h.Credentials[i]; c.Kind == KindAPISecret && c.Live() {
			live = append(live, c)
		}
	}
	return live
}

func (h *Holding) find(match func(*Credential) bool) *Credential {
	for i := range h.Credentials {
		if c := &h.Credentials[i]; c.Live() && match(c) {
			return c
		}
	}
	return nil
}
