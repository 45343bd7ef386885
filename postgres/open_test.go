package postgres

import (
	"encoding/pem"
	"errors"
	"fmt"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey"
	"latchkey/postgres/postgrestest"
)

// refuse asks that Open refuses a database with words that say how to mend it.
func refuse(t *testing.T, what string, c Config, words ...string) {
	t.Helper()
	s, err := Open(t.Context(), c)
	if err == nil {
		_ = s.Close()
		t.Errorf("%s is refused", what)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%s is refused with %q, not with %v", what, w, err)
		}
	}
}

// TestRequirements: each thing that the promise rests on is asked for.
func TestRequirements(t *testing.T) {
	good := [7]string{"150018", "off", "on", "on", "on", "UTF8", "latchkey, pg_temp"}
	for _, c := range []struct {
		at    int
		value string
		words string // empty: it is accepted
	}{
		{0, "140000", ""}, {0, "190001", ""}, {0, "130022", "needs version 14"}, {0, "90624", "needs version 14"}, {0, "", "needs version 14"},
		{1, "recovery", "standby"}, {1, "on", "default_transaction_read_only = off"},
		{2, "off", "Set fsync = on"}, {3, "off", "set full_page_writes = on"},
		{4, "remote_apply", ""}, {4, "remote_write", ""}, {4, "off", "set synchronous_commit = on"}, {4, "local", "set synchronous_commit = on"},
		{5, "SQL_ASCII", "ENCODING 'UTF8'"}, {5, "LATIN1", "ENCODING 'UTF8'"},
		{6, `"$user", public`, "pool_mode = session"},
	} {
		values := good
		values[c.at] = c.value
		err := require(values)
		if (err == nil) != (c.words == "") || err != nil && !strings.Contains(err.Error(), c.words) {
			t.Errorf("a server with %q is answered with %q, not %v", c.value, c.words, err)
		}
	}
}

// TestServersThatAreRefused: the same, of real servers.
func TestServersThatAreRefused(t *testing.T) {
	s := server.Server(t)
	name := s.NewDatabase(t)
	config := Config{URL: s.URL(name), Genesis: genesis}
	for setting, words := range map[string]string{
		"synchronous_commit = off":           "synchronous_commit = on",
		"synchronous_commit = local":         "synchronous_commit = on",
		"default_transaction_read_only = on": "default_transaction_read_only = off",
	} {
		s.Exec(t, name, `ALTER DATABASE `+name+` SET `+setting)
		refuse(t, setting, config, words)
		parameter, _, _ := strings.Cut(setting, " ")
		s.Exec(t, "postgres", `ALTER DATABASE `+name+` RESET `+parameter)
	}
	for _, parameter := range []string{"fsync", "full_page_writes"} {
		s.Configure(t, parameter+" = off")
		refuse(t, parameter+" = off", config, parameter+" = on")
		s.Configure(t, parameter+" = on")
	}
	latin := s.NewDatabase(t)
	s.Exec(t, "postgres", `DROP DATABASE `+latin, `CREATE DATABASE `+latin+` ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0`)
	refuse(t, "another encoding", Config{URL: s.URL(latin), Genesis: genesis}, "LATIN1", "ENCODING 'UTF8'")
	refuse(t, "a database that is not there", Config{URL: s.URL("nowhere"), Genesis: genesis}, "nowhere", "CREATE DATABASE")
	refuse(t, "a database without a store", Config{URL: s.URL(name)}, "no store yet", name)
	if _, err := Open(t.Context(), Config{URL: s.URL(name)}); !errors.Is(err, ErrNoStore) {
		t.Errorf("a database without a store is ErrNoStore where there is no genesis, not %v", err)
	}
	refuse(t, "a lease that is too long", Config{URL: s.URL(name), Genesis: genesis, Lease: time.Hour}, "lease")
	mustOpen(t, config)
	s.Exec(t, name, `INSERT INTO latchkey.goose_db_version (version_id, is_applied) VALUES (99, true)`)
	refuse(t, "a newer schema", config, "made by a newer latchkey (schema 99")
}

// TestAddresses: none that is refused is shown, for it may hold a password.
func TestAddresses(t *testing.T) {
	const password = "hunter2/secret"
	for what, c := range map[string]struct{ address, words string }{
		"no address":                           {"", "no database is named"},
		"a password that is not encoded":       {"postgres://user:" + password + "@localhost/name", "percent-encoded"},
		"a port that is none":                  {"postgres://user@localhost:" + password + "/name", "percent-encoded"},
		"a list with a quote":                  {"host=localhost password='" + password, "percent-encoded"},
		"a setting that is none":               {"postgres://user:" + url.QueryEscape(password) + "@localhost/name?sslmode=" + url.QueryEscape(password), "its sslmode is none of disable, allow"},
		"half of a client's certificate":       {"postgres://user@localhost/name?sslmode=require&sslcert=/" + url.QueryEscape(password), "name both files"},
		"a CA that is missing":                 {"postgres://user:" + url.QueryEscape(password) + "@localhost/name?sslmode=verify-full&sslrootcert=/missing.pem", "/missing.pem"},
		"another host without TLS":             {"postgres://user:" + url.QueryEscape(password) + "@192.0.2.1/name?sslmode=disable", "sslmode=verify-full"},
		"another host that may be without":     {"postgres://user:" + url.QueryEscape(password) + "@192.0.2.1/name?sslmode=prefer", "sslmode=verify-full"},
		"one of two hosts without TLS":         {"host=localhost,192.0.2.1 sslmode=disable user=u password=" + url.QueryEscape(password), "192.0.2.1"},
		"another host that shows nothing":      {"postgres://user:" + url.QueryEscape(password) + "@192.0.2.1/name?sslmode=require", "whoever answers"},
		"anybody with a public certificate":    {"postgres://user:" + url.QueryEscape(password) + "@192.0.2.1/name?sslmode=verify-ca", "sslmode=verify-full"},
		"a name that resolves to who knows":    {"postgres://user@localhost.example.com/name?sslmode=disable", "not be encrypted"},
		"nobody who listens on a port of ours": {"postgres://user:" + url.QueryEscape(password) + "@127.0.0.1:1/name", "connect"},
	} {
		s, err := Open(t.Context(), Config{URL: c.address, Genesis: genesis})
		if err == nil {
			_ = s.Close()
			t.Errorf("%s is refused", what)
			continue
		}
		if !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s is refused with %q, not with %v", what, c.words, err)
		}
		for _, part := range []string{"hunter2", "secret", url.QueryEscape(password)} {
			if strings.Contains(err.Error(), part) {
				t.Errorf("%s: the error does not hold the password", what)
			}
		}
	}
	authority := filepath.Join(t.TempDir(), "root.pem")
	if err := os.WriteFile(authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: someCertificate(t)}), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{
		"postgres://u@localhost/n", "postgres://u@127.0.0.2/n?sslmode=disable", "postgres://u@[::1]/n?sslmode=disable",
		"host=/run/postgresql dbname=n", "postgres://u@db.example.com/n?sslmode=verify-full", "postgres://u@localhost/n?sslmode=verify-ca",
		"postgres://u@db.example.com/n?sslmode=verify-ca&sslrootcert=" + authority,
	} {
		c, err := parse(address)
		if err == nil {
			err = private(&c.ConnConfig.Config)
		}
		if err != nil {
			t.Errorf("%s can be connected to: %v", address, err)
		}
	}
}

// someCertificate is some certificate.
func someCertificate(t *testing.T) []byte {
	s := httptest.NewTLSServer(nil)
	t.Cleanup(s.Close)
	return s.Certificate().Raw
}

// TestWrongPassword: nor does the server's refusal show it.
func TestWrongPassword(t *testing.T) {
	s := server.Server(t)
	name := s.NewDatabase(t)
	refuse(t, "a wrong password", Config{URL: "postgres://postgres:wrong-and-secret@" + s.Address() + "/" + name, Genesis: genesis}, "password authentication failed")
	_, err := Open(t.Context(), Config{URL: "postgres://postgres:wrong-and-secret@" + s.Address() + "/" + name, Genesis: genesis})
	if err == nil || strings.Contains(err.Error(), "wrong-and-secret") {
		t.Errorf("the password is in the error")
	}
	store := mustOpen(t, Config{URL: s.TCP(name)})
	mustRoll(t, store, mustChanges(t, store).Teams[0].ID)
}

// TestSessions: nobody is held up for longer than a lease, and every connection
// has the settings that all rests on.
func TestSessions(t *testing.T) {
	s := mustOpen(t, Config{URL: newURL(t), Lease: 2 * time.Second, Node: "node-7"})
	for pool, p := range map[string]querier{"leases": s.leases, "writer": s.writer, "pool": s.pool} {
		for setting, want := range map[string]string{
			"search_path": "latchkey, pg_temp", "application_name": "latchkey node-7", "synchronous_commit": "on",
		} {
			var got string
			if err := p.QueryRow(t.Context(), `SELECT current_setting($1)`, setting).Scan(&got); err != nil || got != want {
				t.Errorf("connections of %s have %s = %q, not %q: %v", pool, setting, want, got, err)
			}
		}
		for setting, bounded := range map[string]bool{
			"idle_in_transaction_session_timeout": pool != "pool", "lock_timeout": pool == "leases", "statement_timeout": pool == "leases",
		} {
			var got int
			err := p.QueryRow(t.Context(), `SELECT setting::int FROM pg_settings WHERE name = $1`, setting).Scan(&got)
			if err != nil || got == 0 || bounded && time.Duration(got)*time.Millisecond >= 2*time.Second {
				t.Errorf("connections of %s have %s = %d ms, which is not below the lease: %v", pool, setting, got, err)
			}
		}
	}
	if err := s.Health(t.Context()); err != nil {
		t.Errorf("a store whose database answers is well: %v", err)
	}
}

// TestManyOpenAtOnce: ten nodes start on an empty database.
func TestManyOpenAtOnce(t *testing.T) {
	address := newURL(t)
	var begun, created atomic.Int32
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			s, err := Open(t.Context(), Config{URL: address, Genesis: func(now time.Time) (latchkey.Genesis, error) {
				begun.Add(1)
				return genesis(now)
			}})
			if err != nil {
				t.Errorf("a node that starts with others: %v", err)
				return
			}
			if s.Created() {
				created.Add(1)
			}
			if c, err := s.Changes(t.Context(), 0); err != nil || c.Revision != 1 || len(c.Teams) != 1 {
				t.Errorf("all see what one of them made: %+v, %v", c, err)
			}
			_ = s.Close()
		})
	}
	wg.Wait()
	if begun.Load() != 1 || created.Load() != 1 {
		t.Errorf("of nodes that start at once one makes the store: genesis was called %d times, %d say that they made it", begun.Load(), created.Load())
	}
}

func TestGenesisIsWholeOrNothing(t *testing.T) {
	address := newURL(t)
	failure := errors.New("no entropy today")
	for what, c := range map[string]struct {
		genesis func(time.Time) (latchkey.Genesis, error)
		want    error
	}{
		"a genesis that fails": {func(time.Time) (latchkey.Genesis, error) { return latchkey.Genesis{}, failure }, failure},
		"a genesis that cannot be written": {func(now time.Time) (latchkey.Genesis, error) {
			g, err := genesis(now)
			g.Holding.Credentials = append(g.Holding.Credentials, g.Holding.Credentials[0])
			return g, err
		}, latchkey.ErrConflict},
		"no genesis": {nil, ErrNoStore},
	} {
		if _, err := Open(t.Context(), Config{URL: address, Genesis: c.genesis}); !errors.Is(err, c.want) {
			t.Errorf("%s: the error is %v, and does not wrap %v", what, err, c.want)
		}
	}
	s := mustOpen(t, Config{URL: address})
	if !s.Created() || mustChanges(t, s).Revision != 1 {
		t.Errorf("a genesis that failed leaves nothing behind")
	}
}

// TestDurableForGood: whoever turns durable commits off while a node is running
// does not turn off those of its connections.
func TestDurableForGood(t *testing.T) {
	t.Parallel()
	s := postgrestest.Start(t)
	store := mustOpen(t, Config{URL: s.URL(s.NewDatabase(t))})
	id := mustChanges(t, store).Teams[0].ID
	mustRoll(t, store, id)
	s.Exec(t, "postgres", "ALTER SYSTEM SET synchronous_commit = off", "SELECT pg_reload_conf()")
	elsewhere, err := pgx.Connect(t.Context(), s.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer elsewhere.Close(t.Context())
	ask := func(q querier) (value string) {
		t.Helper()
		if err := q.QueryRow(t.Context(), "SELECT current_setting('synchronous_commit')").Scan(&value); err != nil {
			t.Fatal(err)
		}
		return value
	}
	if err := eventually(func() error {
		if got := ask(elsewhere); got != "off" {
			return fmt.Errorf("the server's setting is to be off: %s", got)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for name, pool := range map[string]querier{"leases": store.leases, "changes": store.writer} {
		if got := ask(pool); got != "on" {
			t.Errorf("a connection for %s stays durable: %s", name, got)
		}
	}
	refuse(t, "the next node", Config{URL: s.URL("postgres"), Genesis: genesis}, "synchronous_commit = on")
}
