package postgres

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// giveUp makes connections fail when what was sent is not acknowledged for so
// long (TCP_USER_TIMEOUT, see tcp(7)). Without it, a network that swallows
// everything is noticed after a quarter of an hour.
func giveUp(after time.Duration) func(network, address string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		var err error
		if controlled := c.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(after.Milliseconds()))
		}); controlled != nil {
			return controlled
		}
		if err == unix.EOPNOTSUPP || err == unix.ENOPROTOOPT {
			return nil // no TCP
		}
		return err
	}
}
