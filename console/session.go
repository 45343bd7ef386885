package console

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/alexedwards/scs/v2"

	"latchkey"
)

// cookieName begins with __Host-, so that browsers take the cookie only with
// Secure, for this host alone, and for all paths. They keep such a cookie on
// loopback without TLS.
const cookieName = "__Host-latchkey"

// What a session holds. It is written once, when it begins, and never over: a
// request that ends after the session was ended, on this node or another, finds
// nothing to bring back.
const (
	sessionUser  = "user"  // the user's ID
	sessionEpoch = "epoch" // of the user, when the session began
	sessionBegan = "began" // when the password was typed for it, unix seconds
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
		if err := v.loadProof(); err != nil {
			return err
		}
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
	v.sessions.Put(ctx, sessionBegan, v.now().Unix())
	v.user, v.proof = user, v.now()
	return v.knowDevice(user)
}

// prove notes that the password was typed just now: beside the session, and
// worth nothing without it.
func (v *visit) prove() error {
	now := v.now()
	v.proof = now
	return v.Sessions.CommitCtx(v.ctx(), v.proofToken(), []byte(strconv.FormatInt(now.Unix(), 10)), now.Add(proofTime))
}

// loadProof finds out when the password was last typed.
func (v *visit) loadProof() error {
	v.proof = time.Unix(v.sessions.GetInt64(v.ctx(), sessionBegan), 0)
	if v.proven(0) {
		return nil
	}
	data, found, err := v.Sessions.FindCtx(v.ctx(), v.proofToken())
	if err != nil || !found {
		return err
	}
	typed, err := strconv.ParseInt(string(data), 10, 64)
	v.proof = time.Unix(typed, 0)
	return err
}

// proofToken is where the proof of this session is kept: like the session's own
// place, a digest lets nobody in.
func (v *visit) proofToken() string {
	sum := sha256.Sum256([]byte("proof of " + v.sessions.Token(v.ctx())))
	return "proof " + base64.RawURLEncoding.EncodeToString(sum[:])
}

// proven reports whether the password was typed so lately that it will stand
// for a while yet.
func (v *visit) proven(forAWhile time.Duration) bool {
	age := v.now().Sub(v.proof)
	return age > -time.Second && age+forAWhile < proofTime
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
		token, _, err := v.sessions.Commit(ctx)
		if err != nil {
			return err
		}
		cookie.Value = token // without an age: it ends with the browser's session too
	}
	http.SetCookie(w, &cookie)
	if v.device != nil {
		http.SetCookie(w, v.device)
	}
	return nil
}
