package problem

import (
	"errors"
	"io"
	"net"
	"slices"
)

// outOfReach reports whether err says that a store could not be asked, or could
// not answer for now: no connection, a server that stops or stands by, a disk
// that is full or fails. Stores say it in the words of their databases.
func outOfReach(err error) bool {
	var (
		network  net.Error
		postgres interface{ SQLState() string }
		sqlite   interface{ Code() int }
		unsent   interface{ SafeToRetry() bool }
	)
	switch {
	case errors.As(err, &postgres):
		return unavailableState(postgres.SQLState())
	case errors.As(err, &sqlite):
		return slices.Contains(unavailableCodes(), sqlite.Code()&0xff)
	case errors.As(err, &network):
		return true
	case errors.As(err, &unsent) && unsent.SafeToRetry():
		return true // pgx: the question never left
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed)
}

// unavailableState reports whether a SQLSTATE is of a class that may pass:
// connection exception, insufficient resources, operator intervention, system
// error; or of a standby that takes no writes. See PostgreSQL, appendix A.
func unavailableState(state string) bool {
	if len(state) != 5 {
		return false
	}
	return slices.Contains([]string{"08", "53", "57", "58"}, state[:2]) || state == "25006"
}

// unavailableCodes are SQLite's primary result codes for a file that is held by
// another, cannot be read or written, or has no room: BUSY, LOCKED, READONLY,
// IOERR, FULL, CANTOPEN. See sqlite.org/rescode.html.
func unavailableCodes() []int { return []int{5, 6, 8, 10, 13, 14} }
