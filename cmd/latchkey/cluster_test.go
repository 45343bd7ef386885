package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey"
	"latchkey/admin"
	"latchkey/postgres/postgrestest"
)

// loseLastChange makes the database look as one that was restored from a backup
// without the last change, and has had another since.
const loseLastChange = `
	UPDATE latchkey.changes SET change_id = 'another' WHERE revision = (SELECT revision FROM latchkey.meta);
	UPDATE latchkey.meta SET change_id = 'another'`

// TestCluster is the life of a cluster, on a real PostgreSQL.
func TestCluster(t *testing.T) {
	server := postgrestest.Start(t)
	t.Run("two nodes", func(t *testing.T) { twoNodes(t, newCluster(t, server)) })
	t.Run("rolls at once", func(t *testing.T) { rollsOfOneTeam(t, newCluster(t, server)) })
	t.Run("changes at once", func(t *testing.T) { changesOfOneTeam(t, newCluster(t, server)) })
	t.Run("killed and started again", func(t *testing.T) { killedAndStarted(t, newCluster(t, server)) })
	t.Run("what is refused", func(t *testing.T) { refusedNodes(t, newCluster(t, server)) })
	t.Run("without a server", func(t *testing.T) { commandsAlone(t, newCluster(t, server)) })
	t.Run("stale on purpose", func(t *testing.T) { staleOnPurpose(t, newCluster(t, server)) })
	t.Run("another history", func(t *testing.T) { anotherHistory(t, newCluster(t, server)) })
	t.Run("two nodes of one name", func(t *testing.T) { oneName(t, newCluster(t, server)) })
	t.Run("two nodes of one address", func(t *testing.T) { oneAddress(t, newCluster(t, server)) })
	t.Run("a stale node and the canary", func(t *testing.T) { staleCanary(t, newCluster(t, server)) })
	t.Run("started in another history", func(t *testing.T) { startedInAlarm(t, newCluster(t, server)) })
	t.Run("started when overlaps are over", func(t *testing.T) { overdueAtStart(t, newCluster(t, server)) })
	t.Run("started without a standby", func(t *testing.T) { startedWithoutStandby(t, newCluster(t, server)) })
	t.Run("a stream of HTTP/2 that is slow", func(t *testing.T) { slowStream(t, newCluster(t, server)) })
	t.Run("the door in a program", func(t *testing.T) { embeddedDoor(t, newCluster(t, server)) })
	t.Run("another protocol", func(t *testing.T) { anotherProtocol(t, newCluster(t, server)) })
	t.Run("the database down", func(t *testing.T) { databaseDown(t, newCluster(t, server)) })
	t.Run("requests", func(t *testing.T) { requestsOfNodes(t, newCluster(t, server)) })
}

// twoNodes holds that a roll is confirmed by both, is true on both, and waits no
// longer than a lease for one that was killed.
func twoNodes(t *testing.T, f *cluster) {
	const lease = 3 * time.Second
	first := f.start(t, "first", "--lease", lease.String())
	second := f.start(t, "second", "--lease", lease.String())
	old := f.key(t, "second")
	for name, p := range map[string]*process{"first": first, "second": second} {
		if got := p.status(t, "Bearer "+old); got != http.StatusOK {
			t.Errorf("%s answers %d to the key of the first team, must be 200", name, got)
		}
	}
	nodes := f.nodes(t, "first")
	for name, p := range map[string]*process{"first": first, "second": second} {
		if n := nodes[name]; n.State != admin.NodeAnswering || n.Address != p.url || n.LeaseMS != lease.Milliseconds() || n.RemainingMS == 0 {
			t.Errorf("node list shows %s as %+v", name, n)
		}
	}
	out, said := f.must(t, "second", "key", "roll", firstTeam)
	if !strings.Contains(said, "Confirmed by first and second in ") {
		t.Errorf("the roll says %q, must say that both nodes confirmed it", said)
	}
	next := strings.TrimSpace(out)
	for name, p := range map[string]*process{"first": first, "second": second} {
		if got := p.status(t, "Bearer "+old); got != http.StatusUnauthorized {
			t.Errorf("after the roll, %s answers %d to the old key", name, got)
		}
		if got := p.status(t, "Bearer "+next); got != http.StatusOK {
			t.Errorf("after the roll, %s answers %d to the new key", name, got)
		}
	}
	out, _ = f.must(t, "first", "canary", "--rolls", "10", "--json")
	var sum canarySummary
	if err := json.Unmarshal([]byte(out), &sum); err != nil {
		t.Fatal(err)
	}
	if sum.Rolls != 10 || len(sum.Nodes) != 2 || sum.Nodes[0].Verifies < 10 || sum.Nodes[1].Verifies < 10 || sum.StaleAccepts+sum.WrongRefusals+sum.Unreachable > 0 {
		t.Errorf("the canary saw %+v", sum)
	}
	if all, err := f.api("first").Teams(t.Context()); err != nil || len(all.Teams) != 1 {
		t.Errorf("after the canary there are the teams %+v (%v): its own must be gone", all.Teams, err)
	}
	t.Logf("rolls of two nodes on this machine: %+v ms", sum.RollMS)

	second.kill()
	began := time.Now()
	_, settled, err := f.api("first").RollKey(t.Context(), firstTeam, 0)
	// Promised is lease × 1.01 + 1 s, which the long histories hold: this machine may be slow.
	if took := time.Since(began); err != nil || took > lease*101/100+10*time.Second {
		t.Errorf("a roll waited %v for a killed node (%v), must be at most lease × 1.01 + 10 s", took, err)
	}
	_, registered := f.nodes(t, "first")["second"] // where the roll began late, the other one was reaped meanwhile
	named := slices.Equal(settled.Lapsed, []string{"second"}) || len(settled.Lapsed) == 0 && !registered
	if !slices.Equal(settled.Confirmed, []string{"first"}) || !named || len(settled.NotConfirmed) > 0 {
		t.Errorf("the roll says %+v, must say that the second node was not heard from", settled)
	}

	// One that stops in good order is not waited for.
	third := f.start(t, "third", "--lease", lease.String())
	_ = third.Process.Signal(os.Interrupt)
	<-third.ended
	if _, there := f.nodes(t, "first")["third"]; there {
		t.Error("a node that stopped in good order is still registered")
	}
	if third.err != nil {
		t.Errorf("the third node ended with %v", third.err)
	}
	waitFor(t, "the killed node to be reaped", func() bool { return len(f.nodes(t, "first")) == 1 })
	if _, settled, err = f.api("first").RollKey(t.Context(), firstTeam, 0); err != nil || len(settled.Lapsed) > 0 {
		t.Errorf("a roll says %+v (%v): a node that stopped in good order must not be waited for", settled, err)
	}
}

// killedAndStarted holds that nothing waits for what a node was before it was
// killed, once it is there again. The lease is so long that a wait would show.
func killedAndStarted(t *testing.T, f *cluster) {
	lock, err := os.Create(filepath.Join(t.TempDir(), "lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if witness(lock) == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("CI needs its temporary files on ext4, XFS, Btrfs or tmpfs")
		}
		t.Skip("nothing says for certain that a process is dead")
	}
	lease := latchkey.MaxLease
	f.start(t, "first", "--lease", lease.String())
	f.start(t, "second", "--lease", lease.String()).kill()
	second := f.start(t, "second", "--lease", lease.String())
	began := time.Now()
	key, settled, err := f.api("first").RollKey(t.Context(), firstTeam, 0)
	if took := time.Since(began); err != nil || took > lease/2 || !slices.Equal(settled.Confirmed, []string{"first", "second"}) || len(settled.Lapsed) > 0 {
		t.Errorf("after a node was killed and started again, a roll says %+v after %v (%v)", settled, took, err)
	}
	if got := second.status(t, "Bearer "+key.APIKey); got != http.StatusOK {
		t.Errorf("after the roll, the second node answers %d to the new key", got)
	}
}

// rollsOfOneTeam holds that rolls of one team through several nodes at once have an
// order: one key lives, and whoever made it is not told that it does not.
func rollsOfOneTeam(t *testing.T, f *cluster) {
	names := []string{"first", "second", "third"}
	nodes := make([]*process, len(names))
	for i, name := range names {
		nodes[i] = f.start(t, name)
	}
	answers := make([]admin.RolledKey, 24)
	var rolling sync.WaitGroup
	for i := range answers {
		rolling.Go(func() {
			var err error
			if answers[i], _, err = f.api(names[i%len(names)]).RollKey(t.Context(), firstTeam, 0); err != nil {
				t.Errorf("a roll among others: %v", err)
			}
		})
	}
	rolling.Wait()
	current := f.key(t, "second")
	var live int
	for _, a := range answers {
		want := http.StatusUnauthorized
		if a.APIKey == current {
			live++
			want = http.StatusOK
			if a.Superseded {
				t.Error("the current key is said to be superseded")
			}
		}
		for i, p := range nodes {
			if got := p.status(t, "Bearer "+a.APIKey); got != want {
				t.Errorf("%s answers %d to a key of one of many rolls, must be %d", names[i], got, want)
			}
		}
	}
	if live != 1 {
		t.Errorf("%d rolls made the current key, must be one", live)
	}
}

// refusedNodes holds that only the first node makes a keyset, and that a
// password is printed nowhere.
func refusedNodes(t *testing.T, f *cluster) {
	first := f.start(t, "first")
	t.Setenv("LATCHKEY_DATABASE", f.database)
	empty := f.server.URL(f.server.NewDatabase(t))
	const noRoot = "postgres://me@127.0.0.1/name?sslmode=verify-full&sslrootcert=/missing.pem"
	for rule, c := range map[string]struct {
		args []string
		says string
	}{
		"a second node without the keyset":     {[]string{"--data", f.data("second")}, "all nodes share the file that the first one made"},
		"one with another keyset":              {[]string{"--data", f.data("second"), "--keyset", otherKeyset(t)}, "does not fit the store in the database "},
		"a lease that is none":                 {[]string{"--data", f.data("second"), "--keyset", f.keyset, "--lease", "1h"}, "--lease must be between"},
		"a root certificate that is missing":   {[]string{"--data", f.data("second"), "--keyset", f.keyset, "--database", noRoot}, "/missing.pem: no such file"},
		"a first node, no place for a keyset":  {[]string{"--data", f.data("other"), "--keyset", "/missing/keyset.json", "--database", empty}, "open /missing/"},
		"a data directory with its own store":  {[]string{"--data", ownStore(t), "--keyset", f.keyset}, "holds a store of its own"},
		"the data directory of a running node": {[]string{"--data", f.data("first"), "--keyset", f.keyset}, "another latchkey process uses"},
	} {
		_, err := runCommand(t, append([]string{"serve", "--listen", "127.0.0.1:0", "--console="}, c.args...)...)
		if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "there is no store") {
			t.Errorf("%s: %v, must be refused with %q", rule, err, c.says)
		}
	}
	_, err := runCommand(t, "team", "list", "--data", f.data("other"), "--keyset", f.keyset, "--database", empty)
	if err == nil || !strings.Contains(err.Error(), "there is no store in the database ") || !strings.Contains(err.Error(), "the first node makes it") {
		t.Errorf("a command in a database without a store: %v, must be refused with a word of the first node", err)
	}
	if _, err := os.Stat(filepath.Join(f.data("second"), "keyset.json")); err == nil {
		t.Error("a second node made a keyset")
	}
	_, password, _ := strings.Cut(strings.TrimPrefix(f.database, "postgres://"), ":")
	password, _, _ = strings.Cut(password, "@")
	if strings.Contains(first.output.String(), password) || !strings.Contains(first.output.String(), "data in "+f.server.Address()+"/") {
		t.Errorf("the first line must name the database without its password: %s", first.output)
	}
}

// otherKeyset is a keyset of another store.
func otherKeyset(t *testing.T) string {
	t.Helper()
	data := ownStore(t)
	return filepath.Join(data, "keyset.json")
}

// ownStore is the data directory of a server without a cluster.
func ownStore(t *testing.T) string {
	t.Helper()
	data := filepath.Join(t.TempDir(), "own")
	c := command(t, "serve", "--data", data, "--listen", "127.0.0.1:0", "--console=")
	c.Env = append(os.Environ(), "LATCHKEY_DATABASE=")
	output := &syncBuffer{}
	c.Stderr = output
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "a server with a store of its own", func() bool { return listening.MatchString(output.String()) })
	_ = c.Process.Signal(os.Interrupt)
	if err := c.Wait(); err != nil {
		t.Fatal(err)
	}
	return data
}

// commandsAlone holds that commands work on the database where no server runs on
// the data directory, or where there is none, and that a roll waits for nodes
// that are elsewhere all the same.
func commandsAlone(t *testing.T, f *cluster) {
	if _, said, code := f.latchkey(t, "nowhere", "team", "list"); code != 1 || !strings.Contains(said, "the first node makes it") {
		t.Errorf("a database without a store: exit code %d, %q", code, said)
	}
	p := f.start(t, "first", "--lease", "1s")
	shown, _ := f.must(t, "nowhere", "key", "show", firstTeam)
	old := strings.TrimSpace(shown)
	if got := p.status(t, "Bearer "+old); got != http.StatusOK {
		t.Errorf("the key that a command showed is answered %d", got)
	}
	out, said := f.must(t, "nowhere", "key", "roll", firstTeam)
	if !strings.Contains(said, "Confirmed by first in ") {
		t.Errorf("a roll without a server says %q, must say that the node confirmed it", said)
	}
	if a, b := p.status(t, "Bearer "+old), p.status(t, "Bearer "+strings.TrimSpace(out)); a != http.StatusUnauthorized || b != http.StatusOK {
		t.Errorf("after a roll without a server, the node answers %d to the old key and %d to the new one", a, b)
	}
	if out, _ := f.must(t, "nowhere", "canary", "--rolls", "3"); !strings.Contains(out, "Stale accepts   0") {
		t.Errorf("a canary without a server says\n%s", out)
	}
	id := p.requestID(t)
	waitFor(t, "the record in the store", func() bool {
		_, _, code := f.latchkey(t, "nowhere", "request", "show", id)
		return code == 0
	})
	if _, err := os.Stat(f.data("nowhere")); err == nil {
		t.Error("a command made a data directory")
	}
	p.kill()
	waitFor(t, "the roll without any node", func() bool {
		_, said := f.must(t, "nowhere", "key", "roll", firstTeam)
		return strings.Contains(said, "Not heard from: first.")
	})
}

// requestID sends a request, and returns its ID.
func (p *process) requestID(t *testing.T) string {
	t.Helper()
	answer, err := http.Get(p.url + "/v1/contacts")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	return answer.Header.Get("X-Request-Id")
}

// staleOnPurpose holds that a roll names the node that may answer after its
// lease, with exit code 4.
func staleOnPurpose(t *testing.T, f *cluster) {
	f.start(t, "first", "--lease", "300ms")
	lax := f.start(t, "lax", "--lease", "300ms", "--stale-ok", "1m")
	if n := f.nodes(t, "first")["lax"]; n.StaleOKMS != 60_000 {
		t.Errorf("node list shows %+v, must show --stale-ok", n)
	}
	lax.kill()
	out, said, code := f.latchkey(t, "first", "key", "roll", firstTeam)
	if code != exitNotConfirmed || !strings.HasPrefix(out, "lk_") {
		t.Errorf("exit code %d, must be 4 and the new key printed: %s", code, said)
	}
	if !strings.Contains(said, "may not be followed yet by lax (for at most ") {
		t.Errorf("the roll says %q, must name the node", said)
	}
}

// anotherHistory holds that nodes answer unavailable on a database that lost
// what they have applied, until it is accepted.
func anotherHistory(t *testing.T, f *cluster) {
	p := f.start(t, "first", "--lease", "300ms", "--ops", "127.0.0.1:0")
	before := f.key(t, "first")
	if _, _, err := f.api("first").RollKey(t.Context(), firstTeam, 0); err != nil {
		t.Fatal(err)
	}
	// What a restored backup comes to: the last change is gone, and the node was told of it.
	name := f.database[strings.LastIndexByte(f.database, '/')+1:]
	f.server.Exec(t, name, loseLastChange)
	waitFor(t, "the node to answer unavailable", func() bool { return p.status(t, "Bearer "+before) == http.StatusServiceUnavailable })
	out, said := f.must(t, "first", "node", "list")
	if !strings.Contains(out, "unavailable") || !strings.Contains(said, "another history") || !strings.Contains(said, "latchkey database accept") {
		t.Errorf("node list says\n%s%s", out, said)
	}
	if _, body := p.ops(t, "/readyz"); !strings.Contains(body, "another_history") {
		t.Errorf("/readyz says %s", body)
	}
	f.must(t, "nowhere", "database", "accept", "--yes") // straight to the database
	waitFor(t, "the node to answer again", func() bool { return p.status(t, "Bearer "+before) != http.StatusServiceUnavailable })
	if status, body := p.ops(t, "/readyz"); status != http.StatusOK {
		t.Errorf("/readyz says %d %s", status, body)
	}
}

// databaseDown holds that verdicts go on for the lease and no longer, that what
// needs the store says so, and that all comes back.
func databaseDown(t *testing.T, f *cluster) {
	const lease = 3 * time.Second
	p := f.start(t, "first", "--lease", lease.String(), "--ops", "127.0.0.1:0")
	key := "Bearer " + f.key(t, "first")
	if status, body := p.ops(t, "/readyz"); status != http.StatusOK {
		t.Fatalf("/readyz says %d %s", status, body)
	}
	for _, line := range []string{`latchkey_database_connections{pool="leases",state="max"} `, `latchkey_nodes{state="answering"} 1`} {
		if _, body := p.ops(t, "/metrics"); !strings.Contains(body, line) {
			t.Errorf("the metrics of a cluster's node do not have %s", line)
		}
	}
	f.server.Stop(t)
	down := time.Now()
	status, body := p.answer(t, key)
	if status != http.StatusServiceUnavailable || !strings.Contains(body, `"code":"unavailable"`) {
		t.Errorf("contacts without a database: %d %s", status, body)
	}
	if got := p.status(t, "Bearer lk_unknown"); time.Since(down) < lease/2 && got != http.StatusUnauthorized {
		t.Errorf("within the lease, a verdict is %d, must be made from memory", got)
	}
	_, said, code := f.latchkey(t, "first", "team", "list")
	if code != exitFailed || strings.Contains(said, "panic") || strings.Count(said, "\n") != 1 {
		t.Errorf("a look-up without a database: exit code %d, %q", code, said)
	}
	out, said, code := f.latchkey(t, "first", "node", "list")
	if code != exitFailed || !strings.Contains(out, "first") || !strings.Contains(out, p.url) || !strings.Contains(said, "only the node that was asked is known") {
		t.Errorf("node list without a database: exit code %d, %q, %q: it must show the node that was asked", code, out, said)
	}
	if _, said, code = f.latchkey(t, "first", "canary", "--rolls", "1"); code != exitFailed || !strings.Contains(said, "only the node that was asked is known") {
		t.Errorf("a canary without a list of nodes: exit code %d, %q", code, said)
	}
	waitFor(t, "/readyz to warn", func() bool {
		_, body := p.ops(t, "/readyz")
		return strings.Contains(body, `"warnings":["store_unavailable"]`)
	})
	if status, _ := p.ops(t, "/healthz"); status != http.StatusOK {
		t.Errorf("/healthz says %d while the process is alive", status)
	}
	waitFor(t, "the lease to be over", func() bool { return p.status(t, "Bearer lk_unknown") == http.StatusServiceUnavailable })
	if _, body := p.ops(t, "/readyz"); !strings.Contains(body, "lease_over") {
		t.Errorf("/readyz says %s", body)
	}
	if _, body := p.ops(t, "/metrics"); !strings.Contains(body, "latchkey_database_up 0") || !strings.Contains(body, "latchkey_lease_remaining_seconds 0") ||
		!strings.Contains(body, `latchkey_requests_total{outcome="unavailable",reason="store_unavailable"}`) {
		t.Error("the metrics do not show that the database is down")
	}
	_, err := runCommand(t, "serve", "--data", f.data("late"), "--keyset", f.keyset, "--listen", "127.0.0.1:0", "--console=")
	if err == nil || strings.Count(err.Error(), "\n") > 2 {
		t.Errorf("a start without a database: %v, must be refused in a line", err)
	}
	f.server.Start(t)
	waitFor(t, "the node to answer again", func() bool { return p.status(t, key) == http.StatusOK })
	for _, reason := range []latchkey.Reason{latchkey.ReasonLeaseOver, latchkey.ReasonStoreUnavailable} {
		waitFor(t, "a record of "+string(reason), func() bool {
			list, err := f.api("first").Requests(t.Context(), admin.RequestFilter{Outcome: latchkey.OutcomeUnavailable})
			return err == nil && slices.ContainsFunc(list.Requests, func(r latchkey.Record) bool { return r.Reason == reason })
		})
	}
}
