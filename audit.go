package latchkey

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// An Actor is who does something to teams, credentials or users.
type Actor struct {
	Name   string // an e-mail address, or words such as "command line (root)"
	Source string // where from: an address, or "this machine"
}

// System is the actor of what latchkey does by itself.
var System = Actor{Name: "latchkey", Source: "this machine"}

// An Action is a kind of [Event].
type Action string

// The actions that are recorded.
const (
	ActionTeamCreate   Action = "team.create"
	ActionTeamRename   Action = "team.rename"
	ActionTeamDisable  Action = "team.disable"
	ActionTeamEnable   Action = "team.enable"
	ActionTeamDelete   Action = "team.delete"
	ActionKeyReveal    Action = "key.reveal"
	ActionKeyRoll      Action = "key.roll"
	ActionKeyImport    Action = "key.import"
	ActionKeyRetire    Action = "key.retire"
	ActionOverlapEnd   Action = "key.overlap_end"
	ActionSecretCreate Action = "secret.create"
	ActionSecretImport Action = "secret.import"
	ActionSecretReveal Action = "secret.reveal"
	ActionSecretRevoke Action = "secret.revoke"
	ActionCopy         Action = "credential.copy"
	ActionSetup        Action = "user.setup"
	ActionInvite       Action = "user.invite"
	ActionJoin         Action = "user.join"
	ActionLogin        Action = "user.login"
	ActionLoginFailed  Action = "user.login_failed"
	ActionLogout       Action = "user.logout"
	ActionPassword     Action = "user.password"
	ActionRole         Action = "user.role"
	ActionRemove       Action = "user.remove"
	ActionLookup       Action = "request.lookup" // by support, in another's records
	ActionRefused      Action = "access.refused" // a user asked for what the role does not allow
	ActionAccept       Action = "history.accept" // of the database; see LeaseStore
)

// An Event is one line of the audit: who did what, when, from where. It never
// holds a value, and is never altered.
type Event struct {
	ID      string // UUIDv7
	Time    time.Time
	Actor   Actor
	Action  Action
	TeamID  string // whose audit it belongs to; empty for what concerns no team
	Subject string // what it was done to: the ID of a credential, user or request, or an e-mail address
	Detail  string // more, in words; may be empty
}

// NewEvent returns an event with an ID of its own.
func NewEvent(at time.Time, by Actor, action Action, teamID, subject, detail string) Event {
	return Event{
		ID: uuid.Must(uuid.NewV7()).String(), Time: at, Actor: by, Action: action,
		TeamID: teamID, Subject: subject, Detail: detail,
	}
}

// An AuditStore keeps events. Nothing alters or removes one.
type AuditStore interface {
	// AppendEvents adds events, in one transaction.
	AppendEvents(ctx context.Context, events ...Event) error

	// Events returns at most limit events of a team, newest first, older than
	// the event with the ID before (empty: no bound). An empty teamID stands
	// for all events.
	Events(ctx context.Context, teamID, before string, limit int) ([]Event, error)
}

// note adds an event to those that are written with the change of h.
func (h *Holding) note(at time.Time, by Actor, action Action, subject, detail string) {
	h.Events = append(h.Events, NewEvent(at, by, action, h.Team.ID, subject, detail))
}
