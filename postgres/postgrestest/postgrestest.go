// Package postgrestest starts PostgreSQL servers for tests: each in a temporary
// directory of its own, by another user where the tests run as root (initdb
// refuses root), and gone when the tests are.
package postgrestest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Superuser is the name of the user that owns everything on a server.
const Superuser = "postgres"

// startTime is how long a server may take to answer.
const startTime = time.Minute

// ErrMissing: no PostgreSQL is installed.
var ErrMissing = errors.New("PostgreSQL is not installed")

// A Server is one PostgreSQL server. It listens on a Unix socket in a directory
// that only its user and root can enter, and on a port of 127.0.0.1, where it
// asks for a password. Its methods are for one goroutine at a time.
type Server struct {
	bin      string // where its programs are
	dir      string // of its own; short, as a socket's path has at most 107 bytes
	port     int
	password string

	mu      sync.Mutex
	process *process // nil while it is stopped
	made    int      // databases
}

// Start starts a server for one test. Settings are lines of postgresql.conf,
// such as "max_connections = 20". A laptop without PostgreSQL skips the test;
// where CI=true it fails.
func Start(t testing.TB, settings ...string) *Server {
	t.Helper()
	s, err := newServer(settings)
	mustHave(t, err)
	t.Cleanup(s.remove)
	return s
}

func mustHave(t testing.TB, err error) {
	t.Helper()
	if errors.Is(err, ErrMissing) && os.Getenv("CI") != "true" {
		t.Skipf("%v: on Debian, install the package postgresql", err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A Shared is one server for all tests of a package. It is started when the
// first test asks for it.
type Shared struct {
	Settings []string // as for [Start]

	once   sync.Once
	server *Server
	err    error
}

// Server returns the server, and skips or fails the test as [Start] does.
func (s *Shared) Server(t testing.TB) *Server {
	t.Helper()
	s.once.Do(func() { s.server, s.err = newServer(s.Settings) })
	mustHave(t, s.err)
	return s.server
}

// Main is what TestMain does: it runs the tests, stops the server, and returns
// the code to exit with.
func (s *Shared) Main(m *testing.M) int {
	defer func() {
		if s.server != nil {
			s.server.remove()
		}
	}()
	return m.Run()
}

func newServer(settings []string) (*Server, error) {
	bin, err := programs()
	if err != nil {
		return nil, err
	}
	s, err := newDir(bin)
	if err != nil {
		return nil, err
	}
	if err := s.initdb(settings); err != nil {
		s.remove()
		return nil, err
	}
	return s, nil
}

// newDir makes the directory of a server, and chooses its port.
func newDir(bin string) (*Server, error) {
	s := &Server{bin: bin, password: rand.Text()}
	var err error
	// The usual directory for temporary files may have a name that is too long
	// for a socket in it, or may be closed to the server's user.
	if s.dir, err = os.MkdirTemp("/tmp", "pg"); err != nil {
		return nil, err
	}
	if err := chown(s.dir); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer l.Close()
	s.port = l.Addr().(*net.TCPAddr).Port
	return s, nil
}

func (s *Server) initdb(settings []string) error {
	file := filepath.Join(s.dir, "password")
	if err := os.WriteFile(file, []byte(s.password), 0o600); err != nil {
		return err
	}
	if err := chown(file); err != nil {
		return err
	}
	err := s.run("initdb", "-D", s.data(), "-U", Superuser, "-E", "UTF8", "--no-locale", "--no-sync",
		"--auth-local=trust", "--auth-host=scram-sha-256", "--pwfile="+file)
	if err != nil {
		return err
	}
	conf, err := os.OpenFile(filepath.Join(s.data(), "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = conf.WriteString("\ninclude 'test.conf'\n")
	if err := errors.Join(err, conf.Close()); err != nil {
		return err
	}
	if err := s.write(settings); err != nil {
		return err
	}
	return s.start()
}

// write makes test.conf anew. Of a setting that comes twice, the last counts.
func (s *Server) write(settings []string) error {
	all := append([]string{
		fmt.Sprintf("listen_addresses = '127.0.0.1'\nport = %d\nunix_socket_directories = '%s'\nunix_socket_permissions = 0700", s.port, s.dir),
		"fsync = on\nfull_page_writes = on\nsynchronous_commit = on",
		"max_connections = 200\nshared_buffers = 32MB\nmax_wal_size = 256MB\nautovacuum_naptime = 10min",
	}, settings...)
	file := filepath.Join(s.data(), "test.conf")
	if err := os.WriteFile(file, []byte(strings.Join(all, "\n")+"\n"), 0o600); err != nil {
		return err
	}
	return chown(file)
}

// programs returns the directory of the PostgreSQL that LATCHKEY_POSTGRES names,
// else of the newest that is installed. Debian keeps initdb and postgres out of
// PATH.
func programs() (string, error) {
	if dir := os.Getenv("LATCHKEY_POSTGRES"); dir != "" {
		return dir, nil
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		return "", err
	}
	major := func(path string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
		return n
	}
	if len(found) > 0 {
		return filepath.Dir(slices.MaxFunc(found, func(a, b string) int { return major(a) - major(b) })), nil
	}
	path, err := exec.LookPath("initdb")
	if err != nil {
		return "", ErrMissing
	}
	return filepath.Dir(path), nil
}

// run runs one of PostgreSQL's programs to its end.
func (s *Server) run(name string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, name), args...)
	cmd.Dir, cmd.Env, cmd.SysProcAttr = s.dir, environment(), attributes()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, out)
	}
	return nil
}

// environment keeps what could point PostgreSQL's programs elsewhere away.
func environment() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// URL returns the address of a database on the server, over its socket.
func (s *Server) URL(database string) string {
	u := url.URL{Scheme: "postgres", Path: "/" + database, RawQuery: url.Values{
		"host": {s.dir}, "port": {strconv.Itoa(s.port)}, "user": {Superuser},
	}.Encode()}
	return u.String()
}

// TCP returns the address of a database on the server, over 127.0.0.1. It holds
// the password.
func (s *Server) TCP(database string) string {
	u := url.URL{Scheme: "postgres", Path: "/" + database, Host: s.Address(), User: url.UserPassword(Superuser, s.password)}
	return u.String()
}

// Address returns where the server listens besides its socket, such as
// "127.0.0.1:5432".
func (s *Server) Address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// NewDatabase makes an empty database, and returns its name. It goes with the
// server: to drop it takes longer than to make it.
func (s *Server) NewDatabase(t testing.TB) (name string) {
	t.Helper()
	s.mu.Lock()
	s.made++
	name = fmt.Sprintf("test%d", s.made)
	s.mu.Unlock()
	s.Exec(t, "postgres", "CREATE DATABASE "+name)
	return name
}

// Exec runs statements in a database.
func (s *Server) Exec(t testing.TB, database string, statements ...string) {
	t.Helper()
	if err := s.exec(database, statements...); err != nil {
		t.Fatal(err)
	}
}

func (s *Server) exec(database string, statements ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.URL(database))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	for _, statement := range statements {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}

// Log returns what the server has logged.
func (s *Server) Log() string {
	log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
	return string(log)
}
