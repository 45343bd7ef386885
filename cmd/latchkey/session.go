package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"os/user"
	"strconv"
	"syscall"
	"time"

	"latchkey"
	"latchkey/admin"
)

const (
	// pingTime is how long a server may take to say that it is there.
	pingTime = 5 * time.Second

	// startingPace is how often a server that is starting is asked.
	startingPace = 50 * time.Millisecond

	// attempts bounds how often a command looks for a server that comes or
	// goes just then.
	attempts = 3
)

// A session is one run of a command other than serve.
type session struct {
	*globals
	stdin          *os.File
	stdout, stderr io.Writer
	makesKeys      bool // the command makes API keys: their prefix matters
}

// call connects and does the deed. A server that goes away before it was asked
// anything leaves the deed to be done in another way.
func (s *session) call(do func(context.Context, *admin.Client) error) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the command, whatever it waits for
	var err error
	for range attempts {
		var (
			api        *admin.Client
			disconnect func() error
		)
		if api, disconnect, err = s.connect(ctx); err != nil {
			return err
		}
		api.Actor = actor()
		err = do(ctx, api)
		if closeErr := disconnect(); err == nil {
			err = closeErr
		}
		if !errors.Is(err, admin.ErrNoServer) {
			break
		}
	}
	return err
}

// connect returns a client of the server that runs on the data directory or, if
// none does, of the store itself. One in the data directory is this process's
// until disconnect is called.
func (s *session) connect(ctx context.Context) (api *admin.Client, disconnect func() error, err error) {
	server := admin.Dial(socketPath(s.Data))
	running := func() error { return nil }
	silence := s.ping(ctx, server)
	if silence == nil {
		return server, running, nil
	}
	var (
		other *otherStoreError
		usage *usageMistake
	)
	if errors.As(silence, &other) || errors.As(silence, &usage) || isStarting(silence) && s.Database == "" {
		return nil, nil, silence // a store of its own is that server's alone
	}
	n, err := s.open(ctx)
	if err == nil {
		return admin.Local(n.management(os.Getenv("LATCHKEY_CONSOLE_URL"), nil).Handler()), n.Close, nil
	}
	switch {
	case errors.Is(silence, admin.ErrNoServer):
		// One may have come up while we waited for the lock that it held.
		if s.ping(ctx, server) == nil {
			return server, running, nil
		}
	case !errors.Is(silence, fs.ErrPermission):
		err = fmt.Errorf("%w; its server does not answer: %w", err, silence)
	}
	return nil, nil, err
}

// open opens the store itself. A database that nodes share needs no data
// directory: what is there belongs to a node, which may come back any time.
func (s *session) open(ctx context.Context) (*node, error) {
	var (
		lock *os.File
		err  error
	)
	if s.Database == "" {
		if lock, err = claimDir(ctx, s.Data, false); err != nil {
			return nil, err
		}
	}
	return openNode(ctx, lock, nodeConfig{
		Data: s.Data, Database: s.database(), Keyset: s.Keyset, KeyPrefix: s.KeyPrefix, Command: true,
		By: latchkey.Actor{Name: actor(), Source: latchkey.System.Source}, Logger: slog.New(slog.DiscardHandler),
	})
}

// ping reports why the server is not to be asked: it does not answer, or it
// works on another store, or makes other keys, than was named.
func (s *session) ping(ctx context.Context, api *admin.Client) error {
	ctx, cancel := context.WithTimeout(ctx, pingTime)
	defer cancel()
	server, err := api.Server(ctx)
	for isStarting(err) && wait(ctx, startingPace) {
		server, err = again(ctx, api, err)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("there was no answer within %s", pingTime)
	}
	if err == nil && s.Database != "" && server.Database != s.database().String() {
		return &otherStoreError{data: s.Data, works: server.Database, named: s.database().String()}
	}
	if err == nil && s.makesKeys && s.KeyPrefix != "" && server.KeyPrefix != "" && server.KeyPrefix != s.KeyPrefix {
		return usageError("--key-prefix %s is not that of the server on %s, which makes the keys: leave it out (and LATCHKEY_KEY_PREFIX), or start the server with it", s.KeyPrefix, s.Data)
	}
	return err
}

// again asks a server that was starting once more. It was there to say so: time that
// runs out then is no silence.
func again(ctx context.Context, api *admin.Client, starting error) (admin.Server, error) {
	server, err := api.Server(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = starting
	}
	return server, err
}

// isStarting reports whether a server says that it is not there yet.
func isStarting(err error) bool {
	var said *admin.Error
	return errors.As(err, &said) && said.Code == latchkey.CodeUnavailable
}

// An otherStoreError is a server on the data directory that works on another
// store than the command is to.
type otherStoreError struct{ data, works, named string }

func (e *otherStoreError) Error() string {
	works := "a store of its own"
	if e.works != "" {
		works = "the database " + e.works
	}
	return fmt.Sprintf("the server on %s works on %s, and not on the database %s (name another data directory with --data, or no --database)", e.data, works, e.named)
}

// actor says who runs the command, for the record of a change.
func actor() string {
	uid := strconv.Itoa(os.Getuid())
	if u, err := user.LookupId(uid); err == nil {
		return fmt.Sprintf("command line (uid %s, %s)", uid, u.Username)
	}
	return fmt.Sprintf("command line (uid %s)", uid)
}

// show prints an answer to standard output: as JSON if that was asked for, else
// as people writes it. It is one write, so that it is there whole or an error.
func (s *session) show(answer any, people func(io.Writer)) error {
	var text bytes.Buffer
	if s.JSON {
		if err := writeJSON(&text, answer); err != nil {
			return err
		}
	} else {
		people(&text)
	}
	if _, err := s.stdout.Write(text.Bytes()); err != nil {
		return fmt.Errorf("it is done, but the answer could not be written: %w", err)
	}
	return nil
}

// remark tells people more, on standard error, so that standard output holds
// what was asked for and nothing else.
func (s *session) remark(format string, args ...any) {
	if !s.JSON {
		fmt.Fprintf(s.stderr, format+"\n", args...)
	}
}

// warn is a remark that is made with --json too: there, the answer has no place
// for it.
func (s *session) warn(format string, args ...any) {
	fmt.Fprintf(s.stderr, format+"\n", args...)
}

// settled tells who follows a change, and is an error if somebody may not yet.
func (s *session) settled(change admin.Settlement) error {
	switch {
	case len(change.Confirmed) > 0:
		s.remark("Confirmed by %s in %s ms.", list(change.Confirmed), milliseconds(change.TookMS))
	case s.Database != "" && len(change.Lapsed)+len(change.NotConfirmed) == 0:
		s.remark("Confirmed in %s ms: no node is running.", milliseconds(change.TookMS))
	}
	if len(change.Lapsed) > 0 {
		s.remark("Not heard from: %s. Their leases are over: they accept nothing.", list(change.Lapsed))
	}
	if len(change.NotConfirmed) > 0 {
		return &unconfirmedError{change.NotConfirmed}
	}
	return nil
}

// tenths prints seconds to a tenth, rounded up.
func tenths(seconds float64) string {
	const tenth = 100 * time.Millisecond
	count := (time.Duration(seconds*float64(time.Second)) + tenth - 1) / tenth
	return strconv.FormatFloat(float64(count)/10, 'f', -1, 64)
}

// An unconfirmedError is a change that was made, and that some node may not
// follow yet.
type unconfirmedError struct{ nodes []latchkey.Unconfirmed }

func (e *unconfirmedError) Error() string {
	var nodes []string
	for _, n := range e.nodes {
		nodes = append(nodes, fmt.Sprintf("%s (for at most %s s)", n.Node, tenths(n.MaxSeconds)))
	}
	return "the change was made, but may not be followed yet by " + list(nodes)
}
