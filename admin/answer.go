package admin

import (
	"fmt"
	"strings"
	"time"

	"latchkey"
)

// A Team is a team as the API shows it.
type Team struct {
	ID       string    `json:"id"`
	Name     string    `json:"name"`
	Disabled bool      `json:"disabled"`
	Created  time.Time `json:"created"`
}

// A NewTeam is the answer to a team's creation: all its credentials in clear.
type NewTeam struct {
	Team   Team      `json:"team"`
	APIKey string    `json:"api_key"`
	Secret NewSecret `json:"secret"`
}

// A NewSecret is an API secret in clear.
type NewSecret struct {
	ID  string `json:"id"`
	Key string `json:"key"`
}

// A Key is a team's current API key, in clear.
type Key struct {
	Team        Team       `json:"team"`
	APIKey      string     `json:"api_key"`
	RolledAt    time.Time  `json:"rolled_at"`
	OldKeyUntil *time.Time `json:"old_key_until"` // end of the old key's overlap; nil without one
}

// A Settlement says how a change became true on all nodes.
type Settlement struct {
	TookMS       float64                `json:"took_ms"`       // from the change's beginning to its end
	Confirmed    []string               `json:"confirmed"`     // nodes that follow the change
	Lapsed       []string               `json:"lapsed"`        // nodes that were not heard from, and whose leases are over
	NotConfirmed []latchkey.Unconfirmed `json:"not_confirmed"` // nodes that may yet accept what it ended
}

// A RolledKey is the answer to a roll, to an import, and to the end of an overlap.
type RolledKey struct {
	Team     Team      `json:"team"`
	APIKey   string    `json:"api_key"`
	RolledAt time.Time `json:"rolled_at"`

	// Superseded: another change has ended this key meanwhile, or has put it into
	// an overlap. What the current one is, if there is one, /key/show says.
	Superseded bool `json:"superseded"`
	Settlement
}

// A RetiredKey is the answer to the end of an old API key.
type RetiredKey struct {
	Team Team `json:"team"`
	Settlement
}

// A RevokedSecret is the answer to the revocation of an API secret.
type RevokedSecret struct {
	Team      Team      `json:"team"`
	ID        string    `json:"id"`
	RevokedAt time.Time `json:"revoked_at"`
	Settlement
}

// An ImportedSecret is the answer to the import of an API secret.
type ImportedSecret struct {
	ID string `json:"id"`
}

// A Secret is a live API secret without its value.
type Secret struct {
	ID       string     `json:"id"`
	Created  time.Time  `json:"created"`
	LastUsed *time.Time `json:"last_used"` // when it was last accepted; nil if never
}

// Teams is the answer to a list of teams, oldest first.
type Teams struct {
	Teams []Team `json:"teams"`
}

// Secrets is the answer to a list of a team's live API secrets, oldest first.
type Secrets struct {
	Secrets []Secret `json:"secrets"`
}

// Requests is the answer to a list of records, newest first.
type Requests struct {
	Requests []latchkey.Record `json:"requests"`
	More     bool              `json:"more"`              // the limit left older ones out
	Missing  []string          `json:"missing,omitempty"` // why some of that time may not be among them, in sentences
}

func teamOf(t latchkey.Team) Team {
	return Team{ID: t.ID, Name: t.Name, Disabled: t.Disabled, Created: t.Created.UTC()}
}

func settlementOf(s latchkey.Settlement) Settlement {
	// JSON must say [] for none.
	return Settlement{
		TookMS:       float64(s.Took.Microseconds()) / 1000,
		Confirmed:    append([]string{}, s.Confirmed...),
		Lapsed:       append([]string{}, s.Lapsed...),
		NotConfirmed: append([]latchkey.Unconfirmed{}, s.NotConfirmed...),
	}
}

func keyOf(v latchkey.KeyView) Key {
	return Key{Team: teamOf(v.Team), APIKey: v.APIKey.Reveal(), RolledAt: v.RolledAt.UTC(), OldKeyUntil: moment(v.OldUntil)}
}

func rolledKeyOf(v latchkey.KeyView, s latchkey.Settlement) RolledKey {
	return RolledKey{Team: teamOf(v.Team), APIKey: v.APIKey.Reveal(), RolledAt: v.RolledAt.UTC(), Superseded: v.Superseded, Settlement: settlementOf(s)}
}

// moment returns t in UTC, or nil for the zero time.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// asciiJSON returns JSON with everything that is not ASCII escaped: such
// characters can stand only inside its strings.
func asciiJSON(text []byte) string {
	var b strings.Builder
	for _, c := range string(text) {
		switch {
		case c < 0x7f:
			b.WriteRune(c)
		case c > 0xffff:
			c -= 0x10000
			fmt.Fprintf(&b, `\u%04x\u%04x`, 0xd800+(c>>10), 0xdc00+(c&0x3ff))
		default:
			fmt.Fprintf(&b, `\u%04x`, c)
		}
	}
	return b.String()
}
