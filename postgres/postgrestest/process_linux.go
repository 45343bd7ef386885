package postgrestest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// attributes makes a process run as the unprivileged user, and end with the
// tests however they end.
func attributes() *syscall.SysProcAttr {
	who, _ := unprivileged() // newDir has asked for the error
	return &syscall.SysProcAttr{Credential: who, Setpgid: true, Pdeathsig: syscall.SIGQUIT}
}

// children returns the processes that a process has started. PostgreSQL's are
// in no group with their parent.
func children(parent int) (pids []int) {
	files, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is right
	for _, file := range files {
		stat, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended meanwhile
		}
		// PID (NAME) STATE PPID …: the name may hold anything.
		var pid, ppid int
		var state string
		_, err = fmt.Sscan(string(stat), &pid)
		if err != nil {
			continue
		}
		_, err = fmt.Sscan(string(stat[bytes.LastIndexByte(stat, ')')+1:]), &state, &ppid)
		if err == nil && ppid == parent {
			pids = append(pids, pid)
		}
	}
	return pids
}

// workingIn returns the processes whose working directory is the one given.
func workingIn(dir string) (pids []int) {
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	links, _ := filepath.Glob("/proc/[0-9]*/cwd") // the pattern is right
	for _, link := range links {
		if at, err := os.Readlink(link); err == nil && at == dir {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(link)))
			pids = append(pids, pid)
		}
	}
	return pids
}
