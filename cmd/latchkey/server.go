package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"latchkey"
	"latchkey/contacts"
	"latchkey/guard"
	"latchkey/problem"
)

const (
	// signalEcho is how long a second signal counts as the same.
	signalEcho = 20 * time.Millisecond
	// otherDrain is how long visits of the console, commands, and ends of overlaps may go on.
	otherDrain = 5 * time.Second
	// lastWords is how long requests that are broken off may take to say so.
	lastWords = time.Second
)

// A server is the listeners of a node.
type server struct {
	node     *node
	door     *guard.Guard
	sockets  *sockets
	url      string // of the API, as a caller reaches it
	api      *http.Server
	admin    *http.Server
	keep     latchkey.Retention
	console  *consoleServer // nil if it is off
	ops      *opsServer     // nil if it is off
	logger   *slog.Logger
	requests context.Context // of all requests to the API
	breakOff context.CancelCauseFunc
	working  atomic.Int64 // handlers of the API
	failed   chan error   // why a listener ended
}

func (c *serveCmd) newServer(n *node, sockets *sockets, ops *opsServer, logger *slog.Logger) (*server, error) {
	door, handler, err := c.handler(n, logger)
	if err != nil {
		return nil, err
	}
	s := &server{ops: ops, node: n, door: door, sockets: sockets, url: sockets.url(), keep: c.retention(), logger: logger, failed: make(chan error, 4)}
	s.requests, s.breakOff = context.WithCancelCause(context.Background())
	errorLog := slog.NewLogLogger(logger.Handler(), slog.LevelWarn)
	s.api = &http.Server{
		Handler: s.counted(handler), TLSConfig: sockets.tls, ErrorLog: errorLog,
		BaseContext: func(net.Listener) context.Context { return s.requests }, ConnContext: connContext(n.replica),
		ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
		DisableGeneralOptionsHandler: true, // OPTIONS * comes to the door, like all else
	}
	path := "/v1/contacts"
	if c.Upstream != "" {
		path = "/"
	}
	trusted, err := c.prefixes()
	if err != nil {
		return nil, err
	}
	source := (&guard.Guard{TrustedProxies: trusted}).ClientIP
	if s.console, err = c.newConsole(n, sockets, s.url+path, source, s.keep, logger); err != nil {
		return nil, err
	}
	s.admin = &http.Server{
		Handler:  n.management(s.console.url(), logger).Handler(),
		ErrorLog: errorLog, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout,
	}
	return s, nil
}

// counted counts the handlers at work: those of tunnels too, which the server
// knows nothing more of.
func (s *server) counted(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.working.Add(1)
		defer s.working.Add(-1)
		next.ServeHTTP(w, r)
	})
}

// door is the guard in front of the API.
func (c *serveCmd) door(n *node, trusted []netip.Prefix, logger *slog.Logger) *guard.Guard {
	return &guard.Guard{
		Authenticate: n.authenticate, Recorder: n.recorder, Diagnose: n.diagnoser.Diagnose, Redact: n.keyring.Redact, Problems: c.problems(), Node: n.name,
		Pseudonym: n.keyring.Sealer.Pseudonym(), TrustedProxies: trusted, MaxBody: c.MaxBody, Logger: logger,
	}
}

func (c *serveCmd) problems() problem.Writer { return problem.Writer{Realm: c.Realm, Docs: c.DocsURL} }

// handler is the door, and with what stands behind it.
func (c *serveCmd) handler(n *node, logger *slog.Logger) (*guard.Guard, http.Handler, error) {
	trusted, err := c.prefixes()
	if err != nil {
		return nil, nil, err
	}
	door := c.door(n, trusted, logger)
	if c.Upstream == "" {
		api := &contacts.API{Store: n.store, Problems: c.problems(), Version: version(), Logger: logger}
		return door, door.Wrap(api.Handler()), nil
	}
	gateway, err := c.gateway(door)
	return door, gateway, err
}

// gateway returns what stands behind a door that has an upstream, or nil
// without one.
func (c *serveCmd) gateway(door *guard.Guard) (http.Handler, error) {
	if c.Upstream == "" {
		return nil, nil
	}
	upstream, err := url.Parse(c.Upstream)
	if err != nil {
		return nil, usageError("--upstream is not a URL such as http://127.0.0.1:3000")
	}
	gateway, err := door.Gateway(guard.Gateway{
		Upstream: upstream, Timeout: c.UpstreamTimeout, ForwardAuthorization: c.ForwardAuthorization,
	})
	if err != nil {
		return nil, usageError("--upstream: %v", err)
	}
	return gateway, nil
}

// begin answers requests to the API: "unavailable", until the node has a lease.
func (s *server) begin() {
	go func() { s.failed <- s.serveAPI() }()
}

// end is for a server that does not start after all; it may be nil.
func (s *server) end(drain time.Duration) {
	if s != nil {
		s.ops.stopping()
		s.shutdown(drain)
	}
}

// run serves until a signal, then lets requests end. A second signal ends the
// process at once.
func (s *server) run(ctx context.Context, signals <-chan os.Signal, drain time.Duration) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	var background sync.WaitGroup
	background.Go(func() { s.keepHouse(ctx) })
	if s.node.leases != nil {
		background.Go(func() {
			if err := s.node.lookForNamesake(ctx); err != nil {
				s.failed <- err
			}
		})
	}
	go func() { s.failed <- s.admin.Serve(s.sockets.command) }()
	if s.console != nil {
		go func() { s.failed <- s.console.serve() }()
	}

	var err error
	select {
	case got := <-signals:
		first := time.Now()
		fmt.Fprintf(os.Stderr, "latchkey: %s: finishing the requests under way (at most %s)\n", signalName(got), drain)
		go func() {
			// One request to stop may come as two signals: to a process, and to its group.
			for <-signals; time.Since(first) < signalEcho; <-signals {
			}
			fmt.Fprintln(os.Stderr, "latchkey: stopped at once by a second signal")
			os.Exit(1)
		}()
	case err = <-s.failed:
		var twin *namesakeError
		if !errors.As(err, &twin) {
			err = fmt.Errorf("serve: %w", err)
		}
	case err = <-s.ops.failure():
		err = fmt.Errorf("serve --ops: %w", err)
	}
	s.ops.stopping()
	s.shutdown(drain)
	s.ops.close()
	cancel()
	background.Wait()
	if err == nil {
		fmt.Fprintln(os.Stderr, "latchkey: stopped")
	}
	return err
}

func (s *server) serveAPI() error { return s.door.Serve(s.api, s.sockets.api) }

// shutdown stops taking requests, waits for those under way, tunnels among
// them, and breaks the others off.
func (s *server) shutdown(drain time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), drain)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- s.api.Shutdown(ctx) }()
	if !s.idle(ctx) {
		s.logger.Warn("requests that are still under way are broken off", "count", s.working.Load(), "drain", drain.String())
		s.breakOff(guard.ErrStopping)
		last, cancel := context.WithTimeout(context.Background(), lastWords)
		s.idle(last)
		cancel()
	}
	if err := <-ended; err != nil {
		_ = s.api.Close()
	}
	// Their time is their own: a roll under way must not be cut off for a slow request.
	ctx, cancel = context.WithTimeout(context.Background(), otherDrain)
	defer cancel()
	s.console.shutdown(ctx)
	if err := s.admin.Shutdown(ctx); err != nil {
		_ = s.admin.Close()
	}
}

// idle waits until no handler works, and reports whether that came before ctx
// ended.
func (s *server) idle(ctx context.Context) bool {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for s.working.Load() > 0 {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
	return true
}

// keepHouse does what comes due: ends of overlaps, old tombstones, old records. In
// a database with another history it does nothing: a person must look at it first.
func (s *server) keepHouse(ctx context.Context) {
	overlaps, tombstones, records := time.NewTicker(overlapEvery), time.NewTicker(24*time.Hour), time.NewTicker(retainEvery)
	defer overlaps.Stop()
	defer tombstones.Stop()
	defer records.Stop()
	// Some of it may take long, and ends of overlaps must not wait for it; the store stays open until it has ended.
	var purges sync.WaitGroup
	defer purges.Wait()
	purge, retain := s.alone(ctx, s.purge), s.alone(ctx, s.retain)
	purges.Go(purge)
	purges.Go(retain)
	ending := s.node.overlaps
	defer s.settleOverlaps(ctx, ending)
	failing := false // a database that is down for an hour is not said so 7,200 times
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case <-overlaps.C:
			if s.node.replica.Status().Alarm != nil {
				continue
			}
			err = ending.End(ctx)
			if err == nil && failing && !ending.Busy() {
				s.logger.Info("housekeeping goes on")
				failing = false
			}
		case <-tombstones.C:
			purges.Go(purge)
		case <-records.C:
			purges.Go(retain)
		}
		if err != nil && ctx.Err() == nil && !failing {
			s.logger.Error("housekeeping failed; it is tried again", "error", err)
			failing = true
		}
	}
}

// settleOverlaps waits for ends of overlaps that are under way, for a while: a node
// that is gone may hold them up for its lease.
func (s *server) settleOverlaps(ctx context.Context, ending *latchkey.Overlaps) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), otherDrain)
	defer cancel()
	if err := ending.Wait(ctx); err != nil {
		s.logger.Warn("ends of overlaps that are still under way are not waited for")
	}
}

// alone returns work that is left out while it is still at it, or while nobody can
// say which history is the right one.
func (s *server) alone(ctx context.Context, work func(context.Context)) func() {
	var busy sync.Mutex
	return func() {
		if s.node.replica.Status().Alarm != nil || !busy.TryLock() {
			return
		}
		defer busy.Unlock()
		work(ctx)
	}
}

// retain forgets old records. A store that cannot is no reason not to serve.
func (s *server) retain(ctx context.Context) {
	if err := s.node.store.Retain(ctx, s.keep); err != nil && ctx.Err() == nil {
		s.logger.Error("old records were not removed; it is tried again in "+retainEvery.String(), "error", err)
	}
}

// purge forgets old tombstones.
func (s *server) purge(ctx context.Context) {
	if _, err := s.node.store.PurgeTombstones(ctx, tombstoneAge); err != nil && ctx.Err() == nil {
		s.logger.Error("old tombstones were not purged; it is tried again tomorrow", "error", err)
	}
}
