package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// protocol is the number of the protocol that this program keeps; see
// docs/protocol.md. It is no number of the schema: nodes of two versions run side
// by side, whatever tables the newer one has added, unless they differ in this. A
// version that raises it does so in a migration of its own.
const protocol = 1

// keepsProtocol is the condition that the database's nodes keep it, too.
var keepsProtocol = `(SELECT protocol FROM meta) = ` + strconv.Itoa(protocol)

// A protocolError: the other nodes keep a protocol that this program does not know.
// A node of it gets no lease, and makes no change.
type protocolError struct{ theirs string }

func (e *protocolError) Error() string {
	return fmt.Sprintf("the nodes of this database keep protocol %s, and this latchkey knows protocol %d alone: "+
		"stop it, and start the version that the other nodes run", e.theirs, protocol)
}

// errOtherProtocol: the database's nodes keep another protocol; the next renewal says
// which.
var errOtherProtocol = errors.New("the nodes of this database keep another protocol")

// asProtocol turns what latchkey_keeps raises into a protocolError.
func asProtocol(err error) error {
	var answer *pgconn.PgError
	if errors.As(err, &answer) && answer.Code == stateProtocol {
		return &protocolError{answer.Detail}
	}
	return err
}

// keeps returns an error unless the database's nodes keep this program's protocol.
func keeps(ctx context.Context, conn interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}) error {
	var theirs int
	if err := conn.QueryRow(ctx, `SELECT protocol FROM latchkey.meta`).Scan(&theirs); err != nil {
		return fmt.Errorf("read the number of the protocol: %w", err)
	}
	return known(theirs)
}

func known(theirs int) error {
	if theirs != protocol {
		return &protocolError{strconv.Itoa(theirs)}
	}
	return nil
}

// warn says once in the log what a renewal that failed says each time.
func (s *Store) warn(err *protocolError) {
	if s.warned.CompareAndSwap(false, true) {
		s.logger.Error("THIS NODE ANSWERS UNAVAILABLE", "error", err)
	}
}
