//go:build unix && !linux

package postgrestest

import (
	"fmt"
	"os/exec"
	"strings"
	"syscall"
)

// attributes makes a process run as the unprivileged user, where the tests run
// as root.
func attributes() *syscall.SysProcAttr {
	who, _ := unprivileged() // newDir has asked for the error
	return &syscall.SysProcAttr{Credential: who, Setpgid: true}
}

// children returns the processes that a process has started. PostgreSQL's are
// in no group with their parent.
func children(parent int) (pids []int) {
	out, err := exec.Command("ps", "-A", "-o", "pid=,ppid=").Output()
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(out)) {
		var pid, ppid int
		if _, err := fmt.Sscan(line, &pid, &ppid); err == nil && ppid == parent {
			pids = append(pids, pid)
		}
	}
	return pids
}

// workingIn is for Linux only: elsewhere nothing says where a process works.
func workingIn(string) []int { return nil }
