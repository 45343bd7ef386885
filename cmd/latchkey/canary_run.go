package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"latchkey/admin"
)

const (
	// probePace bounds how often a node is asked while the key rolls.
	probePace = 10 * time.Millisecond
	// probeTime bounds one request to a node.
	probeTime = 10 * time.Second
)

// A canary rolls a key and asks nodes about the old one and the new one.
type canary struct {
	path    string
	targets []*target

	mu      sync.Mutex
	current string               // alive since the roll that made it returned
	old     string               // dead since the same moment; "" before the first roll
	rolling int                  // how many rolls have begun
	settled int                  // how many have returned
	excused map[string]time.Time // nodes that may go by the old state until then (--stale-ok)
}

// A target is a node that is asked.
type target struct {
	name, address string
	client        *http.Client

	mu     sync.Mutex
	counts nodeCounts
}

// nodeCounts is what a node answered.
type nodeCounts struct {
	Node          string `json:"node"`
	Address       string `json:"address"`
	Identified    bool   `json:"identified"`     // the record of an answer from there says that it was this node's
	Verifies      int    `json:"verifies"`       // requests
	StaleAccepts  int    `json:"stale_accepts"`  // the old key, accepted by a request that began after the roll had returned
	WrongRefusals int    `json:"wrong_refusals"` // the new key, refused likewise
	Excused       int    `json:"excused"`        // either of them within what --stale-ok allows, which the roll had said
	Unavailable   int    `json:"unavailable"`    // 503
	Unreachable   int    `json:"unreachable"`    // no answer
	Foreign       int    `json:"foreign"`        // an answer without a request ID of latchkey's: something in front gave it
	Failure       string `json:"failure"`        // why there was none of the node's, the last time
}

func newTarget(name, address string) *target {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = nil // each node is asked itself
	return &target{
		name: name, address: strings.TrimSuffix(address, "/"), counts: nodeCounts{Node: name, Address: address},
		client: &http.Client{
			Transport: transport, Timeout: probeTime,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

func (c *canary) names() (names []string) {
	for _, t := range c.targets {
		names = append(names, t.name)
	}
	return names
}

// run rolls so often. Its result is what was seen, also if there is an error.
func (c *canary) run(ctx context.Context, key string, rolls int, interval time.Duration,
	roll func(context.Context) (string, admin.Settlement, error)) (*canaryResult, error) {
	c.current = key
	result := &canaryResult{}
	probing, stop := context.WithCancel(ctx)
	var probes sync.WaitGroup
	defer func() {
		stop()
		probes.Wait()
		for _, t := range c.targets {
			t.client.CloseIdleConnections()
			result.nodes = append(result.nodes, t.counts)
		}
	}()
	for _, t := range c.targets {
		probes.Go(func() { c.probe(probing, t) })
	}
	for range rolls {
		c.begin()
		began := time.Now()
		next, settlement, err := roll(ctx)
		took := time.Since(began)
		if ctx.Err() != nil {
			return result, errors.New("interrupted")
		}
		if err != nil {
			return result, err
		}
		c.settle(next, settlement)
		result.add(took, settlement)
		c.round(ctx)
		if !wait(ctx, interval) {
			return result, errors.New("interrupted")
		}
	}
	return result, nil
}

// wait reports whether ctx goes on.
func wait(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// begin notes that a roll is sent: from now on the current key may be dead.
func (c *canary) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rolling++
}

// settle notes that a roll has returned.
func (c *canary) settle(next string, s admin.Settlement) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.old, c.current = c.current, next
	c.settled++
	c.excused = make(map[string]time.Time)
	for _, n := range s.NotConfirmed {
		c.excused[n.Node] = time.Now().Add(time.Duration(n.MaxSeconds * float64(time.Second)))
	}
}

// probe asks one node while the key rolls.
func (c *canary) probe(ctx context.Context, t *target) {
	for old := false; wait(ctx, probePace); old = !old {
		c.ask(ctx, t, old)
	}
}

// round asks all nodes about both keys, just after a roll has returned.
func (c *canary) round(ctx context.Context) {
	var asked sync.WaitGroup
	for _, t := range c.targets {
		asked.Go(func() { c.ask(ctx, t, true) })
		asked.Go(func() { c.ask(ctx, t, false) })
	}
	asked.Wait()
}

// ask asks a node about the old key or the current one, and judges its answer by
// what was known before the request began, and is still so after it.
func (c *canary) ask(ctx context.Context, t *target, old bool) {
	c.mu.Lock()
	key, rolling, alive := c.current, c.rolling, c.rolling == c.settled
	excused := time.Now().Before(c.excused[t.name])
	if old {
		key = c.old
	}
	c.mu.Unlock()
	if key == "" {
		return
	}
	status, header, err := t.get(ctx, c.path, key)
	_, ours := requestIDOf(header)
	if ctx.Err() != nil {
		return
	}
	c.mu.Lock()
	alive = alive && rolling == c.rolling // no roll has begun since
	c.mu.Unlock()

	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts.Verifies++
	switch {
	case err != nil:
		t.counts.Unreachable++
		t.counts.Failure = err.Error()
	case !ours:
		t.counts.Foreign++
		t.counts.Failure = fmt.Sprintf("an answer that is not latchkey's: %d without a request ID", status)
	case status == http.StatusServiceUnavailable:
		t.counts.Unavailable++
	case old == (status == http.StatusUnauthorized), !old && !alive:
		// As it must be; or a roll began meanwhile, and nobody can say.
	case excused: // what the node does not know of yet: that the old key is dead, and that there is a new one
		t.counts.Excused++
	case old:
		t.counts.StaleAccepts++
	default:
		t.counts.WrongRefusals++
	}
}

// drain reads a body so that its connection can be used again.
func drain(body io.ReadCloser) {
	_, _ = io.Copy(io.Discard, io.LimitReader(body, 1<<20))
	_ = body.Close()
}

// A canaryResult is what was seen.
type canaryResult struct {
	took         []time.Duration // of the rolls
	notConfirmed int             // rolls that said so
	lapsed       int             // rolls that waited for a lease
	nodes        []nodeCounts
}

func (r *canaryResult) add(took time.Duration, s admin.Settlement) {
	r.took = append(r.took, took)
	if len(s.NotConfirmed) > 0 {
		r.notConfirmed++
	}
	if len(s.Lapsed) > 0 {
		r.lapsed++
	}
}

// A canarySummary is what latchkey canary prints as JSON.
type canarySummary struct {
	Rolls  int `json:"rolls"`
	RollMS struct {
		Min float64 `json:"min"`
		P50 float64 `json:"p50"`
		P90 float64 `json:"p90"`
		P99 float64 `json:"p99"`
		Max float64 `json:"max"`
	} `json:"roll_ms"`
	NotConfirmed  int          `json:"not_confirmed"` // rolls that a node with --stale-ok did not confirm
	Lapsed        int          `json:"lapsed"`        // rolls that waited for a lease to end
	Verifies      int          `json:"verifies"`
	StaleAccepts  int          `json:"stale_accepts"`
	WrongRefusals int          `json:"wrong_refusals"`
	Excused       int          `json:"excused"`
	Unavailable   int          `json:"unavailable"`
	Unreachable   int          `json:"unreachable"`
	Foreign       int          `json:"foreign"`
	Nodes         []nodeCounts `json:"nodes"`
}

func (r *canaryResult) summary() canarySummary {
	s := canarySummary{Rolls: len(r.took), NotConfirmed: r.notConfirmed, Lapsed: r.lapsed, Nodes: r.nodes}
	sorted := slices.Sorted(slices.Values(r.took))
	s.RollMS.Min, s.RollMS.P50, s.RollMS.P90 = percentile(sorted, 0), percentile(sorted, 50), percentile(sorted, 90)
	s.RollMS.P99, s.RollMS.Max = percentile(sorted, 99), percentile(sorted, 100)
	for _, n := range r.nodes {
		s.Verifies += n.Verifies
		s.StaleAccepts += n.StaleAccepts
		s.WrongRefusals += n.WrongRefusals
		s.Excused += n.Excused
		s.Unavailable += n.Unavailable
		s.Unreachable += n.Unreachable
		s.Foreign += n.Foreign
	}
	return s
}

// percentile returns, in milliseconds, the smallest time that so many of a
// hundred are at most; 0 if there is none.
func percentile(sorted []time.Duration, percent int) float64 {
	if len(sorted) == 0 {
		return 0
	}
	i := max(0, (len(sorted)*percent+99)/100-1)
	return float64(sorted[i].Microseconds()) / 1000
}

// verdict is an error if the promise was broken, or was not looked at.
func (r *canaryResult) verdict() error {
	s := r.summary()
	switch {
	case s.StaleAccepts > 0 || s.WrongRefusals > 0:
		return fmt.Errorf("the promise is broken: %d stale accepts, %d wrong refusals", s.StaleAccepts, s.WrongRefusals)
	case s.Verifies == s.Unavailable+s.Unreachable+s.Foreign:
		return errors.New("no node gave an answer")
	}
	for _, n := range r.nodes {
		if n.Verifies > n.Unavailable+n.Unreachable+n.Foreign {
			continue
		}
		err := fmt.Errorf("node %s gave no answer: what it would have said was not seen", n.Node)
		if u, bad := url.Parse(n.Address); bad == nil && isLoopback(u.Hostname()) && n.Unreachable == n.Verifies {
			err = fmt.Errorf("%w (it advertises a loopback address: if it runs on another machine, %s)", err, shareAddress)
		}
		return err
	}
	return nil
}
