package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/google/uuid"

	"latchkey"
)

// The questions. A team is named by its ID or its name everywhere.
type (
	nothing struct{}

	named struct {
		Name string `json:"name"`
	}
	ofTeam struct {
		Team string `json:"team"`
	}
	renaming struct {
		Team string `json:"team"`
		Name string `json:"name"`
	}
	rolling struct {
		Team      string `json:"team"`
		OverlapMS int64  `json:"overlap_ms"`
	}
	keyImport struct {
		Team   string `json:"team"`
		APIKey string `json:"api_key"`
	}
	secretImport struct {
		Team string `json:"team"`
		ID   string `json:"id"`
		Key  string `json:"key"`
	}
	ofID struct {
		ID string `json:"id"`
	}
)

// maxRequests is the largest limit of a list of records.
const maxRequests = 1000

// A RequestFilter selects records. A zero field restricts nothing.
type RequestFilter struct {
	Team    string           `json:"team,omitempty"` // ID or name; a deleted team's ID too
	Status  int              `json:"status,omitempty"`
	Outcome latchkey.Outcome `json:"outcome,omitempty"`

	Credential      string `json:"credential,omitempty"` // its ID
	Method          string `json:"method,omitempty"`     // the HTTP verb
	ClientIP        string `json:"client_ip,omitempty"`  // the whole address
	Path            string `json:"path,omitempty"`       // a part of it
	ClientRequestID string `json:"client_request_id,omitempty"`
	TraceID         string `json:"trace_id,omitempty"` // 32 hexadecimal characters

	Since  *time.Time `json:"since,omitempty"`  // inclusive
	Until  *time.Time `json:"until,omitempty"`  // exclusive
	Before string     `json:"before,omitempty"` // only older ones than this request ID: the last of the page before
	Limit  int        `json:"limit,omitempty"`  // 1–1000; 0 means 100
}

func (a *API) createTeam(ctx context.Context, by latchkey.Actor, q named) (NewTeam, latchkey.Settlement, error) {
	made, s, err := a.Keyring.CreateTeam(ctx, q.Name, by)
	if err != nil {
		return NewTeam{}, s, err
	}
	return NewTeam{
		Team:   teamOf(made.Team),
		APIKey: made.APIKey.Reveal(),
		Secret: NewSecret{ID: made.SecretID, Key: made.SecretKey.Reveal()},
	}, s, nil
}

func (a *API) listTeams(ctx context.Context, _ latchkey.Actor, _ nothing) (Teams, error) {
	list, err := a.Keyring.Store.Teams(ctx)
	teams := Teams{Teams: make([]Team, 0, len(list))}
	for _, t := range list {
		teams.Teams = append(teams.Teams, teamOf(t))
	}
	return teams, err
}

func (a *API) disableTeam(ctx context.Context, by latchkey.Actor, q ofTeam) (Team, latchkey.Settlement, error) {
	t, s, err := a.Keyring.DisableTeam(ctx, q.Team, by)
	return teamOf(t), s, err
}

func (a *API) enableTeam(ctx context.Context, by latchkey.Actor, q ofTeam) (Team, latchkey.Settlement, error) {
	t, s, err := a.Keyring.EnableTeam(ctx, q.Team, by)
	return teamOf(t), s, err
}

func (a *API) deleteTeam(ctx context.Context, by latchkey.Actor, q ofTeam) (Team, latchkey.Settlement, error) {
	t, s, err := a.Keyring.DeleteTeam(ctx, q.Team, by)
	return teamOf(t), s, err
}

func (a *API) renameTeam(ctx context.Context, by latchkey.Actor, q renaming) (Team, latchkey.Settlement, error) {
	t, s, err := a.Keyring.RenameTeam(ctx, q.Team, q.Name, by)
	return teamOf(t), s, err
}

func (a *API) showKey(ctx context.Context, by latchkey.Actor, q ofTeam) (Key, error) {
	v, err := a.Keyring.ShowKey(ctx, q.Team, by)
	return keyOf(v), err
}

func (a *API) rollKey(ctx context.Context, by latchkey.Actor, q rolling) (RolledKey, latchkey.Settlement, error) {
	// Bounded first, so that no number of milliseconds can overflow into a legal overlap.
	ms := max(-1, min(q.OverlapMS, latchkey.MaxOverlap.Milliseconds()+1))
	v, s, err := a.Keyring.RollKey(ctx, q.Team, time.Duration(ms)*time.Millisecond, by)
	return rolledKeyOf(v, s), s, err
}

func (a *API) retireKey(ctx context.Context, by latchkey.Actor, q ofTeam) (RetiredKey, latchkey.Settlement, error) {
	t, s, err := a.Keyring.RetireKey(ctx, q.Team, by)
	return RetiredKey{Team: teamOf(t), Settlement: settlementOf(s)}, s, err
}

func (a *API) importKey(ctx context.Context, by latchkey.Actor, q keyImport) (RolledKey, latchkey.Settlement, error) {
	v, s, err := a.Keyring.ImportKey(ctx, q.Team, latchkey.NewSecret(q.APIKey), by)
	return rolledKeyOf(v, s), s, err
}

func (a *API) createSecret(ctx context.Context, by latchkey.Actor, q ofTeam) (NewSecret, latchkey.Settlement, error) {
	id, key, s, err := a.Keyring.CreateSecret(ctx, q.Team, by)
	return NewSecret{ID: id, Key: key.Reveal()}, s, err
}

func (a *API) importSecret(ctx context.Context, by latchkey.Actor, q secretImport) (ImportedSecret, latchkey.Settlement, error) {
	s, err := a.Keyring.ImportSecret(ctx, q.Team, q.ID, latchkey.NewSecret(q.Key), by)
	return ImportedSecret{ID: q.ID}, s, err
}

func (a *API) listSecrets(ctx context.Context, _ latchkey.Actor, q ofTeam) (Secrets, error) {
	_, list, err := a.Keyring.Secrets(ctx, q.Team)
	if err != nil {
		return Secrets{}, err
	}
	ids := make([]string, len(list))
	for i := range list {
		ids[i] = list[i].ID
	}
	used, err := a.Records.LastUsed(ctx, ids)
	if err != nil {
		return Secrets{}, err
	}
	secrets := Secrets{Secrets: make([]Secret, 0, len(list))}
	for _, c := range list {
		secrets.Secrets = append(secrets.Secrets, Secret{ID: c.ID, Created: c.Created.UTC(), LastUsed: moment(used[c.ID])})
	}
	return secrets, nil
}

func (a *API) revokeSecret(ctx context.Context, by latchkey.Actor, q ofID) (RevokedSecret, latchkey.Settlement, error) {
	t, s, err := a.Keyring.RevokeSecret(ctx, q.ID, by)
	if err != nil {
		return RevokedSecret{}, s, err
	}
	revoked := RevokedSecret{Team: teamOf(t), ID: q.ID, RevokedAt: time.Now().UTC(), Settlement: settlementOf(s)}
	// The change is made: that its own time cannot be read must not look like a failure.
	if c, err := a.Keyring.Store.Credential(context.WithoutCancel(ctx), q.ID); err == nil {
		revoked.RevokedAt = c.Ended.UTC()
	}
	return revoked, s, nil
}

func (a *API) showRequest(ctx context.Context, _ latchkey.Actor, q ofID) (latchkey.Record, error) {
	id, err := latchkey.ParseRequestID(q.ID)
	if err != nil {
		return latchkey.Record{}, err
	}
	r, err := a.Records.Record(ctx, id)
	if err == latchkey.ErrNotFound { // with no words of its own, such as how long records are kept
		err = latchkey.NotFound("request", id)
	}
	return r, err
}

func (a *API) listRequests(ctx context.Context, _ latchkey.Actor, q RequestFilter) (Requests, error) {
	query, err := a.recordQuery(ctx, q)
	if err != nil {
		return Requests{}, err
	}
	limit := cmp.Or(query.Limit, latchkey.DefaultRecordLimit)
	query.Limit = limit + 1
	list, err := a.Records.Records(ctx, query)
	if err != nil {
		return Requests{}, err
	}
	if len(list) == 0 && q.Before == "" {
		if err := a.credentialNamed(ctx, q.Credential); err != nil {
			return Requests{}, err
		}
	}
	more := len(list) > limit
	list = list[:min(limit, len(list))]
	missing, err := a.lacking(ctx, &query, list, more)
	return Requests{Requests: append([]latchkey.Record{}, list...), More: more, Missing: missing}, err
}

// credentialForms are the IDs that records have and that need not be in the store any
// more: an API key's, an API secret's of ours, and a fingerprint.
var credentialForms = regexp.MustCompile(`^(?:key_[0-9A-Za-z]{22}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|` + latchkey.FingerprintPrefix + `[0-9a-f]{24})$`)

// credentialNamed finds out whether an ID that selects nothing can be one at all.
func (a *API) credentialNamed(ctx context.Context, id string) error {
	if id == "" || credentialForms.MatchString(id) {
		return nil
	}
	_, err := a.Keyring.Store.Credential(ctx, id)
	if errors.Is(err, latchkey.ErrNotFound) {
		err = fmt.Errorf("%w: an ID is an API Secret ID, or looks like key_… or %s…", latchkey.NotFound("credential", id), latchkey.FingerprintPrefix)
	}
	return err
}

// lacking says what a list may lack of the time that it is of: one that has more
// after it ends with its last record.
func (a *API) lacking(ctx context.Context, q *latchkey.RecordQuery, list []latchkey.Record, more bool) ([]string, error) {
	if a.Lacking == nil {
		return nil, nil
	}
	from, to := time.Unix(0, 0), time.Now()
	if !q.Until.IsZero() {
		to = q.Until
	}
	if id, err := uuid.Parse(q.Before); err == nil && id.Version() == 7 {
		if at := time.Unix(id.Time().UnixTime()).Add(time.Second); at.Before(to) {
			to = at
		}
	}
	if q.Since.After(from) {
		from = q.Since
	}
	if more && list[len(list)-1].Time.After(from) {
		from = list[len(list)-1].Time
	}
	return a.Lacking(ctx, from, to)
}

func (a *API) recordQuery(ctx context.Context, q RequestFilter) (latchkey.RecordQuery, error) {
	query := latchkey.RecordQuery{
		Status: q.Status, Outcome: q.Outcome, Limit: q.Limit, Before: q.Before,
		CredentialID: q.Credential, Method: q.Method, ClientIP: q.ClientIP, Path: q.Path,
		ClientRequestID: q.ClientRequestID, TraceID: q.TraceID,
	}
	wrong := func(field, problem string) (latchkey.RecordQuery, error) {
		return latchkey.RecordQuery{}, &latchkey.InvalidError{Field: field, Problem: problem}
	}
	if q.Status != 0 && (q.Status < 100 || q.Status > 599) {
		return wrong("status", "must be between 100 and 599")
	}
	if q.Limit < 0 || q.Limit > maxRequests {
		return wrong("limit", "must be between 1 and 1000")
	}
	if err := query.Normalize(); err != nil {
		return latchkey.RecordQuery{}, err
	}
	switch q.Outcome {
	case "", latchkey.OutcomeAccepted, latchkey.OutcomeDenied, latchkey.OutcomeUnavailable, latchkey.OutcomeError:
	default:
		return wrong("outcome", "must be accepted, denied, unavailable or error")
	}
	if q.Since != nil {
		query.Since = *q.Since
	}
	if q.Until != nil {
		query.Until = *q.Until
	}
	var err error
	query.TeamID, err = a.teamID(ctx, q.Team)
	return query, err
}
