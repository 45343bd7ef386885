package main

import (
	"context"
	"os"
	"sync"
	"testing"
	"time"
)

// TestVerifyTime prints what a verdict takes while a hundred teams are rolled, each
// once a second, beside what it takes while none is: at most twice as much for 99 of
// 100 is wished for. Callers ask without a pause, on every node. make bench runs it.
func TestVerifyTime(t *testing.T) {
	if os.Getenv("LATCHKEY_ROLL_TIME") == "" {
		t.Skip("measures; make bench runs it (LATCHKEY_ROLL_TIME=1)")
	}
	h := newHistory(t, newFleet(t, 3*time.Second, buildProgram(t)), historySeed(t), load{})
	defer h.report()
	var teams []*ledger
	for range 100 {
		teams = append(teams, h.newTeam(t.Context()))
	}
	const during = 10 * time.Second
	idle := h.verdictTimes(teams, during)
	ctx, cancel := context.WithCancel(t.Context())
	var rolling sync.WaitGroup
	for i, team := range teams {
		rolling.Go(func() {
			for next := time.Now().Add(time.Duration(i) * time.Second / 100); ctx.Err() == nil; next = next.Add(time.Second) {
				time.Sleep(time.Until(next))
				if h.roll(context.Background(), team, h.nodes[i%nodes]) != accepted {
					h.fail("a roll among many failed")
				}
			}
		})
	}
	before := h.rolls.Load()
	busy := h.verdictTimes(teams, during)
	rate := float64(h.rolls.Load()-before) / during.Seconds()
	cancel()
	rolling.Wait()
	t.Logf("verdicts while no team is rolled:            %s", spread(idle))
	t.Logf("verdicts while %3.0f teams a second are rolled: %s", rate, spread(busy))
	times := float64(quantile(busy, 0.99)) / float64(quantile(idle, 0.99))
	t.Logf("%s: 99 of 100 verdicts take %.1f × as long while teams are rolled (wished for: at most 2)", passOrOver(times <= 2), times)
}

// verdictTimes is how long verdicts take at each node, on any team's keys.
func (h *history) verdictTimes(teams []*ledger, during time.Duration) (times []time.Duration) {
	var mu sync.Mutex
	var asking sync.WaitGroup
	until := time.Now().Add(during)
	for _, n := range h.nodes {
		asking.Go(func() {
			l := &line{node: n}
			defer l.close()
			var mine []time.Duration
			for i := 0; time.Now().Before(until); i++ {
				team := teams[i%len(teams)]
				v := team.view.Load()
				key := v.current
				if i/len(teams)%2 == 1 && len(v.ended) > 0 || key == nil {
					key = v.ended[0]
				}
				began := time.Now()
				h.ask(context.Background(), l, team, key)
				mine = append(mine, time.Since(began))
			}
			mu.Lock()
			defer mu.Unlock()
			times = append(times, mine...)
		})
	}
	asking.Wait()
	return times
}
