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
	maxRefusals = 4096
	// share is the part of the time, one in so many, that is spent on
	// diagnoses at most, however many refusals there are.
	share = 10
)

// A Diagnoser is a [latchkey.Recorder] that puts the caller's mistake, in words,
// into the records of refusals on their way to another one. It works beside the
// requests and keeps a credential no longer than it takes; where refusals come
// faster than it may work, their records go on as they are. Make it with
// [NewDiagnoser]; it is safe for concurrent use.
type Diagnoser struct {
	next    latchkey.Recorder
	explain func(ctx context.Context, fields []string) latchkey.Explanation

	mu       sync.Mutex
	closed   bool
	refusals map[string]*refusal // by request ID
	queue    chan *refusal
	done     chan struct{}
}

// A refusal is a record that waits for its diagnosis.
type refusal struct {
	id     string
	until  time.Time // then it goes on without
	fields []string  // nil once it was looked at

	diagnosed   bool
	reason      latchkey.Reason
	diagnosis   string
	fingerprint string
	ended       *latchkey.Record // what End brought before the diagnosis was there
}

// NewDiagnoser returns a recorder in front of next. explain says what is wrong
// with the Authorization fields of a request; it must not outlast its context.
func NewDiagnoser(next latchkey.Recorder, explain func(ctx context.Context, fields []string) latchkey.Explanation) *Diagnoser {
	d := &Diagnoser{
		next: next, explain: explain,
		refusals: make(map[string]*refusal),
		queue:    make(chan *refusal, maxQueued),
		done:     make(chan struct{}),
	}
	go d.run()
	return d
}

// Diagnose asks for the diagnosis of a request that was refused, by its ID. It
// is called before the record begins, and returns at once.
func (d *Diagnoser) Diagnose(requestID string, fields []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || len(d.refusals) >= maxRefusals {
		return
	}
	r := &refusal{id: requestID, fields: fields, until: time.Now().Add(diagnosisTime)}
	select {
	case d.queue <- r:
		d.refusals[requestID] = r
	default:
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
	for r := range d.queue {
		began := time.Now()
		d.settle(r, d.look(r))
		if pause := (share - 1) * time.Since(began); !d.closing() {
			time.Sleep(min(pause, diagnosisTime))
		}
	}
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
	r.fields, r.diagnosed, r.reason, r.diagnosis, r.fingerprint = nil, true, e.Reason, e.Diagnosis(), e.Fingerprint
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
	if !d.closed {
		d.closed = true
		close(d.queue)
	}
	d.mu.Unlock()
	<-d.done
}
