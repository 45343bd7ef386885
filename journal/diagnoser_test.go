package journal_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"latchkey"
	"latchkey/journal"
)

// A sink is a recorder that keeps what it is handed.
type sink struct {
	mu    sync.Mutex
	begun map[string]latchkey.Record
	ended map[string]latchkey.Record
	twice int
}

func newSink() *sink {
	return &sink{begun: make(map[string]latchkey.Record), ended: make(map[string]latchkey.Record)}
}

func (s *sink) Begin(r latchkey.Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begun[r.RequestID] = r
	return nil
}

func (s *sink) End(r latchkey.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, there := s.ended[r.RequestID]; there {
		s.twice++
	}
	s.ended[r.RequestID] = r
}

func (s *sink) end(id string) (latchkey.Record, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, there := s.ended[id]
	return r, there
}

func (s *sink) size() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.ended)
}

func refused() latchkey.Record {
	r := newRecord()
	r.Outcome, r.Reason, r.Diagnosis = latchkey.OutcomeDenied, latchkey.ReasonBadSignature, "short"
	return r
}

// anonymous gives no fingerprints.
func anonymous([]string) string { return "" }

var long = latchkey.Explanation{Verdict: latchkey.VerdictFails, Reason: latchkey.ReasonBadSignature, Mistake: "It is wrong.", Mend: "Mend it."}

const words = "It is wrong. Mend it."

func TestDiagnosisIsInTheRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		next := newSink()
		var asked [][]string
		took := 30 * time.Millisecond
		d := journal.NewDiagnoser(next, anonymous, func(_ context.Context, fields []string) latchkey.Explanation {
			asked = append(asked, fields)
			time.Sleep(took)
			return long
		})
		early, late, slow, accepted := refused(), refused(), refused(), newRecord()

		// The response ends before the diagnosis is there.
		d.Diagnose(early.RequestID, early.ClientIP, []string{"Bearer x"})
		d.Begin(early)
		d.End(early)
		if _, there := next.end(early.RequestID); there {
			t.Error("the end of a record must wait for its diagnosis")
		}
		time.Sleep(time.Second)
		if r, _ := next.end(early.RequestID); r.Diagnosis != words {
			t.Errorf("the diagnosis is %q, must be %q", r.Diagnosis, words)
		}

		// The diagnosis is there before the response begins.
		d.Diagnose(late.RequestID, late.ClientIP, nil)
		time.Sleep(time.Second)
		d.Begin(late)
		if r := next.begun[late.RequestID]; r.Diagnosis != words {
			t.Errorf("the diagnosis at the beginning is %q, must be %q", r.Diagnosis, words)
		}
		d.End(late)
		if r, _ := next.end(late.RequestID); r.Diagnosis != words {
			t.Errorf("the diagnosis is %q, must be %q", r.Diagnosis, words)
		}

		// It is there in the middle.
		d.Diagnose(slow.RequestID, slow.ClientIP, nil)
		d.Begin(slow)
		if r := next.begun[slow.RequestID]; r.Diagnosis != "short" {
			t.Errorf("the diagnosis at the beginning is %q, must be as it came", r.Diagnosis)
		}
		time.Sleep(time.Second)
		d.End(slow)
		if r, _ := next.end(slow.RequestID); r.Diagnosis != words {
			t.Errorf("the diagnosis is %q, must be %q", r.Diagnosis, words)
		}

		d.Begin(accepted)
		d.End(accepted)
		if r, there := next.end(accepted.RequestID); !there || r != accepted {
			t.Error("a record that nobody asked about must go on at once, as it is")
		}
		d.Close()
		if len(asked) != 3 || len(asked[0]) != 1 || asked[0][0] != "Bearer x" {
			t.Error("the fields must reach whoever explains them")
		}
		if next.twice != 0 {
			t.Error("a record ended twice")
		}
	})
}

func TestDiagnosisOfAnotherReasonIsLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		next := newSink()
		answer := make(chan latchkey.Explanation, 1)
		d := journal.NewDiagnoser(next, anonymous, func(context.Context, []string) latchkey.Explanation { return <-answer })
		defer d.Close()
		for name, e := range map[string]latchkey.Explanation{
			"another reason":  {Verdict: latchkey.VerdictFails, Reason: latchkey.ReasonExpired, Mistake: "It is late."},
			"it passes now":   {Verdict: latchkey.VerdictPasses, Reason: latchkey.ReasonOK},
			"it cannot tell":  {Verdict: latchkey.VerdictUnknown},
			"without mistake": {Verdict: latchkey.VerdictFails, Reason: latchkey.ReasonBadSignature},
		} {
			r := refused()
			d.Diagnose(r.RequestID, r.ClientIP, nil)
			d.Begin(r)
			answer <- e
			time.Sleep(time.Second)
			d.End(r)
			if got, there := next.end(r.RequestID); !there || got != r {
				t.Errorf("%s: the record must go on as it came", name)
			}
		}
	})
}

// TestDiagnosisIsBounded: one that hangs holds the records for a tenth of a
// second, and not longer.
func TestDiagnosisIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		next := newSink()
		var asked int
		d := journal.NewDiagnoser(next, anonymous, func(ctx context.Context, _ []string) latchkey.Explanation {
			asked++
			<-ctx.Done()
			return latchkey.Explanation{}
		})
		defer d.Close()
		const n = 50
		for range n {
			r := refused()
			d.Diagnose(r.RequestID, r.ClientIP, nil)
			d.Begin(r)
			d.End(r)
		}
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		if got := next.size(); got < 1 {
			t.Error("the first is held for more than 100 ms")
		}
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		if got := next.size(); got != n {
			t.Errorf("%d of %d records are there after 200 ms", got, n)
		}
		if asked != 1 {
			t.Errorf("%d were looked at: for those behind the first it was too late", asked)
		}
		for _, r := range next.ended {
			if r.Diagnosis != "short" {
				t.Error("a record without a diagnosis must go on as it came")
			}
		}
	})
}

// TestFloodOfRefusals: all records go on, few are diagnosed, and little time is
// spent on it.
func TestFloodOfRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		next := newSink()
		const cost = 300 * time.Microsecond
		var spent atomic.Int64
		d := journal.NewDiagnoser(next, anonymous, func(context.Context, []string) latchkey.Explanation {
			time.Sleep(cost)
			spent.Add(int64(cost))
			return long
		})
		began := time.Now()
		const n = 20_000
		for i := range n {
			r := refused()
			d.Diagnose(r.RequestID, r.ClientIP, []string{fmt.Sprint("Bearer ", i)})
			d.Begin(r)
			d.End(r)
			time.Sleep(50 * time.Microsecond)
		}
		flood := time.Since(began)
		if part := time.Duration(spent.Load()); part > flood/9 || part < flood/20 {
			t.Errorf("%v of %v were spent on diagnoses, must be about a tenth", part, flood)
		}
		time.Sleep(time.Second)
		d.Close()
		if got := next.size(); got != n || next.twice != 0 {
			t.Errorf("%d of %d records are there, %d twice", got, n, next.twice)
		}
	})
}

// TestRefusalsThatDoNotEnd: responses that hang take no place from others for
// ever, and no memory without bound.
func TestRefusalsThatDoNotEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		next := newSink()
		var asked int
		d := journal.NewDiagnoser(next, anonymous, func(context.Context, []string) latchkey.Explanation { asked++; return long })
		for range 20_000 {
			r := refused()
			d.Diagnose(r.RequestID, r.ClientIP, nil)
			d.Begin(r)
			time.Sleep(time.Millisecond)
		}
		d.Close()
		if asked != 16384 {
			t.Errorf("%d refusals are kept, must be 16384", asked)
		}
	})
}

func TestCloseHandsOn(t *testing.T) {
	next := newSink()
	started, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	d := journal.NewDiagnoser(next, anonymous, func(ctx context.Context, _ []string) latchkey.Explanation {
		once.Do(func() { close(started); <-release })
		return long
	})
	var all []latchkey.Record
	for range 20 {
		r := refused()
		all = append(all, r)
		d.Diagnose(r.RequestID, r.ClientIP, nil)
		d.Begin(r)
		d.End(r)
	}
	<-started
	close(release)
	d.Close()
	if next.size() != len(all) {
		t.Errorf("%d of %d records are there after Close", next.size(), len(all))
	}
	after := refused()
	d.Diagnose(after.RequestID, after.ClientIP, nil)
	d.Begin(after)
	d.End(after)
	if r, there := next.end(after.RequestID); !there || r != after {
		t.Error("a record that comes after Close must pass through")
	}
	d.Close() // twice does no harm
}

func TestDiagnoserConcurrently(t *testing.T) {
	next := newSink()
	d := journal.NewDiagnoser(next, anonymous, func(context.Context, []string) latchkey.Explanation { return long })
	const workers, each = 8, 400
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for range each {
				r := refused()
				d.Diagnose(r.RequestID, r.ClientIP, []string{"Bearer x"})
				d.Begin(r)
				d.End(r)
			}
		})
	}
	all.Wait()
	d.Close()
	if next.size() != workers*each || next.twice != 0 {
		t.Errorf("%d of %d records are there, %d twice", next.size(), workers*each, next.twice)
	}
}

// TestFloodOfOneCaller: who sends any number of refusals takes no diagnosis from
// another caller, and no fingerprint from anybody.
func TestFloodOfOneCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		next := newSink()
		mark := func(fields []string) string { return latchkey.FingerprintPrefix + fields[0] }
		d := journal.NewDiagnoser(next, mark, func(context.Context, []string) latchkey.Explanation {
			time.Sleep(300 * time.Microsecond)
			return long
		})
		send := func(ip string, n int) string {
			r := refused()
			r.CredentialID, r.ClientIP = "", ip
			d.Diagnose(r.RequestID, r.ClientIP, []string{fmt.Sprint(n)})
			d.Begin(r)
			d.End(r)
			return r.RequestID
		}
		var others []string
		for i := range 20_000 {
			send(fmt.Sprintf("2001:db8::%x", i), i)
			if i%2000 == 1000 {
				others = append(others, send("192.0.2.1", i), send("2001:db8:0:1::1", i))
			}
			time.Sleep(50 * time.Microsecond)
		}
		time.Sleep(time.Second)
		d.Close()
		for _, id := range others {
			if r, _ := next.end(id); r.Diagnosis != words {
				t.Error("a flood from elsewhere takes a caller's diagnosis")
			}
		}
		diagnosed := 0
		for _, r := range next.ended {
			if r.CredentialID == "" || r.CredentialID == latchkey.FingerprintPrefix {
				t.Fatal("a record goes without a fingerprint")
			}
			if r.Diagnosis == words {
				diagnosed++
			}
		}
		if next.size() != 20_000+len(others) || diagnosed < 100 {
			t.Errorf("%d records, %d diagnosed", next.size(), diagnosed)
		}
	})
}
