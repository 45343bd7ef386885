package main

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"latchkey"
	"latchkey/admin"
)

// A standIn is a node that goes by the keys that it was told, or does not.
type standIn struct {
	current atomic.Pointer[string]
	answer  func(isCurrent bool) int
	foreign bool // what answers is not latchkey
}

// standInID is the request ID of its answers.
const standInID = "0198c5e2-7d3a-7b61-9f0e-3c1d5a8b2e47"

func (s *standIn) serve(t *testing.T) *target {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status := s.answer(r.Header.Get("Authorization") == "Bearer "+*s.current.Load())
		if status == 0 {
			panic(http.ErrAbortHandler)
		}
		if r.URL.Path == "/elsewhere" {
			t.Error("a redirect is followed")
		}
		w.Header().Set("Location", "/elsewhere")
		if !s.foreign {
			w.Header().Set("X-Request-Id", standInID)
		}
		w.WriteHeader(status)
	}))
	server.Config.ErrorLog = nil
	t.Cleanup(server.Close)
	return newTarget("node", server.URL)
}

// noVerdict: all that answered was something else than latchkey.
func noVerdict(s canarySummary) bool {
	return s.Foreign == s.Verifies && s.Verifies >= 10 && s.StaleAccepts+s.WrongRefusals+s.Unavailable+s.Unreachable == 0 &&
		strings.Contains(s.Nodes[0].Failure, "not latchkey's")
}

// TestCanarySees holds that the canary sees each way in which a node can break
// the promise, and blames no node that holds it.
func TestCanarySees(t *testing.T) {
	good := func(isCurrent bool) int {
		if isCurrent {
			return http.StatusOK
		}
		return http.StatusUnauthorized
	}
	for _, c := range []struct {
		rule       string
		answer     func(isCurrent bool) int
		settlement admin.Settlement
		failed     bool
		check      func(canarySummary) bool
		foreign    bool
	}{
		{"a node that holds the promise", good, admin.Settlement{}, false, func(s canarySummary) bool {
			return s.Verifies >= 10 && s.StaleAccepts+s.WrongRefusals+s.Unavailable+s.Unreachable == 0
		}, false},
		{"a node that accepts the old key", func(bool) int { return http.StatusOK }, admin.Settlement{}, true,
			func(s canarySummary) bool { return s.StaleAccepts >= 5 && s.WrongRefusals == 0 }, false},
		{"a node that says 404 to the old key accepts it", func(bool) int { return http.StatusNotFound }, admin.Settlement{}, true,
			func(s canarySummary) bool { return s.StaleAccepts >= 5 }, false},
		{"a node that redirects accepts it", func(bool) int { return http.StatusFound }, admin.Settlement{}, true,
			func(s canarySummary) bool { return s.StaleAccepts >= 5 }, false},
		{"a node that refuses the new key", func(bool) int { return http.StatusUnauthorized }, admin.Settlement{}, true,
			func(s canarySummary) bool { return s.WrongRefusals >= 5 && s.StaleAccepts == 0 }, false},
		{"a node that cannot tell", func(bool) int { return http.StatusServiceUnavailable }, admin.Settlement{}, true,
			func(s canarySummary) bool { return s.Unavailable == s.Verifies && s.StaleAccepts+s.WrongRefusals == 0 }, false},
		{"a node that is not there", func(bool) int { return 0 }, admin.Settlement{}, true,
			func(s canarySummary) bool { return s.Unreachable == s.Verifies && s.Nodes[0].Failure != "" }, false},
		{"a node that may be stale, as the roll said", func(bool) int { return http.StatusOK },
			admin.Settlement{NotConfirmed: []latchkey.Unconfirmed{{Node: "node", MaxSeconds: 60}}}, false,
			func(s canarySummary) bool { return s.StaleAccepts == 0 && s.Excused >= 5 && s.NotConfirmed == 5 }, false},
		{"a node that is cut off, and may be stale, knows the first key and no other", func(isCurrent bool) int { return good(!isCurrent) },
			admin.Settlement{NotConfirmed: []latchkey.Unconfirmed{{Node: "node", MaxSeconds: 60}}}, false,
			func(s canarySummary) bool { return s.StaleAccepts+s.WrongRefusals == 0 && s.Excused >= 10 }, false},
		{"another node may be stale", func(bool) int { return http.StatusOK },
			admin.Settlement{NotConfirmed: []latchkey.Unconfirmed{{Node: "other", MaxSeconds: 60}}}, true,
			func(s canarySummary) bool { return s.StaleAccepts >= 5 && s.Excused == 0 }, false},
		{rule: "a web server that knows no such page", answer: func(bool) int { return http.StatusNotFound }, foreign: true, failed: true, check: noVerdict},
		{rule: "a load balancer that redirects", answer: func(bool) int { return http.StatusFound }, foreign: true, failed: true, check: noVerdict},
		{rule: "a load balancer that has had enough", answer: func(bool) int { return http.StatusTooManyRequests }, foreign: true, failed: true, check: noVerdict},
		{rule: "a load balancer that reaches no node", answer: func(bool) int { return http.StatusBadGateway }, foreign: true, failed: true, check: noVerdict},
		{rule: "a proxy with a login of its own", answer: func(bool) int { return http.StatusUnauthorized }, foreign: true, failed: true, check: noVerdict},
	} {
		t.Run(c.rule, func(t *testing.T) {
			node := &standIn{answer: c.answer, foreign: c.foreign}
			first := "key-0"
			node.current.Store(&first)
			run := &canary{path: "/v1/contacts", targets: []*target{node.serve(t)}}
			count := 0
			result, err := run.run(t.Context(), first, 5, 20*time.Millisecond, func(context.Context) (string, admin.Settlement, error) {
				count++
				next := "key-" + strings.Repeat("x", count)
				node.current.Store(&next)
				return next, c.settlement, nil
			})
			if err != nil {
				t.Fatal(err)
			}
			sum := result.summary()
			if !c.check(sum) || sum.Rolls != 5 {
				t.Errorf("it saw %+v", sum)
			}
			if err := result.verdict(); (err != nil) != c.failed {
				t.Errorf("its verdict is %v", err)
			}
		})
	}
}

// TestCanaryBreaksOff holds that what was seen before a failure, or an interrupt,
// is not lost.
func TestCanaryBreaksOff(t *testing.T) {
	key := "key"
	node := &standIn{answer: func(bool) int { return http.StatusUnauthorized }}
	node.current.Store(&key)
	run := &canary{path: "/", targets: []*target{node.serve(t)}}
	ctx, cancel := context.WithCancel(t.Context())
	count := 0
	result, err := run.run(ctx, key, 10, 0, func(context.Context) (string, admin.Settlement, error) {
		if count++; count == 3 {
			cancel()
			return "", admin.Settlement{}, context.Canceled
		}
		return key, admin.Settlement{}, nil
	})
	if err == nil || err.Error() != "interrupted" || len(result.took) != 2 || len(result.nodes) != 1 {
		t.Errorf("after an interrupt: %v, %+v", err, result)
	}
	run = &canary{path: "/", targets: []*target{node.serve(t)}}
	failure := errors.New("the database is down")
	result, err = run.run(t.Context(), key, 10, 0, func(context.Context) (string, admin.Settlement, error) {
		return "", admin.Settlement{}, failure
	})
	if !errors.Is(err, failure) || len(result.took) != 0 {
		t.Errorf("after a failure: %v, %+v", err, result)
	}
}

// TestPercentile holds the ranks of a distribution.
func TestPercentile(t *testing.T) {
	var times []time.Duration
	if got := percentile(times, 50); got != 0 {
		t.Errorf("of none: %v", got)
	}
	for i := range 200 {
		times = append(times, time.Duration(i+1)*time.Millisecond)
	}
	for percent, want := range map[int]float64{0: 1, 50: 100, 90: 180, 99: 198, 100: 200} {
		if got := percentile(times, percent); got != want {
			t.Errorf("p%d of 1…200 ms is %v", percent, got)
		}
	}
	if got := percentile(times[:1], 99); got != 1 {
		t.Errorf("p99 of one is %v", got)
	}
}
