package console

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"latchkey"
)

// A membersPage lists a team's users, and invites more.
type membersPage struct {
	Members []memberRow
	Next    string // the way to more of them
	First   string // the way back
	Link    string // of an invitation that was just made; it is shown once
	LinkFor string
	Error   string
	Done    string
}

type memberRow struct {
	ID, Email string
	Role      latchkey.Role
	Invited   bool // the password was not set yet
	Self      bool
	Created   moment
	By        string
}

// maxMembers and maxEvents bound a page.
const (
	maxMembers = 25
	maxEvents  = 30
)

// dones are the sentences that a page begins with after a deed.
var dones = map[string]string{
	"removed": "The member is removed, and every session of theirs has ended.",
	"role":    "The role is changed.",
}

func (v *visit) members() (answer, error) {
	return v.membersPage(http.StatusOK, membersPage{Done: dones[v.r.URL.Query().Get("done")]})
}

func (v *visit) membersPage(status int, p membersPage) (answer, error) {
	users, err := v.Users.Users(v.ctx(), v.user.TeamID)
	from, _ := strconv.Atoi(v.r.URL.Query().Get("from")) // what is no number is the beginning
	from = max(0, min(from, len(users)))
	if from > 0 {
		p.First = "/settings/members"
	}
	if len(users) > from+maxMembers {
		users = users[:from+maxMembers]
		p.Next = fmt.Sprintf("/settings/members?from=%d", from+maxMembers)
	}
	for _, u := range users[from:] {
		p.Members = append(p.Members, memberRow{
			ID: u.ID, Email: u.Email, Role: u.Role, Invited: u.Password == "", Self: u.ID == v.user.ID,
			Created: v.moment(u.Created), By: by(u.CreatedBy),
		})
	}
	return answer{status: status, page: "members", title: "Members", data: p}, err
}

func roleOf(text string) (latchkey.Role, bool) {
	role := latchkey.Role(text)
	return role, role == latchkey.RoleAdmin || role == latchkey.RoleMember
}

// invite adds a user without a password, and shows the link that sets it.
func (v *visit) invite() (answer, error) {
	email, err := latchkey.CanonicalEmail(v.field("email"))
	if err != nil {
		return v.membersPage(http.StatusUnprocessableEntity, membersPage{Error: "This is not an e-mail address."})
	}
	role, ok := roleOf(v.field("role"))
	if !ok {
		return v.membersPage(http.StatusUnprocessableEntity, membersPage{Error: "Choose a role: admin or member."})
	}
	user := latchkey.User{ID: latchkey.NewUserID(), Email: email, TeamID: v.user.TeamID, Role: role, Epoch: 1,
		Created: v.now(), CreatedBy: v.user.Email}
	link, invitation := latchkey.NewInvitation(v.URL, user.ID, v.now())
	err = v.Users.CreateUser(v.ctx(), user, &invitation,
		v.event(latchkey.ActionInvite, user.TeamID, email, "as "+string(role)))
	if errors.Is(err, latchkey.ErrConflict) {
		return v.membersPage(http.StatusConflict, membersPage{Error: "There is a user with this e-mail address already."})
	}
	if err != nil {
		return answer{}, err
	}
	return v.membersPage(http.StatusOK, membersPage{Link: link.Reveal(), LinkFor: email})
}

// newLink makes another link for a member: for one who lost the first, or the
// password.
func (v *visit) newLink() (answer, error) {
	user, err := v.member()
	if err != nil {
		return answer{}, err
	}
	link, invitation := latchkey.NewInvitation(v.URL, user.ID, v.now())
	err = v.Users.Invite(v.ctx(), invitation,
		v.event(latchkey.ActionInvite, user.TeamID, user.Email, "a new link"))
	if err != nil {
		return answer{}, err
	}
	return v.membersPage(http.StatusOK, membersPage{Link: link.Reveal(), LinkFor: user.Email})
}

// member finds the user that a form is about. One of another team is as unknown
// as one that never was.
func (v *visit) member() (latchkey.User, error) {
	user, err := v.Users.User(v.ctx(), v.field("id"))
	if err == nil && user.TeamID != v.user.TeamID {
		err = latchkey.NotFound("user", v.field("id"))
	}
	return user, err
}

// errLastAdmin says that nobody but the user could manage the team.
var errLastAdmin = errors.New("the team's last admin")

const lastAdminWords = "This is the team's last admin. Make another member an admin first."

// leaveAdmins is for edits that take a user from the team's admins. Two admins at
// once must not end each other: no other user is altered until the edit is done.
func (v *visit) leaveAdmins(u *latchkey.User) error {
	if u.Role != latchkey.RoleAdmin {
		return nil
	}
	users, err := v.Users.Users(v.ctx(), u.TeamID)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(users, func(other latchkey.User) bool {
		return other.ID != u.ID && other.Role == latchkey.RoleAdmin && other.Password != ""
	}) {
		return errLastAdmin
	}
	return nil
}

func (v *visit) changeRole() (answer, error) {
	user, err := v.member()
	if err != nil {
		return answer{}, err
	}
	role, ok := roleOf(v.field("role"))
	if !ok {
		return v.membersPage(http.StatusUnprocessableEntity, membersPage{Error: "Choose a role: admin or member."})
	}
	_, err = v.Users.UpdateUser(v.ctx(), user.ID, func(u *latchkey.User) error {
		if role != latchkey.RoleAdmin {
			if err := v.leaveAdmins(u); err != nil {
				return err
			}
		}
		u.Role = role
		return nil
	}, v.event(latchkey.ActionRole, user.TeamID, user.Email, string(role)+", before "+string(user.Role)))
	if errors.Is(err, errLastAdmin) {
		return v.membersPage(http.StatusConflict, membersPage{Error: lastAdminWords})
	}
	if err != nil {
		return answer{}, err
	}
	if user.ID == v.user.ID {
		return answer{location: "/"}, nil
	}
	return answer{location: "/settings/members?done=role"}, nil
}

// remove ends a member, and every session of theirs.
func (v *visit) remove() (answer, error) {
	user, err := v.member()
	if err != nil {
		return answer{}, err
	}
	_, err = v.Users.UpdateUser(v.ctx(), user.ID, func(u *latchkey.User) error {
		if err := v.leaveAdmins(u); err != nil {
			return err
		}
		u.Removed = v.now()
		u.Epoch++
		return nil
	}, v.event(latchkey.ActionRemove, user.TeamID, user.Email, ""))
	if errors.Is(err, errLastAdmin) {
		return v.membersPage(http.StatusConflict, membersPage{Error: lastAdminWords})
	}
	if err != nil {
		return answer{}, err
	}
	return answer{location: "/settings/members?done=removed"}, nil
}

// An auditPage is who did what.
type auditPage struct {
	Rows   []auditRow
	Older  string
	Newest string
}

type auditRow struct {
	When                             moment
	Who, From, What, Subject, Detail string
}

func (v *visit) audit() (answer, error) {
	before := v.r.URL.Query().Get("before")
	events, err := v.Keyring.Audit.Events(v.ctx(), v.user.TeamID, before, maxEvents+1)
	if err != nil {
		return answer{}, err
	}
	p := auditPage{}
	if before != "" {
		p.Newest = "/settings/audit"
	}
	if len(events) > maxEvents {
		events = events[:maxEvents]
		p.Older = "/settings/audit?before=" + events[maxEvents-1].ID
	}
	for _, e := range events {
		p.Rows = append(p.Rows, auditRow{
			When: v.moment(e.Time), Who: cut(120, e.Actor.Name), From: cut(60, e.Actor.Source), What: actionWords(e.Action),
			Subject: cut(120, e.Subject), Detail: cut(240, e.Detail),
		})
	}
	return answer{page: "audit", title: "Audit", data: p}, nil
}

// actionWords says what was done.
func actionWords(a latchkey.Action) string {
	words := map[latchkey.Action]string{
		latchkey.ActionTeamCreate: "made the team", latchkey.ActionTeamRename: "renamed the team",
		latchkey.ActionTeamDisable: "disabled the team", latchkey.ActionTeamEnable: "enabled the team",
		latchkey.ActionTeamDelete: "deleted the team",
		latchkey.ActionKeyReveal:  "revealed the API key", latchkey.ActionKeyRoll: "rolled the API key",
		latchkey.ActionKeyImport: "imported an API key", latchkey.ActionKeyRetire: "ended the old API key",
		latchkey.ActionOverlapEnd:   "ended the old API key when its time was over",
		latchkey.ActionSecretCreate: "made an API secret", latchkey.ActionSecretImport: "imported an API secret",
		latchkey.ActionSecretReveal: "revealed an API secret", latchkey.ActionSecretRevoke: "revoked an API secret",
		latchkey.ActionCopy: "copied a credential", latchkey.ActionSetup: "set up the console",
		latchkey.ActionInvite: "invited", latchkey.ActionJoin: "joined", latchkey.ActionLogin: "logged in",
		latchkey.ActionLoginFailed: "failed to give the password", latchkey.ActionLogout: "logged out",
		latchkey.ActionPassword: "changed the password", latchkey.ActionRole: "changed a role",
		latchkey.ActionRemove: "removed a member", latchkey.ActionLookup: "looked requests up, as support",
		latchkey.ActionRefused: "was refused",
	}
	if w, ok := words[a]; ok {
		return w
	}
	return cut(60, strings.ReplaceAll(string(a), ".", " "))
}
