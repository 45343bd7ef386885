package latchkey

import (
	"fmt"
	"time"
)

// Words says what a reason means, and how the caller can mend it, each in a
// sentence; mend is empty where there is nothing for the caller to do. It is for
// support and for the team: the caller itself is told less (see [Code]).
func (r Reason) Words() (what, mend string) {
	switch r {
	case ReasonOK:
		return "The credential held.", ""
	case ReasonNoField:
		return "The request had no Authorization header.", "Send the API key or a signed JWT: Authorization: Bearer …"
	case ReasonManyFields:
		return "The request had more than one Authorization header.", "Send one. Look for a proxy or an HTTP library that adds its own."
	case ReasonBadScheme:
		return "The Authorization header is neither Bearer nor Basic with a credential behind it.", "Write Authorization: Bearer, a space, and the API key or the JWT."
	case ReasonTooLong:
		return "The Authorization header is longer than 8 KiB.", "Send the API key or the JWT alone."
	case ReasonBasicEncoding:
		return "The credential behind Basic is not base64.", "Let the HTTP library encode it: the API key is the user name, the password is empty."
	case ReasonBasicNoColon:
		return "The Basic credential has no colon after the API key.", "Encode the API key and a colon: KEY:"
	case ReasonBasicPassword:
		return "The Basic credential has a password.", "Leave the password empty: the API key is the user name."
	case ReasonJWTForm:
		return "The value has a dot, so it was read as a JWT, and it is none.", "Send the three parts of the token as they were signed, without quotes or line breaks."
	case ReasonJWTAlgorithm:
		return "The JWT is not signed with HS256.", "Set alg to HS256."
	case ReasonJWTClaim:
		return "A claim of the JWT is missing or has the wrong type.", "Set iss to the API Secret ID (a string) and iat to the time in seconds (a number)."
	case ReasonKeyUnknown:
		return "No team has this API key, and none had it.", "Copy the key again from Settings → Integrations. Is it from another installation?"
	case ReasonKeyChecksum:
		return "The API key is cut short or mistyped: its checksum does not fit.", "Copy the whole key again from Settings → Integrations."
	case ReasonKeyRolled:
		return "The API key was rolled, and is dead.", "Use the team's current API key: Settings → Integrations."
	case ReasonSecretUnknown:
		return "The JWT's iss names no API secret.", "Set iss to the API Secret ID as it stands in Settings → Integrations."
	case ReasonSecretRevoked:
		return "The API secret that signed the JWT was revoked.", "Sign with a live API secret."
	case ReasonBadSignature:
		return "The JWT's signature does not fit.", "Sign with the API Secret ID, two bars and the API Secret Key: ID||KEY. The token check on Settings → Integrations finds the usual mistakes."
	case ReasonTeamDisabled:
		return "The team is disabled or deleted.", "Ask whoever runs the API."
	case ReasonExpired:
		return "The JWT was signed too long ago: it lives for five minutes after iat.", "Sign a new token before the old one is five minutes old, and check the caller's clock."
	case ReasonNotYetValid:
		return "The JWT is from the future: the caller's clock is ahead.", "Set the caller's clock by NTP."
	case ReasonLeaseOver:
		return "The node had lost touch with its database, and could not tell whether the credential still holds.", "Try again, after the time that Retry-After names."
	case ReasonStoreUnavailable:
		return "The node could not reach its database.", "Try again, after the time that Retry-After names."
	}
	return "No reason was recorded.", ""
}

// Reason says whether a credential that was looked for by its kind may be used,
// its signature aside: [ReasonOK], or why it is refused. The clock is read only
// where an overlap may be over.
func (f Found) Reason(kind Kind, now func() time.Time) Reason {
	switch c := f.Credential; {
	case c == nil && kind == KindAPIKey:
		return ReasonKeyUnknown
	case c == nil:
		return ReasonSecretUnknown
	case f.Team.Disabled || !f.Team.Deleted.IsZero():
		return ReasonTeamDisabled
	case !c.Live() && kind == KindAPISecret:
		return ReasonSecretRevoked
	case !c.Live() || !c.Until.IsZero() && c.Overdue(now()):
		return ReasonKeyRolled
	}
	return ReasonOK
}

// Known is what [Found.Reason] says, with how it came about in words.
func (f Found) Known(kind Kind, now func() time.Time) Known {
	known := Known{Reason: f.Reason(kind, now)}
	switch known.Reason {
	case ReasonKeyRolled, ReasonSecretRevoked:
		known.Words = f.Credential.Ending()
	case ReasonOK:
		if until := f.Credential.Until; !until.IsZero() {
			known.Words = fmt.Sprintf("It was rolled, and lives until %s.", until.UTC().Format(time.RFC3339))
		}
	}
	return known
}

// Ending says in a sentence when, how and by whom a dead credential came to its
// end. One that has not ended is taken for a key whose overlap is over.
func (c *Credential) Ending() string {
	at := c.Ended.UTC().Format(time.RFC3339)
	switch {
	case c.Live():
		return fmt.Sprintf("It was rolled, and its overlap was over at %s.", c.Until.UTC().Format(time.RFC3339))
	case c.EndedWhy == EndedByOverlap:
		return fmt.Sprintf("It was rolled, and its overlap ended at %s.", at)
	case c.EndedWhy == EndedByRetire:
		return fmt.Sprintf("It was rolled, and its overlap was ended early, at %s by %s.", at, c.EndedBy)
	case c.EndedWhy == EndedByDeletion:
		return fmt.Sprintf("Its team was deleted at %s by %s.", at, c.EndedBy)
	}
	return fmt.Sprintf("It was %s at %s by %s.", c.EndedWhy, at, c.EndedBy)
}

// What a dead credential is, for the record and for [Explain].
const (
	deadKey    = "This API key is dead. "
	deadSecret = "The API secret that iss names is revoked. "
)
