package postgres

import (
	"context"
	"maps"
	"net"
	"net/url"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"latchkey"
	"latchkey/postgres/postgrestest"
)

// pooler is a proxy that shares two sessions of a database among all its clients,
// a transaction at a time, in turn. It returns its address. With settings, each
// of its sessions is given those that the first client asked for.
func pooler(t *testing.T, database string, settings bool) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	sessions := make(chan *pgproto3.Frontend, 2)
	connect := func(parameters map[string]string) error {
		for range cap(sessions) {
			c, err := pgx.ParseConfig(database)
			if err != nil {
				return err
			}
			if settings {
				maps.Copy(c.RuntimeParams, parameters)
			}
			conn, err := pgconn.ConnectConfig(context.Background(), &c.Config)
			if err != nil {
				return err
			}
			h, err := conn.Hijack()
			if err != nil {
				return err
			}
			t.Cleanup(func() { _ = h.Conn.Close() })
			sessions <- h.Frontend
		}
		return nil
	}
	go func() {
		for first := true; ; first = false {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			client := pgproto3.NewBackend(conn, conn)
			startup, err := client.ReceiveStartupMessage()
			if _, tls := startup.(*pgproto3.SSLRequest); tls {
				_, _ = conn.Write([]byte("N"))
				startup, err = client.ReceiveStartupMessage()
			}
			asked, ok := startup.(*pgproto3.StartupMessage)
			if err != nil || !ok {
				_ = conn.Close()
				continue
			}
			if first {
				delete(asked.Parameters, "user")
				delete(asked.Parameters, "database")
				if err := connect(asked.Parameters); err != nil {
					t.Errorf("connect: %v", err)
					return
				}
			}
			go serve(conn, client, sessions)
		}
	}()
	u := url.URL{Scheme: "postgres", Host: l.Addr().String(), Path: "/any", User: url.User("any"), RawQuery: "sslmode=disable"}
	return u.String()
}

func serve(conn net.Conn, client *pgproto3.Backend, sessions chan *pgproto3.Frontend) {
	defer conn.Close()
	client.Send(&pgproto3.AuthenticationOk{})
	client.Send(&pgproto3.ParameterStatus{Name: "standard_conforming_strings", Value: "on"})
	client.Send(&pgproto3.ParameterStatus{Name: "client_encoding", Value: "UTF8"})
	client.Send(&pgproto3.BackendKeyData{ProcessID: 1, SecretKey: []byte{0, 0, 0, 1}})
	client.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	if client.Flush() != nil {
		return
	}
	var session *pgproto3.Frontend // while a transaction is open
	for {
		message, err := client.Receive()
		if err != nil {
			return
		}
		if session == nil {
			session = <-sessions
		}
		session.Send(message)
		switch message.(type) {
		case *pgproto3.Sync, *pgproto3.Query:
		default:
			continue
		}
		if session.Flush() != nil {
			return
		}
		for ready := false; !ready; {
			answer, err := session.Receive()
			if err != nil {
				return
			}
			client.Send(answer)
			if r, ok := answer.(*pgproto3.ReadyForQuery); ok {
				if ready = true; r.TxStatus == 'I' {
					sessions <- session
					session = nil
				}
			}
		}
		if client.Flush() != nil {
			return
		}
	}
}

// TestPooler: a proxy that pools transactions is found out, whether it loses the
// settings of a session or not.
func TestPooler(t *testing.T) {
	for _, settings := range []bool{false, true} {
		refuse(t, "a proxy that pools transactions", Config{URL: pooler(t, newURL(t), settings), Genesis: genesis}, "pool_mode = session")
	}
}

// TestPgBouncer: the real one is refused unless it pools whole sessions; then all
// works through it, hints included.
func TestPgBouncer(t *testing.T) {
	s := server.Server(t)
	through := func(mode string) string {
		u := url.URL{Scheme: "postgres", Host: s.Bouncer(t, mode), Path: "/" + s.NewDatabase(t),
			User: url.User(postgrestest.Superuser), RawQuery: "sslmode=disable"}
		return u.String()
	}
	for _, mode := range []string{"transaction", "statement"} {
		refuse(t, "PgBouncer, pooling by "+mode, Config{URL: through(mode), Genesis: genesis}, "pool_mode = session")
	}
	store := mustOpen(t, Config{URL: through("session")})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	hints, ended := make(chan latchkey.Revision, 10), make(chan error, 1)
	go func() { ended <- store.Listen(ctx, func(r latchkey.Revision) { hints <- r }) }()
	<-hints // it listens
	if err := store.Register(t.Context(), latchkey.Registration{ID: "node", Node: "node", Lease: time.Second}); err != nil {
		t.Fatal(err)
	}
	change := mustRoll(t, store, mustChanges(t, store).Teams[0].ID)
	if got := <-hints; got != change.Revision {
		t.Errorf("a hint comes through PgBouncer: %d, not %d", got, change.Revision)
	}
	got, err := store.Renew(t.Context(), latchkey.Renewal{ID: "node"})
	if err != nil || got.Changes.Revision != change.Revision {
		t.Errorf("a renewal through PgBouncer: %+v, %v", got.Changes, err)
	}
	cancel()
	<-ended
}
