package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/admin"
)

// oneName holds that a node stops when a living one has its name, that the other
// one does not notice, nor whoever looks up what it has open, and that a node
// which was killed starts again at once.
func oneName(t *testing.T, f *cluster) {
	const lease = time.Second
	end := make(chan struct{})
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/stream" {
			_ = http.NewResponseController(w).Flush()
			<-end
		}
	}))
	defer upstream.Close()
	defer close(end)
	first := f.start(t, "first", "--lease", lease.String(), "--upstream", upstream.URL)
	f.start(t, "second", "--lease", lease.String(), "--upstream", upstream.URL)
	key := "Bearer " + f.key(t, "first")
	goesOn := openStream(t, first, key)
	found := func(when string) {
		t.Helper()
		if got, err := f.api("second").Request(t.Context(), goesOn); err != nil || !got.Open {
			t.Errorf("%s the second node does not find what the first has open: %v", when, err)
		}
	}
	waitFor(t, "the second node to find what the first has open", func() bool {
		_, err := f.api("second").Request(t.Context(), goesOn)
		return err == nil
	})
	twin := startServer(t, f.data("twin"), "--node", "first", "--keyset", f.keyset, "--console=", "--lease", lease.String())
	for deadline, here := time.After(patience), true; here; {
		select {
		case <-twin.ended:
			here = false
		case <-deadline:
			t.Fatalf("a second node of one name goes on: %s", twin.output)
		case <-time.After(50 * time.Millisecond):
			found("while its namesake is there,")
		}
	}
	if twin.ProcessState.ExitCode() != exitFailed || !strings.Contains(twin.output.String(), "latchkey: another node, at "+first.url+", has this node's name, first: give each its own with --node") {
		t.Errorf("a second node of one name ends with %d: %s", twin.ProcessState.ExitCode(), twin.output)
	}
	found("after its namesake was there,")
	if got := first.status(t, key); got != http.StatusOK {
		t.Errorf("the first node answers %d after that", got)
	}

	first.kill()
	found("after it was killed,")
	again := f.start(t, "first", "--lease", lease.String(), "--upstream", upstream.URL)
	if n := f.nodes(t, "first")["first"]; n.Address == "" {
		t.Errorf("a node that was started again is not registered: %+v", n)
	}
	if got := again.status(t, key); got != http.StatusOK {
		t.Errorf("a node that was started again answers %d", got)
	}
	select {
	case <-again.ended:
		t.Errorf("a node that was killed and started again ends: %s", again.output)
	case <-time.After(3 * lease):
	}
}

// openStream begins a request that goes on, and returns its ID.
func openStream(t *testing.T, p *process, authorization string) (id string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+"/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", authorization)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = answer.Body.Close() })
	return answer.Header.Get("X-Request-Id")
}

// oneAddress holds that the canary does not ask one node twice, and certify two.
func oneAddress(t *testing.T, f *cluster) {
	first := f.start(t, "first")
	refused := func(rule string, says ...string) {
		t.Helper()
		out, said, code := f.latchkey(t, "first", "canary", "--rolls", "1")
		if code != exitFailed || out != "" {
			t.Errorf("%s: exit code %d, %q", rule, code, out)
		}
		for _, part := range append(says, "--advertise") {
			if !strings.Contains(said, part) {
				t.Errorf("%s: the canary says %q, must say %q", rule, said, part)
			}
		}
		if all, err := f.api("first").Teams(t.Context()); err != nil || len(all.Teams) != 1 {
			t.Errorf("%s: there are the teams %+v (%v)", rule, all.Teams, err)
		}
	}
	second := f.start(t, "second", "--advertise", first.url)
	refused("two nodes that advertise one address", "the nodes first and second advertise the same address, "+first.url)
	_ = second.Process.Signal(os.Interrupt)
	<-second.ended
	// Another spelling of loopback is not seen in the address, but in who answers.
	elsewhere := strings.Replace(first.url, "127.0.0.1", "localhost", 1)
	f.start(t, "third", "--advertise", elsewhere)
	refused("a node at whose address another answers", "node third advertises "+elsewhere+", but node first answers there")
}

// staleCanary holds that the canary does not blame a node which is cut off from
// the database and may be stale (--stale-ok), for either of the two keys.
func staleCanary(t *testing.T, f *cluster) {
	f.start(t, "first", "--lease", "300ms")
	w := newWire(t, f.server.Address())
	far := *f
	far.database = strings.Replace(f.database, f.server.Address(), w.addr(), 1) + "?sslmode=disable" // the wire reads what passes
	far.start(t, "lax", "--lease", "300ms", "--stale-ok", "5m")
	w.set(weather{cutUp: true, cutDown: true})
	out, said, code := f.latchkey(t, "first", "canary", "--rolls", "2", "--json")
	var sum canarySummary
	if err := json.Unmarshal([]byte(out), &sum); err != nil {
		t.Fatalf("exit code %d, %v: %s%s", code, err, out, said)
	}
	// It refuses both keys, since it knows neither: only the new one must be excused.
	if code != 0 || sum.StaleAccepts+sum.WrongRefusals > 0 || sum.NotConfirmed != 2 || sum.Excused < 2 || len(sum.Nodes) != 2 {
		t.Errorf("exit code %d: %+v %s", code, sum, said)
	}
	if first, lax := sum.Nodes[0], sum.Nodes[1]; !first.Identified || lax.Identified || first.Excused > 0 {
		t.Errorf("the nodes are %+v: the records of one that is cut off cannot be seen", sum.Nodes)
	}
}

// startedInAlarm holds that a node which is started while nobody can say which
// history is the right one changes nothing in it.
func startedInAlarm(t *testing.T, f *cluster) {
	const overlap = 5 * time.Second
	p := f.start(t, "first") // with a lease that does not end meanwhile: the node follows its roll
	rolled, _, err := f.api("first").RollKey(t.Context(), firstTeam, overlap)
	if err != nil {
		t.Fatal(err)
	}
	p.kill()
	f.server.Exec(t, f.database[strings.LastIndexByte(f.database, '/')+1:], loseLastChange)
	time.Sleep(time.Until(rolled.RolledAt.Add(overlap + 100*time.Millisecond)))
	f.start(t, "first", "--lease", "300ms")
	list, err := f.api("first").Nodes(t.Context()) // what it was before may be among them, under the same name
	if err != nil || !slices.ContainsFunc(list.Nodes, func(n admin.Node) bool { return n.Alarm != "" }) {
		t.Fatalf("the node does not see that the history is another: %+v (%v)", list.Nodes, err)
	}
	if key, err := f.api("first").Key(t.Context(), firstTeam); err != nil || key.OldKeyUntil == nil {
		t.Errorf("a node in alarm has ended the overlap (%v)", err)
	}
	f.must(t, "nowhere", "database", "accept", "--yes")
	waitFor(t, "the end of the overlap, once the history is accepted", func() bool {
		key, err := f.api("first").Key(t.Context(), firstTeam)
		return err == nil && key.OldKeyUntil == nil
	})
}

// overdueAtStart holds that a key whose overlap came due while nobody ran, by the
// database's clock, is dead before a node that starts answers, whatever its own clock
// says.
func overdueAtStart(t *testing.T, f *cluster) {
	p := f.start(t, "first")
	old := f.key(t, "first")
	if _, _, err := f.api("first").RollKey(t.Context(), firstTeam, 30*time.Minute); err != nil {
		t.Fatal(err)
	}
	if got := p.status(t, "Bearer "+old); got != http.StatusOK {
		t.Fatalf("the old key is answered %d in its overlap", got)
	}
	p.kill()
	f.server.Exec(t, f.database[strings.LastIndexByte(f.database, '/')+1:], `
		CREATE OR REPLACE FUNCTION latchkey.latchkey_now() RETURNS bigint LANGUAGE sql VOLATILE AS
		$$ SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint + 3600000000 $$`)
	p = f.start(t, "first", "--lease", "1s")
	if got := p.status(t, "Bearer "+old); got != http.StatusUnauthorized {
		t.Errorf("a key whose overlap is over is answered %d by a node that has just started", got)
	}
	if got := p.status(t, "Bearer "+f.key(t, "first")); got != http.StatusOK {
		t.Errorf("the new key is answered %d", got)
	}
}
