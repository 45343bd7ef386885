package console

import (
	"errors"
	"net/http"
	"strings"

	"latchkey"
)

// A loginPage asks who somebody is. It does not repeat what was typed: a wrong
// answer looks the same for everybody.
type loginPage struct {
	Next  string
	Error string
}

func (v *visit) loginForm() (answer, error) {
	if v.user.ID != "" {
		return v.home()
	}
	next := v.r.URL.Query().Get("next")
	return v.loginPage(http.StatusOK, next, ""), nil
}

func (v *visit) loginPage(status int, next, problem string) answer {
	if next = v.ownPage(next); next == "/" {
		next = ""
	}
	return answer{status: status, page: "login", title: "Log in", data: loginPage{next, problem}}
}

// login checks an e-mail address and a password. An unknown address and a wrong
// password cost the same work and get the same answer.
func (v *visit) login() (answer, error) {
	email, err := latchkey.CanonicalEmail(v.field("email"))
	if err != nil {
		email = "(none)"
	}
	user, known, err := v.lookUp(email)
	if err != nil {
		return answer{}, err
	}
	ok, err := v.try(email, user, v.field("password"))
	if many := (*tooMany)(nil); errors.As(err, &many) {
		a := v.loginPage(http.StatusTooManyRequests, v.field("next"), many.words())
		a.retry = many.wait
		return a, nil
	}
	if err != nil {
		return answer{}, err
	}
	if !ok {
		v.user.Email = "somebody"
		detail := "unknown address" // it is not kept: people type passwords into this field
		if known {
			v.user.Email, detail = user.Email, "wrong password"
		}
		if err := v.note(latchkey.ActionLoginFailed, user.TeamID, user.ID, detail); err != nil {
			return answer{}, err
		}
		v.user = latchkey.User{}
		return v.loginPage(http.StatusForbidden, v.field("next"), "The e-mail address or the password is not right."), nil
	}
	// First the audit: no session is without its event.
	v.user = user
	if err := v.note(latchkey.ActionLogin, user.TeamID, user.ID, ""); err != nil {
		v.user = latchkey.User{}
		return answer{}, err
	}
	if err := v.begin(user); err != nil {
		return answer{}, err
	}
	return answer{location: v.ownPage(v.field("next"))}, nil
}

// lookUp returns a user by address, or a zero one.
func (v *visit) lookUp(email string) (user latchkey.User, known bool, err error) {
	user, err = v.Users.UserByEmail(v.ctx(), email)
	if errors.Is(err, latchkey.ErrNotFound) {
		return latchkey.User{}, false, nil
	}
	return user, err == nil, err
}

// try checks a password for an account, as often as the throttle allows. user is
// zero if nobody has that account.
func (v *visit) try(account string, user latchkey.User, password string) (bool, error) {
	now, who := v.now(), claimant{account, v.source(), v.deviceOf(user)}
	if wait := v.throttle.take(who, now); wait > 0 {
		return false, &tooMany{wait}
	}
	ok, err := v.hasher.verify(v.ctx(), user.Password, password)
	if ok || err != nil {
		v.throttle.giveBack(who, now)
	}
	return ok, err
}

// logout ends the session everywhere.
func (v *visit) logout() (answer, error) {
	if err := v.note(latchkey.ActionLogout, v.user.TeamID, v.user.ID, ""); err != nil {
		return answer{}, err
	}
	if err := v.sessions.Destroy(v.ctx()); err != nil {
		return answer{}, err
	}
	return answer{location: "/login"}, nil
}

// A proofPage asks for the password again, and then goes on with what was asked.
type proofPage struct {
	Action string
	Fields []hidden
	Error  string
	Email  string
}

type hidden struct{ Name, Value string }

// proofField is the password's in a form that does something else.
const proofField = "password"

// askProof checks the password that came with a form, or asks for it. It returns
// no page if the deed may go on.
func (v *visit) askProof() (answer, error) {
	page := proofPage{Action: v.r.URL.Path, Email: v.user.Email}
	status := http.StatusForbidden
	if v.r.PostForm.Has(proofField) {
		ok, err := v.try(v.user.Email, v.user, v.field(proofField))
		many := (*tooMany)(nil)
		switch {
		case errors.As(err, &many):
			page.Error, status = many.words(), http.StatusTooManyRequests
		case err != nil:
			return answer{}, err
		case ok:
			return answer{}, v.prove()
		default:
			if err := v.note(latchkey.ActionLoginFailed, v.user.TeamID, v.user.ID, "wrong password, asked for again"); err != nil {
				return answer{}, err
			}
			page.Error = "This is not your password."
		}
	}
	for name, values := range v.r.PostForm {
		if name != proofField && len(values) == 1 {
			page.Fields = append(page.Fields, hidden{name, values[0]})
		}
	}
	return answer{status: status, page: "proof", title: "Your password, please", data: page}, nil
}

// An accountPage is a user's own.
type accountPage struct {
	Email, Role string
	Error, Done string
}

func (v *visit) account() (answer, error) {
	done := ""
	if v.r.URL.Query().Get("done") == "password" {
		done = "Your password is changed. All your other sessions have ended."
	}
	return v.accountPage(http.StatusOK, "", done), nil
}

func (v *visit) accountPage(status int, problem, done string) answer {
	return answer{status: status, page: "account", title: "Account",
		data: accountPage{v.user.Email, string(v.user.Role), problem, done}}
}

// changePassword sets a new password. All sessions that were there are dead.
func (v *visit) changePassword() (answer, error) {
	ok, err := v.try(v.user.Email, v.user, v.field("current"))
	if many := (*tooMany)(nil); errors.As(err, &many) {
		a := v.accountPage(http.StatusTooManyRequests, many.words(), "")
		a.retry = many.wait
		return a, nil
	}
	if err != nil {
		return answer{}, err
	}
	if !ok {
		if err := v.note(latchkey.ActionLoginFailed, v.user.TeamID, v.user.ID, "wrong password, to change it"); err != nil {
			return answer{}, err
		}
		return v.accountPage(http.StatusForbidden, "This is not your current password.", ""), nil
	}
	hash, problem, err := v.newPassword()
	if err != nil || problem != "" {
		return v.accountPage(http.StatusUnprocessableEntity, problem, ""), err
	}
	user, err := v.Users.UpdateUser(v.ctx(), v.user.ID, func(u *latchkey.User) error {
		if u.Epoch != v.user.Epoch {
			return latchkey.ErrConflict // another new password was set since this one was judged
		}
		u.Password = hash
		u.Epoch++
		return nil
	}, v.event(latchkey.ActionPassword, v.user.TeamID, v.user.ID, ""))
	if errors.Is(err, latchkey.ErrConflict) {
		return v.accountPage(http.StatusConflict, "Your password was changed meanwhile. Log in again.", ""), nil
	}
	if err != nil {
		return answer{}, err
	}
	if err := v.begin(user); err != nil {
		return answer{}, err
	}
	return answer{location: "/settings/account?done=password"}, nil
}

// newPassword hashes the new password of a form, or says what is wrong with it.
func (v *visit) newPassword() (hash, problem string, err error) {
	hash, err = v.hasher.hash(v.ctx(), v.field("new"))
	if invalid := (*latchkey.InvalidError)(nil); errors.As(err, &invalid) {
		return "", strings.Replace(sentence(invalid.Error()), "Password", "The password", 1), nil
	}
	return hash, "", err
}
