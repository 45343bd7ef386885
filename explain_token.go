package latchkey

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"latchkey/jwt"
)

// explainToken is about a JWT: what it says, who signed it, and whether now is
// its time.
func (e *Explanation) explainToken(q *Question, compact string) Explanation {
	var token jwt.Token
	if err := token.Parse(compact); err != nil {
		return e.explainTokenForm(q, compact, tokenForm(err))
	}
	id := string(token.Issuer())
	var known Known
	if q.APISecret != nil {
		known = q.APISecret(id)
	}
	e.tokenFacts(q, &token, id, known)
	if (known.Reason == ReasonOK || known.Reason == "") && known.Words != "" {
		e.fact("%s", known.Words)
	}
	switch known.Reason {
	case ReasonSecretUnknown:
		mistake, mend := unknownIssuer(q, id, known)
		return e.fail(ReasonSecretUnknown, strings.TrimSpace(mistake+" "+known.Words), mend)
	case ReasonSecretRevoked:
		return e.fail(ReasonSecretRevoked, strings.TrimSpace(deadSecret+known.Words),
			"Sign with a live API secret (Settings → Integrations, or latchkey secret list TEAM).")
	case ReasonTeamDisabled:
		return e.fail(ReasonTeamDisabled, "The team of the API secret is disabled or deleted.", "Ask whoever runs the API.")
	}
	key := known.Key.Reveal()
	if key != "" {
		if !jwt.NewKey(id, key).Verify(&token) {
			mistake, mend := signedWith(compact, id, key)
			return e.fail(ReasonBadSignature, mistake, mend)
		}
		e.fact("Its signature is right.")
	}
	if err := token.CheckTime(q.Now, (&Keyring{Leeway: q.Leeway}).leeway()); err != nil {
		mistake, mend := wrongTime(err)
		e.fail(tokenTime(Found{}, err).Reason, mistake, mend)
		if known.Reason == "" {
			e.Reason = "" // what comes before time may be wrong as well
		}
		return *e
	}
	if key == "" {
		e.Verdict = VerdictUnknown
		e.Mend = "Its form and its time are right. Whether its signature is, only the API Secret Key can tell."
		if known.Words != "" {
			e.Mend = "Look in Settings → Integrations which of the two is the ID. If iss is not, revoke that API secret."
		}
		return *e
	}
	e.Verdict, e.Reason = VerdictPasses, ReasonOK
	return *e
}

// OneSecret returns an APISecret of a [Question] for who holds one API secret.
// If ID and key were given the wrong way round, which their form and length
// tell, it says so, and takes them the right way. An issuer that is the key is
// no API secret; where it could as well be the ID, nothing is known of it.
func OneSecret(id string, key Secret) func(issuer string) Known {
	given, words := key.Reveal(), ""
	if swapped := isPair(given, id); swapped {
		id, given, words = given, id, "You gave ID and Key the wrong way round."
	}
	sure, secret := isPair(id, given), NewSecret(given)
	return func(issuer string) Known {
		switch {
		case issuer == id:
			return Known{Reason: ReasonOK, Words: words, Key: secret}
		case isKey(issuer, secret) && sure:
			return Known{Reason: ReasonSecretUnknown, Words: words, Key: secret}
		case isKey(issuer, secret):
			return Known{Words: "iss is what you gave as the API Secret Key: you gave ID and Key the wrong way round, or the program that signs has them swapped, and the key has leaked into every token."}
		}
		return Known{Reason: ReasonSecretUnknown, Words: strings.TrimSpace(words + " It is not the API Secret ID that you gave.")}
	}
}

// isPair reports whether a pair can be taken this way round only: by the form
// of both, or because one of them is too short for a key.
func isPair(id, key string) bool {
	return uuidForm.MatchString(id) && likeSecretKey(key) || len(id) < minKeyBytes && len(key) >= minKeyBytes
}

// likeSecretKey reports whether a value has the form of an API Secret Key of
// ours. Hexadecimal digits in one case may be an imported ID.
func likeSecretKey(value string) bool {
	return secretKeyForm.MatchString(value) && strings.Trim(value, "0123456789abcdef") != "" && strings.Trim(value, "0123456789ABCDEF") != ""
}

// isKey reports whether an issuer is an API Secret Key, be it in other letters:
// those give nearly all of it away.
func isKey(issuer string, key Secret) bool {
	return issuer != "" && strings.EqualFold(issuer, key.Reveal())
}

// tokenFacts says what a token says.
func (e *Explanation) tokenFacts(q *Question, token *jwt.Token, id string, known Known) {
	shown := "not shown, as it could be a secret"
	switch {
	case isKey(id, known.Key), likeSecretKey(id), known.Reason == "" && known.Words != "":
	// A key that was put there by mistake is at least 16 characters long.
	case uuidForm.MatchString(id), len(id) < minKeyBytes, known.Reason != "" && known.Reason != ReasonSecretUnknown:
		shown = fmt.Sprintf("%q", id)
	}
	issued := token.IssuedAt()
	e.fact("A JWT, signed by HS256.")
	e.fact("iss, the API Secret ID: %s.", shown)
	e.fact("iat, when it was signed: %s, %s.", issued.Format(time.RFC3339), ago(q.Now.Sub(issued)))
	if at, ok := token.NotBefore(); ok {
		e.fact("nbf, its beginning: %s, %s.", at.Format(time.RFC3339), ago(q.Now.Sub(at)))
	}
	if at, ok := token.ExpiresAt(); ok {
		e.fact("exp, its own end: %s, %s.", at.Format(time.RFC3339), ago(q.Now.Sub(at)))
	}
	e.fact("By the clock that judges it, it is now %s.", q.Now.UTC().Format(time.RFC3339))
}

// explainTokenForm is about what has a dot and is no token.
func (e *Explanation) explainTokenForm(q *Question, compact string, d *Denial) Explanation {
	e.fact("A Bearer token with a dot, read as a JWT, %d characters long.", len(compact))
	mistake, mend := foreign(q.Prefix, compact)
	switch {
	case mistake != "":
	case formOf(q.Prefix, compact) != formForeign:
		mistake, mend = "There is a dot in the API key, which makes it a JWT.", "No API key has a dot: was a full stop copied with it?"
	default:
		if mistake, mend = misspelt(compact, d); mistake == "" {
			mistake, mend = sentences(d.Detail)
		}
	}
	if mend == "" {
		mend = "Make the token as the documentation says, or with a JWT library by HS256."
	}
	return e.fail(d.Reason, mistake, mend)
}

// misspelt finds a claim that is there in capital letters, where jwt misses it.
func misspelt(compact string, d *Denial) (mistake, mend string) {
	_, rest, _ := strings.Cut(compact, ".")
	payload, _, _ := strings.Cut(rest, ".")
	decoded, err := decodeLoosely(payload)
	var claims map[string]json.RawMessage
	if d.Reason != ReasonJWTClaim || err != nil || json.Unmarshal([]byte(decoded), &claims) != nil {
		return "", ""
	}
	for _, name := range []string{"iss", "iat"} {
		if _, there := claims[name]; there {
			continue
		}
		for other := range claims {
			if strings.EqualFold(other, name) {
				return fmt.Sprintf("%s is missing; there is %s instead.", name, other), "Write the names of claims in lower case: they are compared to the letter."
			}
		}
	}
	return "", ""
}

// sentences makes two sentences of a detail of package jwt: what is wrong and,
// after a semicolon, what to do.
func sentences(detail string) (mistake, mend string) {
	wrong, right, _ := strings.Cut(detail, "; ")
	// A claim keeps its name as it is.
	for _, word := range []string{"the ", "a "} {
		if strings.HasPrefix(wrong, word) {
			wrong = strings.ToUpper(word[:1]) + wrong[1:]
		}
	}
	if right != "" {
		right = strings.ToUpper(right[:1]) + strings.TrimSuffix(right[1:], ".") + "."
	}
	return strings.TrimSuffix(wrong, ".") + ".", right
}

// unknownIssuer is about an iss that names no API secret.
func unknownIssuer(q *Question, id string, known Known) (mistake, mend string) {
	const right = "iss must be the API Secret ID (Settings → Integrations, or latchkey secret list TEAM)."
	const unset = " Is the variable that holds it set where the token is signed?"
	const leak = " Replace the credential that stands there if this was sent: anybody can read a token."
	lower := strings.ToLower(id)
	switch {
	case isKey(id, known.Key):
		return "iss is the API Secret Key: the program that signs has ID and Key swapped.",
			"Set iss to the API Secret ID, and sign with ID||KEY. Revoke this API secret: its key has leaked into every token that was signed so, as anybody can read a token."
	case lower != id && (uuidForm.MatchString(id) || q.APISecret(lower).Reason == ReasonOK):
		return "iss has capital letters, and IDs are compared to the letter.", "Set iss to the API Secret ID as it stands in Settings → Integrations: in lower case."
	case uuidForm.MatchString(id):
		return "iss names no API secret that is known.", right
	case isPlaceholder(id):
		return "A placeholder stands in place of the API Secret ID, in iss.", right + unset
	case strings.Contains(id, "||"):
		return "iss is the signing secret ID||KEY.", right + leak
	case formOf(q.Prefix, id) != formForeign:
		return "iss is the API key.", right + leak
	case secretKeyForm.MatchString(id):
		return "iss looks like the API Secret Key.", right + leak
	}
	return "iss names no API secret that is known.", right + " It looks like 74f80a77-9b3f-44ac-b3ad-ab68cfb548fa."
}

// wrongTime says by how much a token misses its time, and why that may be.
func wrongTime(err error) (mistake, mend string) {
	var late *jwt.TimeError
	if !errors.As(err, &late) {
		return "The token is not valid at this time.", "Sign a new one."
	}
	seconds := int64(late.By / time.Second)
	switch {
	case !late.Expired:
		return fmt.Sprintf("The token's %s is %d s in the future: the clock that it was signed by is ahead.", late.Claim, seconds),
			"Set that clock by NTP." + zoned(late.By)
	case late.Claim == "iat":
		behind := late.By + jwt.Lifetime
		return fmt.Sprintf("The token expired %d s ago: a token lives for 300 s.", seconds),
			fmt.Sprintf("Sign a new one every few minutes. If it was new when it was sent, the clock that it was signed by is %d s behind: set it by NTP.",
				int64(behind/time.Second)) + zoned(behind)
	}
	return fmt.Sprintf("The token expired %d s ago, by its own %s.", seconds, late.Claim),
		fmt.Sprintf("Sign a new one, or leave %s out: a token lives for 300 s without it.", late.Claim)
}

// zoned asks about time zones where a clock is off by half-hours.
func zoned(off time.Duration) string {
	const step, slack = 30 * time.Minute, time.Minute
	if off < step || off > 15*time.Hour {
		return ""
	}
	if rest := off % step; rest > slack && rest < step-slack {
		return ""
	}
	return " Is it local time, taken for UTC?"
}

// ago says in words how long ago something was.
func ago(d time.Duration) string {
	d = d.Truncate(time.Second)
	if d < 0 {
		return fmt.Sprintf("%s from now", -d)
	}
	return fmt.Sprintf("%s ago", d)
}
