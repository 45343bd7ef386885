package postgres

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"latchkey"
)

// A Config says where a store is, and what it begins with.
type Config struct {
	// URL is the database's address: a postgres:// URL, or a list such as
	// "host=… dbname=…". It may name several hosts: the one that takes writes
	// is used. It may hold a password, and is never printed.
	URL string

	// Genesis gives what a new store holds. It is called only if the database
	// has no latchkey schema yet, with the store's clock, inside the
	// transaction that makes it; if it fails, there is no store. Nil: a store
	// that does not exist is an error, ErrNoStore.
	Genesis func(now time.Time) (latchkey.Genesis, error)

	Now func() time.Time // the store's clock; nil means the database's. Set in tests only

	Lease    time.Duration // of the nodes; 0 means [latchkey.DefaultLease]. No connection holds anything up for longer
	Node     string        // the node's name, for the database's list of connections
	Insecure bool          // without TLS, also to a host that is not this one
	Logger   *slog.Logger  // nil: nothing is logged
}

// ErrNoStore is what Open returns, wrapped, if the database holds no store, and it
// was given nothing to make one of.
var ErrNoStore = errors.New("there is no store yet")

// A Store is all the stores of package latchkey. Texts that are not UTF-8, or hold a NUL, are kept
// with U+FFFD in place of what is wrong; times are kept to the microsecond.
type Store struct {
	pool   *pgxpool.Pool // for all that may wait: look-ups, records, contacts, users
	leases *pgxpool.Pool // for the protocol of the leases only: nothing else delays a renewal
	writer *pgxpool.Pool // for changes of credentials
	stale  *pgxpool.Pool // nil, but in a program that breaks the rule "standbyread"

	listening *pgx.ConnConfig
	lease     time.Duration
	clock     func() time.Time // nil: the database's
	logger    *slog.Logger
	created   bool
	warned    atomic.Bool // that the nodes keep another protocol

	queue queue
	own   backends // of the writer's connections
	teams locks    // see UpdateTeam

	usageFrom atomic.Int64 // unix µs: usage of days before it is removed

	archive  archive    // what is known of days of records
	managing sync.Mutex // held by the one call of this process that alters users
}

var (
	_ latchkey.CredentialStore = (*Store)(nil)
	_ latchkey.LeaseStore      = (*Store)(nil)
	_ latchkey.AuditStore      = (*Store)(nil)
)

// Created reports whether this Open made the store.
func (s *Store) Created() bool { return s.created }

// Close ends all connections. It waits for calls that are under way.
func (s *Store) Close() error {
	s.queue.wait()
	for _, p := range []*pgxpool.Pool{s.pool, s.leases, s.writer, s.stale} {
		if p != nil {
			p.Close()
		}
	}
	return nil
}

// now is the argument of coalesce($n, latchkey_now()) in a statement: nil where
// the store's clock is the database's.
func (s *Store) now() *int64 {
	if s.clock == nil {
		return nil
	}
	us := s.clock().UnixMicro()
	return &us
}

// newChangeID returns 128 random bits in hexadecimal.
func newChangeID() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	return hex.EncodeToString(id[:])
}

// text returns s as it is kept: a text that any database, and JSON, can hold.
func text(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	return strings.ReplaceAll(s, "\x00", "\uFFFD")
}

// micros returns t as it is kept: UTC, to the microsecond, without a monotonic
// clock reading.
func micros(t time.Time) time.Time { return fromMicros(t.UnixMicro()) }

func fromMicros(us int64) time.Time { return time.UnixMicro(us).UTC() }

// nullable keeps a zero time as NULL.
func nullable(t time.Time) *int64 {
	if t.IsZero() {
		return nil
	}
	us := t.UnixMicro()
	return &us
}

func fromNullable(us *int64) time.Time {
	if us == nil {
		return time.Time{}
	}
	return fromMicros(*us)
}

// Health returns nil if the database answers, and takes writes.
func (s *Store) Health(ctx context.Context) error {
	var recovering bool
	err := s.leases.QueryRow(ctx, `SELECT pg_is_in_recovery()`).Scan(&recovering)
	switch {
	case err != nil:
		return fault("ask the database", err)
	case recovering:
		return errStandby
	}
	return nil
}
