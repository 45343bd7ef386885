package client_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"crypto/rand"

	"latchkey/client"
	"latchkey/jwt"
)

func TestTokenIsKeptForLessThanFourMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		id, secret := newSecret()
		s := &server{now: time.Now, secrets: map[string]*jwt.Key{id: jwt.NewKey(id, secret)}}
		b := newBase(t, s.handle)
		transport := over(b, client.JWT(id, secret))
		start := time.Now()
		for _, step := range []struct {
			at     time.Duration
			tokens int
		}{
			{0, 1}, {time.Minute, 1}, {4*time.Minute - time.Nanosecond, 1},
			{4 * time.Minute, 2}, {8*time.Minute - time.Nanosecond, 2}, {24 * time.Hour, 3},
		} {
			time.Sleep(step.at - time.Since(start))
			if status := get(t, transport, api); status != 200 {
				t.Errorf("after %v: status %d", step.at, status)
			}
			if len(s.tokens) != step.tokens {
				t.Errorf("after %v there were %d tokens, and should be %d", step.at, len(s.tokens), step.tokens)
			}
		}
	})
}

func TestTokenOfAClockThatWasSetBack(t *testing.T) {
	id, secret := newSecret()
	now := time.Now()
	clock := func() time.Time { return now }
	s := &server{now: clock, secrets: map[string]*jwt.Key{id: jwt.NewKey(id, secret)}}
	b := newBase(t, s.handle)
	transport := over(b, client.JWT(id, secret))
	transport.Now = clock
	get(t, transport, api)
	now = now.Add(-time.Hour)
	if status := get(t, transport, api); status != 200 || b.count() != 2 {
		t.Errorf("status %d after %d requests: the token of later was kept", status, b.count())
	}
}

// skewed returns a transport whose clock is ahead of the server's.
func skewed(t *testing.T, ahead time.Duration, s *server) (*client.Transport, *base) {
	id, secret := newSecret()
	s.now = time.Now
	s.leeway = 30 * time.Second
	s.secrets = map[string]*jwt.Key{id: jwt.NewKey(id, secret)}
	b := newBase(t, s.handle)
	transport := over(b, client.JWT(id, secret))
	transport.Now = func() time.Time { return time.Now().Add(ahead) }
	return transport, b
}

func TestClockIsLearnedFromTheServer(t *testing.T) {
	tests := map[string]struct {
		ahead  time.Duration
		server server
		first  int // requests for the first call
		status int
		later  int // requests for the next
	}{
		"right":                  {0, server{}, 1, 200, 1},
		"ahead":                  {10 * time.Minute, server{}, 2, 200, 1},
		"behind":                 {-10 * time.Minute, server{}, 2, 200, 1},
		"ahead by a day less":    {24*time.Hour - time.Second, server{}, 2, 200, 1},
		"ahead by too much":      {25 * time.Hour, server{}, 1, 401, 1},
		"behind by too much":     {-25 * time.Hour, server{}, 1, 401, 1},
		"no Date":                {10 * time.Minute, server{noDate: true}, 1, 401, 1},
		"ahead, without codes":   {10 * time.Minute, server{plain: true}, 2, 200, 1},
		"behind, without codes":  {-10 * time.Minute, server{plain: true}, 2, 200, 1},
		"within the leeway":      {20 * time.Second, server{}, 1, 200, 1},
		"just beyond the leeway": {32 * time.Second, server{}, 2, 200, 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(100*24*time.Hour + 300*time.Millisecond) // no iat before the bubble's beginning
				transport, b := skewed(t, test.ahead, &test.server)
				req := newRequest(t, "POST", api, "content")
				if status := do(t, transport, req); status != test.status || b.count() != test.first {
					t.Fatalf("status %d after %d requests, want %d after %d", status, b.count(), test.status, test.first)
				}
				if b.last().body != "content" {
					t.Errorf("the last request's body was %q", b.last().body)
				}
				for i := range 10 {
					time.Sleep(time.Minute)
					before := b.count()
					if status := get(t, transport, api); status != test.status || b.count()-before != test.later {
						t.Fatalf("call %d: status %d after %d requests, want %d after %d: the offset was not kept",
							i, status, b.count()-before, test.status, test.later)
					}
				}
			})
		})
	}
}

// A Date is in whole seconds and has been on its way: a little that it is off says
// nothing of the clock, and the same token again would help nobody.
func TestClockIsNotMovedByNoise(t *testing.T) {
	now := time.Unix(1713225600, 0)
	b := newBase(t, func(*http.Request) *http.Response {
		return answer(401, `{"code":"token_not_yet_valid"}`, "Content-Type", "application/problem+json",
			"Date", now.Add(-2*time.Second).UTC().Format(http.TimeFormat))
	})
	transport := over(b, client.JWT(newSecret()))
	transport.Now = func() time.Time { return now }
	for range 2 {
		if status := get(t, transport, api); status != 401 {
			t.Errorf("status %d", status)
		}
	}
	if b.count() != 2 || b.sent[0].auth != b.sent[1].auth {
		t.Errorf("%d requests by two calls", b.count())
	}
}

func TestClockThatBecomesRightAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		transport, b := skewed(t, 10*time.Minute, &server{})
		get(t, transport, api)
		transport.Now = time.Now
		if status := get(t, transport, api); status != 200 || b.count() != 4 {
			t.Errorf("status %d after %d requests", status, b.count())
		}
	})
}

func TestClockIsLearnedFromARequestThatCannotBeSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		transport, b := skewed(t, 10*time.Minute, &server{})
		resp, err := transport.RoundTrip(streamed(t, "POST", api))
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != 401 || b.count() != 1 {
			t.Errorf("status %d after %d requests", resp.StatusCode, b.count())
		}
		if want := `{"code":"token_not_yet_valid","detail":"why"}`; string(body) != want {
			t.Errorf("the answer's body became %q", body)
		}
		if status := do(t, transport, streamed(t, "POST", api)); status != 200 || b.count() != 2 {
			t.Errorf("next: status %d after %d requests", status, b.count())
		}
	})
}

// A stubborn server refuses everything, and says so in every way.
func TestTriesAreBounded(t *testing.T) {
	for _, code := range []string{
		"token_not_yet_valid", "token_expired", "invalid_credentials", "missing_credentials", "malformed_credentials", "something_else", "",
	} {
		t.Run(code, func(t *testing.T) {
			var n int
			b := newBase(t, func(*http.Request) *http.Response {
				n++
				date := time.Now().Add(time.Duration(n) * time.Hour).UTC().Format(http.TimeFormat)
				return answer(401, `{"code":"`+code+`"}`, "Content-Type", "application/json", "Date", date)
			})
			transport := over(b, client.JWT(newSecret()))
			transport.Second = client.JWT(newSecret())
			transport.Retry.Max = 5
			if status := get(t, transport, api); status != 401 {
				t.Errorf("status %d", status)
			}
			if b.count() > 3 {
				t.Errorf("%d requests", b.count())
			}
			if want := map[string]int{"missing_credentials": 1, "malformed_credentials": 1}[code]; want != 0 && b.count() != want {
				t.Errorf("%d requests for what nothing can mend", b.count())
			}
		})
	}
}

// peek must neither cut nor change what the caller reads.
func TestBodyOfA401IsLeftAsItWas(t *testing.T) {
	long := `{"code":"malformed_credentials","detail":"` + strings.Repeat("x", 200<<10) + `"}`
	b := newBase(t, func(*http.Request) *http.Response {
		return answer(401, long, "Content-Type", "application/problem+json; charset=utf-8")
	})
	resp, err := over(b, client.JWT(newSecret())).RoundTrip(newRequest(t, "GET", api, ""))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got, err := io.ReadAll(resp.Body); err != nil || string(got) != long {
		t.Errorf("the body of %d bytes became one of %d (%v)", len(long), len(got), err)
	}
}

func TestBodyOfA401ThatBreaksOff(t *testing.T) {
	b := newBase(t, func(*http.Request) *http.Response {
		resp := answer(401, "", "Content-Type", "application/json")
		resp.Body = io.NopCloser(io.MultiReader(strings.NewReader(`{"co`), broken{}))
		return resp
	})
	resp, err := over(b, client.JWT(newSecret())).RoundTrip(newRequest(t, "GET", api, ""))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got, err := io.ReadAll(resp.Body); string(got) != `{"co` || err != io.ErrUnexpectedEOF {
		t.Errorf("the reader got %q and %v", got, err)
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestChangeOver(t *testing.T) {
	for _, plain := range []bool{false, true} {
		t.Run(fmt.Sprintf("plain=%v", plain), func(t *testing.T) {
			id1, key1 := newSecret()
			id2, key2 := newSecret()
			one, two := jwt.NewKey(id1, key1), jwt.NewKey(id2, key2)
			s := &server{now: time.Now, plain: plain}
			b := newBase(t, s.handle)
			transport := over(b, client.JWT(id1, key1))
			transport.Second = client.JWT(id2, key2)
			for i, step := range []struct {
				live     map[string]*jwt.Key
				status   int
				requests []int // of two calls in turn
			}{
				{map[string]*jwt.Key{id1: one, id2: two}, 200, []int{1, 1}},
				{map[string]*jwt.Key{id2: two}, 200, []int{2, 1}},           // the first was revoked
				{map[string]*jwt.Key{id1: one, id2: two}, 200, []int{1, 1}}, // stays with the second
				{map[string]*jwt.Key{}, 401, []int{2, 2}},
				{map[string]*jwt.Key{id1: one}, 200, []int{2, 1}},
			} {
				s.secrets = step.live
				for _, want := range step.requests {
					before := b.count()
					status := do(t, transport, newRequest(t, "POST", api, "content"))
					if got := b.count() - before; status != step.status || got != want {
						t.Errorf("step %d: status %d after %d requests, want %d after %d", i, status, got, step.status, want)
					}
					if b.last().body != "content" {
						t.Errorf("step %d: the body was %q", i, b.last().body)
					}
				}
			}
		})
	}
}

func TestChangeOverOfAPIKeys(t *testing.T) {
	oldKey, newKey := rand.Text(), rand.Text()
	b := newBase(t, func(r *http.Request) *http.Response {
		if r.Header.Get("Authorization") == "Bearer "+newKey {
			return answer(200, "")
		}
		return answer(401, `{"code":"invalid_credentials"}`, "Content-Type", "application/problem+json")
	})
	transport := over(b, client.Bearer(oldKey))
	transport.Second = client.Bearer(newKey)
	get(t, transport, api)
	if status := get(t, transport, api); status != 200 || b.count() != 3 {
		t.Errorf("status %d after %d requests in two calls", status, b.count())
	}
}

func TestChangeOverWithAWrongClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{}
		transport, b := skewed(t, 10*time.Minute, s)
		id, key := newSecret()
		// The server finds out that the first is revoked only once its time is right.
		s.secrets = map[string]*jwt.Key{id: jwt.NewKey(id, key)}
		transport.Second = client.JWT(id, key)
		if status := get(t, transport, api); status != 200 || b.count() != 3 {
			t.Errorf("status %d after %d requests", status, b.count())
		}
		if status := get(t, transport, api); status != 200 || b.count() != 4 {
			t.Errorf("next: status %d after %d requests", status, b.count())
		}
	})
}

func TestChangeOverByRequestsThatCannotBeSentAgain(t *testing.T) {
	id1, key1 := newSecret()
	id2, key2 := newSecret()
	s := &server{now: time.Now, secrets: map[string]*jwt.Key{id2: jwt.NewKey(id2, key2)}}
	b := newBase(t, s.handle)
	transport := over(b, client.JWT(id1, key1))
	transport.Second = client.JWT(id2, key2)
	for i, want := range []int{401, 200, 200} {
		if status := do(t, transport, streamed(t, "POST", api)); status != want {
			t.Errorf("call %d: status %d, want %d", i, status, want)
		}
	}
}
