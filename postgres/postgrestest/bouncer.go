package postgrestest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// Bouncer starts a PgBouncer before the server for one test, with a pool mode
// ("session", "transaction" or "statement") and otherwise as it comes, and returns
// its address, such as "127.0.0.1:6432". It asks nobody for a password. Where none
// is installed, the test is treated as by [Start].
func (s *Server) Bouncer(t testing.TB, mode string) (address string) {
	t.Helper()
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		program = "/usr/sbin/pgbouncer"
		if _, err := os.Stat(program); err != nil {
			mustHave(t, fmt.Errorf("%w, nor is PgBouncer", ErrMissing))
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	address = l.Addr().String()
	_ = l.Close()
	config := filepath.Join(s.dir, "pgbouncer-"+strconv.Itoa(port)+".ini")
	text := fmt.Sprintf("[databases]\n* = host=%s port=%d user=%s\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = %d\n"+
		"unix_socket_dir =\nauth_type = any\npool_mode = %s\n", s.dir, s.port, Superuser, port, mode)
	if err := errors.Join(os.WriteFile(config, []byte(text), 0o600), chown(config)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, config)
	cmd.Dir, cmd.Env, cmd.SysProcAttr = s.dir, environment(), attributes()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	for deadline := time.Now().Add(startTime); ; time.Sleep(10 * time.Millisecond) {
		c, err := net.Dial("tcp", address)
		if err == nil {
			_ = c.Close()
			return address
		}
		if time.Now().After(deadline) {
			t.Fatalf("PgBouncer does not answer: %v", err)
		}
	}
}
