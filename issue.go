package latchkey

import "time"

// NewTeam is a team as it was just made: the only time when all its values are
// together in clear.
type NewTeam struct {
	Team      Team
	APIKey    Secret
	SecretID  string
	SecretKey Secret
}

// NewHolding returns a new team with an API key and one API secret, as by makes
// it at the given time. The sealed values need s to open.
func NewHolding(s *Sealer, prefix, name string, by Actor, now time.Time) (Holding, NewTeam, error) {
	if err := ValidTeamName(name); err != nil {
		return Holding{}, NewTeam{}, err
	}
	made := NewTeam{Team: Team{ID: newTeamID(), Name: name, Created: now}, APIKey: NewAPIKey(prefix)}
	made.SecretID, made.SecretKey = NewAPISecret()
	key, err := newKey(s, made.Team.ID, made.APIKey)
	if err != nil {
		return Holding{}, NewTeam{}, err
	}
	secret, err := newSecret(s, made.Team.ID, made.SecretID, made.SecretKey)
	if err != nil {
		return Holding{}, NewTeam{}, err
	}
	key.Created, key.CreatedBy = now, by.Name
	secret.Created, secret.CreatedBy = now, by.Name
	h := Holding{Team: made.Team, Credentials: []Credential{key, secret}}
	h.note(now, by, ActionTeamCreate, made.Team.ID, name)
	return h, made, nil
}

func newKey(s *Sealer, teamID string, value Secret) (Credential, error) {
	c := Credential{ID: newKeyID(), TeamID: teamID, Kind: KindAPIKey, Digest: DigestOf([]byte(value.Reveal()))}
	var err error
	c.Sealed, err = s.Seal(&c, value)
	return c, err
}

func newSecret(s *Sealer, teamID, id string, key Secret) (Credential, error) {
	c := Credential{ID: id, TeamID: teamID, Kind: KindAPISecret}
	var err error
	c.Sealed, err = s.Seal(&c, key)
	return c, err
}
