package client

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"latchkey/jwt"
)

const (
	// renewAfter is the age at which a token is replaced. It leaves a request a
	// minute to reach the server.
	renewAfter = 4 * time.Minute

	// ahead is how far a token's iat may lie beyond the clock before the token
	// is replaced: two goroutines read the clock in one order, and the cache in
	// the other. It is less than noise, so that every correction takes effect.
	ahead = time.Second

	// noise is how far the Date header, in whole seconds and some time on its
	// way, is allowed to be off before the clock is corrected by it.
	noise = 2 * time.Second

	// uncoded is how far the clock must be off for a 401 without a code to be
	// put down to it: the leeway of a common server.
	uncoded = 30 * time.Second

	// maxOffset is the largest correction of the clock.
	maxOffset = 24 * time.Hour
)

// A credential is what goes into the Authorization header: a fixed value, or
// tokens under a key.
type credential struct {
	err   error         // why it cannot be used
	fixed func() string // nil if there is a key
	key   *jwt.Key

	token  atomic.Pointer[signedToken]
	mu     sync.Mutex   // held to sign, and never by whoever finds a token that is fresh
	offset atomic.Int64 // nanoseconds that the server's clock is ahead of ours
	turned atomic.Bool  // the Second credential is the one to begin with
}

// A signedToken is the field's value with a token, and the token's iat.
type signedToken struct {
	field string
	iat   time.Time
}

func (k *signedToken) fresh(now time.Time) bool {
	if k == nil {
		return false
	}
	age := now.Sub(k.iat)
	return -ahead <= age && age < renewAfter
}

// field returns the value of the Authorization header, by the clock of t.
func (c *credential) field(t *Transport) string {
	if c.key == nil {
		return c.fixed()
	}
	if k := c.token.Load(); k.fresh(t.serverTime()) {
		return k.field
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	// While this waited for the lock, time went on and another may have signed.
	now := t.serverTime()
	if k := c.token.Load(); k.fresh(now) {
		return k.field
	}
	k := &signedToken{field: "Bearer " + c.key.Sign(now), iat: now.Truncate(time.Second)}
	c.token.Store(k)
	return k.field
}

// localTime returns the wall clock's time. The monotonic clock would hide what
// happens to it, and stands still while the machine sleeps.
func (t *Transport) localTime() time.Time {
	if t.Now != nil {
		return t.Now().Round(0)
	}
	return time.Now().Round(0)
}

// serverTime returns the server's time, as far as it is known.
func (t *Transport) serverTime() time.Time {
	return t.localTime().Add(time.Duration(t.credential.offset.Load()))
}

// learn looks at a 401 and reports whether the clock may be to blame for it. If
// so, it takes over the server's.
func (t *Transport) learn(resp *http.Response, code string) bool {
	if code != codeTokenNotYetValid && code != codeTokenExpired && code != "" {
		return false
	}
	date, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return false
	}
	// The server's time now is not before its Date, so a token by it is not from
	// the future, however long the answer was on its way.
	offset := date.Sub(t.localTime())
	if offset.Abs() > maxOffset {
		return false
	}
	change := (offset - time.Duration(t.credential.offset.Load())).Abs()
	if code == "" && change <= uncoded {
		return false
	}
	if change > noise {
		t.credential.offset.Store(int64(offset))
	}
	return true
}

// checkText returns why a part of a credential cannot be used: it is empty, or
// has something other than visible ASCII in it, or the byte that it must not
// have. The value is not in the error.
func checkText(what, value, without string) error {
	if value == "" {
		return fmt.Errorf("client: the %s is empty", what)
	}
	for i := range len(value) {
		if c := value[i]; c <= ' ' || c > '~' {
			return fmt.Errorf("client: the %s has white space, a line break or another character that is not visible ASCII in it", what)
		}
	}
	if without != "" && strings.Contains(value, without) {
		return fmt.Errorf("client: the %s must not have a %q in it", what, without)
	}
	return nil
}
