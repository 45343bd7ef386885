package latchkey

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"time"

	"latchkey/jwt"
)

// A Verdict is what [Explain] finds.
type Verdict string

// The verdicts of an explanation.
const (
	VerdictPasses  Verdict = "passes"  // it would be accepted
	VerdictFails   Verdict = "fails"   // it would be refused
	VerdictUnknown Verdict = "unknown" // its form is right; the rest needs what the asker does not have
)

// A Question is something that somebody sent, or is about to send, as a
// credential, with what the asker knows. Nothing of it is kept.
type Question struct {
	Text   string        // an Authorization header, its value, or a bare key or token
	Now    time.Time     // the time to judge tokens by; zero means now
	Leeway time.Duration // as [Keyring.Leeway]
	Prefix string        // as [Keyring.Prefix]

	// APIKey returns what is known of an API key, by its digest, and
	// APISecret of an API secret, by its ID. nil: the asker knows none.
	APIKey    func(Digest) Known
	APISecret func(id string) Known
}

// Known is what the asker of a [Question] knows of a credential.
type Known struct {
	Reason Reason // ReasonOK for a live one, or why it is refused; "" if it cannot be known
	Words  string // more about it, such as when it was rolled; may be empty
	Key    Secret // of an API secret: its API Secret Key; may be empty
}

// An Explanation says what a credential is, whether it would pass, and how to
// mend it. It never repeats a secret value.
type Explanation struct {
	Verdict Verdict
	Reason  Reason   // what a record would hold; "" while that cannot be known
	Facts   []string // what it is, a line each
	Mistake string   // what is wrong, in a sentence; empty if nothing is
	Mend    string   // what to change, in a sentence; empty if nothing
}

func (e *Explanation) fact(format string, args ...any) {
	e.Facts = append(e.Facts, fmt.Sprintf(format, args...))
}

func (e *Explanation) fail(reason Reason, mistake, mend string) Explanation {
	e.Verdict, e.Reason, e.Mistake, e.Mend = VerdictFails, reason, mistake, mend
	return *e
}

// Explain diagnoses a credential. It is the one diagnosis: of the record, of
// the token check and of the command line. Its work is bounded by the limits of
// [ReadAuthorization].
func Explain(q Question) Explanation {
	if q.Now.IsZero() {
		q.Now = time.Now()
	}
	var e Explanation
	field, bare := fieldOf(q.Text)
	if field == "" {
		e.fact("Nothing: it is empty.")
		return e.fail(ReasonNoField, "There is no credential.", "Send your API key or a signed JWT: Authorization: Bearer …")
	}
	a, denial := ReadAuthorization([]string{field})
	if denial != nil {
		return e.explainForm(field, bare, denial)
	}
	if bare {
		e.fact("A bare credential, read here as if it followed \"Bearer \".")
	}
	switch a.Method {
	case MethodJWT:
		return e.explainToken(&q, a.token)
	case MethodBasic:
		return e.explainBasic(&q, a.token)
	default:
		e.fact("An API key in the form of a Bearer token, %d characters long.", len(a.token))
		return e.explainKey(&q, a.token)
	}
}

var headerName = regexp.MustCompile(`(?i)^authorization[ \t]*:`)

// fieldOf takes the value of an Authorization header out of what was pasted. A
// bare credential comes back with a scheme.
func fieldOf(text string) (field string, bare bool) {
	text = strings.TrimSpace(text)
	text = strings.TrimSpace(headerName.ReplaceAllString(text, ""))
	scheme, _, spaced := strings.Cut(text, " ")
	if strings.EqualFold(scheme, "Bearer") || strings.EqualFold(scheme, "Basic") || spaced || text == "" {
		return text, false
	}
	return "Bearer " + text, true
}

// explainForm is about a field that cannot be read.
func (e *Explanation) explainForm(field string, bare bool, d *Denial) Explanation {
	scheme, token, _ := strings.Cut(field, " ")
	token = strings.TrimSpace(token)
	e.fact("An Authorization header that cannot be read.")
	switch {
	case strings.Contains(token, "||"):
		return e.fail(d.Reason, "This is the signing secret ID||KEY itself.",
			"It is what a JWT is signed with, and is never sent: sign a token with it, and send that. Make a new API secret if it was sent anywhere.")
	case bare:
		return e.fail(d.Reason, "It holds characters that neither a key nor a token can hold.", "Check for quotes, spaces and line breaks that were copied with it.")
	case strings.EqualFold(scheme, "Bearer") && strings.HasPrefix(strings.ToLower(token), "bearer "):
		return e.fail(d.Reason, "The word Bearer stands there twice.", "Give your HTTP library the credential alone if it adds the word itself.")
	case strings.ContainsAny(token, `"'`):
		return e.fail(d.Reason, "There are quotes around the credential.", "Send it without quotes.")
	}
	return e.fail(d.Reason, d.Detail, "")
}

func (e *Explanation) explainBasic(q *Question, token string) Explanation {
	e.fact("HTTP Basic authentication.")
	key, denial := basicKey(nil, token)
	if denial == nil {
		if len(key) == 0 {
			return e.fail(ReasonKeyUnknown, "The user name is empty.", "Is the variable that holds the API key empty? The API key is the user name.")
		}
		if bytes.IndexByte(key, '.') >= 0 {
			return e.fail(ReasonKeyUnknown, "The user name looks like a JWT.", "Send a JWT as a Bearer token, not by Basic.")
		}
		return e.explainKey(q, string(key))
	}
	if whole, err := decodeLoosely(token); err == nil {
		if id, _, ok := strings.Cut(whole, ":"); ok && uuidForm.MatchString(id) {
			return e.fail(denial.Reason, "The user name is an API Secret ID, with a password.",
				"An API secret signs JWTs; it is not a user name and password. By Basic, send the team API key as user name, and no password.")
		}
	}
	return e.fail(denial.Reason, denial.Detail, "")
}

var (
	uuidForm      = regexp.MustCompile(`(?i)^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	secretKeyForm = regexp.MustCompile(`^[0-9A-Za-z]{32}$`)
)

// explainKey is about an API key's value, however it was sent.
func (e *Explanation) explainKey(q *Question, value string) Explanation {
	prefix := q.Prefix
	if prefix == "" {
		prefix = DefaultKeyPrefix
	}
	var known Known
	if q.APIKey != nil && len(value) <= maxKeyBytes {
		known = q.APIKey(DigestOf([]byte(value)))
	}
	switch known.Reason {
	case ReasonOK:
		e.fact("It is a live API key. %s", known.Words)
		e.Verdict, e.Reason = VerdictPasses, ReasonOK
		return *e
	case ReasonKeyRolled:
		return e.fail(ReasonKeyRolled, strings.TrimSpace("This API key is dead. "+known.Words),
			"Use the team's current API key: Settings → Integrations, or latchkey key show TEAM.")
	case ReasonTeamDisabled:
		return e.fail(ReasonTeamDisabled, "The key's team is disabled or deleted.", "Ask whoever runs the API.")
	}
	if mistake, mend := foreignValue(prefix, value); mistake != "" {
		reason := ReasonKeyUnknown
		if formOf(prefix, value) == formBroken {
			reason = ReasonKeyChecksum
		}
		return e.fail(reason, mistake, mend)
	}
	if formOf(prefix, value) == formWhole {
		e.fact("It has the form of an API key of ours, and its checksum is right.")
	}
	if q.APIKey != nil {
		return e.fail(ReasonKeyUnknown, "No team has this key, and none had it.", "Copy the key again: Settings → Integrations, or latchkey key show TEAM. Is it from another installation?")
	}
	e.Verdict = VerdictUnknown
	e.Mend = "Whether it is alive, only the server can say: send a request with it."
	return *e
}

// foreignKeys are prefixes by which other services' keys are known. Order
// matters: the first that fits is named.
var foreignKeys = []struct{ prefix, service string }{
	{"sk_live_", "Stripe"}, {"sk_test_", "Stripe"}, {"rk_live_", "Stripe"}, {"pk_live_", "Stripe"}, {"pk_test_", "Stripe"}, {"whsec_", "Stripe"},
	{"github_pat_", "GitHub"}, {"ghp_", "GitHub"}, {"gho_", "GitHub"}, {"ghu_", "GitHub"}, {"ghs_", "GitHub"}, {"ghr_", "GitHub"},
	{"glpat-", "GitLab"}, {"xoxb-", "Slack"}, {"xoxp-", "Slack"}, {"xapp-", "Slack"}, {"AKIA", "AWS"}, {"ASIA", "AWS"},
	{"AIza", "Google"}, {"ya29.", "Google"}, {"SG.", "SendGrid"}, {"sk-ant-", "Anthropic"}, {"sk-", "OpenAI"}, {"hf_", "Hugging Face"},
	{"npm_", "npm"}, {"pypi-", "PyPI"}, {"dop_v1_", "DigitalOcean"}, {"shpat_", "Shopify"}, {"sq0atp-", "Square"}, {"hvs.", "Vault"}, {"key-", "Mailgun"},
}

// foreignValue recognises, by its form alone, what is sent in place of an API
// key by mistake.
func foreignValue(prefix, value string) (mistake, mend string) {
	whole := len(prefix) + randomChars + checksumChars
	switch {
	case uuidForm.MatchString(value):
		return "This looks like an API Secret ID, not like an API key.", "Send the team API key, or sign a JWT with the API secret and send that."
	case secretKeyForm.MatchString(value):
		return "This looks like an API Secret Key, not like an API key.", "An API Secret Key is never sent: sign a JWT with it, or send the team API key."
	case formOf(prefix, value) == formBroken && len(value) < whole:
		return fmt.Sprintf("The key is cut short: it has %d of %d characters.", len(value), whole), "Copy all of it."
	case formOf(prefix, value) == formBroken && len(value) > whole:
		return fmt.Sprintf("The key is too long: it has %d characters, not %d.", len(value), whole), "Was it pasted twice, or with something behind it?"
	case formOf(prefix, value) == formBroken:
		return "The key has a typing mistake: its checksum does not fit.", "Copy it again in place of typing it."
	}
	for _, f := range foreignKeys {
		if strings.HasPrefix(value, f.prefix) {
			return fmt.Sprintf("This looks like a key of another service (%s).", f.service),
				"Send the team API key of this API. If the other service's key was sent over a network that it does not belong to, replace it there."
		}
	}
	return "", ""
}

// explainToken is about a JWT: what it says, who signed it, and whether now is
// its time.
func (e *Explanation) explainToken(q *Question, compact string) Explanation {
	e.fact("A JWT, %d characters long.", len(compact))
	var token jwt.Token
	if err := token.Parse(compact); err != nil {
		if mistake, mend := foreignValue(DefaultKeyPrefix, compact); mistake != "" && strings.Count(compact, ".") < 2 {
			return e.fail(ReasonJWTForm, mistake, mend)
		}
		d := tokenForm(err)
		return e.fail(d.Reason, d.Detail, "")
	}
	id := string(token.Issuer())
	issued := token.IssuedAt().UTC()
	e.fact("iss, the API Secret ID: %q.", id)
	e.fact("iat, when it was signed: %s (%s).", issued.Format(time.RFC3339), ago(q.Now.Sub(issued)))
	if at, ok := token.ExpiresAt(); ok {
		e.fact("exp, its own end: %s (%s).", at.UTC().Format(time.RFC3339), ago(q.Now.Sub(at)))
	}
	var known Known
	if q.APISecret != nil {
		known = q.APISecret(id)
	}
	switch known.Reason {
	case ReasonSecretUnknown:
		mend := "Set iss to the API Secret ID: Settings → Integrations, or latchkey secret list TEAM."
		if !uuidForm.MatchString(id) {
			mend = "iss must be the API Secret ID, which looks like 74f80a77-9b3f-44ac-b3ad-ab68cfb548fa."
		}
		return e.fail(ReasonSecretUnknown, strings.TrimSpace("iss names no API secret that is known here. "+known.Words), mend)
	case ReasonSecretRevoked:
		return e.fail(ReasonSecretRevoked, strings.TrimSpace("The API secret that iss names is revoked. "+known.Words), "Sign with a live API secret.")
	case ReasonTeamDisabled:
		return e.fail(ReasonTeamDisabled, "The team of the API secret is disabled or deleted.", "Ask whoever runs the API.")
	}
	if !known.Key.IsZero() {
		if !jwt.NewKey(id, known.Key.Reveal()).Verify(&token) {
			mistake, mend := signedWith(compact, id, known.Key.Reveal())
			return e.fail(ReasonBadSignature, mistake, mend)
		}
		e.fact("Its signature is right.")
	}
	if err := token.CheckTime(q.Now, (&Keyring{Leeway: q.Leeway}).leeway()); err != nil {
		d := tokenTime(Found{}, err)
		return e.fail(d.Reason, d.Detail, "")
	}
	if known.Key.IsZero() {
		e.Verdict = VerdictUnknown
		e.Mend = "Its form and its time are right. Whether the signature is, only the API Secret Key can tell."
		return *e
	}
	e.Verdict, e.Reason = VerdictPasses, ReasonOK
	return *e
}

// ago says in words how long ago something was.
func ago(d time.Duration) string {
	d = d.Round(time.Second)
	if d < 0 {
		return fmt.Sprintf("%s from now", -d)
	}
	return fmt.Sprintf("%s ago", d)
}
