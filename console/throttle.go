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
// have failed on it already.
var (
	pairRate    = rate{burst: 5, every: 12 * time.Second}
	sourceRate  = rate{burst: 20, every: 3 * time.Second}
	accountRate = rate{burst: 20, every: 3 * time.Second}
)

// maxBuckets bounds the memory. Beyond it the full ones are forgotten, and then
// the oldest.
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

// take uses up a try of an account by a source. If it returns more than 0,
// nothing was used, and a try may be made after that time.
func (t *throttle) take(account string, source netip.Addr, now time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	bySource, byPair, byAccount := keysOf(account, source)
	fresh := t.left(pairRate, byPair, now) >= float64(pairRate.burst)
	wait := max(t.wait(sourceRate, bySource, now), t.wait(pairRate, byPair, now))
	if !fresh {
		wait = max(wait, t.wait(accountRate, byAccount, now))
	}
	if wait > 0 {
		return wait
	}
	t.use(sourceRate, bySource, now, 1)
	t.use(pairRate, byPair, now, 1)
	t.use(accountRate, byAccount, now, 1)
	return 0
}

// giveBack returns a try that succeeded.
func (t *throttle) giveBack(account string, source netip.Addr, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	bySource, byPair, byAccount := keysOf(account, source)
	t.use(sourceRate, bySource, now, -1)
	t.use(pairRate, byPair, now, -1)
	t.use(accountRate, byAccount, now, -1)
}

// keysOf takes an IPv6 source for its /64: one customer has that many addresses.
func keysOf(account string, source netip.Addr) (bySource, byPair, byAccount bucketKey) {
	bits := source.BitLen()
	if source.Is6() {
		bits = 64
	}
	prefix, _ := source.WithZone("").Prefix(bits) // an invalid source has an invalid prefix, as good a key as any
	return bucketKey{source: prefix}, bucketKey{account, prefix}, bucketKey{account: "account " + account}
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
