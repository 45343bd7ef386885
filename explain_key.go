package latchkey

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

var (
	uuidForm      = regexp.MustCompile(`(?i)^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	secretKeyForm = regexp.MustCompile(`^[0-9A-Za-z]{32}$`)
	keyIDForm     = regexp.MustCompile(`^` + keyIDPrefix + `[0-9A-Za-z]{22}$`)
)

// explainBasic is about what follows Basic.
func (e *Explanation) explainBasic(q *Question, token string) Explanation {
	e.fact("HTTP Basic authentication.")
	key, denial := basicKey(nil, token)
	if denial == nil {
		e.fact("The user name is the API key, %d characters long; the password is empty.", len(key))
		return e.explainKey(q, string(key))
	}
	mistake, mend := "", "Encode KEY and a colon in base64, or let your HTTP library do so (with curl: -u \"KEY:\")."
	decoded, _ := decodeLoosely(token)
	user, password, _ := strings.Cut(decoded, ":")
	for _, sent := range []string{token, user, password} {
		if mistake, mend := foreign(q.Prefix, sent); mistake != "" {
			return e.fail(denial.Reason, mistake, mend)
		}
	}
	switch {
	case denial.Reason == ReasonBasicEncoding && formOf(q.Prefix, token) != formForeign,
		denial.Reason == ReasonBasicNoColon && formOf(q.Prefix, token) != formForeign:
		mistake = "What follows Basic is the API key, not encoded."
	case denial.Reason == ReasonBasicEncoding:
		mistake = "What follows Basic is not standard base64, with + and / and padding."
	case denial.Reason == ReasonBasicNoColon:
		mistake, mend = "There is no colon after the API key.", "Encode KEY followed by a colon (with curl: -u \"KEY:\")."
	case strings.TrimSpace(password) == "":
		mistake, mend = "The password is a line break or a space.", "echo adds a line break: use printf or echo -n before base64."
	case slices.Contains(unsetWords, password):
		mistake, mend = "The password is the word "+password+", which some HTTP libraries make of a missing one.", "Give yours an empty string as password."
	case uuidForm.MatchString(user):
		mistake = "The user name is an API Secret ID, with a password."
		mend = "An API secret signs JWTs; it is not a user name and password. By Basic, send the team API key as user name, and no password."
	case user == "" && formOf(q.Prefix, password) != formForeign:
		mistake, mend = "The API key is the password.", "Send it as user name, and leave the password empty."
	case user == "":
		mistake, mend = "The user name is empty, and there is a password.", "The API key is the user name, not the password: leave the password empty."
	default:
		mistake, mend = "There is a password.", "Send the API key as user name, and nothing after the colon."
	}
	return e.fail(denial.Reason, mistake, mend)
}

const currentKey = "Settings → Integrations, or latchkey key show TEAM"

// explainKey is about an API key's value, however it was sent.
func (e *Explanation) explainKey(q *Question, value string) Explanation {
	var known Known
	if q.APIKey != nil {
		known = q.APIKey(DigestOf([]byte(value)))
	}
	switch known.Reason {
	case ReasonOK:
		e.fact("%s", strings.TrimSpace("It is a live API key. "+known.Words))
		e.Verdict, e.Reason = VerdictPasses, ReasonOK
		return *e
	case ReasonKeyRolled:
		return e.fail(ReasonKeyRolled, strings.TrimSpace(deadKey+known.Words), "Use the team's current API key ("+currentKey+").")
	case ReasonTeamDisabled:
		return e.fail(ReasonTeamDisabled, "The team of this API key is disabled or deleted.", "Ask whoever runs the API.")
	}
	form, reason := formOf(q.Prefix, value), ReasonKeyUnknown
	if form == formBroken {
		reason = ReasonKeyChecksum
	}
	mistake, mend := misplaced(q.Prefix, value)
	switch {
	case mistake != "":
		e.fail(reason, mistake, mend)
	case known.Reason != "":
		e.fail(reason, "No team has this API key, and none had it.", "Copy it again ("+currentKey+"). Is it from another installation?")
	default:
		e.Mend = "Whether it is alive, only the server can say: send a request with it."
	}
	if form == formWhole {
		e.fact("It has the form of an API key of ours, and its checksum is right.")
	}
	if known.Reason == "" && form != formBroken {
		// An imported key can look like anything.
		e.Verdict, e.Reason = VerdictUnknown, ""
	}
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

// foreign names the service whose key this looks like, unless it looks like one
// of ours.
func foreign(prefix, value string) (mistake, mend string) {
	if formOf(prefix, value) != formForeign {
		return "", ""
	}
	for _, f := range foreignKeys {
		if strings.HasPrefix(value, f.prefix) {
			return fmt.Sprintf("This looks like a key of another service (%s).", f.service),
				"Send the team API key of this API. Replace the other key there if this was sent."
		}
	}
	return "", ""
}

// misplaced recognises, by its form alone, what is sent in place of an API key
// by mistake.
func misplaced(prefix, value string) (mistake, mend string) {
	if formOf(prefix, value) == formBroken {
		return brokenKey(len(prefix)+randomChars+checksumChars, value)
	}
	if mistake, mend = misbegun(prefix, value); mistake != "" {
		return mistake, mend
	}
	decoded, err := decodeLoosely(value)
	switch {
	case value == "":
		return "The user name is empty.", "It must be the API key: is the variable that holds it empty?"
	case isPlaceholder(value):
		return "A placeholder stands in place of the API key.", "Put the API key there (" + currentKey + "). Is the variable that holds it set?"
	case strings.ContainsAny(value, " \t\r\n"):
		return "There is white space in the API key.", "Was it copied or read with a line break?"
	case uuidForm.MatchString(value):
		return "This looks like an API Secret ID, not like an API key.", "Send the team API key, or sign a JWT with the API secret and send that."
	case secretKeyForm.MatchString(value):
		return "This looks like an API Secret Key, not like an API key.",
			"An API Secret Key is never sent: sign a JWT with it, or send the team API key. Replace the API secret if this was sent."
	case keyIDForm.MatchString(value):
		return "This is the ID of an API key, as records show it, not the key.", "Send the API key itself (" + currentKey + ")."
	case strings.Count(value, ".") == 2 && strings.HasPrefix(value, "ey"):
		return "This looks like a JWT.", "Send a JWT as a Bearer token, not by Basic."
	case err == nil && formOf(prefix, strings.TrimSpace(strings.TrimSuffix(decoded, ":"))) == formWhole:
		return "This is the API key in base64.", "After Bearer, send it as it is; only Basic wants base64, of KEY and a colon."
	case len(value) > maxKeyBytes:
		return "This is longer than any API key.", "Copy the API key again (" + currentKey + ")."
	}
	return foreign(prefix, value)
}

const (
	copyAll   = "Copy all of it (" + currentKey + ")."
	otherCase = "The API key's letters are written in another case."
	keepCase  = "Keep capital and small letters as they are. " + copyAll
)

// misbegun is about a whole key of ours with a wrong front: a key of 32 random
// characters is known by its checksum, which covers its prefix too.
func misbegun(prefix, value string) (mistake, mend string) {
	for n := 1; n <= len(prefix); n++ {
		if formOf(prefix, prefix[:n]+value) != formWhole {
			continue
		}
		if n < len(prefix) {
			return fmt.Sprintf("The API key is cut short: its first %s missing.", charactersAre(n)), copyAll
		}
		return "The API key's prefix " + prefix + " is missing.", copyAll
	}
	whole := len(prefix) + randomChars + checksumChars
	if len(value) < len(prefix) || strings.HasPrefix(value, prefix) || !strings.EqualFold(value[:len(prefix)], prefix) {
		return "", ""
	}
	switch {
	case formOf(prefix, prefix+value[len(prefix):]) == formWhole:
		return "The API key's prefix " + prefix + " is written in another case.", keepCase
	case len(value) == whole:
		return otherCase, keepCase
	}
	return "", ""
}

func charactersAre(n int) string {
	if n == 1 {
		return "character is"
	}
	return fmt.Sprintf("%d characters are", n)
}

// brokenKey is about a value that begins as our keys do and does not go on so.
func brokenKey(whole int, value string) (mistake, mend string) {
	switch n := len(value); {
	case n < whole:
		return fmt.Sprintf("The API key is cut short: it has %d of %d characters.", n, whole), "Copy all of it."
	case n > whole:
		return fmt.Sprintf("The API key is too long: it has %d characters, not %d.", n, whole), "Was it pasted twice, or with something behind it?"
	case value == strings.ToLower(value): // no key that was made by chance is
		return otherCase, keepCase
	}
	return "The API key has a typing mistake: its checksum does not fit.", "Copy it in place of typing it."
}
