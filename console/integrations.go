package console

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"latchkey"
)

const (
	// previewTime is how far back a preview looks for those who would break.
	previewTime = 7 * 24 * time.Hour

	// deadTime is how long a caller counts as still sending a dead key.
	deadTime = 24 * time.Hour
)

// An integrationsPage is Settings → Integrations.
type integrationsPage struct {
	Admin    bool
	Disabled bool
	Key      keyCard
	Secrets  []secretCard
	Advice   string // which secret callers still use, when there are two
	CanMake  bool   // there is room for another secret
	Intent   string // of making it
	Dead     []callerRow
	Try      tryCard
	Check    *checkCard
	Chart    chart
}

// A keyCard is the team's API key, and the old one while it lives.
type keyCard struct {
	ID, Masked string
	Value      string // empty until it was asked for
	Copy       bool   // it was asked for to be copied
	Created    moment
	Rolled     bool // it was made by a roll, not with the team
	By         string
	Used       useLine
	OldID      string
	OldUntil   moment
	OldUsed    useLine
}

// A secretCard is an API secret.
type secretCard struct {
	ID, Masked string
	Value      string
	Copy       bool
	Created    moment
	By         string
	Used       useLine
}

// A useLine says when something was last used, from where and how.
type useLine struct {
	When  moment
	From  string
	Agent string
	How   string
}

// A tryCard is the three ways to call the API, ready to paste.
type tryCard struct {
	URL           string
	Key, SecretID string
	Token         string // a JWT; empty until the secret was asked for
}

// shown is a value that was asked for: it is on the page that answers, and on
// no other.
type shown struct {
	id    string
	value latchkey.Secret
	copy  bool
}

func (v *visit) integrations() (answer, error) { return v.integrationsPage(shown{}, nil) }

func (v *visit) integrationsPage(s shown, check *checkCard) (answer, error) {
	p := integrationsPage{
		Admin: v.user.Role == latchkey.RoleAdmin, Disabled: v.holding.Team.Disabled, Check: check, Intent: newIntent(),
	}
	var err error
	if p.Key, err = v.keyCard(s); err == nil {
		err = v.secretCards(&p, s)
	}
	if err == nil {
		p.Dead, err = v.deadRows()
	}
	if err == nil {
		p.Chart, err = v.chart(oneOf(v.r.URL.Query().Get("range"), "24h", "7d"))
	}
	p.Try = v.tryCard(&p)
	return answer{page: "integrations", title: "Integrations", data: p}, err
}

func (v *visit) keyCard(s shown) (keyCard, error) {
	key := v.holding.APIKey()
	if key == nil {
		return keyCard{}, nil
	}
	card := keyCard{ID: key.ID, Created: v.moment(key.Created), By: by(key.CreatedBy), Rolled: key.Created.After(v.holding.Team.Created)}
	var err error
	if card.Masked, err = v.masked(key); err != nil {
		return card, err
	}
	if s.id == key.ID {
		card.Value, card.Copy = s.value.Reveal(), s.copy
	}
	if card.Used, err = v.lastUse(key.ID); err != nil {
		return card, err
	}
	if old := v.holding.OldAPIKey(); old != nil {
		card.OldID, card.OldUntil = old.ID, v.moment(old.Until)
		card.OldUsed, err = v.lastUse(old.ID)
	}
	return card, err
}

func (v *visit) secretCards(p *integrationsPage, s shown) error {
	secrets := v.holding.Secrets()
	for _, c := range secrets {
		card := secretCard{ID: c.ID, Created: v.moment(c.Created), By: by(c.CreatedBy)}
		var err error
		if card.Masked, err = v.masked(c); err != nil {
			return err
		}
		if s.id == c.ID {
			card.Value, card.Copy = s.value.Reveal(), s.copy
		}
		if card.Used, err = v.lastUse(c.ID); err != nil {
			return err
		}
		p.Secrets = append(p.Secrets, card)
	}
	p.CanMake = p.Admin && len(secrets) < cmp.Or(v.Keyring.MaxSecrets, latchkey.DefaultMaxSecrets)
	if len(secrets) != 2 {
		return nil
	}
	usage, err := v.usageOf(secrets[0].ID, secrets[1].ID)
	p.Advice = advice(p.Secrets, usage)
	return err
}

// advice tells which of two secrets callers still use.
func advice(secrets []secretCard, usage map[string][]latchkey.Usage) string {
	older, newer := usage[secrets[0].ID], usage[secrets[1].ID]
	switch {
	case len(older) == 0 && len(newer) == 0:
		return "Nobody has used either secret in the last 7 days."
	case len(older) == 0:
		return fmt.Sprintf("In the last 7 days all callers used the newer secret (%s). Nobody used the older one: it can be revoked.", short(secrets[1].ID))
	case len(newer) == 0:
		return fmt.Sprintf("In the last 7 days all callers used the older secret (%s), and nobody the newer one. Revoking the older one would break them.", short(secrets[0].ID))
	}
	return fmt.Sprintf("In the last 7 days %s used the older secret (%s), and %s the newer one (%s). Move the first before you revoke it.",
		count(int64(len(older)), "caller"), short(secrets[0].ID), count(int64(len(newer)), "caller"), short(secrets[1].ID))
}

// short is the beginning of an ID, as people tell them apart.
func short(id string) string {
	if len(id) > 8 {
		return id[:8] + "…"
	}
	return id
}

// masked shows of a value no more than tells it from others.
func (v *visit) masked(c *latchkey.Credential) (string, error) {
	value, err := v.Keyring.Sealer.Open(c)
	if err != nil {
		return "", err
	}
	text, prefix := value.Reveal(), ""
	if own := cmp.Or(v.Keyring.Prefix, latchkey.DefaultKeyPrefix); c.Kind == latchkey.KindAPIKey && strings.HasPrefix(text, own) {
		prefix = own
	}
	return prefix + "••••••••••••" + text[len(text)-4:], nil
}

// lastUseSearch bounds how long the page looks for the caller of a credential's
// last use; when that was, it knows without.
const lastUseSearch = time.Second

// lastUse says when a credential was last accepted and, if that is found soon,
// from where: in the records of about that time, and in no others.
func (v *visit) lastUse(id string) (useLine, error) {
	used, err := v.Records.LastUsed(v.ctx(), []string{id})
	at := used[id]
	if err != nil || at.IsZero() {
		return useLine{}, err
	}
	ctx, cancel := context.WithTimeout(v.ctx(), lastUseSearch)
	defer cancel()
	list, err := v.Records.Records(ctx, latchkey.RecordQuery{
		TeamID: v.user.TeamID, CredentialID: id, Outcome: latchkey.OutcomeAccepted, Since: at, Limit: 1,
	})
	if err != nil && v.ctx().Err() != nil {
		return useLine{}, err
	}
	if err == nil && len(list) == 1 {
		r := &list[0]
		return useLine{v.moment(r.Time), cut(45, r.ClientIP), cut(120, r.UserAgent), methodWords(r.Auth)}, nil
	}
	return useLine{When: v.moment(at)}, nil // who that was is no longer known, or would take too long
}

// A callerRow is a program that uses a credential.
type callerRow struct {
	From, Agent, How string
	Count            string
	Last             moment
	Credential       string // which one it sends, where that is not clear
}

// usageOf returns who was accepted with each of the credentials lately.
func (v *visit) usageOf(ids ...string) (map[string][]latchkey.Usage, error) {
	since := v.now().Add(-previewTime)
	list, err := v.Usage.Usage(v.ctx(), ids, since)
	used := make(map[string][]latchkey.Usage)
	for _, u := range list {
		if u.Accepted > 0 && !u.Last.Before(since) {
			used[u.CredentialID] = append(used[u.CredentialID], u)
		}
	}
	return used, err
}

// callers are the rows of a preview, those with the most requests first; beyond
// maxRows they share one.
func (v *visit) callers(id string) ([]callerRow, error) {
	used, err := v.usageOf(id)
	var (
		rows []callerRow
		rest latchkey.Usage
	)
	for i, u := range used[id] {
		if i < maxRows {
			rows = append(rows, v.callerRow(u, u.Accepted))
			continue
		}
		rest.Accepted += u.Accepted
		if u.Last.After(rest.Last) {
			rest.Last = u.Last
		}
	}
	if rest.Accepted > 0 {
		rows = append(rows, v.callerRow(rest, rest.Accepted))
	}
	return rows, err
}

func (v *visit) callerRow(u latchkey.Usage, requests int64) callerRow {
	row := callerRow{
		From: cut(45, u.Caller.ClientIP), Agent: cut(120, u.Caller.UserAgent), How: methodWords(u.Caller.Auth),
		Count: grouped(requests), Last: v.moment(u.Last),
	}
	if u.Caller == (latchkey.Caller{}) {
		row.From, row.Agent, row.How = "all others", "", "any"
	}
	return row
}

// maxRows bounds a table of callers, so that a page stays small.
const maxRows = 50

func (v *visit) deadRows() ([]callerRow, error) {
	list, err := v.Usage.DeadInUse(v.ctx(), v.user.TeamID, v.now().Add(-deadTime))
	var rows []callerRow
	for _, u := range list[:min(len(list), maxRows)] {
		row := v.callerRow(u, u.Refused)
		row.Credential = u.CredentialID
		rows = append(rows, row)
	}
	return rows, err
}

func (v *visit) tryCard(p *integrationsPage) tryCard {
	try := tryCard{URL: v.APIURL, Key: p.Key.Value, SecretID: "YOUR_API_SECRET_ID"}
	if len(p.Secrets) > 0 {
		try.SecretID = p.Secrets[0].ID
	}
	for _, s := range p.Secrets {
		if s.Value != "" {
			try.Token = latchkey.SignToken(s.ID, latchkey.NewSecret(s.Value), v.now()).Reveal()
		}
	}
	return try
}

// reveal shows the page with one value on it. The audit has it before the page.
func (v *visit) reveal() (answer, error) {
	s, team := shown{id: v.field("id"), copy: v.field("copy") != ""}, v.holding.Team.ID
	if key := v.holding.APIKey(); key != nil && key.ID == s.id {
		view, err := v.Keyring.ShowKey(v.ctx(), team, v.actor())
		if err != nil {
			return answer{}, err
		}
		s.id, s.value = view.KeyID, view.APIKey
	} else {
		var err error
		if s.value, err = v.Keyring.ShowSecret(v.ctx(), team, s.id, v.actor()); err != nil {
			return answer{}, err
		}
	}
	if s.copy {
		if err := v.note(latchkey.ActionCopy, team, s.id, ""); err != nil {
			return answer{}, err
		}
	}
	return v.integrationsPage(s, nil)
}

// copied notes that a value that was shown was copied, as the script tells.
func (v *visit) copied() (answer, error) {
	id := v.field("id")
	live := slices.ContainsFunc(v.holding.Credentials, func(c latchkey.Credential) bool { return c.Live() && c.ID == id })
	if !live {
		return answer{}, latchkey.NotFound("credential", id)
	}
	err := v.note(latchkey.ActionCopy, v.holding.Team.ID, id, "")
	return answer{location: "/settings/integrations"}, err
}

// A checkCard is what the token check found.
type checkCard struct {
	latchkey.Explanation
	Words string
}

// maxCheck bounds what the token check reads: a header of 8 KiB and its name.
const maxCheck = 16 << 10

// check diagnoses what was pasted, and forgets it.
func (v *visit) check() (answer, error) {
	text := v.field("text")
	if len(text) > maxCheck {
		text = text[:maxCheck]
	}
	e := latchkey.Explain(latchkey.Question{
		Text: text, Now: v.now(), Leeway: v.Keyring.Leeway, Prefix: v.Keyring.Prefix,
		APIKey: v.knownKey, APISecret: v.knownSecret,
	})
	// Of another team's credential nothing is said: not even that nobody has it.
	switch e.Reason {
	case latchkey.ReasonKeyUnknown:
		if e.Verdict == latchkey.VerdictFails && strings.HasPrefix(e.Mistake, "No team has") {
			e.Verdict, e.Mistake, e.Mend = latchkey.VerdictUnknown, "It is no key of your team, now or before.", "Use your team's key: it is on this page."
		}
	case latchkey.ReasonSecretUnknown:
		e.Verdict, e.Mistake = latchkey.VerdictUnknown, "iss names no API secret of your team."
	}
	card := checkCard{e, "It would be refused."}
	switch e.Verdict {
	case latchkey.VerdictPasses:
		card.Words = "It would be accepted."
	case latchkey.VerdictUnknown:
		card.Words = "It cannot be said."
	}
	a, err := v.integrationsPage(shown{}, &card)
	a.status = http.StatusOK
	return a, err
}

// knownKey is what this team may know of an API key: nothing of another's.
func (v *visit) knownKey(d latchkey.Digest) latchkey.Known {
	found, err := v.Keyring.Replica.APIKey(v.ctx(), d)
	if err != nil {
		return latchkey.Known{}
	}
	known := v.own(found).Known(latchkey.KindAPIKey, v.now)
	if known.Reason == latchkey.ReasonOK && known.Words == "" {
		known.Words = "It is your team's current key."
	}
	return known
}

func (v *visit) knownSecret(id string) latchkey.Known {
	found, err := v.Keyring.Replica.APISecret(v.ctx(), []byte(id))
	if err != nil {
		return latchkey.Known{}
	}
	known := v.own(found).Known(latchkey.KindAPISecret, v.now)
	if known.Reason != latchkey.ReasonOK {
		return known
	}
	for _, held := range v.holding.Secrets() {
		if held.ID == id {
			if known.Key, err = v.Keyring.Sealer.Open(held); err == nil {
				return known
			}
		}
	}
	return latchkey.Known{}
}

// own hides what belongs to another team.
func (v *visit) own(found latchkey.Found) latchkey.Found {
	if found.Credential == nil || found.Credential.TeamID != v.user.TeamID {
		return latchkey.Found{}
	}
	return found
}
