package client

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// Retry says how a request is tried again after 429, 502, 503 or 504. Only a
// request that may arrive twice is: its method is GET, HEAD, OPTIONS, TRACE, PUT
// or DELETE, or it has an Idempotency-Key header; and it has no body or a
// GetBody. An error of the connection is not tried again here; net/http does
// that where it is safe.
//
// The n-th wait is chosen at random between 0 and Wait × 2^(n-1). If the answer
// has a Retry-After header, the wait is what it says, and up to Wait more so that
// not all callers come back at once.
type Retry struct {
	// Max is how often, at most, a request is sent again. 0: never.
	Max int

	// Wait is the longest wait before the first retry. 0: half a second.
	Wait time.Duration

	// MaxWait is the longest of all waits. If the server asks for more, its
	// answer is returned at once. 0: 30 seconds.
	MaxWait time.Duration

	// Within is the time from the first try to the start of the last one. An
	// answer is returned at once if waiting would go beyond it, or beyond the
	// deadline of the request's context. 0: two minutes.
	Within time.Duration
}

const (
	defaultWait    = 500 * time.Millisecond
	defaultMaxWait = 30 * time.Second
	defaultWithin  = 2 * time.Minute
)

// retry sends the request until the answer is not one to be tried again.
func (c *call) retry() (*http.Response, error) {
	r := c.t.Retry
	ctx := c.req.Context()
	deadline := time.Now().Add(orDefault(r.Within, defaultWithin))
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	for n := 0; ; n++ {
		resp, err := c.try()
		if err != nil || n >= r.Max || !transient(resp.StatusCode) {
			return resp, err
		}
		wait, ok := r.wait(n, resp.Header, c.t.localTime())
		if !ok || time.Now().Add(wait).After(deadline) {
			return resp, nil
		}
		discard(resp)
		if err := sleep(ctx, wait); err != nil {
			return nil, fmt.Errorf("client: wait to try again after a %d: %w", resp.StatusCode, err)
		}
	}
}

// wait returns how long to wait before retry n, counted from 0, and whether that
// is not too long. now is for a Retry-After with a date.
func (r Retry) wait(n int, h http.Header, now time.Time) (time.Duration, bool) {
	first, longest := orDefault(r.Wait, defaultWait), orDefault(r.MaxWait, defaultMaxWait)
	if after, ok := retryAfter(h, now); ok {
		if after > longest {
			return 0, false
		}
		return after + jitter(min(first, longest-after)), true
	}
	ceiling := min(first, longest)
	for range n {
		if ceiling > longest/2 {
			ceiling = longest
			break
		}
		ceiling *= 2
	}
	return jitter(ceiling), true
}

// retryAfter returns what a Retry-After header asks for (RFC 9110 §10.2.3):
// seconds, or a date, which is counted from the answer's own Date where it has
// one, so that a wrong clock here does no harm.
func retryAfter(h http.Header, now time.Time) (time.Duration, bool) {
	value := h.Get("Retry-After")
	if seconds, err := strconv.ParseUint(value, 10, 32); err == nil {
		return time.Duration(seconds) * time.Second, true
	}
	date, err := http.ParseTime(value)
	if err != nil {
		return 0, false
	}
	if d, err := http.ParseTime(h.Get("Date")); err == nil {
		now = d
	}
	return max(0, date.Sub(now)), true
}

func transient(status int) bool {
	switch status {
	case http.StatusTooManyRequests, http.StatusBadGateway,
		http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// idempotent reports whether it does no harm if the request arrives twice (RFC
// 9110 §9.2.2). The header is the one that net/http knows, too.
func idempotent(req *http.Request) bool {
	switch req.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	return req.Header.Get("Idempotency-Key") != ""
}

// jitter returns a duration of at least 0 and less than d, or 0.
func jitter(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return rand.N(d)
}

func orDefault(d, otherwise time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return otherwise
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
