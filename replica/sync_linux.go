package replica

import (
	"os"

	"golang.org/x/sys/unix"
)

// syncData waits until what was written to a file, in place, is on disk. Unlike
// File.Sync it does not wait for the time of the last change, too.
func syncData(f *os.File) error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); err != unix.EINTR {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}
