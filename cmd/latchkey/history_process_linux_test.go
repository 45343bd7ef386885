package main

import "syscall"

// ownGroup makes a process end with the tests, however they end, and get none of
// the terminal's signals.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
