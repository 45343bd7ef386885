package journal

import (
	"context"
	"sync"
	"time"

	"latchkey"
)

const (
	// diagnosisTime bounds how long a diagnosis keeps the end of a record
	// waiting. The response has left by then.
	diagnosisTime = 100 * time.Millisecond
	// maxQueued is how many refusals wait for their diagnosis: about as many
	// as are done in diagnosisTime.
	maxQueued = 64
	// maxRefusals is how many refusals are known at a time: those that wait,
	// and those whose responses have not ended.
	maxRefusals = 16384
	// share is the part of the time, one in so many, that is spent on
	// diagnoses at most, however many refusals there are.
	share = 10
)

// A Diagnoser is a [latchkey.Recorder] that puts the caller's mistake, in words,
// into the records of refusals on their way to another one, and a fingerprint in
// the place of a credential that is nobody's. It diagnoses beside the requests
// and keeps a credential no longer than it takes; where refusals come faster
// than it may work, their records go on without words. Callers take turns: who
// sends many takes none from others. Make it with [NewDiagnoser]; it is safe for
// concurrent use.
type Diagnoser struct {
	next        latchkey.Recorder
	fingerprint func(fields []string) string
	explain     func(ctx context.Context, fields []string) latchkey.Explanation

	mu       sync.Mutex
	closed   bool
	refusals map[string]*refusal // by request ID
	queue    turns
	come     *sync.Cond // something is in the queue, or it is closed
	done     chan struct{}
}

// A refusal is a record that waits for its diagnosis.
type refusal struct {
	id     string
	caller string
	until  time.Time // then it goes on without
	fields []string  // nil once it was looked at

	diagnosed   bool
	reason      latchkey.Reason
	diagnosis   string
	fingerprint string
	ended       *latchkey.Record // what End brought before the diagnosis was there
}

// NewDiagnoser returns a recorder in front of next. fingerprint returns that of
// the Authorization fields of a request, at once. explain says what is wrong
// with them; it must not outlast its context.
func NewDiagnoser(next latchkey.Recorder, fingerprint func(fields []string) string,
	explain func(ctx context.Context, fields []string) latchkey.Explanation) *Diagnoser {
	d := &Diagnoser{
		next: next, fingerprint: fingerprint, explain: explain,
		refusals: make(map[string]*refusal),
		queue:    turns{lines: make(map[string][]*refusal)},
		done:     make(chan struct{}),
	}
	d.come = sync.NewCond(&d.mu)
	go d.run()
	return d
}

// Diagnose asks for the diagnosis of a request that was refused, by its ID and
// the address of its client. It is called before the record begins, and returns
// at once.
func (d *Diagnoser) Diagnose(requestID, clientIP string, fields []string) {
	r := &refusal{
		id: requestID, caller: neighbourhood(clientIP), fields: fields,
		until: time.Now().Add(diagnosisTime), fingerprint: d.fingerprint(fields),
	}
	d.mu.Lock()
	if d.closed || len(d.refusals) >= maxRefusals {
		d.mu.Unlock()
		return
	}
	d.refusals[requestID] = r
	passed := d.queue.put(r)
	d.come.Signal()
	d.mu.Unlock()
	if passed != nil {
		d.settle(passed, latchkey.Explanation{})
	}
}

// Begin hands a record on, with its diagnosis if that is there.
func (d *Diagnoser) Begin(record latchkey.Record) error {
	d.mu.Lock()
	if r := d.refusals[record.RequestID]; r != nil {
		r.complete(&record)
	}
	d.mu.Unlock()
	return d.next.Begin(record)
}

// End hands a record on, now or when its diagnosis is there.
func (d *Diagnoser) End(record latchkey.Record) {
	d.mu.Lock()
	r := d.refusals[record.RequestID]
	if r != nil && !r.diagnosed {
		r.ended = &record
		d.mu.Unlock()
		return
	}
	delete(d.refusals, record.RequestID)
	d.mu.Unlock()
	if r != nil {
		r.complete(&record)
	}
	d.next.End(record)
}

// complete puts the diagnosis into a record, and the fingerprint of a credential
// that is nobody's. A diagnosis of another reason is left out: the credential
// has changed since the verdict.
func (r *refusal) complete(record *latchkey.Record) {
	if record.CredentialID == "" {
		record.CredentialID = r.fingerprint
	}
	if r.diagnosis != "" && r.reason == record.Reason {
		record.Diagnosis = r.diagnosis
	}
}

// run looks at one refusal after the other, until Close.
func (d *Diagnoser) run() {
	defer close(d.done)
	for r := d.take(); r != nil; r = d.take() {
		began := time.Now()
		d.settle(r, d.look(r))
		if pause := (share - 1) * time.Since(began); !d.closing() {
			time.Sleep(min(pause, diagnosisTime))
		}
	}
}

// take waits for the refusal whose turn it is; nil after Close.
func (d *Diagnoser) take() *refusal {
	d.mu.Lock()
	defer d.mu.Unlock()
	for d.queue.waiting == 0 && !d.closed {
		d.come.Wait()
	}
	return d.queue.take()
}

// look returns the diagnosis of a refusal, or a zero one if it is too late.
func (d *Diagnoser) look(r *refusal) latchkey.Explanation {
	if d.closing() || !time.Now().Before(r.until) {
		return latchkey.Explanation{}
	}
	ctx, cancel := context.WithDeadline(context.Background(), r.until)
	defer cancel()
	return d.explain(ctx, r.fields)
}

// settle notes the diagnosis, and hands on the record that waited for it.
func (d *Diagnoser) settle(r *refusal, e latchkey.Explanation) {
	d.mu.Lock()
	r.fields, r.diagnosed, r.reason, r.diagnosis = nil, true, e.Reason, e.Diagnosis()
	record := r.ended
	if record != nil {
		delete(d.refusals, r.id)
	}
	d.mu.Unlock()
	if record != nil {
		r.complete(record)
		d.next.End(*record)
	}
}

func (d *Diagnoser) closing() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.closed
}

// Close hands on the records that wait, without their diagnoses. Records that
// come later pass through.
func (d *Diagnoser) Close() {
	d.mu.Lock()
	d.closed = true
	d.come.Signal()
	d.mu.Unlock()
	<-d.done
}
