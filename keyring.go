package latchkey

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"latchkey/jwt"
)

// DefaultLeeway is how far a token's iat and nbf may lie in the future, for
// callers whose clocks run ahead.
const DefaultLeeway = 30 * time.Second

// DefaultMaxSecrets is how many live API secrets a team may have: two, so that
// one is replaced without a gap.
const DefaultMaxSecrets = 2

// MaxOverlap is the longest time for which a roll may leave the old key alive.
const MaxOverlap = 24 * time.Hour

// A Replica is a node's copy of all credentials, in memory; package replica
// keeps it. Its look-ups make no call to a database.
//
// An answer holds at a moment after the call began: a change that was settled
// before the call is seen. Where the node cannot promise that, the error is
// [*Unavailable].
type Replica interface {
	// APIKey finds an API key by its digest.
	APIKey(ctx context.Context, digest Digest) (Found, error)

	// APISecret finds an API secret by its ID. It does not keep id.
	APISecret(ctx context.Context, id []byte) (Found, error)

	// Settle is called after a change was committed. It returns when no node
	// accepts what changes up to c ended, and every node that can answer accepts
	// what they began. The zero Change stands for whatever the store holds now.
	// If the store lost c meanwhile, the error says so.
	Settle(ctx context.Context, c Change) (Settlement, error)
}

// Found is what a replica knows of a credential. All of it may be shared:
// nothing that it points to is ever written again.
type Found struct {
	Credential *Credential // nil: there is none, alive or dead
	Team       *Team       // of the credential
	Key        *jwt.Key    // of a live API secret: what its tokens are checked with; nil if it could not be opened
	Revision   Revision    // the state of the credentials that was looked at
}

// A Settlement says how a change became true on all nodes.
type Settlement struct {
	Confirmed    []string      // the nodes that have said that they applied it
	Lapsed       []string      // those that have not, and whose leases are over: they accept nothing
	NotConfirmed []Unconfirmed // those that may yet accept what the change ended
	Took         time.Duration // from the beginning of the change to its end; [Keyring] sets it
}

// Unconfirmed is a node that may accept a dead credential for a while yet,
// because its owner chose availability instead (--stale-ok).
type Unconfirmed struct {
	Node       string  `json:"node"`
	MaxSeconds float64 `json:"max_seconds"`
}

// A Keyring says whether a credential holds, and issues, rolls and ends
// credentials. Store, Audit, Replica and Sealer must be set; it is then safe for
// concurrent use.
type Keyring struct {
	Store   CredentialStore
	Audit   AuditStore
	Replica Replica
	Sealer  *Sealer

	Prefix     string           // of the API keys that it makes; "" means [DefaultKeyPrefix]
	MaxSecrets int              // live API secrets a team; 0 means [DefaultMaxSecrets]
	Leeway     time.Duration    // for iat and nbf in the future; 0 means [DefaultLeeway], below 0 means none
	Now        func() time.Time // the wall clock; nil means time.Now

	// Observe is told of each change that was made, or may have been: the error is
	// then [ErrOutcomeUnknown], and the action may be empty. It must not block.
	// Nil: nobody is told.
	Observe func(Action, Settlement, error)

	tokens sync.Pool // of *jwt.Token, so that a verdict allocates nothing
	decoy  sync.Once
	decoyK *jwt.Key
}

// Authenticate says who the Authorization fields of a request stand for. Its
// error is a [*Denial] ("no") or an [*Unavailable] ("could not find out").
//
// An unknown key, a rolled key, an unknown issuer, a bad signature and a
// disabled team cost the same work and get the same answer.
func (k *Keyring) Authenticate(ctx context.Context, fields []string) (Principal, error) {
	a, denial := ReadAuthorization(fields)
	if denial != nil {
		return Principal{}, denial
	}
	// Room for a key, a colon and some more: what does not fit is no key of ours.
	var room [maxKeyBytes + maxKeyBytes/2]byte
	switch a.Method {
	case MethodJWT:
		return k.checkToken(ctx, a.token)
	case MethodBasic:
		key, denial := basicKey(room[:0], a.token)
		if denial != nil {
			return Principal{}, denial
		}
		return k.checkKey(ctx, MethodBasic, key)
	default:
		return k.checkKey(ctx, MethodBearer, append(room[:0], a.token...))
	}
}

// checkKey is the verdict on an API key.
func (k *Keyring) checkKey(ctx context.Context, method Method, value []byte) (Principal, error) {
	if len(value) > maxKeyBytes {
		return Principal{}, k.unknownKey(method, value) // no such key can exist: nothing is hashed
	}
	found, err := k.Replica.APIKey(ctx, DigestOf(value))
	if err != nil {
		return Principal{}, err
	}
	switch reason := found.Reason(KindAPIKey, k.now); reason {
	case ReasonOK:
		return principal(method, found), nil
	case ReasonKeyUnknown:
		return Principal{}, k.unknownKey(method, value)
	case ReasonKeyRolled:
		return Principal{}, invalid(method, found, reason, deadKey+found.Credential.Ending())
	default:
		return Principal{}, invalid(method, found, reason, "")
	}
}

func (k *Keyring) unknownKey(method Method, value []byte) *Denial {
	if formOf(k.prefix(), string(value)) == formBroken {
		return invalid(method, Found{}, ReasonKeyChecksum,
			"The key begins as ours do, but it is cut short or mistyped: its checksum does not fit.")
	}
	return invalid(method, Found{}, ReasonKeyUnknown, "")
}

// checkToken is the verdict on a JWT: form, algorithm, secret by issuer,
// signature, and only then time.
func (k *Keyring) checkToken(ctx context.Context, compact string) (Principal, error) {
	token, _ := k.tokens.Get().(*jwt.Token)
	if token == nil {
		token = new(jwt.Token)
	}
	defer k.tokens.Put(token)

	if err := token.Parse(compact); err != nil {
		return Principal{}, tokenForm(err)
	}
	found, err := k.Replica.APISecret(ctx, token.Issuer())
	if err != nil {
		return Principal{}, err
	}
	key := found.Key
	if key == nil {
		key = k.decoyKey()
	}
	signed := key.Verify(token)
	switch reason := found.Reason(KindAPISecret, k.now); {
	case reason == ReasonSecretRevoked:
		return Principal{}, invalid(MethodJWT, found, reason, deadSecret+found.Credential.Ending())
	case reason != ReasonOK:
		return Principal{}, invalid(MethodJWT, found, reason, "")
	case found.Key == nil:
		return Principal{}, &Unavailable{Reason: ReasonStoreUnavailable, Err: errSealedShut}
	case !signed:
		return Principal{}, invalid(MethodJWT, found, ReasonBadSignature, "")
	}
	if err := token.CheckTime(k.now(), k.leeway()); err != nil {
		return Principal{}, tokenTime(found, err)
	}
	return principal(MethodJWT, found), nil
}

// errSealedShut: the API Secret Key is there, and this node cannot open it. That
// is no fault of the caller's signature.
var errSealedShut = errors.New("the API Secret Key cannot be opened with this node's keyset")

// decoyKey is what a token of an unknown issuer is checked with, so that it
// costs as much as a known one's. Nobody has its value.
func (k *Keyring) decoyKey() *jwt.Key {
	k.decoy.Do(func() { k.decoyK = jwt.NewKey("", rand.Text()) })
	return k.decoyK
}

func principal(method Method, f Found) Principal {
	return Principal{TeamID: f.Credential.TeamID, CredentialID: f.Credential.ID, Method: method, Revision: f.Revision}
}

func invalid(method Method, f Found, reason Reason, diagnosis string) *Denial {
	d := &Denial{Code: CodeInvalidCredentials, Method: method, Reason: reason, Diagnosis: diagnosis}
	if f.Credential != nil {
		d.TeamID, d.CredentialID = f.Credential.TeamID, f.Credential.ID
	}
	return d
}

func (k *Keyring) now() time.Time {
	if k.Now != nil {
		return k.Now()
	}
	return time.Now()
}

func (k *Keyring) leeway() time.Duration {
	switch {
	case k.Leeway == 0:
		return DefaultLeeway
	case k.Leeway < 0:
		return 0
	}
	return k.Leeway
}

func (k *Keyring) prefix() string {
	if k.Prefix == "" {
		return DefaultKeyPrefix
	}
	return k.Prefix
}

func (k *Keyring) maxSecrets() int {
	if k.MaxSecrets == 0 {
		return DefaultMaxSecrets
	}
	return k.MaxSecrets
}

// tokenForm makes a denial of what [jwt.Token.Parse] found wrong.
func tokenForm(err error) *Denial {
	d := malformed(MethodJWT, ReasonJWTForm, "The token cannot be read.")
	var form *jwt.Error
	if !errors.As(err, &form) {
		return d
	}
	d.Detail = sentence(form.Detail)
	d.Diagnosis = d.Detail
	switch form.Kind {
	case jwt.Algorithm:
		d.Reason = ReasonJWTAlgorithm
	case jwt.Claim:
		d.Reason = ReasonJWTClaim
	}
	return d
}

// sentence begins s with a capital, unless that is a claim's name, and ends it
// with a full stop.
func sentence(s string) string {
	if s == "" {
		return s
	}
	first, _, _ := strings.Cut(s, " ")
	switch first {
	case "iss", "iat", "exp", "nbf", "alg", "typ", "crit":
	default:
		s = strings.ToUpper(s[:1]) + s[1:]
	}
	return strings.TrimSuffix(s, ".") + "."
}

// tokenTime makes a denial of what [jwt.Token.CheckTime] found wrong.
func tokenTime(f Found, err error) *Denial {
	d := invalid(MethodJWT, f, ReasonExpired, "")
	d.Code = CodeTokenExpired
	var late *jwt.TimeError
	if !errors.As(err, &late) {
		d.Detail = "The token is not valid at this time."
		return d
	}
	seconds := int64(late.By / time.Second)
	switch {
	case !late.Expired:
		d.Code, d.Reason = CodeTokenNotYetValid, ReasonNotYetValid
		d.Detail = fmt.Sprintf("The token's %s is %d s in the future: your clock is ahead of ours; set it by NTP.", late.Claim, seconds)
	case late.Claim == "iat":
		d.Detail = fmt.Sprintf("The token expired %d s ago: it lives for 300 s after its iat. Sign a new one, and check your clock.", seconds)
	default:
		d.Detail = fmt.Sprintf("The token expired %d s ago by its own %s. Sign a new one.", seconds, late.Claim)
	}
	d.Diagnosis = d.Detail
	return d
}
