package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgxpool"

	"latchkey"
)

// How many connections a store opens at most, besides one that listens. Those
// that idle are closed.
const (
	lookups  = 8  // unless the address says otherwise (pool_max_conns)
	renewals = 14 // several may be under way, each on a connection that hangs
	writers  = 6
	idleTime = time.Minute
)

// lookupTime is how long a statement may take that nothing waits for but its
// caller; bulkTime, one that reads everything.
const (
	lookupTime = 30 * time.Second
	bulkTime   = 2 * time.Minute
)

// within is the bound of what could hold others up: it is over before a lease is.
func within(lease time.Duration) time.Duration { return lease * 9 / 10 }

// parse reads the database's address. What it says of a mistake never holds any
// of it: nobody can say where in an address that cannot be read the password is.
func parse(address string) (*pgxpool.Config, error) {
	if strings.TrimSpace(address) == "" {
		return nil, errors.New("no database is named: a URL such as postgres://user@host/name is needed")
	}
	c, err := pgxpool.ParseConfig(address)
	if missing := (*fs.PathError)(nil); errors.As(err, &missing) {
		return nil, fmt.Errorf("read the database's address: %w", missing)
	}
	if mend := misconfigured(err); mend != "" {
		return nil, fmt.Errorf("read the database's address: %s", mend)
	}
	if err != nil {
		return nil, errors.New("the database's address cannot be read: a URL such as postgres://user@host/name is needed, " +
			"in which %, /, ?, #, @ and : are percent-encoded where they belong to a name or a password")
	}
	if !strings.Contains(address, "pool_max_conns") {
		c.MaxConns = lookups
	}
	c.MaxConns = max(c.MaxConns, 2) // Open needs them
	c.MaxConnIdleTime = min(c.MaxConnIdleTime, idleTime)
	return c, nil
}

// misconfigured says what is wrong with the TLS settings of an address that could
// not be read; "" if something else is. pgx has no other sign of it than these
// texts, which hold nothing of the address.
func misconfigured(err error) string {
	var unread *pgconn.ParseConfigError
	if !errors.As(err, &unread) || unread.Unwrap() == nil {
		return ""
	}
	switch unread.Unwrap().Error() {
	case "sslmode is invalid":
		return "its sslmode is none of disable, allow, prefer, require, verify-ca and verify-full"
	case `both "sslcert" and "sslkey" are required`:
		return "sslcert and sslkey go together: name both files, or neither"
	case "unable to add CA to cert pool":
		return "the file of sslrootcert holds no certificate in PEM"
	case "failed to decode sslkey":
		return "the file of sslkey holds no key in PEM"
	}
	return ""
}

// private returns nil if nobody on the way can read what is sent, or pretend to be
// the server.
func private(c *pgconn.Config) error {
	const mend = "add sslmode=verify-full to its address, and sslrootcert=FILE if its certificate is not of a public authority " +
		"(or allow it with --insecure-database)"
	for _, host := range append([]*pgconn.FallbackConfig{{Host: c.Host, TLSConfig: c.TLSConfig}}, c.Fallbacks...) {
		switch tls := host.TLSConfig; {
		case local(host.Host):
		case tls == nil:
			return fmt.Errorf("the connection to the database on %s would not be encrypted: %s", host.Host, mend)
		case tls.InsecureSkipVerify && tls.VerifyPeerCertificate == nil:
			return fmt.Errorf("the connection to the database on %s would be encrypted, but to whoever answers there: %s", host.Host, mend)
		case tls.InsecureSkipVerify && tls.RootCAs == nil:
			// Its name is not compared, so any certificate of any public authority would do.
			return fmt.Errorf("the connection to the database on %s would be encrypted, but to anybody with a public certificate (sslmode=verify-ca): "+
				"%s; verify-ca is for an authority of your own that signs nothing else (sslrootcert=FILE)", host.Host, mend)
		}
	}
	return nil
}

// local reports whether a host is this one: a Unix socket, or loopback.
func local(host string) bool {
	if host == "localhost" || strings.HasPrefix(host, "/") || strings.HasPrefix(host, "@") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// planOnce: a renewal or a change walks its indexes whatever it is asked for, and
// would be planned for longer than it runs.
const planOnce = "force_generic_plan"

const searchPath = "latchkey, pg_temp"

// A session is what the connections of one pool have in common.
type session struct {
	statement time.Duration // the longest that a statement may take; 0: any time
	lock      time.Duration // the longest that it may wait for others
	idle      time.Duration // the longest that a transaction may wait for us
	cancel    bool          // what we give up is cancelled on the server, too
	whole     bool          // a transaction as a whole may take no longer than one statement (PostgreSQL 17)
	plan      string        // plan_cache_mode; "": as the server has it
}

// connections returns how connections of a kind are made. Each is checked: what
// the promise rests on must hold for every one.
func (s *Store) connections(c *pgx.ConnConfig, node string, kind session) *pgx.ConnConfig {
	c = c.Copy()
	ms := func(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
	seconds := strconv.Itoa(max(int(s.lease/3/time.Second), 1))
	c.RuntimeParams["application_name"] = text(strings.TrimSpace("latchkey " + node))
	c.RuntimeParams["client_encoding"] = "UTF8"
	// These are set once there is a session: not all proxies take them before.
	settings := map[string]string{
		"search_path":                         searchPath,
		"statement_timeout":                   ms(kind.statement),
		"lock_timeout":                        ms(kind.lock),
		"idle_in_transaction_session_timeout": ms(kind.idle),
		"tcp_user_timeout":                    ms(within(s.lease)),
		"tcp_keepalives_idle":                 seconds,
		"tcp_keepalives_interval":             seconds,
		"tcp_keepalives_count":                "2",
	}
	if kind.plan != "" {
		settings["plan_cache_mode"] = kind.plan
	}
	for name := range settings {
		delete(c.RuntimeParams, name)
	}
	if c.ConnectTimeout = s.connectTime(); c.DialFunc != nil {
		dialer := &net.Dialer{Timeout: dialTime, KeepAliveConfig: net.KeepAliveConfig{
			Enable: true, Idle: max(s.lease/3, time.Second), Interval: max(s.lease/3, time.Second), Count: 2,
		}, Control: giveUp(max(s.lease, time.Second))}
		c.DialFunc = dialer.DialContext
	}
	c.OnNotice = noteWarning
	c.ValidateConnect = func(ctx context.Context, conn *pgconn.PgConn) error { return validate(ctx, conn, settings, kind.whole) }
	if kind.cancel {
		c.BuildContextWatcherHandler = func(conn *pgconn.PgConn) ctxwatch.Handler {
			return &pgconn.CancelRequestContextWatcherHandler{Conn: conn, DeadlineDelay: 100 * time.Millisecond}
		}
	}
	return c
}

// dialTime is how long a network may take to connect.
const dialTime = time.Second

// connectTime is how long one host may take until it lets us in. There may be
// others. It is not short: what a busy server gives up after a second is asked
// again at once, and keeps it busy for ever. Nor is it long: connections that hang
// take up their pool. Who waits for a lease does not wait for so long.
func (s *Store) connectTime() time.Duration { return max(s.lease, 2*time.Second) }

// pools opens the pools. Each connects when it is asked to.
func (s *Store) pools(ctx context.Context, c *pgxpool.Config, node string) (err error) {
	slow := max(s.lease, latchkey.DefaultLease)
	for _, p := range []struct {
		pool **pgxpool.Pool
		size int32
		kind session
	}{
		{&s.pool, c.MaxConns, session{statement: lookupTime, lock: slow, idle: slow, cancel: true}},
		{&s.leases, renewals, session{statement: within(s.lease), lock: within(s.lease), idle: within(s.lease), cancel: true, plan: planOnce}},
		// A change that is given up is not cancelled: while it waits for a
		// standby, that would make it one that holds here and not there.
		{&s.writer, writers, session{statement: within(slow), lock: slow * 2 / 3, idle: within(s.lease), whole: true, plan: planOnce}},
	} {
		config := c.Copy()
		config.ConnConfig = s.connections(c.ConnConfig, node, p.kind)
		config.MaxConns, config.MinConns, config.MinIdleConns = p.size, 0, 0
		switch p.pool {
		case &s.leases:
			config.AfterConnect = s.mark
			// A renewal is one round trip; it is sent again where the connection had died.
			config.ShouldPing = func(context.Context, pgxpool.ShouldPingParams) bool { return false }
		case &s.writer:
			config.BeforeClose = s.own.remove
			config.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
				if err := s.mark(ctx, conn); err != nil {
					return err
				}
				s.own.add(conn)
				return nil
			}
		}
		if *p.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
			return err
		}
	}
	if leftOut("standbyread") {
		config := c.Copy()
		config.ConnConfig = s.connections(c.ConnConfig, node, session{statement: lookupTime})
		config.ConnConfig.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsPreferStandby
		s.stale, err = pgxpool.NewWithConfig(ctx, config)
	}
	return err
}
