package postgrestest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Configure changes settings of a running server, and waits until they hold.
// Those that need a start are for [Server.Start].
func (s *Server) Configure(t testing.TB, settings ...string) {
	t.Helper()
	p, err := s.running()
	if err != nil {
		t.Fatal(err)
	}
	before := s.loaded(t)
	file, err := os.OpenFile(filepath.Join(s.data(), "test.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, line := range settings {
		if _, err := fmt.Fprintln(file, line); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(startTime); !s.loaded(t).After(before); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the server does not read its settings again")
		}
	}
	// Other processes read theirs when they get to it.
	time.Sleep(50 * time.Millisecond)
}

func (s *Server) loaded(t testing.TB) (at time.Time) {
	t.Helper()
	s.query(t, `SELECT pg_conf_load_time()`, &at)
	return at
}

func (s *Server) query(t testing.TB, query string, dest any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if err := conn.QueryRow(ctx, query).Scan(dest); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// Standby starts a standby that streams from the server under a name (which
// synchronous_standby_names may hold), with settings such as
// "recovery_min_apply_delay = 1h". To make it fall behind for good, [Server.CutOff].
func (s *Server) Standby(t testing.TB, name string, settings ...string) *Server {
	t.Helper()
	standby, err := newDir(s.bin)
	if err != nil {
		t.Fatal(err)
	}
	standby.password = s.password
	t.Cleanup(standby.remove)
	from := fmt.Sprintf("host=%s port=%d user=%s application_name=%s", s.dir, s.port, Superuser, name)
	if err := standby.run("pg_basebackup", "-D", standby.data(), "-d", from, "-X", "stream", "-c", "fast", "--no-sync"); err != nil {
		t.Fatal(err)
	}
	signal := filepath.Join(standby.data(), "standby.signal")
	if err := os.WriteFile(signal, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := chown(signal); err != nil {
		t.Fatal(err)
	}
	if err := standby.write(append([]string{"primary_conninfo = '" + from + "'"}, settings...)); err != nil {
		t.Fatal(err)
	}
	if err := standby.start(); err != nil {
		t.Fatal(err)
	}
	return standby
}

// CatchUp waits until a standby has replayed all that its primary has written.
func (s *Server) CatchUp(t testing.TB, primary *Server) {
	t.Helper()
	s.await(t, primary, "pg_last_wal_replay_lsn()")
}

// Receive waits until a standby has received all that its primary has written:
// one that applies with a delay may not have replayed it.
func (s *Server) Receive(t testing.TB, primary *Server) {
	t.Helper()
	s.await(t, primary, "coalesce(pg_last_wal_receive_lsn(), '0/0')")
}

func (s *Server) await(t testing.TB, primary *Server, position string) {
	t.Helper()
	var end string
	primary.query(t, `SELECT pg_current_wal_flush_lsn()::text`, &end)
	for deadline := time.Now().Add(startTime); ; time.Sleep(10 * time.Millisecond) {
		var there bool
		s.query(t, `SELECT `+position+` >= '`+end+`'::pg_lsn`, &there)
		if there {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the standby does not catch up:\n%s", s.Log())
		}
	}
}

// CutOff cuts a standby off from its primary for good, and changes settings. When
// it returns, the standby receives nothing any more. (One that applies with a
// delay goes on receiving: "recovery_min_apply_delay = 0" ends that.)
func (s *Server) CutOff(t testing.TB, settings ...string) {
	t.Helper()
	s.Configure(t, append([]string{"primary_conninfo = ''"}, settings...)...)
	for deadline := time.Now().Add(startTime); ; time.Sleep(5 * time.Millisecond) {
		var receiving bool
		if s.query(t, `SELECT EXISTS (SELECT FROM pg_stat_wal_receiver)`, &receiving); !receiving {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the standby goes on receiving")
		}
	}
}

// Promote makes a standby a primary. What it has received, it keeps.
func (s *Server) Promote(t testing.TB) {
	t.Helper()
	var done bool
	if s.query(t, `SELECT pg_promote(true, 60)`, &done); !done {
		t.Fatalf("the standby is not promoted:\n%s", s.Log())
	}
}
