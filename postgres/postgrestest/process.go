package postgrestest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// A process is a running server.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{} // closed
}

// unprivileged is who runs PostgreSQL where the tests run as root; nil: the
// tests' own user.
var unprivileged = sync.OnceValues(func() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	var failure error
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			failure = err
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil {
			return nil, err
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		if err != nil {
			return nil, err
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, fmt.Errorf("PostgreSQL cannot run as root: %w", failure)
})

func chown(path string) error {
	who, err := unprivileged()
	if err != nil || who == nil {
		return err
	}
	return os.Chown(path, int(who.Uid), int(who.Gid))
}

// start starts the server, and waits until it answers. A process of a server
// that was killed may take a while to end on a busy machine: until then the next
// server refuses its directory, and is started again.
func (s *Server) start() error {
	for deadline := time.Now().Add(startTime); ; time.Sleep(20 * time.Millisecond) {
		before := len(s.Log())
		err := s.startOnce()
		if err == nil || time.Now().After(deadline) || !strings.Contains(s.Log()[before:], "pre-existing shared memory block") {
			return err
		}
	}
}

func (s *Server) startOnce() error {
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(filepath.Join(s.bin, "postgres"), "-D", s.data())
	cmd.Dir, cmd.Env, cmd.SysProcAttr = s.dir, environment(), attributes()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	p := &process{cmd, make(chan struct{})}
	go func() {
		_ = cmd.Wait()
		close(p.exited)
	}()
	s.mu.Lock()
	s.process = p
	s.mu.Unlock()
	return s.ready(p)
}

func (s *Server) ready(p *process) error {
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, s.URL("postgres"))
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-p.exited:
			return fmt.Errorf("the server does not start:\n%s", s.Log())
		case <-ctx.Done():
			return fmt.Errorf("the server does not answer: %w\n%s", err, s.Log())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Start starts a server again that was stopped or killed.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
}

// Stop stops the server at once, in the way of a crash but without one: it
// closes all connections, writes no checkpoint, and recovers when it starts.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	if err := s.end(syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
}

// Kill kills all of the server's processes with SIGKILL.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	if err := s.end(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// Pause stops all of the server's processes with SIGSTOP until resume is
// called, or the test ends. Connections that are opened meanwhile wait.
func (s *Server) Pause(t testing.TB) (resume func()) {
	t.Helper()
	p, err := s.running()
	if err != nil {
		t.Fatal(err)
	}
	resume = sync.OnceFunc(func() {
		for _, pid := range append(children(p.cmd.Process.Pid), p.cmd.Process.Pid) {
			_ = syscall.Kill(pid, syscall.SIGCONT)
		}
	})
	t.Cleanup(resume)
	_ = p.cmd.Process.Signal(syscall.SIGSTOP)
	for _, pid := range children(p.cmd.Process.Pid) {
		_ = syscall.Kill(pid, syscall.SIGSTOP)
	}
	return resume
}

// Pid returns the process ID of the server's first process.
func (s *Server) Pid(t testing.TB) int {
	t.Helper()
	p, err := s.running()
	if err != nil {
		t.Fatal(err)
	}
	return p.cmd.Process.Pid
}

func (s *Server) running() (*process, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return nil, fmt.Errorf("the server in %s does not run", s.dir)
	}
	return s.process, nil
}

// end ends the server's processes with a signal, and waits until they are gone.
func (s *Server) end(signal syscall.Signal) error {
	p, err := s.running()
	if err != nil {
		return err
	}
	if signal == syscall.SIGKILL {
		// The others go first, while their parent can start no more.
		_ = p.cmd.Process.Signal(syscall.SIGSTOP)
		for _, pid := range children(p.cmd.Process.Pid) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	_ = p.cmd.Process.Signal(signal)
	select {
	case <-p.exited:
	case <-time.After(startTime):
		return fmt.Errorf("the server in %s does not stop", s.dir)
	}
	if signal == syscall.SIGKILL {
		// One that was started at that moment may wait for ever for a lock that
		// another held, and would keep the next server from its directory.
		for _, pid := range workingIn(s.data()) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	s.mu.Lock()
	s.process = nil
	s.mu.Unlock()
	return nil
}

// remove stops the server, if it runs, and removes its directory.
func (s *Server) remove() {
	if p, err := s.running(); err == nil {
		_ = p.cmd.Process.Signal(syscall.SIGCONT)
		_ = s.end(syscall.SIGQUIT)
	}
	_ = os.RemoveAll(s.dir)
}
