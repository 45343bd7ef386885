package console

import (
	"math"
	"net/netip"
	"sync"
	"time"
)

// How often passwords may be tried. A bucket holds so many tries, and gets one
// back every so often; a try that succeeded is given back.
//
// Nobody can lock another out: one source may always try an account that it has
// not tried for a minute (five times), and only its own tries count against it.
// The bound on an account from all sources together is for those sources that
// have failed on it already. A device that the account's owner has logged in from
// has a bucket of its own, and no other counts for it.
var (
	pairRate    = rate{burst: 5, every: 12 * time.Second}
	sourceRate  = rate{burst: 20, every: 3 * time.Second}
	accountRate = rate{burst: 20, every: 3 * time.Second}
)

// maxBuckets bounds the memory. Beyond it the full ones are forgotten; if there is
// none, any half of them.
const maxBuckets = 50_000

// A rate is the size of a bucket, and how fast it fills.
type rate struct {
	burst int
	every time.Duration
}

// A throttle says who may try a password now. The zero value works.
type throttle struct {
	mu      sync.Mutex
	buckets map[bucketKey]bucket
}

// A bucketKey names an account, a source, or an account as tried by a source.
type bucketKey struct {
	account string // canonical; empty: any
	source  netip.Prefix
}

type bucket struct {
	tries float64 // that were left at the time
	at    time.Time
}

// left returns how many tries a bucket has now.
func (r rate) left(b bucket, known bool, now time.Time) float64 {
	if !known {
		return float64(r.burst)
	}
	gained := float64(max(0, now.Sub(b.at))) / float64(r.every)
	return min(float64(r.burst), b.tries+gained)
}

// A claimant is who tries a password.
type claimant struct {
	account string
	source  netip.Addr
	device  string // that the account's owner has logged in from; "" if it is none
}

// A use is a bucket, and its rate.
type use struct {
	rate
	key   bucketKey
	later bool // it bounds only those who have failed in the first one already
}

// take uses up a try. If it returns more than 0, nothing was used, and a try may
// be made after that time.
func (t *throttle) take(who claimant, now time.Time) (wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	uses := who.uses()
	fresh := t.left(pairRate, uses[0].key, now) >= float64(pairRate.burst)
	for _, u := range uses {
		if !u.later || !fresh {
			wait = max(wait, t.wait(u.rate, u.key, now))
		}
	}
	if wait > 0 {
		return wait
	}
	for _, u := range uses {
		t.use(u.rate, u.key, now, 1)
	}
	return 0
}

// giveBack returns a try that succeeded.
func (t *throttle) giveBack(who claimant, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, u := range who.uses() {
		t.use(u.rate, u.key, now, -1)
	}
}

// uses are the buckets that a try counts in: first that of the account as tried
// from there. An IPv6 source stands for its /64: one customer has that many
// addresses.
func (who claimant) uses() []use {
	if who.device != "" {
		return []use{{pairRate, bucketKey{account: "device " + who.device + " of " + who.account}, false}}
	}
	bits := who.source.BitLen()
	if who.source.Is6() {
		bits = 64
	}
	prefix, _ := who.source.WithZone("").Prefix(bits) // an invalid source has an invalid prefix, as good a key as any
	return []use{
		{pairRate, bucketKey{who.account, prefix}, false},
		{sourceRate, bucketKey{source: prefix}, false},
		{accountRate, bucketKey{account: "account " + who.account}, true},
	}
}

func (t *throttle) left(r rate, key bucketKey, now time.Time) float64 {
	b, known := t.buckets[key]
	return r.left(b, known, now)
}

func (t *throttle) wait(r rate, key bucketKey, now time.Time) time.Duration {
	missing := 1 - t.left(r, key, now)
	if missing <= 0 {
		return 0
	}
	return time.Duration(math.Ceil(missing * float64(r.every)))
}

func (t *throttle) use(r rate, key bucketKey, now time.Time, tries float64) {
	if t.buckets == nil {
		t.buckets = make(map[bucketKey]bucket)
	}
	left := max(0, min(float64(r.burst), t.left(r, key, now)-tries))
	if left >= float64(r.burst) {
		delete(t.buckets, key)
		return
	}
	if len(t.buckets) >= maxBuckets {
		t.forget(now)
	}
	t.buckets[key] = bucket{left, now}
}

// forget makes room: all buckets are full again after two minutes, and if none
// is, half of them go.
func (t *throttle) forget(now time.Time) {
	oldest := now.Add(-2 * time.Minute)
	for key, b := range t.buckets {
		if b.at.Before(oldest) {
			delete(t.buckets, key)
		}
	}
	for key := range t.buckets {
		if len(t.buckets) < maxBuckets/2 {
			return
		}
		delete(t.buckets, key)
	}
}
