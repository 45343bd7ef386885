package postgrestest

import (
	"context"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

func value(t *testing.T, url, query string) (v string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if err := conn.QueryRow(ctx, query).Scan(&v); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return v
}

func TestServer(t *testing.T) {
	t.Parallel()
	s := Start(t, "max_connections = 37")
	name := s.NewDatabase(t)
	for setting, want := range map[string]string{"max_connections": "37", "fsync": "on", "synchronous_commit": "on", "server_encoding": "UTF8"} {
		if got := value(t, s.URL(name), "SHOW "+setting); got != want {
			t.Errorf("%s is %q, not %q", setting, got, want)
		}
	}
	if got := value(t, s.TCP(name), "SELECT current_database()"); got != name {
		t.Errorf("the server listens on %s, too: it serves %q", s.Address(), got)
	}
	if _, err := pgx.Connect(t.Context(), "postgres://postgres@"+s.Address()+"/"+name); err == nil {
		t.Errorf("over TCP, the server asks for its password")
	}
	if other := s.NewDatabase(t); other == name {
		t.Errorf("each database is a new one: %s", other)
	}
	args, err := exec.Command("ps", "-A", "-o", "args=").Output()
	if err != nil || strings.Contains(string(args), s.password) {
		t.Errorf("a password is in the list of processes: %v", err)
	}

	s.Exec(t, name, `CREATE TABLE kept (x text)`, `INSERT INTO kept VALUES ('it is there')`)
	first := s.Pid(t)
	for _, end := range []func(testing.TB){s.Kill, s.Stop} {
		end(t)
		if _, err := pgx.Connect(t.Context(), s.URL(name)); err == nil {
			t.Errorf("a server that was ended answers")
		}
		s.Start(t)
		if got := value(t, s.URL(name), "SELECT x FROM kept"); got != "it is there" {
			t.Errorf("a server that starts again has what was committed: %q", got)
		}
	}
	if s.Pid(t) == first {
		t.Errorf("a server that starts again is another process")
	}

	resume := s.Pause(t)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if conn, err := pgx.Connect(ctx, s.URL(name)); err == nil {
		_ = conn.Close(t.Context())
		t.Errorf("a server that is paused answers")
	}
	resume()
	value(t, s.URL(name), "SELECT x FROM kept")
}

func TestStandby(t *testing.T) {
	t.Parallel()
	primary := Start(t)
	name := primary.NewDatabase(t)
	standby := primary.Standby(t, "second")
	primary.Configure(t, "synchronous_standby_names = 'second'")
	primary.Exec(t, name, `CREATE TABLE kept (x int)`, `INSERT INTO kept VALUES (1)`)
	standby.CatchUp(t, primary)
	if got := value(t, standby.URL(name), `SELECT count(*)::text FROM kept`); got != "1" {
		t.Errorf("a standby has what its primary has: %s rows", got)
	}
	standby.CutOff(t)
	primary.Configure(t, "synchronous_standby_names = ''")
	primary.Exec(t, name, `INSERT INTO kept VALUES (2)`)
	standby.Promote(t)
	if got := value(t, standby.URL(name), `SELECT count(*)::text FROM kept`); got != "1" {
		t.Errorf("a standby that was cut off lacks what came after: %s rows", got)
	}
	standby.Exec(t, name, `INSERT INTO kept VALUES (3)`)
}

// TestNothingIsLeft: a server goes with its test.
func TestNothingIsLeft(t *testing.T) {
	var dir string
	var pid int
	t.Run("a test", func(t *testing.T) {
		s := Start(t)
		dir, pid = s.dir, s.Pid(t)
	})
	if dir == "" {
		t.Skip("PostgreSQL is not installed")
	}
	if _, err := os.Stat(dir); err == nil {
		t.Errorf("%s is left", dir)
	}
	if out, err := exec.Command("ps", "-o", "pid=", "-p", strconv.Itoa(pid)).Output(); err == nil && len(strings.TrimSpace(string(out))) > 0 {
		t.Errorf("process %d is left", pid)
	}
}
