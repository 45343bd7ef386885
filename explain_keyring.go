package latchkey

import "context"

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

// Fingerprint returns what the record of a refusal has in the place of a
// credential that is none of ours, by the request's Authorization fields; see
// [Sealer.Fingerprint]. It is "" where there is no credential. It asks nobody.
func (k *Keyring) Fingerprint(fields []string) string {
	sent := strangersCredential(fields)
	if sent == "" || k.Sealer == nil {
		return ""
	}
	return k.Sealer.Fingerprint(sent)
}

// knownKey is the verdict of checkKey, in words.
func (k *Keyring) knownKey(ctx context.Context, d Digest) Known {
	found, err := k.Replica.APIKey(ctx, d)
	if err != nil {
		return Known{}
	}
	return found.Known(KindAPIKey, k.now)
}

// knownSecret is the verdict of checkToken before the signature, in words.
func (k *Keyring) knownSecret(ctx context.Context, id string) Known {
	found, err := k.Replica.APISecret(ctx, []byte(id))
	if err != nil {
		return Known{}
	}
	known := found.Known(KindAPISecret, k.now)
	if known.Reason != ReasonOK {
		return known
	}
	// The replica keeps no API Secret Key that could be read back.
	c, err := k.Store.Credential(ctx, id)
	if err != nil {
		return Known{}
	}
	if known.Key, err = k.Sealer.Open(&c); err != nil {
		return Known{}
	}
	return known
}
