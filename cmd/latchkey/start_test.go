package main

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"latchkey"
	"latchkey/admin"
)

// freePort is an address that is free.
func freePort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// beginServer starts a server, and does not wait until it has started.
func beginServer(t *testing.T, data string, args ...string) *process {
	t.Helper()
	p := &process{Cmd: command(t, append([]string{"serve", "--data", data}, args...)...), output: &syncBuffer{}, ended: make(chan struct{})}
	p.Stdout, p.Stderr = p.output, p.output
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.err = p.Wait(); close(p.ended) }()
	t.Cleanup(func() { p.kill() })
	return p
}

// try asks once, and bounds how long that takes.
func try(t *testing.T, url, authorization string) (answer *http.Response, body string, err error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
	if answer, err = client.Do(r); err != nil {
		return nil, "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return answer, string(text), err
}

// TestStartingServer holds that a server whose database accepts connections and
// says nothing is seen to be alive and not ready, that its ports do not hang, and
// that it ends when it is told to.
func TestStartingServer(t *testing.T) {
	database, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer database.Close()
	data := filepath.Join(t.TempDir(), "data")
	api, console, ops := freePort(t), freePort(t), freePort(t)
	t.Setenv("LATCHKEY_DATABASE", "postgres://latchkey@"+database.Addr().String()+"/latchkey?sslmode=disable")
	p := beginServer(t, data, "--listen", api, "--console", console, "--ops", ops)
	waitFor(t, "an answer of the listener for those who watch", func() bool {
		answer, body, err := try(t, "http://"+ops+"/healthz", "")
		return err == nil && answer.StatusCode == http.StatusOK && body == "{\"ok\":true}\n"
	})
	if answer, body, err := try(t, "http://"+ops+"/readyz", ""); err != nil || answer.StatusCode != http.StatusServiceUnavailable || !strings.Contains(body, `"reasons":["starting"]`) {
		t.Errorf("/readyz says %q (%v), must be 503 and say why", body, err)
	}
	if answer, body, err := try(t, "http://"+ops+"/metrics", ""); err != nil || answer.StatusCode != http.StatusOK || !strings.Contains(body, "latchkey_build_info") {
		t.Errorf("/metrics says %q (%v)", body, err)
	}
	for range 3 { // it does so again and again
		if answer, _, err := try(t, "http://"+api, ""); !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.EOF) {
			t.Errorf("the API says %v (%v): no record of that can be kept, so the connection must be reset", answer, err)
		}
		if answer, body, err := try(t, "http://"+console, ""); err != nil || answer.StatusCode != http.StatusServiceUnavailable || !strings.Contains(body, "is starting") {
			t.Errorf("the console says %q (%v)", body, err)
		}
		if _, err := admin.Dial(socketPath(data)).Server(t.Context()); !isStarting(err) || !strings.Contains(err.Error(), "the server is starting") {
			t.Errorf("the socket for commands says %v", err)
		}
	}
	if _, err := runCommand(t, "serve", "--data", filepath.Join(t.TempDir(), "other"), "--listen", api, "--console="); err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("a port is not held while a server starts: %v", err)
	}
	_ = p.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(patience):
		t.Fatal("SIGTERM does not end a start")
	}
	if p.err != nil || !strings.Contains(p.output.String(), "latchkey: SIGTERM: stopped before it had started: open store: ") {
		t.Errorf("after SIGTERM: %v, %s", p.err, p.output)
	}
}

// startedWithoutStandby holds that a node which cannot take its first lease, since
// no commit is confirmed, answers unavailable with an ID that can be looked up, is
// not ready, and says so; and that it starts when commits are confirmed again.
func startedWithoutStandby(t *testing.T, f *cluster) {
	first := f.start(t, "first", "--lease", "60s")
	key := "Bearer " + f.key(t, "first")
	f.server.Configure(t, "synchronous_standby_names = 'nobody'")
	restored := false
	restore := func() {
		if !restored {
			f.server.Configure(t, "synchronous_standby_names = ''")
			restored = true
		}
	}
	defer restore()
	ops, api := freePort(t), freePort(t)
	second := beginServer(t, f.data("second"), "--node", "second", "--keyset", f.keyset, "--console=", "--listen", api, "--ops", ops)
	var id string
	waitFor(t, "an answer of a node without a first lease", func() bool {
		answer, body, err := try(t, "http://"+api+"/v1/contacts", key)
		if err != nil {
			return false
		}
		var said struct {
			Code latchkey.Code `json:"code"`
		}
		id = answer.Header.Get("X-Request-Id")
		if err := json.Unmarshal([]byte(body), &said); err != nil || answer.StatusCode != http.StatusServiceUnavailable || said.Code != latchkey.CodeUnavailable ||
			id == "" || answer.Header.Get("Retry-After") == "" {
			t.Fatalf("it answers %d %v %s", answer.StatusCode, answer.Header, body)
		}
		return true
	})
	if answer, body, err := try(t, "http://"+ops+"/healthz", ""); err != nil || answer.StatusCode != http.StatusOK {
		t.Errorf("/healthz says %q (%v)", body, err)
	}
	if answer, body, err := try(t, "http://"+ops+"/readyz", ""); err != nil || answer.StatusCode != http.StatusServiceUnavailable || !strings.Contains(body, "starting") {
		t.Errorf("/readyz says %q (%v)", body, err)
	}
	if answer, body, err := try(t, "http://"+ops+"/metrics", ""); err != nil || answer.StatusCode != http.StatusOK || !strings.Contains(body, "latchkey_lease_remaining_seconds 0") {
		t.Errorf("/metrics says %q (%v)", body, err)
	}
	waitFor(t, "the log to say again why", func() bool {
		return regexp.MustCompile(`this node has no lease yet, and answers unavailable; it is tried again.*(register|lease)`).MatchString(second.output.String())
	})
	if first.status(t, key) != http.StatusOK {
		t.Error("the other node, whose lease is long, does not answer")
	}
	restore()
	waitFor(t, "the node to start", func() bool { return listening.MatchString(second.output.String()) })
	second.url = "http://" + api
	if got := second.status(t, key); got != http.StatusOK {
		t.Errorf("once it has started, it answers %d", got)
	}
	waitFor(t, "the record of what it answered before", func() bool {
		record, err := f.api("first").Request(t.Context(), id)
		return err == nil && record.Reason == latchkey.ReasonLeaseOver && record.Node == "second"
	})
	_ = second.Process.Signal(os.Interrupt)
	<-second.ended
}
