package postgrestest

import (
	"os/exec"
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

// TestKillLeavesNobody holds that a process of the server is killed with it, though
// it was not there yet when the server's processes were listed.
func TestKillLeavesNobody(t *testing.T) {
	s := Start(t)
	late := exec.Command("sleep", "600")
	late.Dir, late.SysProcAttr = s.data(), attributes()
	if err := late.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- late.Wait() }()
	s.Kill(t)
	select {
	case <-ended:
	case <-time.After(startTime):
		t.Error("a process of the server outlives it")
		_ = late.Process.Kill()
	}
}
