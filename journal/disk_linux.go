package journal

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// allocate gives a new file its size, with blocks behind it.
func allocate(f *os.File, size int64) error {
	for {
		err := unix.Fallocate(int(f.Fd()), 0, 0, size)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS):
			return fill(f, size)
		default:
			return err
		}
	}
}

// dataSynced is a file whose Sync leaves out its times.
type dataSynced struct{ *os.File }

// Sync waits until the data is on disk.
func (f dataSynced) Sync() error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// born returns when a file was made, or the zero time of 1970 if that cannot be
// known.
func born(path string) time.Time {
	var stat unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, path, 0, unix.STATX_BTIME, &stat)
	if err != nil || stat.Mask&unix.STATX_BTIME == 0 {
		return time.Unix(0, 0).UTC()
	}
	return time.Unix(stat.Btime.Sec, int64(stat.Btime.Nsec)).UTC()
}
