package console

import (
	"errors"
	"net/http"

	"latchkey"
)

// A joinPage sets a password, and for the first admin the rest too.
type joinPage struct {
	Token string // it came in the link, and goes back in the form
	Setup bool
	Team  string
	Email string
	Error string
}

// invitation returns the invitation of a link, or nil if there is none (any more).
func (v *visit) invitation(token string, setup bool) (*latchkey.Invitation, error) {
	invitation, err := v.Users.Invitation(v.ctx(), latchkey.DigestOf([]byte(token)))
	if errors.Is(err, latchkey.ErrNotFound) || (err == nil && setup != (invitation.UserID == "")) {
		return nil, nil
	}
	return &invitation, err
}

// deadLink says that a link leads nowhere.
func deadLink() answer {
	return answer{status: http.StatusNotFound, page: "failure", title: "This link is used up", data: failure{
		Status: http.StatusNotFound, Title: "This link is used up",
		Words: "It works once, and only for a while. Ask an admin of your team for a new one, or whoever runs this server.",
		Login: true,
	}}
}

func (p *joinPage) answer(status int) answer {
	title := "Join"
	if p.Setup {
		title = "Set up"
	}
	return answer{status: status, page: "join", title: title, data: p}
}

// firstTeam returns the team that the first admin gets: the oldest.
func (v *visit) firstTeam() (latchkey.Team, error) {
	teams, err := v.Keyring.Store.Teams(v.ctx())
	if err == nil && len(teams) == 0 {
		err = latchkey.NotFound("team", "default")
	}
	if err != nil {
		return latchkey.Team{}, err
	}
	return teams[0], nil
}

func (v *visit) setupForm() (answer, error) {
	p := joinPage{Setup: true, Token: v.r.URL.Query().Get("token")}
	invitation, err := v.invitation(p.Token, true)
	if err != nil || invitation == nil {
		return deadLink(), err
	}
	first, err := v.firstTeam()
	p.Team = first.Name
	return p.answer(http.StatusOK), err
}

// setup makes the first admin. Of those who try at the same time, one wins.
func (v *visit) setup() (answer, error) {
	p := joinPage{Setup: true, Token: v.field("token"), Team: v.field("team"), Email: v.field("email")}
	invitation, err := v.invitation(p.Token, true)
	if err != nil || invitation == nil {
		return deadLink(), err
	}
	first, email, err := v.checkSetup(&p)
	if err != nil || p.Error != "" {
		return p.answer(http.StatusUnprocessableEntity), err
	}
	hash, problem, err := v.newPassword()
	if p.Error = problem; err != nil || problem != "" {
		return p.answer(http.StatusUnprocessableEntity), err
	}
	v.user.Email = email
	user, err := v.Users.Redeem(v.ctx(), invitation.Digest, func(u *latchkey.User) error {
		*u = latchkey.User{ID: latchkey.NewUserID(), Email: email, TeamID: first.ID, Role: latchkey.RoleAdmin,
			Password: hash, Epoch: 1, Created: v.now(), CreatedBy: email}
		return nil
	}, v.event(latchkey.ActionSetup, first.ID, email, ""))
	switch {
	case errors.Is(err, latchkey.ErrNotFound):
		v.user = latchkey.User{}
		return deadLink(), nil
	case errors.Is(err, latchkey.ErrConflict):
		v.user, p.Error = latchkey.User{}, "There is a user with this e-mail address already."
		return p.answer(http.StatusConflict), nil
	case err != nil:
		return answer{}, err
	}
	if p.Team != first.Name {
		// The admin is made: a name that somebody took just now must not undo that.
		if _, _, err := v.Keyring.RenameTeam(v.ctx(), first.ID, p.Team, v.actor()); err != nil {
			v.logger().WarnContext(v.ctx(), "the first team keeps its name", "error", err)
		}
	}
	if err := v.begin(user); err != nil {
		return answer{}, err
	}
	return answer{location: "/settings/integrations"}, nil
}

// checkSetup looks at what the first admin typed, the password aside.
func (v *visit) checkSetup(p *joinPage) (first latchkey.Team, email string, err error) {
	if first, err = v.firstTeam(); err != nil {
		return first, "", err
	}
	invalid := (*latchkey.InvalidError)(nil)
	if err := latchkey.ValidTeamName(p.Team); errors.As(err, &invalid) {
		p.Error = "The team's name " + invalid.Problem + "."
		return first, "", nil
	}
	other, err := v.Keyring.Store.Holding(v.ctx(), p.Team)
	switch {
	case err == nil && other.Team.ID != first.ID:
		p.Error = "Another team has this name already."
		return first, "", nil
	case err != nil && !errors.Is(err, latchkey.ErrNotFound):
		return first, "", err
	}
	if email, err = latchkey.CanonicalEmail(p.Email); err != nil {
		p.Error = "This is not an e-mail address."
	}
	return first, email, nil
}

func (v *visit) joinForm() (answer, error) {
	p := joinPage{Token: v.r.URL.Query().Get("token")}
	_, user, err := v.invited(p.Token)
	if err != nil || user == nil {
		return deadLink(), err
	}
	p.Email = user.Email
	return p.answer(http.StatusOK), nil
}

// invited returns the invitation of a link, and whom it is for; nil if it is for
// nobody (any more).
func (v *visit) invited(token string) (*latchkey.Invitation, *latchkey.User, error) {
	invitation, err := v.invitation(token, false)
	if err != nil || invitation == nil {
		return nil, nil, err
	}
	user, err := v.Users.User(v.ctx(), invitation.UserID)
	if errors.Is(err, latchkey.ErrNotFound) {
		return nil, nil, nil
	}
	return invitation, &user, err
}

// join sets the password of an invited user. Sessions that were there are dead.
func (v *visit) join() (answer, error) {
	p := joinPage{Token: v.field("token")}
	invitation, invited, err := v.invited(p.Token)
	if err != nil || invited == nil {
		return deadLink(), err
	}
	p.Email = invited.Email
	hash, problem, err := v.newPassword()
	if p.Error = problem; err != nil || problem != "" {
		return p.answer(http.StatusUnprocessableEntity), err
	}
	v.user.Email = invited.Email
	user, err := v.Users.Redeem(v.ctx(), invitation.Digest, func(u *latchkey.User) error {
		u.Password = hash
		u.Epoch++
		return nil
	}, v.event(latchkey.ActionJoin, invited.TeamID, invited.ID, ""))
	if errors.Is(err, latchkey.ErrNotFound) {
		v.user = latchkey.User{}
		return deadLink(), nil
	}
	if err != nil {
		return answer{}, err
	}
	if err := v.begin(user); err != nil {
		return answer{}, err
	}
	return answer{location: "/"}, nil
}
