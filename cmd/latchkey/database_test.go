package main

import (
	"bytes"
	"os"
	"strings"
	"syscall"
	"testing"

	"latchkey/admin"
)

// TestDatabaseIsNamed holds how a database is called where people and logs see
// it: without user and password.
func TestDatabaseIsNamed(t *testing.T) {
	for url, want := range map[string]string{
		"":                                   "",
		"postgres://db.example.com/x":        "db.example.com:5432/x",
		"postgresql://me:hushhush@db:6432/x": "db:6432/x",
		"postgres://me@[::1]:1/x?password=hushhush":            "[::1]:1/x",
		"postgres:///x?host=/run/postgresql&user=a":            "/run/postgresql:5432/x",
		"postgres://me:hushhush@127.0.0.1:1,127.0.0.1:41951/x": "127.0.0.1:1,127.0.0.1:41951/x",
		"postgres://a,b:6432/x":                                "a:5432,b:6432/x",
		"postgres:///x?host=/run/a,/run/b&port=1,2":            "/run/a:1,/run/b:2/x",
		"postgres:///x?host=a,b&port=6432":                     "a:6432,b:6432/x",
		"postgres://":                                          "localhost:5432/of its user",
	} {
		if got := (database{URL: url}).String(); got != want {
			t.Errorf("%s is called %q, must be %q", strings.ReplaceAll(url, "hushhush", "…"), got, want)
		}
	}
}

// TestPasswordsOnTheCommandLine holds where a password may come from.
func TestPasswordsOnTheCommandLine(t *testing.T) {
	for _, c := range []struct {
		rule        string
		flag        string
		environment string
		refused     bool
	}{
		{"no database", "", "", false},
		{"a flag without a password", "postgres://me@127.0.0.1:1/x", "", false},
		{"a flag with one", "postgres://me:hushhush@127.0.0.1:1/x", "", true},
		{"a flag with one among its parameters", "postgres://me@127.0.0.1:1/x?password=hushhush", "", true},
		{"a flag with one for a key", "postgres://me@127.0.0.1:1/x?sslpassword=hushhush", "", true},
		{"a variable with one", "", "postgres://me:hushhush@127.0.0.1:1/x", false},
		{"a flag with the variable's", "postgres://me:hushhush@127.0.0.1:1/x", "postgres://me:hushhush@127.0.0.1:1/x", true},
		{"another kind of address", "mysql://127.0.0.1/x", "", true},
		{"no URL", "", "host=127.0.0.1 password=hushhush", true},
	} {
		t.Setenv("LATCHKEY_DATABASE", c.environment)
		args := []string{"--data", t.TempDir(), "version"}
		if c.flag != "" {
			args = append(args, "--database", c.flag)
		}
		var out, errs bytes.Buffer
		code := run(args, os.Stdin, &out, &errs)
		if (code == exitUsage) != c.refused || code != 0 && code != exitUsage {
			t.Errorf("%s: exit code %d: %s", c.rule, code, errs.String())
		}
		if strings.Contains(out.String()+errs.String(), "hushhush") {
			t.Errorf("%s: the password is printed", c.rule)
		}
	}
}

// TestAnInterruptedCanaryLeavesNothing holds that Ctrl-C ends a canary early,
// that it says what it saw, and that its team is gone.
func TestAnInterruptedCanaryLeavesNothing(t *testing.T) {
	data := t.TempDir()
	startServer(t, data, "--console=")
	c := command(t, "canary", "--data", data, "--rolls", "100000", "--interval", "5ms")
	var out bytes.Buffer
	said := &syncBuffer{}
	c.Stdout, c.Stderr = &out, said
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	api := admin.Dial(socketPath(data))
	waitFor(t, "a few rolls", func() bool {
		nodes, err := api.Nodes(t.Context())
		return err == nil && nodes.Nodes[0].Revision > 8
	})
	_ = c.Process.Signal(syscall.SIGINT)
	_ = c.Wait()
	if code := c.ProcessState.ExitCode(); code != exitFailed {
		t.Errorf("exit code %d, must be 1", code)
	}
	if !strings.Contains(said.String(), " of 100000 rolls: interrupted") || !strings.Contains(out.String(), "Stale accepts   0") {
		t.Errorf("it says\n%s%s\nmust say that it was interrupted, and what it saw", out.String(), said)
	}
	all, err := api.Teams(t.Context())
	if err != nil || len(all.Teams) != 1 {
		t.Errorf("the teams are %+v (%v): the canary's must be gone", all.Teams, err)
	}
}
