package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"crypto/rand"

	"latchkey/client"
)

func TestRetryWaits(t *testing.T) {
	const second = time.Second
	date := func(after time.Duration) func() string {
		return func() string { return time.Now().Add(after).UTC().Format(http.TimeFormat) }
	}
	text := func(s string) func() string { return func() string { return s } }
	tests := map[string]struct {
		retry      client.Retry
		after      func() string // Retry-After
		date       func() string
		failures   int
		least      time.Duration // in all
		most       time.Duration
		wantStatus int
		requests   int
	}{
		"off":                     {client.Retry{}, nil, nil, 1, 0, 0, 503, 1},
		"once":                    {client.Retry{Max: 1}, nil, nil, 1, 0, second / 2, 200, 2},
		"not often enough":        {client.Retry{Max: 2}, nil, nil, 3, 0, 3 * second / 2, 503, 3},
		"exponential":             {client.Retry{Max: 4, Wait: second}, nil, nil, 4, 0, 15 * second, 200, 5},
		"longest wait":            {client.Retry{Max: 5, Wait: second, MaxWait: 2 * second, Within: time.Hour}, nil, nil, 5, 0, 9 * second, 200, 6},
		"huge waits":              {client.Retry{Max: 99, Wait: 1 << 62, MaxWait: 1<<63 - 1}, nil, nil, 99, 0, 2 * time.Minute, 0, 0},
		"seconds":                 {client.Retry{Max: 1}, text("7"), nil, 1, 7 * second, 7*second + second/2, 200, 2},
		"zero seconds":            {client.Retry{Max: 1}, text("0"), nil, 1, 0, second / 2, 200, 2},
		"a date":                  {client.Retry{Max: 1}, date(9 * second), nil, 1, 9 * second, 9*second + second/2, 200, 2},
		"a date, server's clock":  {client.Retry{Max: 1}, date(time.Hour + 9*second), date(time.Hour), 1, 9 * second, 9*second + second/2, 200, 2},
		"a date gone by":          {client.Retry{Max: 1}, date(-time.Hour), nil, 1, 0, second / 2, 200, 2},
		"nonsense":                {client.Retry{Max: 1}, text("-5"), nil, 1, 0, second / 2, 200, 2},
		"longer than wanted":      {client.Retry{Max: 1}, text("31"), nil, 1, 0, 0, 503, 1},
		"far too long":            {client.Retry{Max: 1}, text("99999999999"), nil, 1, 0, second / 2, 200, 2},
		"beyond the time allowed": {client.Retry{Max: 9, Within: 25 * second}, text("10"), nil, 9, 20 * second, 22 * second, 503, 3},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var n int
				b := newBase(t, func(*http.Request) *http.Response {
					if n++; n > test.failures {
						return answer(200, "")
					}
					resp := answer(503, "busy")
					if test.after != nil {
						resp.Header.Set("Retry-After", test.after())
					}
					if test.date != nil {
						resp.Header.Set("Date", test.date())
					}
					return resp
				})
				transport := over(b, client.Bearer(rand.Text()))
				transport.Retry = test.retry
				start := time.Now()
				status := get(t, transport, api)
				took := time.Since(start)
				if test.wantStatus != 0 && (status != test.wantStatus || b.count() != test.requests) {
					t.Errorf("status %d after %d requests, want %d after %d", status, b.count(), test.wantStatus, test.requests)
				}
				if took < test.least || took > test.most {
					t.Errorf("it took %v, want %v to %v", took, test.least, test.most)
				}
			})
		})
	}
}

func TestWaitsAreSpreadOverAllTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var quarters [4]int
		for range 200 {
			var n int
			b := newBase(t, func(*http.Request) *http.Response {
				n++
				return answer(map[bool]int{true: 503, false: 200}[n == 1], "")
			})
			transport := over(b, client.Bearer(rand.Text()))
			transport.Retry = client.Retry{Max: 1, Wait: 4 * time.Second}
			start := time.Now()
			get(t, transport, api)
			quarters[min(3, time.Since(start)/time.Second)]++
		}
		for i, n := range quarters {
			if n == 0 { // by chance in one of 10^24 runs
				t.Errorf("no wait of 200 fell into second %d: %v", i, quarters)
			}
		}
	})
}

func TestWhatIsTriedAgain(t *testing.T) {
	try := func(status int, req *http.Request) (int, *base) {
		var n int
		b := newBase(t, func(*http.Request) *http.Response {
			if n++; n < 3 {
				return answer(status, "no")
			}
			return answer(200, "")
		})
		transport := over(b, client.Bearer(rand.Text()))
		transport.Retry = client.Retry{Max: 2, Wait: time.Nanosecond}
		return do(t, transport, req), b
	}
	for status, again := range map[int]bool{
		429: true, 502: true, 503: true, 504: true, 500: false, 501: false, 400: false, 404: false, 408: false,
	} {
		got, _ := try(status, newRequest(t, "GET", api, ""))
		if (got == 200) != again {
			t.Errorf("after a %d the status was %d", status, got)
		}
	}
	for method, again := range map[string]bool{
		"GET": true, "HEAD": true, "OPTIONS": true, "TRACE": true, "PUT": true, "DELETE": true, "POST": false, "PATCH": false, "CONTACT": false,
	} {
		if got, _ := try(503, newRequest(t, method, api, "")); (got == 200) != again {
			t.Errorf("%s: the status was %d", method, got)
		}
	}
	req := newRequest(t, "POST", api, "content")
	req.Header.Set("Idempotency-Key", "1")
	got, b := try(503, req)
	if got != 200 {
		t.Errorf("a POST with an Idempotency-Key: the status was %d", got)
	}
	for i, s := range b.sent {
		if s.body != "content" || s.auth == "" {
			t.Errorf("try %d: body %q, credential %v", i, s.body, s.auth != "")
		}
	}
	if got, _ := try(503, streamed(t, "PUT", api)); got != 503 {
		t.Errorf("a body that can be sent once: the status was %d", got)
	}
}

func TestRetryAfterARedirectAway(t *testing.T) {
	var n int
	b := newBase(t, func(r *http.Request) *http.Response {
		if r.URL.Host == "api.example.com" {
			return answer(302, "", "Location", "https://files.example.net/1")
		}
		if n++; n < 3 {
			return answer(503, "")
		}
		return answer(200, "")
	})
	transport := over(b, client.JWT(newSecret()))
	transport.Retry = client.Retry{Max: 2, Wait: time.Nanosecond}
	if status := get(t, transport, api); status != 200 || b.last().auth != "" {
		t.Errorf("status %d, with the credential: %v", status, b.last().auth != "")
	}
}

func TestRetryUsesATokenOfItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBase(t, func(*http.Request) *http.Response { return answer(503, "", "Retry-After", "300") })
		transport := over(b, client.JWT(newSecret()))
		transport.Retry = client.Retry{Max: 1, MaxWait: time.Hour, Within: time.Hour}
		get(t, transport, api)
		if b.count() != 2 || b.sent[0].auth == b.sent[1].auth {
			t.Error("five minutes later it used the same token")
		}
	})
}

func TestRetryEndsWithTheContext(t *testing.T) {
	busy := func(*http.Request) *http.Response { return answer(503, "busy", "Retry-After", "20") }
	t.Run("a deadline before the wait is over", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBase(t, busy)
			transport := over(b, client.Bearer(rand.Text()))
			transport.Retry.Max = 3
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			start := time.Now()
			status := do(t, transport, newRequest(t, "GET", api, "").WithContext(ctx))
			if status != 503 || time.Since(start) != 0 {
				t.Errorf("status %d after %v", status, time.Since(start))
			}
		})
	})
	t.Run("the deadline of the http.Client", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBase(t, busy)
			transport := over(b, client.Bearer(rand.Text()))
			transport.Retry.Max = 3
			hc := &http.Client{Transport: transport, Timeout: 10 * time.Second}
			start := time.Now()
			resp, err := hc.Get(api)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if time.Since(start) != 0 {
				t.Errorf("it took %v", time.Since(start))
			}
		})
	})
	t.Run("cancelled while it waits", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBase(t, busy)
			transport := over(b, client.Bearer(rand.Text()))
			transport.Retry.Max = 3
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(3*time.Second, cancel)
			start := time.Now()
			_, err := transport.RoundTrip(newRequest(t, "GET", api, "").WithContext(ctx))
			if !errors.Is(err, context.Canceled) || time.Since(start) != 3*time.Second {
				t.Errorf("%v after %v", err, time.Since(start))
			}
		})
	})
}

func TestBodyThatCannotBeMadeAgain(t *testing.T) {
	b := newBase(t, func(*http.Request) *http.Response { return answer(503, "busy") })
	transport := over(b, client.Bearer(rand.Text()))
	transport.Retry = client.Retry{Max: 1, Wait: time.Nanosecond}
	req := streamed(t, "PUT", api)
	req.GetBody = func() (io.ReadCloser, error) { return nil, fmt.Errorf("gone") }
	_, err := transport.RoundTrip(req)
	if err == nil || !strings.Contains(err.Error(), "get the request's body again: gone") {
		t.Errorf("the error was %v", err)
	}
}
