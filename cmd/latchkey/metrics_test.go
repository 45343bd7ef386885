package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey"
	"latchkey/admin"
	"latchkey/replica"
)

// openOps opens a node in a new directory, and what watches it.
func openOps(t *testing.T) (*node, *opsServer) {
	t.Helper()
	data := filepath.Join(t.TempDir(), "data")
	lock, err := claimDir(t.Context(), data, true)
	if err != nil {
		t.Fatal(err)
	}
	n, err := openNode(t.Context(), lock, nodeConfig{Data: data, Create: true, By: latchkey.System, Node: "n", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	ln, err := (&opsFlags{Ops: "127.0.0.1:0"}).listenOps()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	ops := newOps(ln, slog.New(slog.DiscardHandler))
	ops.watch(n)
	ops.started()
	return n, ops
}

// scrape returns what /metrics says, without Go's and the process's own.
func (s *opsServer) scrape(t *testing.T) string {
	t.Helper()
	w := httptest.NewRecorder()
	s.server.Handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("/metrics says %d %s", w.Code, w.Body)
	}
	return w.Body.String()
}

// TestMetricNames holds the names and labels that dashboards are built on.
func TestMetricNames(t *testing.T) {
	_, ops := openOps(t)
	var got []string
	series := regexp.MustCompile(`(?m)^(latchkey_[a-z_]+)(?:\{([^}]*)\})? `)
	label := regexp.MustCompile(`([a-z]+)="`)
	text := ops.scrape(t)
	for _, m := range series.FindAllStringSubmatch(text, -1) {
		name := m[1]
		for _, l := range label.FindAllStringSubmatch(m[2], -1) {
			name += " " + l[1]
		}
		if !slices.Contains(got, name) {
			got = append(got, name)
		}
	}
	want := []string{
		"latchkey_build_info go revision version",
		"latchkey_changes_total outcome",
		"latchkey_database_seconds",
		"latchkey_database_up",
		"latchkey_history_alarm",
		"latchkey_journal_failing what",
		"latchkey_journal_last_sync_timestamp_seconds",
		"latchkey_journal_live_responses",
		"latchkey_journal_not_kept_total",
		"latchkey_journal_waiting_bytes",
		"latchkey_lease_remaining_seconds",
		"latchkey_nodes state",
		"latchkey_requests_total outcome reason",
		"latchkey_revision",
		"latchkey_roll_seconds_bucket change le",
		"latchkey_roll_seconds_sum change",
		"latchkey_roll_seconds_count change",
	}
	if !slices.Equal(got, want) {
		t.Errorf("the metrics are\n%s\nmust be\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, name := range []string{"go_goroutines ", "process_open_fds "} {
		if !strings.Contains(text, "\n"+name) {
			t.Errorf("there is no %s", name)
		}
	}
}

// TestRequestsAreCounted holds that each response is counted once, by what its
// record says, and that what a stranger sends makes no label.
func TestRequestsAreCounted(t *testing.T) {
	n, ops := openOps(t)
	record := latchkey.Record{Outcome: latchkey.OutcomeDenied, Reason: latchkey.ReasonKeyRolled, Path: "/secret-path", UserAgent: "evil\"} 1"}
	for _, c := range []struct {
		outcome latchkey.Outcome
		reason  latchkey.Reason
		line    string
	}{
		{latchkey.OutcomeAccepted, latchkey.ReasonOK, `{outcome="accepted",reason="ok"} 1`},
		{latchkey.OutcomeDenied, latchkey.ReasonKeyRolled, `{outcome="denied",reason="key_rolled"} 1`},
		{latchkey.OutcomeUnavailable, latchkey.ReasonLeaseOver, `{outcome="unavailable",reason="lease_over"} 1`},
		{latchkey.OutcomeError, latchkey.Reason(latchkey.CodeInternal), `{outcome="error",reason="internal_error"} 1`},
		{latchkey.OutcomeDenied, "made up", `{outcome="denied",reason="other"} 1`},
		{"made up", "made up", `{outcome="error",reason="other"} 1`},
	} {
		r := record
		r.RequestID, r.Time = latchkey.NewEvent(time.Now(), latchkey.System, "", "", "", "").ID, time.Now()
		r.Outcome, r.Reason = c.outcome, c.reason
		_ = n.recorder.Begin(r)
		if strings.Contains(ops.scrape(t), "latchkey_requests_total"+c.line) {
			t.Errorf("%s is there before the response has ended", c.line)
		}
		n.recorder.End(r)
		if !strings.Contains(ops.scrape(t), "latchkey_requests_total"+c.line) {
			t.Errorf("%s is not there after such a response", c.line)
		}
	}
	if text := ops.scrape(t); strings.Contains(text, "made up") || strings.Contains(text, "evil") || strings.Contains(text, "secret-path") {
		t.Error("what came with a request is in the metrics")
	}
}

// TestEveryReasonIsCounted holds that a reason that is added has a counter.
func TestEveryReasonIsCounted(t *testing.T) {
	known := verdicts()
	for _, r := range []latchkey.Reason{
		latchkey.ReasonOK, latchkey.ReasonNoField, latchkey.ReasonManyFields, latchkey.ReasonBadScheme, latchkey.ReasonTooLong,
		latchkey.ReasonBasicEncoding, latchkey.ReasonBasicNoColon, latchkey.ReasonBasicPassword, latchkey.ReasonJWTForm,
		latchkey.ReasonJWTAlgorithm, latchkey.ReasonJWTClaim, latchkey.ReasonKeyUnknown, latchkey.ReasonKeyChecksum,
		latchkey.ReasonKeyRolled, latchkey.ReasonSecretUnknown, latchkey.ReasonSecretRevoked, latchkey.ReasonBadSignature,
		latchkey.ReasonTeamDisabled, latchkey.ReasonExpired, latchkey.ReasonNotYetValid, latchkey.ReasonLeaseOver, latchkey.ReasonStoreUnavailable,
	} {
		found := false
		for _, reasons := range known {
			found = found || slices.Contains(reasons, r)
		}
		if !found {
			t.Errorf("%s has no counter", r)
		}
	}
}

// TestCountingAllocatesNothing holds that a flood of requests does not feel the
// metrics.
func TestCountingAllocatesNothing(t *testing.T) {
	_, ops := openOps(t)
	r := latchkey.Record{Outcome: latchkey.OutcomeDenied, Reason: latchkey.ReasonKeyUnknown}
	if n := testing.AllocsPerRun(1000, func() { ops.metrics.count(&r) }); n != 0 {
		t.Errorf("counting a record allocates %v times, must be 0", n)
	}
}

// TestRollsAreObserved holds that each change is in the histogram of its kind.
func TestRollsAreObserved(t *testing.T) {
	n, ops := openOps(t)
	if !strings.Contains(ops.scrape(t), `latchkey_roll_seconds_count{change="key.roll"} 0`) {
		t.Error("before the first roll, the histogram is not there: nobody could ask for its rate")
	}
	if _, _, err := n.keyring.RollKey(t.Context(), firstTeam, time.Hour, latchkey.System); err != nil {
		t.Fatal(err)
	}
	if _, _, err := n.keyring.RetireKey(t.Context(), firstTeam, latchkey.System); err != nil {
		t.Fatal(err)
	}
	if _, _, err := n.keyring.RetireKey(t.Context(), firstTeam, latchkey.System); err == nil {
		t.Fatal("there was nothing to retire")
	}
	if _, _, err := n.keyring.CreateTeam(t.Context(), "acme", latchkey.System); err != nil {
		t.Fatal(err)
	}
	text := ops.scrape(t)
	for _, change := range []string{"key.roll", "key.retire", "team.create"} {
		if !strings.Contains(text, `latchkey_roll_seconds_count{change="`+change+`"} 1`) {
			t.Errorf("one %s is not counted once", change)
		}
	}
	if !strings.Contains(text, "\nlatchkey_revision 4\n") || !strings.Contains(text, "\nlatchkey_lease_remaining_seconds +Inf\n") {
		t.Error("revision and lease of a node that owns its data must be 4 and +Inf")
	}
}

// TestEndingsAreCounted holds that each change is counted by what became of it,
// those of which nobody knows among them.
func TestEndingsAreCounted(t *testing.T) {
	n, ops := openOps(t)
	good := n.keyring.Store
	n.keyring.Store = lostAnswers{good}
	if _, _, err := n.keyring.RollKey(t.Context(), firstTeam, 0, latchkey.System); !errors.Is(err, latchkey.ErrOutcomeUnknown) {
		t.Fatal(err)
	}
	n.keyring.Store = good
	if _, _, err := n.keyring.RollKey(t.Context(), firstTeam, 0, latchkey.System); err != nil {
		t.Fatal(err)
	}
	if _, _, err := n.keyring.RetireKey(t.Context(), firstTeam, latchkey.System); err == nil {
		t.Fatal("there was nothing to retire")
	}
	lapsed, stale := []string{"other"}, []latchkey.Unconfirmed{{Node: "lax", MaxSeconds: 1}}
	n.keyring.Observe(latchkey.ActionKeyRoll, latchkey.Settlement{Lapsed: lapsed}, nil)
	n.keyring.Observe(latchkey.ActionKeyRoll, latchkey.Settlement{Lapsed: lapsed, NotConfirmed: stale}, nil)
	text := ops.scrape(t)
	for _, outcome := range []string{"confirmed", "lapsed", "not_confirmed", "unknown"} {
		if !strings.Contains(text, `latchkey_changes_total{outcome="`+outcome+`"} 1`) {
			t.Errorf("one change is not counted as %s", outcome)
		}
	}
	if !strings.Contains(text, `latchkey_roll_seconds_count{change="key.roll"} 3`) {
		t.Error("the time of a change that is not known to have ended is observed, or one of the others is not")
	}
}

// A lostAnswers store makes changes, and cannot say so.
type lostAnswers struct{ latchkey.CredentialStore }

func (s lostAnswers) UpdateTeam(ctx context.Context, id string, edit func(time.Time, *latchkey.Holding) error) (latchkey.Holding, latchkey.Change, error) {
	_, _, err := s.CredentialStore.UpdateTeam(ctx, id, edit)
	return latchkey.Holding{}, latchkey.Change{}, errors.Join(latchkey.ErrOutcomeUnknown, err)
}

// TestReady holds what /readyz says in each state but those that need a cluster.
func TestReady(t *testing.T) {
	n, ops := openOps(t)
	ready := func() (int, string) {
		w := httptest.NewRecorder()
		ops.server.Handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/readyz", nil))
		return w.Code, strings.TrimSpace(w.Body.String())
	}
	if status, body := ready(); status != http.StatusOK || body != `{"ok":true}` {
		t.Errorf("a node that answers: %d %s", status, body)
	}
	ops.stopping()
	if status, body := ready(); status != http.StatusServiceUnavailable || body != `{"ok":false,"reasons":["stopping"]}` {
		t.Errorf("a node that stops: %d %s", status, body)
	}
	ops.health.stopping.Store(false)
	_ = n.store.Close()
	ops.health.last = sight{}
	if status, body := ready(); status != http.StatusOK || body != `{"ok":true,"warnings":["store_unavailable"]}` {
		t.Errorf("a node that answers without its store: %d %s", status, body)
	}
	if err := n.replica.Close(); err != nil {
		t.Fatal(err)
	}
	if status, body := ready(); status != http.StatusServiceUnavailable || body != `{"ok":false,"reasons":["lease_over"],"warnings":["store_unavailable"]}` {
		t.Errorf("a node without a lease: %d %s", status, body)
	}
	w := httptest.NewRecorder()
	ops.server.Handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/healthz", nil))
	if w.Code != http.StatusOK {
		t.Errorf("/healthz says %d while the process is alive", w.Code)
	}
}

// TestNodeStates holds what is said of a node by what can be seen of it.
func TestNodeStates(t *testing.T) {
	// By the database's clock: this process's differs by an hour, and more than that.
	renewed := time.Now().Add(time.Hour)
	for _, c := range []struct {
		rule      string
		id        string
		renewals  int64
		age       time.Duration
		stale     time.Duration
		state     string
		remaining int64
	}{
		{"it has just registered", "A", 0, 0, 0, admin.NodeStarting, 0},
		{"it renewed a second ago", "A", 5, time.Second, 0, admin.NodeAnswering, 2000},
		{"its lease is over", "A", 5, 3 * time.Second, 0, admin.NodeSilent, 0},
		{"its lease is over, and it may go on", "A", 5, 4 * time.Second, 10 * time.Second, admin.NodeStale, 0},
		{"that is over too", "A", 5, 13 * time.Second, 10 * time.Second, admin.NodeSilent, 0},
		{"it stands for lost ones", "lost_5b7c", 0, time.Second, time.Second, admin.NodeLost, 0},
	} {
		n := nodeOf(latchkey.Registration{ID: c.id, Node: "n", Lease: 3 * time.Second, StaleOK: c.stale, Renewals: c.renewals, Renewed: renewed, Age: c.age})
		if left := (3*time.Second + c.stale - c.age).Milliseconds(); n.StaleMS != 0 != (c.state == admin.NodeStale) || n.StaleMS > 0 && n.StaleMS != left {
			t.Errorf("%s: it may answer for %d ms, must be %d", c.rule, n.StaleMS, left)
		}
		if n.State != c.state || n.RemainingMS != c.remaining {
			t.Errorf("%s: it is %q with %d ms, must be %q with %d ms", c.rule, n.State, n.RemainingMS, c.state, c.remaining)
		}
		if !slices.Contains(nodeStates(), n.State) {
			t.Errorf("%s: the metrics do not know the state %q", c.rule, n.State)
		}
	}
}

// TestSelf holds that a node says of itself what the others say of it.
func TestSelf(t *testing.T) {
	n := &node{name: "n", leases: struct{ sharedStore }{}, replica: &replica.Replica{Lease: 3 * time.Second, StaleOK: 10 * time.Second}}
	for _, c := range []struct {
		rule   string
		joined bool
		status replica.Status
		state  string
		lease  string
	}{
		{"it is starting", false, replica.Status{}, admin.NodeStarting, "none yet, of 3.0 s, then 10.0 s stale"},
		{"its lease is good", true, replica.Status{Remaining: 12 * time.Second, Stale: 10 * time.Second}, admin.NodeAnswering, "2.0 s of 3.0 s, then 10.0 s stale"},
		{"its lease is over, and it goes on", true, replica.Status{Remaining: 4 * time.Second, Stale: 4 * time.Second}, admin.NodeStale, "over; 4.0 s of 10.0 s stale"},
		{"it cannot answer", true, replica.Status{}, admin.NodeUnavailable, "over, of 3.0 s, then 10.0 s stale"},
	} {
		n.joined.Store(c.joined)
		if got := n.self(c.status); got.State != c.state || leaseOf(got) != c.lease {
			t.Errorf("%s: it says %q, %q, must be %q, %q", c.rule, got.State, leaseOf(got), c.state, c.lease)
		}
	}
	for rule, c := range map[string]struct {
		age   time.Duration
		lease string
	}{"its lease is good": {time.Second, "2.0 s of 3.0 s, then 10.0 s stale"}, "its lease is over, and it goes on": {9 * time.Second, "over; 4.0 s of 10.0 s stale"}} {
		if got := leaseOf(nodeOf(latchkey.Registration{ID: "A", Lease: 3 * time.Second, StaleOK: 10 * time.Second, Renewals: 1, Age: c.age})); got != c.lease {
			t.Errorf("of another node, %s: %q, must be %q", rule, got, c.lease)
		}
	}
}

// TestLeaseSeconds holds what the gauge shows at its ends.
func TestLeaseSeconds(t *testing.T) {
	for d, want := range map[time.Duration]float64{2500 * time.Millisecond: 2.5, 0: 0, -time.Second: 0} {
		if got := leaseSeconds(d); got != want {
			t.Errorf("%v remain: %v, must be %v", d, got, want)
		}
	}
	if got := leaseSeconds(replica.Endless); got < 1e300 {
		t.Errorf("a lease without end: %v, must be +Inf", got)
	}
}
