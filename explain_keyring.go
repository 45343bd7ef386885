package latchkey

import (
	"context"
	"fmt"
	"time"
)

// Explain diagnoses a credential with all that this node knows: q needs Fields
// or Text only. It is meant for who may know of all teams, and for the record.
// It reads the Store where an API Secret Key is needed; what cannot be found
// out, within ctx, makes the verdict [VerdictUnknown].
func (k *Keyring) Explain(ctx context.Context, q Question) Explanation {
	q.Now, q.Leeway, q.Prefix = k.now(), k.Leeway, k.prefix()
	q.APIKey = func(d Digest) Known { return k.knownKey(ctx, d) }
	q.APISecret = func(id string) Known { return k.knownSecret(ctx, id) }
	return Explain(q)
}

// knownKey is the verdict of checkKey, in words.
func (k *Keyring) knownKey(ctx context.Context, d Digest) Known {
	found, err := k.Replica.APIKey(ctx, d)
	switch c := found.Credential; {
	case err != nil:
		return Known{}
	case c == nil:
		return Known{Reason: ReasonKeyUnknown}
	case found.Team.Disabled || !found.Team.Deleted.IsZero():
		return Known{Reason: ReasonTeamDisabled}
	case !c.Live():
		return Known{Reason: ReasonKeyRolled, Words: ending(c)}
	case !c.Until.IsZero():
		return Known{Reason: ReasonOK, Words: fmt.Sprintf("It was rolled, and lives until %s.", c.Until.UTC().Format(time.RFC3339))}
	}
	return Known{Reason: ReasonOK}
}

// knownSecret is the verdict of checkToken before the signature, in words.
func (k *Keyring) knownSecret(ctx context.Context, id string) Known {
	found, err := k.Replica.APISecret(ctx, []byte(id))
	switch c := found.Credential; {
	case err != nil:
		return Known{}
	case c == nil:
		return Known{Reason: ReasonSecretUnknown}
	case found.Team.Disabled || !found.Team.Deleted.IsZero():
		return Known{Reason: ReasonTeamDisabled}
	case !c.Live():
		return Known{Reason: ReasonSecretRevoked, Words: ending(c)}
	}
	// The replica keeps no API Secret Key that could be read back.
	c, err := k.Store.Credential(ctx, id)
	if err != nil {
		return Known{}
	}
	key, err := k.Sealer.Open(&c)
	if err != nil {
		return Known{}
	}
	return Known{Reason: ReasonOK, Key: key}
}

// ending says when, how and by whom a credential came to its end.
func ending(c *Credential) string {
	at := c.Ended.UTC().Format(time.RFC3339)
	switch c.EndedWhy {
	case EndedByOverlap:
		return fmt.Sprintf("It was rolled, and its overlap ended at %s.", at)
	case EndedByDeletion:
		return fmt.Sprintf("Its team was deleted at %s by %s.", at, c.EndedBy)
	}
	return fmt.Sprintf("It was %s at %s by %s.", c.EndedWhy, at, c.EndedBy)
}
