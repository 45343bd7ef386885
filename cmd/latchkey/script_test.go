package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"latchkey/jwt"
)

// patience bounds every wait of a story.
const patience = time.Minute

// serversKey is where a story keeps the servers that it started, by name.
type serversKey struct{}

type running struct {
	command *exec.Cmd
	ended   chan error
}

var listening = regexp.MustCompile(`(?m)^latchkey: API on (\S+)`)

// cmdServe starts a server on a free port, waits until it listens, and sets API
// to its URL: serve NAME [FLAG…]. Its output goes to the files NAME.out and
// NAME.err; it is killed when the story ends.
func cmdServe(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: serve NAME [FLAG…]")
	}
	name := args[0]
	stdout, err := os.Create(ts.MkAbs(name + ".out"))
	ts.Check(err)
	defer stdout.Close()
	stderr, err := os.Create(ts.MkAbs(name + ".err"))
	ts.Check(err)
	defer stderr.Close()
	command := exec.Command(ts.Getenv("PROGRAM"), append([]string{"serve", "--listen", "127.0.0.1:0"}, args[1:]...)...)
	command.Dir = ts.MkAbs(".")
	command.Stdout, command.Stderr = stdout, stderr
	for _, v := range []string{"LATCHKEY_DATA", "LATCHKEY_KEYSET"} {
		command.Env = append(command.Env, v+"="+ts.Getenv(v)) // and nothing else of ours
	}
	ts.Check(command.Start())
	s := &running{command, make(chan error, 1)}
	go func() { s.ended <- command.Wait() }()
	ts.Defer(func() { s.kill() })
	ts.Value(serversKey{}).(map[string]*running)[name] = s

	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		text, err := os.ReadFile(stderr.Name())
		ts.Check(err)
		if m := listening.FindSubmatch(text); m != nil {
			ts.Setenv("API", string(m[1]))
			return
		}
		select {
		case err := <-s.ended:
			s.ended <- err
			ts.Fatalf("the server ended: %v\n%s", err, text)
		default:
		}
	}
	ts.Fatalf("the server does not listen")
}

func (r *running) kill() {
	_ = r.command.Process.Signal(syscall.SIGCONT)
	_ = r.command.Process.Kill()
	err := <-r.ended
	r.ended <- err
}

func startedBy(ts *testscript.TestScript, name string) *running {
	s := ts.Value(serversKey{}).(map[string]*running)[name]
	if s == nil {
		ts.Fatalf("there is no server %q", name)
	}
	return s
}

// cmdHalt ends a server with SIGTERM, which it must follow with exit code 0, or
// with SIGKILL: halt NAME [KILL].
func cmdHalt(ts *testscript.TestScript, _ bool, args []string) {
	s := startedBy(ts, args[0])
	if len(args) > 1 {
		s.kill()
		return
	}
	ts.Check(s.command.Process.Signal(syscall.SIGTERM))
	select {
	case err := <-s.ended:
		s.ended <- err
		if err != nil {
			ts.Fatalf("after SIGTERM: %v", err)
		}
	case <-time.After(patience):
		ts.Fatalf("the server goes on after SIGTERM")
	}
}

// cmdPause stops a server's process where it is: pause NAME.
func cmdPause(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(startedBy(ts, args[0]).command.Process.Signal(syscall.SIGSTOP))
}

// cmdFake answers on a Unix socket as a server in trouble does: fake SOCKET
// STATUS BODY [FIELD:VALUE]. It knows its version; every other operation is
// answered so, and with STATUS 0 the connection is closed without an answer.
func cmdFake(ts *testscript.TestScript, _ bool, args []string) {
	status, err := strconv.Atoi(args[1])
	ts.Check(err)
	l := listenAt(ts, args[0])
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/version" {
			_, _ = io.WriteString(w, `{"version":"fake"}`)
			return
		}
		if status == 0 {
			panic(http.ErrAbortHandler)
		}
		if len(args) > 3 {
			name, value, _ := strings.Cut(args[3], ":")
			w.Header().Set(name, value)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, args[2])
	})}
	go func() { _ = s.Serve(l) }()
	ts.Defer(func() { _ = s.Close() })
}

// cmdStale leaves a socket that nobody listens on, as a killed server does.
func cmdStale(ts *testscript.TestScript, _ bool, args []string) {
	l := listenAt(ts, args[0])
	l.SetUnlinkOnClose(false)
	ts.Check(l.Close())
}

// listenAt listens on a Unix socket. The story's directory can be too long for
// a socket's path, so it is made elsewhere and moved.
func listenAt(ts *testscript.TestScript, path string) *net.UnixListener {
	dir, err := os.MkdirTemp("", "lk")
	ts.Check(err)
	ts.Defer(func() { _ = os.RemoveAll(dir) })
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "s"), Net: "unix"})
	ts.Check(err)
	ts.Check(os.Rename(filepath.Join(dir, "s"), ts.MkAbs(path)))
	return l
}

// cmdHTTP sends a request and prints status, request ID and body: http [-X VERB]
// [-H NAME:VALUE]… [-u USER:PASSWORD] [-d BODY] URL.
func cmdHTTP(ts *testscript.TestScript, _ bool, args []string) {
	verb, body, user, header := http.MethodGet, "", "", http.Header{}
	for len(args) > 1 {
		switch args[0] {
		case "-X":
			verb = args[1]
		case "-d":
			body = args[1]
		case "-u":
			user = args[1]
		case "-H":
			name, value, _ := strings.Cut(args[1], ":")
			header.Add(name, strings.TrimSpace(value))
		default:
			ts.Fatalf("http: unknown flag %s", args[0])
		}
		args = args[2:]
	}
	r, err := http.NewRequest(verb, args[0], strings.NewReader(body))
	ts.Check(err)
	r.Header = header
	if user != "" {
		name, password, _ := strings.Cut(user, ":")
		r.SetBasicAuth(name, password)
	}
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(r)
	ts.Check(err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	ts.Check(err)
	id := response.Header.Get("X-Request-Id")
	ts.Setenv("REQUEST_ID", id)
	fmt.Fprintf(ts.Stdout(), "%d\nX-Request-Id: %s\n%s\n", response.StatusCode, id, text)
}

// cmdToken sets TOKEN to a JWT, signed now: token ID KEY.
func cmdToken(ts *testscript.TestScript, _ bool, args []string) {
	ts.Setenv("TOKEN", jwt.Sign(args[0], args[1], time.Now()))
}

// cmdExits runs a command that must end with an exit code: exits CODE COMMAND….
func cmdExits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		ts.Fatalf("%v", err)
	}
	got := 0
	if exit != nil {
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// cmdCapture sets a variable to the first group of a pattern in the last
// standard output: capture NAME PATTERN.
func cmdCapture(ts *testscript.TestScript, _ bool, args []string) {
	m := regexp.MustCompile("(?m)" + args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
	if len(m) < 2 {
		ts.Fatalf("%s is not in standard output", args[1])
	}
	ts.Setenv(args[0], m[1])
}

// cmdLines checks how many lines the last output has: lines stdout|stderr N.
func cmdLines(ts *testscript.TestScript, _ bool, args []string) {
	if got := strconv.Itoa(strings.Count(ts.ReadFile(args[0]), "\n")); got != args[1] {
		ts.Fatalf("%s has %s lines, want %s", args[0], got, args[1])
	}
}

// lookUp finds a place such as teams.0.name in the last standard output, which
// must be one JSON value.
func lookUp(ts *testscript.TestScript, path string) (any, bool) {
	var value any
	if err := json.Unmarshal([]byte(ts.ReadFile("stdout")), &value); err != nil {
		ts.Fatalf("standard output is not JSON: %v", err)
	}
	if path == "." {
		return value, true
	}
	for _, step := range strings.Split(path, ".") {
		switch v := value.(type) {
		case map[string]any:
			next, ok := v[step]
			if !ok {
				return nil, false
			}
			value = next
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i < 0 || i >= len(v) {
				return nil, false
			}
			value = v[i]
		default:
			return nil, false
		}
	}
	return value, true
}

// cmdJSONHas checks that a place is in the JSON that was printed and, as JSON,
// matches a pattern as a whole: [!] jsonhas PATH [PATTERN].
func cmdJSONHas(ts *testscript.TestScript, neg bool, args []string) {
	value, ok := lookUp(ts, args[0])
	text, err := json.Marshal(value)
	ts.Check(err)
	if ok && len(args) > 1 {
		ok = regexp.MustCompile(`^(?:` + args[1] + `)$`).Match(text)
	}
	if ok == neg {
		ts.Fatalf("jsonhas %v: there is %s", args, text)
	}
}

// cmdJSONKeys checks the names of an object, all of them: jsonkeys PATH NAME….
func cmdJSONKeys(ts *testscript.TestScript, _ bool, args []string) {
	value, _ := lookUp(ts, args[0])
	object, _ := value.(map[string]any)
	got, want := slices.Sorted(maps.Keys(object)), slices.Sorted(slices.Values(args[1:]))
	if !slices.Equal(got, want) {
		ts.Fatalf("%s has the names %v, want %v", args[0], got, want)
	}
}
