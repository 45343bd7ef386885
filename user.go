package latchkey

import (
	"context"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// A Role says what a user of the console may do.
type Role string

// The roles.
const (
	RoleAdmin   Role = "admin"   // sees, rolls and revokes the team's credentials, and manages its members
	RoleMember  Role = "member"  // sees the page without secrets, usage, and the team's requests
	RoleSupport Role = "support" // belongs to no team; looks up requests of all teams, and sees no secrets
)

// A User is somebody who may log in to the console.
type User struct {
	ID       string // "user_" and 22 base62 characters
	Email    string // canonical, as [CanonicalEmail] returns it; unique among the users that are not removed
	TeamID   string // empty for [RoleSupport]
	Role     Role
	Password string // argon2id in PHC form; empty until an invitation is used. It is a hash, and is never shown
	Epoch    int64  // sessions of an earlier epoch are dead; it moves with each new password, and with removal

	Created   time.Time
	CreatedBy string
	Removed   time.Time // zero while the user exists
}

const userIDPrefix = "user_"

// NewUserID returns a new user's ID.
func NewUserID() string { return userIDPrefix + randomBase62(idChars) }

// CanonicalEmail returns the one form in which an address is kept and compared:
// trimmed, and in lower case. It is an [*InvalidError] if address is none, or has
// an API key in it.
func CanonicalEmail(address string) (string, error) {
	if CredentialIn(address) == "an API key" { // by its checksum: no address is one by chance
		return "", &InvalidError{Field: "email", Problem: "holds an API key, and an address is no secret"}
	}
	address = strings.ToLower(strings.TrimSpace(address))
	local, domain, ok := strings.Cut(address, "@")
	forbidden := func(r rune) bool {
		return !unicode.IsGraphic(r) || unicode.IsSpace(r) || strings.ContainsRune(`<>()[],;:\"`, r)
	}
	switch {
	case !ok || local == "" || domain == "" || strings.Contains(domain, "@"),
		!utf8.ValidString(address) || strings.ContainsFunc(address, forbidden):
		return "", &InvalidError{Field: "email", Problem: "is not an e-mail address"}
	case len(address) > 254: // RFC 5321, section 4.5.3.1.3
		return "", &InvalidError{Field: "email", Problem: "is longer than 254 bytes"}
	}
	return address, nil
}

// An Invitation is a one-time link by which a user sets a password. The set-up
// link, which makes the first admin, has no user.
type Invitation struct {
	Digest  Digest // of the link's token: the token itself is not kept
	UserID  string // empty: the set-up link
	Expires time.Time
}

const (
	// SetupTime is how long the set-up link lives.
	SetupTime = 24 * time.Hour

	// InviteTime is how long the link of any other invitation lives.
	InviteTime = 72 * time.Hour
)

// NewInvitation makes a one-time link to the console at an origin, by which a
// user sets a password, and what is kept of it. With an empty userID it is the
// set-up link. Its secret part has 190 bits.
func NewInvitation(origin, userID string, now time.Time) (link Secret, _ Invitation) {
	token := randomBase62(randomChars)
	path, lives := "/join", InviteTime
	if userID == "" {
		path, lives = "/setup", SetupTime
	}
	return NewSecret(strings.TrimSuffix(origin, "/") + path + "?token=" + token),
		Invitation{Digest: DigestOf([]byte(token)), UserID: userID, Expires: now.Add(lives)}
}

// A UserStore keeps the users of the console, their invitations and sessions.
type UserStore interface {
	// CreateUser adds a user, with the invitation and the events, in one
	// transaction. An address that is taken is ErrConflict.
	CreateUser(ctx context.Context, u User, invitation *Invitation, events ...Event) error

	// User returns a user by ID, UserByEmail by canonical address. A removed
	// one is ErrNotFound.
	User(ctx context.Context, id string) (User, error)
	UserByEmail(ctx context.Context, email string) (User, error)

	// Users returns the users of a team, oldest first; an empty teamID stands
	// for those that belong to none.
	Users(ctx context.Context, teamID string) ([]User, error)

	// UpdateUser alters a user in one transaction, with the events. ID, Email
	// and Created cannot be altered. An error of edit comes back as it is,
	// and nothing is changed. No other user is altered between edit and the
	// end: what edit reads of this store stays true.
	UpdateUser(ctx context.Context, id string, edit func(*User) error, events ...Event) (User, error)

	// Invite adds an invitation, and ends earlier ones of the same user (or
	// earlier set-up links).
	Invite(ctx context.Context, invitation Invitation, events ...Event) error

	// Invitation returns an invitation that is neither used nor over, by the
	// store's clock, or ErrNotFound.
	Invitation(ctx context.Context, digest Digest) (Invitation, error)

	// Redeem uses an invitation, in one transaction: of those who try at the
	// same time, one wins, and the others get ErrNotFound. edit gets the
	// invitation's user, or for the set-up link a zero one to fill in, which
	// is then added. An error of edit leaves the invitation unused.
	Redeem(ctx context.Context, digest Digest, edit func(*User) error, events ...Event) (User, error)
}

// A SessionStore keeps the console's sessions, as alexedwards/scs asks it to.
// The token given is a digest already.
type SessionStore interface {
	// FindCtx returns a session's data. One that is not there, or has expired by
	// the store's clock, is not found, and no error.
	FindCtx(ctx context.Context, token string) (data []byte, found bool, err error)

	// CommitCtx keeps a session until expiry, in place of what it held before.
	CommitCtx(ctx context.Context, token string, data []byte, expiry time.Time) error

	// DeleteCtx removes a session, if it is there.
	DeleteCtx(ctx context.Context, token string) error
}
