package console

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/alexedwards/scs/v2"

	"latchkey"
)

// cookieName begins with __Host-, so that browsers take the cookie only with
// Secure, for this host alone, and for all paths. They keep such a cookie on
// loopback without TLS.
const cookieName = "__Host-latchkey"

// What a session holds.
const (
	sessionUser  = "user"  // the user's ID
	sessionEpoch = "epoch" // of the user, when the session began
	sessionProof = "proof" // when the password was last typed, unix seconds
	sessionEmail = "email" // for the audit, of one who was removed
	sessionTeam  = "team"
)

// newSessions returns scs over our store. The store gets a digest of the token,
// so that a copy of it lets nobody in.
func newSessions(store latchkey.SessionStore) *scs.SessionManager {
	return &scs.SessionManager{
		Lifetime: sessionTime, Store: sessionStore{store}, Codec: scs.GobCodec{}, HashTokenInStore: true,
	}
}

// sessionStore is our store in the form that scs asks for: it wants the methods
// without a context too, and calls only those with one.
type sessionStore struct{ latchkey.SessionStore }

func (s sessionStore) Find(token string) ([]byte, bool, error) {
	return s.FindCtx(context.Background(), token)
}

func (s sessionStore) Commit(token string, data []byte, expiry time.Time) error {
	return s.CommitCtx(context.Background(), token, data, expiry)
}

func (s sessionStore) Delete(token string) error { return s.DeleteCtx(context.Background(), token) }

// loadSession returns a request with its session, and the user that the store
// knows now: one who was removed, or whose password or session ended elsewhere,
// is nobody from this request on.
func (v *visit) loadSession() error {
	token := ""
	if cookies := v.r.CookiesNamed(cookieName); len(cookies) == 1 {
		token = cookies[0].Value
	}
	ctx, err := v.sessions.Load(v.r.Context(), token)
	if err != nil {
		return err
	}
	v.r, v.loaded = v.r.WithContext(ctx), true
	v.known = v.sessions.Exists(ctx, sessionUser)
	if !v.known {
		return nil
	}
	user, err := v.Users.User(ctx, v.sessions.GetString(ctx, sessionUser))
	if err == nil && user.Epoch == v.sessions.GetInt64(ctx, sessionEpoch) {
		v.user = user
		return v.loadTeam()
	}
	if err != nil && !errors.Is(err, latchkey.ErrNotFound) {
		return err
	}
	v.user.Email = v.sessions.GetString(ctx, sessionEmail)
	v.user.TeamID = v.sessions.GetString(ctx, sessionTeam)
	return v.sessions.Destroy(ctx)
}

func (v *visit) loadTeam() error {
	if v.user.Role == latchkey.RoleSupport {
		return nil
	}
	h, err := v.Keyring.Store.Holding(v.ctx(), v.user.TeamID)
	if errors.Is(err, latchkey.ErrNotFound) {
		v.user = latchkey.User{} // the team was deleted, and its members have nothing left here
		return v.sessions.Destroy(v.ctx())
	}
	v.holding = h
	return err
}

// begin makes this the session of a user who has just typed the password, under
// a new ID: one that was set before the login is worth nothing.
func (v *visit) begin(user latchkey.User) error {
	ctx := v.ctx()
	if err := v.sessions.Destroy(ctx); err != nil {
		return err
	}
	if err := v.sessions.RenewToken(ctx); err != nil {
		return err
	}
	v.sessions.Put(ctx, sessionUser, user.ID)
	v.sessions.Put(ctx, sessionEpoch, user.Epoch)
	v.sessions.Put(ctx, sessionEmail, user.Email)
	v.sessions.Put(ctx, sessionTeam, user.TeamID)
	v.prove()
	v.user, v.known = user, false
	return nil
}

// prove notes that the password was typed just now.
func (v *visit) prove() { v.sessions.Put(v.ctx(), sessionProof, v.now().Unix()) }

// proven reports whether the password was typed so lately that it will stand
// for a while yet.
func (v *visit) proven(forAWhile time.Duration) bool {
	age := v.now().Sub(time.Unix(v.sessions.GetInt64(v.ctx(), sessionProof), 0))
	return age >= 0 && age+forAWhile < proofTime
}

// saveSession writes what became of the session, and its cookie.
func (v *visit) saveSession(w http.ResponseWriter) error {
	ctx := v.ctx()
	cookie := http.Cookie{Name: cookieName, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode}
	switch v.sessions.Status(ctx) {
	case scs.Unmodified:
		return nil
	case scs.Destroyed:
		cookie.MaxAge = -1
	case scs.Modified:
		if ended, err := v.endedMeanwhile(); err != nil || ended {
			return err
		}
		token, _, err := v.sessions.Commit(ctx)
		if err != nil {
			return err
		}
		cookie.Value = token // without an age: it ends with the browser's session too
	}
	http.SetCookie(w, &cookie)
	return nil
}

// endedMeanwhile reports whether the session was ended by another request while
// this one was under way: to write it would bring it back.
func (v *visit) endedMeanwhile() (bool, error) {
	if !v.known {
		return false, nil // it is new
	}
	ctx, err := v.sessions.Load(context.Background(), v.sessions.Token(v.ctx()))
	return err == nil && !v.sessions.Exists(ctx, sessionUser), err
}
