package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"latchkey/admin"
)

// A process is a real server, started as the command latchkey.
type process struct {
	*exec.Cmd
	url    string
	output *syncBuffer // both streams
	ended  chan struct{}
	err    error
}

// command is the command latchkey.
func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	return exec.CommandContext(t.Context(), buildProgram(t), args...)
}

// runCommand runs a command to its end, and returns what it printed.
func runCommand(t *testing.T, args ...string) (stdout string, err error) {
	t.Helper()
	c := command(t, args...)
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Run(); err != nil {
		return out.String(), fmt.Errorf("%s: %w: %s", args[0], err, errs.String())
	}
	return out.String(), nil
}

func startServer(t *testing.T, data string, args ...string) *process {
	t.Helper()
	p := &process{Cmd: command(t, append([]string{"serve", "--data", data, "--listen", "127.0.0.1:0"}, args...)...),
		output: &syncBuffer{}, ended: make(chan struct{})}
	p.Stdout, p.Stderr = p.output, p.output
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.err = p.Wait(); close(p.ended) }()
	t.Cleanup(func() { p.kill() })
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if m := listening.FindStringSubmatch(p.output.String()); m != nil {
			p.url = m[1]
			return p
		}
		select {
		case <-p.ended:
			t.Fatalf("the server ended: %v\n%s", p.err, p.output)
		default:
		}
	}
	t.Fatal("the server does not listen")
	return nil
}

func (p *process) kill() {
	_ = p.Process.Kill()
	<-p.ended
}

// status is the answer to one request with the field given.
func (p *process) status(t *testing.T, authorization string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+"/v1/contacts", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", authorization)
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, answer.Body)
	return answer.StatusCode
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}
func (s *syncBuffer) String() string { s.mu.Lock(); defer s.mu.Unlock(); return s.b.String() }

// TestKilledWhileRolling rolls a key again and again while the server is killed
// at random moments, until a hundred rolls were acknowledged. Each time it must
// start again, and the key that a roll returned last must work; or, if a roll
// was committed and its answer lost, the one after it.
func TestKilledWhileRolling(t *testing.T) {
	t.Parallel() // it waits more than it works
	data := filepath.Join(t.TempDir(), "data")
	p := startServer(t, data)
	api := admin.Dial(socketPath(data))
	var last string
	rolls, kills, lost := 0, 0, 0
	for ; rolls < 100 || kills < 20; kills++ {
		// So many rolls are acknowledged, and the kill falls into those that follow.
		whole := 1 + mathrand.IntN(8)
		for {
			answer, _, err := api.RollKey(t.Context(), firstTeam, 0)
			if err != nil {
				break
			}
			rolls++
			last = answer.APIKey
			if whole--; whole == 0 {
				killer := p
				time.AfterFunc(time.Duration(mathrand.Int64N(int64(8*time.Millisecond))), func() { _ = killer.Process.Kill() })
			}
			if whole < -1000 {
				t.Fatal("the server outlives its kill")
			}
		}
		<-p.ended
		p = startServer(t, data)
		now, err := api.Key(t.Context(), firstTeam)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.status(t, "Bearer "+now.APIKey); got != http.StatusOK {
			t.Fatalf("after kill %d the current key is answered %d", kills, got)
		}
		if last == "" || now.APIKey == last {
			last = now.APIKey
			continue
		}
		// A newer key than the last acknowledged one: the roll that was under way was committed.
		lost++
		if p.status(t, "Bearer "+last) == http.StatusOK {
			t.Fatalf("after kill %d two keys are alive", kills)
		}
		last = now.APIKey
	}
	t.Logf("%d rolls were acknowledged; of %d kills, %d lost the answer of a roll that was committed", rolls, kills, lost)
}

// TestDrain holds that SIGTERM lets a request end, that the server exits with 0,
// and that a second signal ends it at once.
func TestDrain(t *testing.T) {
	entered, leave := make(chan struct{}, 2), make(chan struct{})
	upstream := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		entered <- struct{}{}
		<-leave
		_, _ = io.WriteString(w, "done")
	})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = upstream.Serve(l) }()
	t.Cleanup(func() { _ = upstream.Close() })

	data := filepath.Join(t.TempDir(), "data")
	p := startServer(t, data, "--upstream", "http://"+l.Addr().String())
	key, err := runCommand(t, "--data", data, "key", "show", "default")
	if err != nil {
		t.Fatal(err)
	}
	key = strings.TrimSpace(strings.SplitN(key, "\n", 2)[0])
	got := make(chan int, 1)
	go func() { got <- p.status(t, "Bearer "+key) }()
	<-entered
	_ = p.Process.Signal(syscall.SIGTERM)
	waitFor(t, "the line that says that it stops", func() bool { return strings.Contains(p.output.String(), "SIGTERM") })
	if _, err := net.DialTimeout("tcp", strings.TrimPrefix(p.url, "http://"), time.Second); err == nil {
		waitFor(t, "the listener to close", func() bool {
			c, err := net.DialTimeout("tcp", strings.TrimPrefix(p.url, "http://"), time.Second)
			if err == nil {
				c.Close()
			}
			return err != nil
		})
	}
	close(leave)
	if status := <-got; status != http.StatusOK {
		t.Errorf("the request under way got %d, must end with 200", status)
	}
	<-p.ended
	if p.err != nil {
		t.Errorf("after SIGTERM: %v, must exit with 0", p.err)
	}
	list, err := runCommand(t, "--data", data, "request", "list")
	if err != nil || !strings.Contains(list, "200") {
		t.Errorf("the record of the request that was under way is lost: %v", err)
	}

	leave = make(chan struct{})
	p = startServer(t, data, "--upstream", "http://"+l.Addr().String(), "--drain", "1h")
	go func() {
		r, _ := http.NewRequest(http.MethodGet, p.url, nil)
		r.Header.Set("Authorization", "Bearer "+key)
		if answer, err := http.DefaultClient.Do(r); err == nil {
			answer.Body.Close()
		}
	}()
	<-entered
	_ = p.Process.Signal(syscall.SIGTERM)
	waitFor(t, "the line that says that it stops", func() bool { return strings.Contains(p.output.String(), "SIGTERM") })
	time.Sleep(2 * signalEcho) // what comes sooner is the first one's echo
	_ = p.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(patience):
		t.Error("a second SIGTERM does not end the server")
	}
	close(leave)
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// TestServeRefuses holds that what cannot be served safely is refused at once,
// in one line, before anything is made.
func TestServeRefuses(t *testing.T) {
	for _, c := range []struct {
		rule string
		args []string
		says string
	}{
		{"clear text beyond loopback", []string{"--listen", "0.0.0.0:0"}, "clear text"},
		{"clear text on all addresses", []string{"--listen", ":0"}, "clear text"},
		{"clear text on a name", []string{"--listen", "api.example:0"}, "clear text"},
		{"half a certificate", []string{"--tls-cert", "x.pem"}, "go together"},
		{"no port", []string{"--listen", "127.0.0.1"}, "HOST:PORT"},
		{"an upstream with a path", []string{"--upstream", "http://127.0.0.1:1/base"}, "--upstream"},
		{"an upstream without scheme", []string{"--upstream", "127.0.0.1:1"}, "--upstream"},
		{"a proxy that is no network", []string{"--trusted-proxies", "10.0.0.0/99"}, "--trusted-proxies"},
		{"a leeway of an hour", []string{"--leeway", "1h"}, "--leeway"},
		{"a prefix with a dot", []string{"--key-prefix", "a.b"}, "--key-prefix"},
		{"a certificate that is not there", []string{"--tls-cert", "/none.pem", "--tls-key", "/none.pem"}, "certificate"},
	} {
		data := filepath.Join(t.TempDir(), "data")
		_, err := runCommand(t, append([]string{"serve", "--data", data, "--listen", "127.0.0.1:0"}, c.args...)...)
		if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "panic") {
			t.Errorf("%s: %v, must be refused with a word about %q", c.rule, err, c.says)
		}
	}
}

// TestAFailedFirstStartLeavesNoStore holds that credentials are made only by a
// server that can show them.
func TestAFailedFirstStartLeavesNoStore(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	data := filepath.Join(t.TempDir(), "data")
	for _, args := range [][]string{{"--listen", taken.Addr().String()}, {"--console", taken.Addr().String()}, {"--tls-cert", "/none.pem", "--tls-key", "/none.pem"}} {
		if _, err := runCommand(t, append([]string{"serve", "--data", data, "--listen", "127.0.0.1:0"}, args...)...); err == nil {
			t.Errorf("%v: the server starts", args)
		}
		for _, file := range []string{"latchkey.db", "keyset.json", "latchkey.sock"} {
			if _, err := os.Stat(filepath.Join(data, file)); err == nil {
				t.Errorf("%v: %s was made", args, file)
			}
		}
	}
	p := startServer(t, data, "--print-secrets")
	waitFor(t, "the credentials of the first team", func() bool { return strings.Count(p.output.String(), "lk_") >= 2 })
}

// TestTunnelsEndWithTheServer holds that a WebSocket is given the time to drain,
// is broken off then, and has a whole record.
func TestTunnelsEndWithTheServer(t *testing.T) {
	upstream, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer upstream.Close()
	go func() {
		for {
			c, err := upstream.Accept()
			if err != nil {
				return
			}
			go func() {
				r := bufio.NewReader(c)
				for line := ""; line != "\r\n"; {
					if line, err = r.ReadString('\n'); err != nil {
						return
					}
				}
				fmt.Fprint(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
				_, _ = io.Copy(c, r)
			}()
		}
	}()
	data := filepath.Join(t.TempDir(), "data")
	p := startServer(t, data, "--upstream", "http://"+upstream.Addr().String(), "--drain", "300ms")
	key, err := runCommand(t, "--data", data, "key", "show", "default")
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nAuthorization: Bearer %s\r\n\r\n", strings.TrimSpace(key))
	r := bufio.NewReader(c)
	answer, err := http.ReadResponse(r, nil)
	if err != nil || answer.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("no tunnel: %v %v", answer, err)
	}
	fmt.Fprint(c, "ping")
	if echo, err := r.Peek(4); err != nil || string(echo) != "ping" {
		t.Fatalf("no echo: %q %v", echo, err)
	}
	_ = p.Process.Signal(syscall.SIGTERM)
	<-p.ended
	if p.err != nil {
		t.Errorf("after SIGTERM: %v", p.err)
	}
	out, err := runCommand(t, "--data", data, "--json", "request", "show", answer.Header.Get("X-Request-Id"))
	var record struct {
		Status     int   `json:"status"`
		BytesIn    int64 `json:"bytes_in"`
		BytesOut   int64 `json:"bytes_out"`
		DurationUS int64 `json:"duration_us"`
	}
	if err != nil || json.Unmarshal([]byte(out), &record) != nil {
		t.Fatalf("the record: %v", err)
	}
	if record.Status != 101 || record.BytesIn != 4 || record.BytesOut != 4 || record.DurationUS < 300_000 {
		t.Errorf("the record of the tunnel is %+v: must be 101, 4 bytes each way, and the time to drain", record)
	}
}

// TestDataDirectory holds what is promised of the files.
func TestDataDirectory(t *testing.T) {
	data := filepath.Join(t.TempDir(), "new", "data")
	p := startServer(t, data)
	for path, mode := range map[string]fs.FileMode{
		"": 0o700, "keyset.json": 0o600, "latchkey.db": 0o600, "records.db": 0o600, "latchkey.lock": 0o600, "latchkey.sock": 0o600, "records": 0o700, "journal": 0o700,
	} {
		info, err := os.Stat(filepath.Join(data, path))
		if err != nil || info.Mode().Perm() != mode {
			t.Errorf("%q has mode %v, must be %v (%v)", path, info.Mode().Perm(), mode, err)
		}
	}
	began := time.Now()
	_, err := runCommand(t, "serve", "--data", data, "--listen", "127.0.0.1:0")
	if err == nil || !strings.Contains(err.Error(), "another latchkey process uses the data directory") {
		t.Errorf("a second server: %v, must be refused with a clear line", err)
	}
	if waited := time.Since(began); waited < lockWait {
		t.Errorf("a second server gave up after %v, must wait %v", waited, lockWait)
	}
	if strings.Contains(p.output.String(), "lk_") {
		t.Error("a credential is printed where standard output is no terminal")
	}
	if !strings.Contains(p.output.String(), "latchkey key show default") {
		t.Error("the first start does not say how to get the key")
	}
	p.kill()

	keyset := filepath.Join(data, "keyset.json")
	text, err := os.ReadFile(keyset)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(keyset); err != nil {
		t.Fatal(err)
	}
	if _, err := runCommand(t, "serve", "--data", data, "--listen", "127.0.0.1:0"); err == nil || !strings.Contains(err.Error(), "is missing") {
		t.Errorf("a store without its keyset: %v, must be refused", err)
	}
	if _, err := os.Stat(keyset); err == nil {
		t.Error("a second keyset was made for a store that has one")
	}
	if err := os.WriteFile(keyset, text, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := runCommand(t, "serve", "--data", data, "--listen", "127.0.0.1:0"); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a keyset that all may read: %v, must be refused", err)
	}
	if err := os.Chmod(keyset, 0o600); err != nil {
		t.Fatal(err)
	}
	again := startServer(t, data, "--print-secrets")
	if strings.Contains(again.output.String(), "lk_") {
		t.Error("a later start prints credentials")
	}
}
