package console

import (
	"crypto/sha256"
	"errors"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"latchkey"
)

// A rollPage shows who would break, and asks how to go on.
type rollPage struct {
	Team     string
	KeyID    string // the key that would be replaced
	Intent   string
	Callers  []callerRow
	OldUntil moment // an earlier overlap, which this roll would end
	Keep     string // the choice so far
	Error    string
	Password bool // it must be typed again
}

// overlaps are the choices for the old key.
var overlaps = map[string]time.Duration{"now": 0, "1h": time.Hour, "24h": 24 * time.Hour}

func (v *visit) rollForm() (answer, error) { return v.rollPage(http.StatusOK, newIntent(), "now", "") }

func (v *visit) rollPage(status int, intent, keep, problem string) (answer, error) {
	key := v.holding.APIKey()
	if key == nil {
		return answer{}, latchkey.NotFound("API key", "")
	}
	p := rollPage{Team: v.holding.Team.Name, KeyID: key.ID, Intent: intent, Keep: keep, Error: problem, Password: !v.proven(2 * time.Minute)}
	if old := v.holding.OldAPIKey(); old != nil {
		p.OldUntil = v.moment(old.Until)
	}
	var err error
	p.Callers, err = v.callers(key.ID)
	return answer{status: status, page: "roll", title: "Roll the API key", data: p}, err
}

// A donePage shows a value that was just made, and which nodes follow.
type donePage struct {
	What       string // "API key" or "API secret"
	ID         string
	Value      string
	OldUntil   moment
	OldRefused bool
	Settlement settlement
}

// A settlement says which nodes have confirmed a change, and which have not.
type settlement struct {
	Confirmed    []string
	Lapsed       []string // they were not heard from, and their leases are over
	NotConfirmed []unconfirmed
	Took         string
}

// An unconfirmed node may go by the old state for a while yet.
type unconfirmed struct {
	Node    string
	Seconds int64 // at most, rounded up
}

func settled(s latchkey.Settlement) settlement {
	page := settlement{Confirmed: s.Confirmed, Lapsed: s.Lapsed, Took: milliseconds(s.Took)}
	for _, n := range s.NotConfirmed {
		page.NotConfirmed = append(page.NotConfirmed, unconfirmed{n.Node, int64(math.Ceil(n.MaxSeconds))})
	}
	return page
}

// roll replaces the key that the form was about, and no other: a form that is
// sent twice rolls once.
func (v *visit) roll() (answer, error) {
	overlap, ok := overlaps[v.field("keep")]
	if !ok {
		return v.rollPage(http.StatusUnprocessableEntity, newIntent(), "now", "Choose what becomes of the old key.")
	}
	if strings.TrimSpace(v.field("team")) != v.holding.Team.Name {
		return v.rollPage(http.StatusUnprocessableEntity, newIntent(), v.field("keep"), "This is not your team’s name. Type it as it stands there.")
	}
	team := v.holding.Team.ID
	result, err := v.deeds.once(v.ctx(), v.deedKey("roll"), v.now(), func() (deed, error) {
		view, s, err := v.Keyring.RollKeyFrom(v.ctx(), team, v.field("key"), overlap, v.actor())
		return deed{id: view.KeyID, settlement: s, value: view.APIKey}, err
	})
	if errors.Is(err, latchkey.ErrConflict) {
		return v.changed("The key was rolled in the meantime, so nothing was changed by this form. The current key is on the Integrations page.")
	}
	if err != nil {
		return answer{}, err
	}
	if err := v.loadTeam(); err != nil {
		return answer{}, err
	}
	key := v.holding.APIKey()
	if key == nil || key.ID != result.id {
		return v.changed("The key was rolled again in the meantime. The current key is on the Integrations page.")
	}
	if result.value.IsZero() { // somebody else's roll of the same form: the value was not kept
		view, err := v.Keyring.ShowKey(v.ctx(), team, v.actor())
		if err != nil {
			return answer{}, err
		}
		result.value = view.APIKey
	}
	p := donePage{What: "API key", ID: key.ID, Value: result.value.Reveal(), Settlement: settled(result.settlement), OldRefused: true}
	if old := v.holding.OldAPIKey(); old != nil {
		p.OldUntil, p.OldRefused = v.moment(old.Until), false
	}
	return answer{page: "done", title: "The key is rolled", data: p}, nil
}

// changed says that what a form was about is not there any more.
func (v *visit) changed(words string) (answer, error) {
	return answer{status: http.StatusConflict, page: "failure", title: "Things have changed in the meantime", data: failure{
		Status: http.StatusConflict, Title: "Things have changed in the meantime", Words: words, Back: "/settings/integrations",
	}}, nil
}

// createSecret makes another API secret, once for each form.
func (v *visit) createSecret() (answer, error) {
	team, id := v.holding.Team.ID, v.intendedSecret()
	result, err := v.deeds.once(v.ctx(), v.deedKey("secret"), v.now(), func() (deed, error) {
		value, s, err := v.Keyring.CreateSecretAs(v.ctx(), team, id, v.actor())
		if errors.Is(err, latchkey.ErrConflict) {
			return v.madeBefore(id, err)
		}
		return deed{id: id, settlement: s, value: value}, err
	})
	if errors.Is(err, errRevokedSince) {
		return v.changed("The API secret that this form made was revoked since.")
	}
	if errors.Is(err, latchkey.ErrConflict) {
		return v.changed("Your team has as many API secrets as it may have. Revoke one first.")
	}
	if err != nil {
		return answer{}, err
	}
	if result.value.IsZero() {
		if result.value, err = v.Keyring.ShowSecret(v.ctx(), team, result.id, v.actor()); err != nil {
			return answer{}, err
		}
	}
	p := donePage{What: "API secret", ID: result.id, Value: result.value.Reveal(), Settlement: settled(result.settlement)}
	return answer{page: "done", title: "A new API secret", data: p}, nil
}

// intendedSecret is the ID of the API secret that a form makes: the same form,
// sent again through any node, names the same.
func (v *visit) intendedSecret() string {
	intent := v.field("intent")
	if intent == "" {
		id, _ := latchkey.NewAPISecret()
		return id
	}
	sum := sha256.Sum256([]byte(strings.Join([]string{"API secret", v.holding.Team.ID, v.user.ID, intent}, "\x00")))
	id := uuid.UUID(sum[:16])
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80 // it looks as all do: RFC 9562, version 4
	return id.String()
}

// errRevokedSince: what a form made is dead.
var errRevokedSince = errors.New("what this form made was revoked since")

// madeBefore returns what became of a form that another node was sent before, or
// this one long ago. The value is shown again, and where it is followed by now.
func (v *visit) madeBefore(id string, conflict error) (deed, error) {
	c, err := v.Keyring.Store.Credential(v.ctx(), id)
	switch {
	case errors.Is(err, latchkey.ErrNotFound):
		return deed{}, conflict // it was not the ID that was taken
	case err != nil:
		return deed{}, err
	case c.TeamID != v.holding.Team.ID || c.Kind != latchkey.KindAPISecret:
		return deed{}, conflict // somebody else's, imported under that ID
	case !c.Live():
		return deed{}, errRevokedSince
	}
	s, err := v.Keyring.Settled(v.ctx())
	return deed{id: id, settlement: s}, err
}

// An endPage shows who would break if a credential ended, and asks.
type endPage struct {
	Action   string
	Title    string
	What     string // of the credential, in words
	ID       string
	Until    moment // of an old key
	Callers  []callerRow
	Button   string
	Password bool
}

func (v *visit) endPage(p endPage) (answer, error) {
	p.Action, p.Password = v.r.URL.Path, !v.proven(2*time.Minute)
	var err error
	p.Callers, err = v.callers(p.ID)
	return answer{page: "end", title: p.Title, data: p}, err
}

func (v *visit) retireForm() (answer, error) {
	old := v.holding.OldAPIKey()
	if old == nil {
		return v.changed("There is no old key any more: only the current one is accepted.")
	}
	return v.endPage(endPage{Title: "End the old key now", What: "old API key", ID: old.ID, Until: v.moment(old.Until), Button: "End it now"})
}

// retire ends the old key that the form was about.
func (v *visit) retire() (answer, error) {
	_, s, err := v.Keyring.RetireKeyFrom(v.ctx(), v.holding.Team.ID, v.field("id"), v.actor())
	if errors.Is(err, latchkey.ErrConflict) {
		return v.changed("That old key has ended already.")
	}
	return v.ended("The old key is dead", "The old key is refused now.", s), err
}

func (v *visit) revokeForm() (answer, error) {
	id, err := v.ownSecret(v.r.URL.Query().Get("id"))
	if err != nil {
		return answer{}, err
	}
	return v.endPage(endPage{Title: "Revoke an API secret", What: "API secret", ID: id, Button: "Revoke it"})
}

// revoke ends one of the team's own secrets.
func (v *visit) revoke() (answer, error) {
	id, err := v.ownSecret(v.field("id"))
	if err != nil {
		return answer{}, err
	}
	_, s, err := v.Keyring.RevokeSecret(v.ctx(), id, v.actor())
	if errors.Is(err, latchkey.ErrConflict) {
		return v.changed("That API secret was revoked already.")
	}
	return v.ended("The API secret is revoked", "Tokens signed with it are refused now.", s), err
}

// ownSecret finds a live secret of the visitor's own team. Another team's is as
// unknown as one that never was.
func (v *visit) ownSecret(id string) (string, error) {
	for _, c := range v.holding.Secrets() {
		if c.ID == id {
			return id, nil
		}
	}
	return "", latchkey.NotFound("API secret", id)
}

// An endedPage says what has ended, and which nodes follow.
type endedPage struct {
	Title, Words string
	Settlement   settlement
}

func (v *visit) ended(title, words string, s latchkey.Settlement) answer {
	return answer{page: "ended", title: title, data: endedPage{title, words, settled(s)}}
}

// deedKey names what a form intends: the same form, sent again from the same
// session, names the same.
func (v *visit) deedKey(what string) string {
	return strings.Join([]string{what, v.user.ID, v.sessions.Token(v.ctx()), v.field("key"), v.field("intent")}, "\x00")
}
