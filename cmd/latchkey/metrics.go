package main

import (
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"latchkey"
	"latchkey/journal"
	"latchkey/postgres"
	"latchkey/replica"
)

// Metrics are those of one server. No label of theirs has a value that comes
// with a request.
type metrics struct {
	registry *prometheus.Registry
	requests map[verdict]prometheus.Counter // never written once it is made
	rolls    *prometheus.HistogramVec
	changes  map[ending]prometheus.Counter // never written once it is made
}

// An ending is what became of a change of credentials.
type ending string

// The endings. Of several that fit, the last one counts.
const (
	endingConfirmed    ending = "confirmed"     // by each node
	endingLapsed       ending = "lapsed"        // once the lease of a node was over that was not heard from
	endingNotConfirmed ending = "not_confirmed" // by a node that may answer after its lease
	endingUnknown      ending = "unknown"       // nobody can say whether it was made, or who follows it
)

// A verdict is what a request is counted by.
type verdict struct {
	outcome latchkey.Outcome
	reason  latchkey.Reason
}

// otherReason is counted for what this program gives no name.
const otherReason latchkey.Reason = "other"

// verdicts are all pairs of outcome and reason that records can hold.
func verdicts() map[latchkey.Outcome][]latchkey.Reason {
	return map[latchkey.Outcome][]latchkey.Reason{
		latchkey.OutcomeAccepted: {latchkey.ReasonOK, otherReason},
		latchkey.OutcomeDenied: {
			latchkey.ReasonNoField, latchkey.ReasonManyFields, latchkey.ReasonBadScheme, latchkey.ReasonTooLong,
			latchkey.ReasonBasicEncoding, latchkey.ReasonBasicNoColon, latchkey.ReasonBasicPassword,
			latchkey.ReasonJWTForm, latchkey.ReasonJWTAlgorithm, latchkey.ReasonJWTClaim,
			latchkey.ReasonKeyUnknown, latchkey.ReasonKeyChecksum, latchkey.ReasonKeyRolled,
			latchkey.ReasonSecretUnknown, latchkey.ReasonSecretRevoked, latchkey.ReasonBadSignature, latchkey.ReasonTeamDisabled,
			latchkey.ReasonExpired, latchkey.ReasonNotYetValid, otherReason,
		},
		latchkey.OutcomeUnavailable: {latchkey.ReasonLeaseOver, latchkey.ReasonStoreUnavailable, otherReason},
		latchkey.OutcomeError: {
			latchkey.Reason(latchkey.CodeUpstreamUnreachable), latchkey.Reason(latchkey.CodeUpstreamTimeout),
			latchkey.Reason(latchkey.CodeInternal), otherReason,
		},
	}
}

// newMetrics returns the metrics of a server.
func newMetrics(watch *health) *metrics {
	m := &metrics{registry: prometheus.NewRegistry(), requests: make(map[verdict]prometheus.Counter)}
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "latchkey_requests_total", Help: "Responses of the API, by what became of the request and why.",
	}, []string{"outcome", "reason"})
	for outcome, reasons := range verdicts() {
		for _, reason := range reasons {
			m.requests[verdict{outcome, reason}] = requests.WithLabelValues(string(outcome), string(reason))
		}
	}
	m.rolls = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "latchkey_roll_seconds", Help: "How long changes of credentials took until they were true on all nodes, by kind of change.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
	}, []string{"change"})
	m.rolls.WithLabelValues(string(latchkey.ActionKeyRoll)) // there from the start
	changes := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "latchkey_changes_total", Help: "Changes of credentials that were sent to the store, by what became of them.",
	}, []string{"outcome"})
	m.changes = make(map[ending]prometheus.Counter)
	for _, e := range []ending{endingConfirmed, endingLapsed, endingNotConfirmed, endingUnknown} {
		m.changes[e] = changes.WithLabelValues(string(e))
	}
	v := readVersion()
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "latchkey_build_info", Help: "The program: 1.",
		ConstLabels: prometheus.Labels{"version": v.Version, "revision": v.Revision, "go": v.Go},
	})
	build.Set(1)
	m.registry.MustRegister(requests, m.rolls, changes, build, &nodeCollector{watch},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// observe takes a change that was settled, or whose outcome is not known: that
// one has no time that it took.
func (m *metrics) observe(action latchkey.Action, s latchkey.Settlement, err error) {
	e := endingConfirmed
	switch {
	case err != nil:
		e = endingUnknown
	case len(s.NotConfirmed) > 0:
		e = endingNotConfirmed
	case len(s.Lapsed) > 0:
		e = endingLapsed
	}
	m.changes[e].Inc()
	if err == nil {
		m.rolls.WithLabelValues(string(action)).Observe(s.Took.Seconds())
	}
}

// count takes a record of a response that has ended. It allocates nothing.
func (m *metrics) count(r *latchkey.Record) {
	counter := m.requests[verdict{r.Outcome, r.Reason}]
	if counter == nil {
		counter = m.requests[verdict{r.Outcome, otherReason}]
	}
	if counter == nil {
		counter = m.requests[verdict{latchkey.OutcomeError, otherReason}]
	}
	counter.Inc()
}

// A countingRecorder counts records on their way to another recorder.
type countingRecorder struct {
	latchkey.Recorder
	metrics *metrics
}

// End counts a record, and hands it on.
func (c *countingRecorder) End(r latchkey.Record) {
	c.metrics.count(&r)
	c.Recorder.End(r)
}

// A nodeCollector reads how a node stands, when it is asked.
type nodeCollector struct{ watch *health }

// Describe is part of prometheus.Collector: what there is shows in Collect.
func (c *nodeCollector) Describe(chan<- *prometheus.Desc) {}

// Collect is part of prometheus.Collector.
func (c *nodeCollector) Collect(out chan<- prometheus.Metric) {
	n := c.watch.node.Load()
	if n == nil {
		return // it is starting
	}
	s := n.replica.Status()
	gauge(out, "latchkey_lease_remaining_seconds",
		"For how long this node can answer without hearing from the database, --stale-ok included: +Inf where one process owns the data, 0 where it cannot; never negative.", leaseSeconds(s.Remaining))
	gauge(out, "latchkey_revision", "The last change that this node's memory holds.", float64(s.Revision))
	gauge(out, "latchkey_history_alarm", "1: the database has another history, and a person must look.", truth(s.Alarm != nil))

	seen := c.watch.look()
	gauge(out, "latchkey_database_up", "1: the database answered when it was asked last.", truth(seen.err == nil))
	gauge(out, "latchkey_database_seconds", "How long its answer took.", seen.took.Seconds())
	for _, state := range nodeStates() {
		if seen.err == nil {
			gauge(out, "latchkey_nodes", "Nodes, by how they stand as it can be seen in the database.", float64(seen.nodes[state]), "state", state)
		}
	}
	if pooled, ok := n.store.(interface{ Pools() []postgres.Pool }); ok {
		for _, p := range pooled.Pools() {
			const help = "Connections to the database, by what they are for; max is the most there can be."
			gauge(out, "latchkey_database_connections", help, float64(p.InUse), "pool", p.Name, "state", "in use")
			gauge(out, "latchkey_database_connections", help, float64(p.Idle), "pool", p.Name, "state", "idle")
			gauge(out, "latchkey_database_connections", help, float64(p.Max), "pool", p.Name, "state", "max")
		}
	}
	collectJournal(out, n.journal.Status())
}

func collectJournal(out chan<- prometheus.Metric, s journal.Status) {
	gauge(out, "latchkey_journal_waiting_bytes", "What the journal holds on disk until the store has it.", float64(s.Waiting))
	gauge(out, "latchkey_journal_live_responses", "Responses that have begun and not ended.", float64(s.Live))
	out <- prometheus.MustNewConstMetric(prometheus.NewDesc("latchkey_journal_not_kept_total", "Records that could not be kept, since the start.", nil, nil),
		prometheus.CounterValue, float64(s.NotKept))
	synced := 0.0
	if !s.Synced.IsZero() {
		synced = float64(s.Synced.UnixMilli()) / 1000
	}
	gauge(out, "latchkey_journal_last_sync_timestamp_seconds", "When all records that were made until then were on disk.", synced)
	const failing = "1: this fails at the moment: the disk hangs, records are not written, not on disk, or not taken by the store."
	gauge(out, "latchkey_journal_failing", failing, truth(s.Stalled), "what", "disk")
	gauge(out, "latchkey_journal_failing", failing, truth(s.Writing), "what", "write")
	gauge(out, "latchkey_journal_failing", failing, truth(s.Syncing), "what", "sync")
	gauge(out, "latchkey_journal_failing", failing, truth(s.Moving), "what", "store")
}

// gauge gives one value, with pairs of a label and its value.
func gauge(out chan<- prometheus.Metric, name, help string, value float64, labels ...string) {
	var names, values []string
	for i := 0; i+1 < len(labels); i += 2 {
		names, values = append(names, labels[i]), append(values, labels[i+1])
	}
	out <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, help, names, nil), prometheus.GaugeValue, value, values...)
}

// leaseSeconds is what remains of a lease.
func leaseSeconds(d time.Duration) float64 {
	if d == replica.Endless {
		return math.Inf(1)
	}
	return max(0, d.Seconds())
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
