package journal_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"latchkey"
	"latchkey/journal"
)

// count hands a record to a journal, of which only the use matters.
func count(j *journal.Journal, r latchkey.Record) {
	j.Begin(r)
	j.End(r)
}

// usageOf returns what a journal knows of credentials since a day ago.
func usageOf(t *testing.T, j latchkey.UsageReader, ids ...string) []latchkey.Usage {
	t.Helper()
	list, err := j.Usage(t.Context(), ids, time.Now().Add(-24*time.Hour))
	if err != nil {
		t.Fatalf("read usage: %v", err)
	}
	return list
}

func TestUsageOfWhichRecords(t *testing.T) {
	for _, c := range []struct {
		rule              string
		outcome           latchkey.Outcome
		reason            latchkey.Reason
		accepted, refused int64
		dead              bool
	}{
		{"accepted counts", latchkey.OutcomeAccepted, latchkey.ReasonOK, 1, 0, false},
		{"accepted counts, though the upstream failed", latchkey.OutcomeError, latchkey.Reason(latchkey.CodeUpstreamTimeout), 1, 0, false},
		{"a rolled key counts", latchkey.OutcomeDenied, latchkey.ReasonKeyRolled, 0, 1, true},
		{"a revoked secret counts", latchkey.OutcomeDenied, latchkey.ReasonSecretRevoked, 0, 1, true},
		{"a disabled team's credential counts, and is not dead", latchkey.OutcomeDenied, latchkey.ReasonTeamDisabled, 0, 1, false},
		{"a bad signature does not count: anybody can name an iss", latchkey.OutcomeDenied, latchkey.ReasonBadSignature, 0, 0, false},
		{"an expired token does not count", latchkey.OutcomeDenied, latchkey.ReasonExpired, 0, 0, false},
		{"who cannot be judged does not count", latchkey.OutcomeUnavailable, latchkey.ReasonLeaseOver, 0, 0, false},
	} {
		t.Run(c.rule, func(t *testing.T) {
			m := newMemory()
			m.set(errDown) // all of it is in memory
			j := open(t, m)
			r := newRecord()
			r.Outcome, r.Reason = c.outcome, c.reason
			count(j, r)
			want := latchkey.Usage{
				CredentialID: "key_a", TeamID: "team_a", Day: r.Time.Truncate(24 * time.Hour), Accepted: c.accepted, Refused: c.refused, Last: r.Time,
				Caller: latchkey.Caller{ClientIP: "192.0.2.1", UserAgent: "curl/8", Auth: latchkey.MethodBearer},
			}
			list := usageOf(t, j, "key_a")
			if counts := c.accepted+c.refused > 0; counts != (len(list) == 1) || counts && list[0] != want {
				t.Errorf("counted is %+v", list)
			}
			dead, err := j.DeadInUse(t.Context(), "team_a", r.Time)
			if err != nil || c.dead != (len(dead) == 1) || c.dead && dead[0] != want {
				t.Errorf("dead and in use: %+v, %v", dead, err)
			}
			if dead, _ := j.DeadInUse(t.Context(), "team_a", r.Time.Add(time.Second)); len(dead) != 0 {
				t.Error("what was used before the time is not left out")
			}
			if dead, _ := j.DeadInUse(t.Context(), "team_b", r.Time); len(dead) != 0 {
				t.Error("another team sees it")
			}
		})
	}
	m := newMemory()
	j := open(t, m)
	r := newRecord()
	r.CredentialID = ""
	count(j, r)
	if len(usageOf(t, j, "")) != 0 {
		t.Error("a request without a credential is counted")
	}
}

// TestUsageIsWholeAtEveryMoment counts under a store that fails half of the
// time, and reads at every step: nothing may be missing, nothing twice.
func TestUsageIsWholeAtEveryMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		j := start(t, t.TempDir(), m)
		want := make(map[who]int64)
		for range 400 {
			r := from(fmt.Sprintf("key_%d", rand.IntN(3)), rand.IntN(5))
			key := who{credentialID: r.CredentialID, caller: latchkey.Caller{ClientIP: r.ClientIP, UserAgent: r.UserAgent, Auth: r.Auth}}
			want[key]++
			count(j, r)
			m.set([]error{nil, errDown}[rand.IntN(2)])
			time.Sleep(time.Duration(rand.IntN(700)) * time.Millisecond)
			list := usageOf(t, j, "key_0", "key_1", "key_2")
			if len(list) != len(want) {
				t.Fatalf("%d callers, must be %d", len(list), len(want))
			}
			for i, u := range list {
				if got := want[who{credentialID: u.CredentialID, caller: u.Caller}]; u.Accepted != got {
					t.Fatalf("%d requests counted, must be %d", u.Accepted, got)
				}
				if i > 0 && list[i-1].Accepted < u.Accepted {
					t.Fatal("the most used must come first")
				}
			}
		}
		if adds, _, _ := m.written(); adds < 50 {
			t.Errorf("%d writes in 400 requests: the store was hardly asked", adds)
		}
		m.set(nil)
		if err := j.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		var stored int64
		for _, u := range m.usage {
			stored += u.Accepted
		}
		if stored != 400 {
			t.Errorf("%d requests in the store after Close, must be 400", stored)
		}
	})
}

// TestUsageIsWholeWhileItIsWritten reads while counts are in the store already
// and the store has not said so yet.
func TestUsageIsWholeWhileItIsWritten(t *testing.T) {
	m := newMemory()
	m.linger = 20 * time.Millisecond
	c := journal.NewCallers(m, slog.New(slog.DiscardHandler))
	defer func() { _ = c.Close(context.Background()) }()
	for want := range int64(5) {
		r := newRecord()
		c.Count(&r)
		flushed := make(chan error)
		go func() { flushed <- c.Flush(context.Background()) }()
		for range 10 {
			if list := usageOf(t, c, "key_a"); len(list) != 1 || list[0].Accepted != want+1 {
				t.Errorf("%+v, must be %d", list, want+1)
			}
			time.Sleep(time.Millisecond)
		}
		if err := <-flushed; err != nil {
			t.Fatal(err)
		}
	}
}

func TestUsageIsWrittenAboutOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		j := open(t, m)
		for range 100 {
			count(j, newRecord())
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(1100 * time.Millisecond)
		before, _, kept := m.written()
		if before < 9 || before > 11 || kept != 1 {
			t.Errorf("%d writes in ten seconds, of %d rows", before, kept)
		}
		time.Sleep(10 * time.Second)
		if after, _, _ := m.written(); after != before {
			t.Error("where nobody calls, something is written")
		}
	})
}

// TestUsageIsBounded: whoever sends a new user agent each time fills a day's
// hundred, and no more; who came before is still told apart.
func TestUsageIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		j := open(t, m)
		regular := newRecord()
		count(j, regular)
		for i := range 20_000 {
			r := newRecord()
			r.UserAgent = fmt.Sprint("bot/", i)
			count(j, r)
			if i%500 == 0 {
				count(j, regular)
				time.Sleep(time.Second)
			}
			if i == 10_000 {
				m.set(errDown)
			}
		}
		if _, rows, _ := m.written(); rows > latchkey.MaxCallers+1 {
			t.Errorf("one write has %d rows for one credential: at most %d callers are told apart, and the others", rows, latchkey.MaxCallers)
		}
		list := usageOf(t, j, "key_a")
		if len(list) != latchkey.MaxCallers+1 {
			t.Fatalf("%d callers, must be %d and the others", len(list), latchkey.MaxCallers)
		}
		var all int64
		for _, u := range list {
			all += u.Accepted
			if u.Caller.UserAgent == regular.UserAgent && u.Accepted != 41 {
				t.Errorf("the regular caller called 41 times, and is counted %d times", u.Accepted)
			}
		}
		if others := list[0]; others.Caller != (latchkey.Caller{}) || others.Accepted != 20_000-99 {
			t.Errorf("all others come to %d, must be %d", others.Accepted, 20_000-99)
		}
		if all != 20_041 {
			t.Errorf("%d requests, must be 20041", all)
		}
	})
}

func TestUsageTomorrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		j := journal.NewCallers(m, slog.New(slog.DiscardHandler))
		defer func() { _ = j.Close(t.Context()) }()
		for day := range 4 {
			for i := range latchkey.MaxCallers {
				r := from("key_a", 1)
				r.UserAgent = fmt.Sprint(day, " bot/", i)
				j.Count(&r)
			}
			time.Sleep(24 * time.Hour)
		}
		list, err := j.Usage(t.Context(), []string{"key_a"}, time.Now().Add(-240*time.Hour))
		if err != nil || len(list) != 4*latchkey.MaxCallers {
			t.Errorf("%d callers in four days, must be a hundred each: %v", len(list), err)
		}
		if n := j.Days(); n > 2 {
			t.Errorf("%d days are kept in memory, must be today and yesterday", n)
		}
		last := time.Now().Add(-24 * time.Hour).UTC()
		list, err = j.Usage(t.Context(), []string{"key_a"}, last)
		if err != nil || len(list) != latchkey.MaxCallers || !list[0].Day.Equal(last.Truncate(24*time.Hour)) {
			t.Errorf("%d callers on the last day, must be a hundred: %v", len(list), err)
		}
	})
}

func TestCallersTextsAreCut(t *testing.T) {
	m := newMemory()
	m.set(errDown)
	j := open(t, m)
	r := newRecord()
	r.UserAgent = "x" + strings.Repeat("é", 4000)
	count(j, r)
	list := usageOf(t, j, "key_a")
	if len(list) != 1 || len(list[0].Caller.UserAgent) > 200 || strings.Trim(list[0].Caller.UserAgent, "é") != "x" {
		t.Error("a long user agent must be cut to 200 bytes, between characters")
	}
}

// TestUsageMemory: what ten thousand credentials with one caller each take.
func TestUsageMemory(t *testing.T) {
	heap := func() uint64 {
		runtime.GC()
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		return s.HeapAlloc
	}
	before := heap()
	c := journal.NewCallers(discard{newMemory()}, slog.New(slog.DiscardHandler))
	for range 5 {
		for i := range 10_000 {
			r := latchkey.Record{
				TeamID: "team", CredentialID: fmt.Sprint("key_", i), Outcome: latchkey.OutcomeAccepted, Reason: latchkey.ReasonOK, Time: time.Now(),
				ClientIP: "192.0.2.1", UserAgent: "curl/8",
			}
			c.Count(&r)
		}
	}
	if took := int64(heap()) - int64(before); took > 20<<20 {
		t.Errorf("ten thousand credentials take %d KiB", took>>10)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestUsageConcurrently(t *testing.T) {
	const workers, each = 8, 2000
	m := newMemory()
	c := journal.NewCallers(m, slog.New(slog.DiscardHandler))
	var all sync.WaitGroup
	for w := range workers {
		all.Go(func() {
			for i := range each {
				r := from(fmt.Sprint("key_", i%7), w)
				c.Count(&r)
				if i%200 == 0 {
					if _, err := c.Usage(t.Context(), []string{"key_0"}, time.Now()); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	all.Wait()
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	var sum int64
	for _, u := range m.usage {
		sum += u.Accepted
	}
	if sum != workers*each {
		t.Errorf("%d requests, must be %d", sum, workers*each)
	}
}

func TestUsageThatCannotBeWritten(t *testing.T) {
	m := newMemory()
	m.set(errDown)
	c := journal.NewCallers(m, slog.New(slog.DiscardHandler))
	r := newRecord()
	c.Count(&r)
	c.Count(&r)
	err := c.Close(context.Background())
	if !errors.Is(err, errDown) || !strings.Contains(err.Error(), "by 2 requests") {
		t.Errorf("close with a store that is down: %v", err)
	}
	m.deaf = true
	if _, err := c.Usage(t.Context(), []string{"key_a"}, time.Now()); !errors.Is(err, errDown) {
		t.Errorf("usage that cannot be read is an error, not %v", err)
	}
	if _, err := c.DeadInUse(t.Context(), "team_a", time.Now()); !errors.Is(err, errDown) {
		t.Errorf("usage that cannot be read is an error, not %v", err)
	}
}

// TestDeadInUseMerges: a caller that is partly written is one line, newest first.
func TestDeadInUseMerges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		j := open(t, m)
		refuse := func(ip int) {
			r := from("key_old", ip)
			r.Outcome, r.Reason = latchkey.OutcomeDenied, latchkey.ReasonKeyRolled
			count(j, r)
			time.Sleep(10 * time.Millisecond)
		}
		began := time.Now()
		refuse(1)
		refuse(2)
		time.Sleep(2 * time.Second)
		refuse(1)
		list, err := j.DeadInUse(t.Context(), "team_a", began)
		if err != nil || len(list) != 2 {
			t.Fatalf("%d lines, must be 2: %v", len(list), err)
		}
		if list[0].Caller.ClientIP != "192.0.2.1" || list[0].Refused != 2 || list[1].Refused != 1 || list[0].Last.Before(list[1].Last) {
			t.Errorf("who sent it last comes first, with all refusals: %+v", list)
		}
	})
}
