package latchkey

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Verdict is what [Explain] finds.
type Verdict string

// The verdicts of an explanation.
const (
	VerdictPasses  Verdict = "passes"  // it would be accepted
	VerdictFails   Verdict = "fails"   // it would be refused
	VerdictUnknown Verdict = "unknown" // no more than a guess is possible without what the asker does not have
)

// A Question is something that somebody sent, or is about to send, as a
// credential, with what the asker knows. Nothing of it is kept.
type Question struct {
	// Fields are the values of all Authorization fields of a request, as they
	// came, and are judged to the letter. nil: there is only Text.
	Fields []string

	// Text is what somebody pasted: an Authorization header, alone or in a
	// program's output; the curl command or the line of source code that sends
	// it; its value; a URL with a user name; a key with the colon of Basic; or a
	// bare key or token, with the white space around it.
	Text string

	Now    time.Time     // the time to judge tokens by; zero means now
	Leeway time.Duration // as [Keyring.Leeway]
	Prefix string        // as [Keyring.Prefix]

	// APIKey returns what is known of an API key, by its digest, and
	// APISecret of an API secret, by its ID, such as [OneSecret]. nil: the
	// asker knows none.
	APIKey    func(Digest) Known
	APISecret func(id string) Known
}

// Known is what the asker of a [Question] knows of a credential.
type Known struct {
	Reason Reason // ReasonOK for a live one, why it is refused for any other; "" if that cannot be known
	Words  string // more about it, in sentences, such as when it was rolled; may be empty
	Key    Secret // of an API secret: its API Secret Key; may be empty. With ReasonSecretUnknown: the key that stands in place of the ID
}

// An Explanation says what a credential is, whether it would pass, and how to
// mend it. It never repeats a secret value.
type Explanation struct {
	Verdict Verdict
	Reason  Reason   // what a record would hold; "" while that cannot be known
	Facts   []string // what it is, a sentence each
	Mistake string   // what is wrong, in sentences; empty if nothing is known to be
	Mend    string   // what to change, in sentences; empty if nothing
}

// Diagnosis returns the mistake and how to mend it, for a record; "" if there
// is none.
func (e Explanation) Diagnosis() string {
	if e.Mistake == "" {
		return ""
	}
	return strings.TrimSpace(e.Mistake + " " + e.Mend)
}

func (e *Explanation) fact(format string, args ...any) {
	e.Facts = append(e.Facts, fmt.Sprintf(format, args...))
}

func (e *Explanation) fail(reason Reason, mistake, mend string) Explanation {
	e.Verdict, e.Reason, e.Mistake, e.Mend = VerdictFails, reason, mistake, mend
	return *e
}

// Explain diagnoses a credential. It is the one diagnosis: of the record, of
// the token check and of the command line. Of Fields it gives the reason that
// [Keyring.Authenticate] gives. Its work is bounded by the limits of
// [ReadAuthorization], by some forty signatures, and for Text by 64 KiB.
func Explain(q Question) Explanation {
	if q.Now.IsZero() {
		q.Now = time.Now()
	}
	if q.Prefix == "" {
		q.Prefix = DefaultKeyPrefix
	}
	var e Explanation
	sent := pasted{fields: q.Fields}
	if q.Fields == nil {
		sent = readPasted(q.Text)
	}
	if e.explainText(&sent) {
		return e
	}
	a, denial := ReadAuthorization(sent.fields)
	if denial != nil {
		return e.explainForm(&q, sent.fields, sent.bare, denial)
	}
	if sent.as != "" {
		e.fact("%s", sent.as)
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

// explainText is about a text from which there is no credential to judge, and
// reports whether it is one.
func (e *Explanation) explainText(sent *pasted) bool {
	switch {
	case sent.nothing:
		e.fact("No Authorization header was found in this text.")
		e.Verdict = VerdictUnknown
		e.Mend = "Give the header, its value, or all of the command or of the line of source code that sends it."
	case sent.none != "":
		e.fact("%s", sent.none)
		e.fail(ReasonNoField, "There is no Authorization header.", sendIt)
	case sent.elsewhere != "":
		e.fact("No Authorization header, but a credential, it seems, in %s.", sent.elsewhere)
		e.fail(ReasonNoField, "The credential is in "+sent.elsewhere+", where it is not looked for.",
			"Send it in the Authorization header: Authorization: Bearer …."+sent.leak)
	case sent.awaits():
		if sent.as != "" {
			e.fact("%s", sent.as)
		}
		e.fact("A placeholder stands in place of the credential, and a shell or a program fills it in.")
		e.Verdict = VerdictUnknown
		e.Mend = "Its form is right. Whether what is filled in is, cannot be told from here: give the value itself, and look that the variable is set."
	default:
		return false
	}
	return true
}

// schemeOf returns the name of one of our two schemes, or "".
func schemeOf(word string) string {
	for _, name := range []string{"Bearer", "Basic"} {
		if strings.EqualFold(word, name) {
			return name
		}
	}
	return ""
}

const sendIt = "Send your API key or a signed JWT: Authorization: Bearer …. It is not read from anywhere else, such as the query."

// explainForm is about fields that cannot be read.
func (e *Explanation) explainForm(q *Question, fields []string, bare bool, d *Denial) Explanation {
	switch d.Reason {
	case ReasonNoField:
		e.fact("Nothing: there is no Authorization header.")
		return e.fail(d.Reason, "There is no credential.",
			sendIt)
	case ReasonManyFields:
		e.fact("%d Authorization headers.", len(fields))
		return e.fail(d.Reason, "There is more than one Authorization header.",
			"Send exactly one. Do both your program and its HTTP library, or a proxy, add one?")
	case ReasonTooLong:
		e.fact("An Authorization header of %d bytes.", len(fields[0]))
		return e.fail(d.Reason, "The Authorization header is longer than 8 KiB.", "No credential of ours is: look at what was put into it.")
	}
	e.fact("An Authorization header that cannot be read.")
	value := strings.Trim(fields[0], " \t")
	word, token, _ := strings.Cut(value, " ")
	token = strings.TrimLeft(token, " ")
	scheme := schemeOf(word)
	var mistake, mend string
	switch {
	case value == "":
		mistake, mend = "The Authorization header is empty.", "Is the variable that holds the credential empty?"
	case strings.Contains(value, "||"):
		mistake = "This is the signing secret ID||KEY itself."
		mend = "It is what a JWT is signed with, and is never sent: sign a token with it, and send that. Replace the API secret if this was sent."
	case strings.HasPrefix(strings.ToLower(value), "authorization"):
		mistake, mend = "The header's name stands in its value too.", "Give your HTTP library the value alone: Bearer … or Basic …."
	case scheme == "":
		mistake, mend = wrongScheme(q, value)
	case bare:
		mistake, mend = wrongCharacters("", token)
	default:
		mistake, mend = wrongCharacters(scheme, token)
	}
	return e.fail(d.Reason, mistake, mend)
}

// otherSchemes may be named: a scheme that is not among them could be a secret.
var otherSchemes = []string{"Token", "ApiKey", "Api-Key", "X-Api-Key", "Key", "JWT", "Digest", "Negotiate", "NTLM", "OAuth", "Bot", "HMAC", "AWS4-HMAC-SHA256"}

// wrongScheme is about a value that begins with neither Bearer nor Basic.
func wrongScheme(q *Question, value string) (mistake, mend string) {
	for _, name := range []string{"Bearer", "Basic"} {
		if len(value) > len(name) && strings.EqualFold(value[:len(name)], name) {
			return "After the word " + name + " must come a space.", "Put one space, and nothing else, between " + name + " and the credential."
		}
	}
	word, rest, _ := strings.Cut(value, " ")
	for _, sent := range []string{word, strings.TrimLeft(rest, " ")} {
		if mistake, mend = foreign(q.Prefix, sent); mistake != "" {
			return mistake, mend
		}
	}
	if rest == "" && isToken68(word) && (formOf(q.Prefix, word) != formForeign || strings.Count(word, ".") == 2) {
		return "The word Bearer is missing.", "Put it before the credential, with a space: Authorization: Bearer …."
	}
	for _, other := range otherSchemes {
		if strings.EqualFold(word, other) {
			return "The header's first word is " + other + ", which is not understood here.", "Put Bearer in its place."
		}
	}
	return "The Authorization header begins with neither Bearer nor Basic.", "Write Bearer, a space, and the API key or the signed JWT."
}

// wrongCharacters is about what follows a scheme and is no token68. Without a
// scheme, it was a bare credential.
func wrongCharacters(scheme, token string) (mistake, mend string) {
	first, _, spaced := strings.Cut(token, " ")
	outside := func(c rune) bool { return c < ' ' || c > '~' }
	switch {
	case token == "":
		return "Nothing follows " + scheme + ".", "Is the variable that holds the credential empty?"
	case spaced && schemeOf(first) != "":
		return "Two schemes stand there, as in Bearer Bearer.", "Give your HTTP library the credential alone if it adds the word itself."
	case strings.ContainsAny(token[:1], "$%{<["):
		return "A placeholder stands in place of the credential.", "Fill it in. A shell fills variables in between double quotes, and not between single ones."
	case strings.ContainsAny(token, `"'`+"`"):
		return "There are quotes in the credential.", "Send it without quotes."
	case scheme == "Basic" && strings.Contains(token, ":"):
		return "What follows Basic is not encoded.", "Encode KEY and a colon in base64, or let your HTTP library do so (with curl: -u \"KEY:\")."
	case strings.Contains(token, ","):
		return "There is a comma in the credential.", "Send one credential, and no parameters."
	case strings.ContainsAny(token, "\r\n"):
		return "There is a line break in the credential.", "Was it copied from text that was wrapped?"
	case strings.ContainsFunc(token, outside):
		return "There is a character in the credential that is not visible ASCII.", "Was it copied with a line break, an ellipsis (…) or typographic quotes?"
	case spaced:
		return "There is a space in the credential.", "Was it copied from text that was wrapped, or with a word behind it?"
	}
	return "There are characters in the credential that neither a key nor a token can hold.", "Copy it again, all of it and nothing more."
}

// placeholders are what documentation and empty variables leave in place of a
// credential, in lower case.
var placeholders = []string{
	"your_api_key", "your-api-key", "your_signed_jwt", "your_token", "your_team_api_key", "your_key", "api_key", "apikey", "token", "key", "xxx",
	"your_api_secret_id", "your_secret_id", "secret_id", "id",
	"undefined", "null", "none", "nil", "nan", "true", "false",
}

func isPlaceholder(value string) bool {
	if value != "" && strings.ContainsAny(value[:1], "$%{<[") {
		return true
	}
	return len(value) <= 20 && slices.Contains(placeholders, strings.ToLower(value))
}
