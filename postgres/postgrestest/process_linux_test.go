package postgrestest

import (
	"syscall"
	"testing"
	"time"
)

// TestStartAfterASlowDeath holds that a server is started although a process of
// the one that was killed is still ending.
func TestStartAfterASlowDeath(t *testing.T) {
	s := Start(t)
	first := s.Pid(t)
	slow := children(first)[0]
	if err := syscall.Kill(slow, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	p, err := s.running()
	if err != nil {
		t.Fatal(err)
	}
	_ = p.cmd.Process.Kill()
	<-p.exited
	time.AfterFunc(300*time.Millisecond, func() { _ = syscall.Kill(slow, syscall.SIGKILL) })
	s.Start(t)
	if s.Pid(t) == first {
		t.Error("the server that was killed is still there")
	}
}
