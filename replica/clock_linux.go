package replica

import (
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Boot reads CLOCK_BOOTTIME. It is a system call that never waits, and so goes
// past the scheduler: a verdict reads it.
func (System) Boot() time.Duration {
	var t unix.Timespec
	_, _, failed := syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, unix.CLOCK_BOOTTIME, uintptr(unsafe.Pointer(&t)), 0)
	if failed != 0 {
		panic("clock_gettime(CLOCK_BOOTTIME): " + failed.Error()) // there is none before Linux 2.6.39
	}
	return time.Duration(t.Nano())
}
