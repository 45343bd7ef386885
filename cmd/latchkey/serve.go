package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/term"

	"latchkey"
	"latchkey/admin"
	"latchkey/contacts"
	"latchkey/guard"
	"latchkey/problem"
)

const (
	headerTimeout = 10 * time.Second
	idleTimeout   = 120 * time.Second
	// net/http reads 4 KiB more than it is told: this makes 16 KiB.
	maxHeaderBytes = 12 << 10

	// overlapEvery is how often ends of overlaps are looked for: they are at most 1 s late.
	overlapEvery = 500 * time.Millisecond
	// tombstoneAge is how long dead credentials are remembered.
	tombstoneAge = 90 * 24 * time.Hour
)

// serveCmd is the server: its flags, and nothing that is not a flag.
type serveCmd struct {
	Listen   string `default:"127.0.0.1:8080" env:"LATCHKEY_LISTEN" placeholder:"ADDR" help:"Address of the API. Other than loopback it needs --tls-cert or --insecure."`
	TLSCert  string `name:"tls-cert" env:"LATCHKEY_TLS_CERT" type:"path" placeholder:"FILE" help:"TLS certificate chain (PEM). Read again when the file changes."`
	TLSKey   string `name:"tls-key" env:"LATCHKEY_TLS_KEY" type:"path" placeholder:"FILE" help:"Its private key (PEM)."`
	Insecure bool   `env:"LATCHKEY_INSECURE" help:"Serve clear text on an address that is not loopback: keys can be read on the way."`

	Upstream             string        `env:"LATCHKEY_UPSTREAM" placeholder:"URL" help:"Send authenticated requests to this API (scheme://host:port). Without it, the built-in contacts API answers."`
	UpstreamTimeout      time.Duration `default:"60s" env:"LATCHKEY_UPSTREAM_TIMEOUT" placeholder:"DURATION" help:"How long the upstream may take to begin its answer (504 after it). Default: ${default}."`
	ForwardAuthorization bool          `env:"LATCHKEY_FORWARD_AUTHORIZATION" help:"Let the upstream see the Authorization header."`

	TrustedProxies []string      `env:"LATCHKEY_TRUSTED_PROXIES" placeholder:"CIDR" help:"Proxies whose Forwarded and X-Forwarded-* headers are believed."`
	MaxBody        int64         `env:"LATCHKEY_MAX_BODY" placeholder:"BYTES" help:"Longest request body; longer is 413. 0: no limit."`
	Realm          string        `default:"latchkey" env:"LATCHKEY_REALM" help:"Realm of WWW-Authenticate. Default: ${default}."`
	DocsURL        string        `name:"docs-url" env:"LATCHKEY_DOCS_URL" placeholder:"URL" help:"Page that explains the error codes: the problem type is URL#CODE."`
	Leeway         time.Duration `default:"30s" env:"LATCHKEY_LEEWAY" placeholder:"DURATION" help:"How far a token's iat may lie in the future (0s … 60s). Default: ${default}."`
	Node           string        `env:"LATCHKEY_NODE" placeholder:"NAME" help:"This node's name, in records and rolls. Default: the host's."`

	consoleFlags `embed:""`

	Drain        time.Duration `default:"10s" env:"LATCHKEY_DRAIN" placeholder:"DURATION" help:"How long requests may go on after SIGTERM. Default: ${default}."`
	PrintSecrets bool          `help:"On the first start, print the first team's credentials even if standard output is not a terminal."`
}

// Run serves until SIGTERM or SIGINT.
func (c *serveCmd) Run(g *globals) error {
	if err := c.check(); err != nil {
		return err
	}
	logger := newLogger(os.Stderr)
	slog.SetDefault(logger)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	// Before anything is made or printed: who sees the line that it serves may end it.
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(signals)

	n, err := openNode(ctx, nodeConfig{
		Data: g.Data, Keyset: g.Keyset, KeyPrefix: g.KeyPrefix, Node: c.Node, Leeway: leewayField(c.Leeway),
		Create: true, By: latchkey.System, Logger: logger,
	})
	if err != nil {
		return err
	}
	s, err := c.newServer(n, g, logger)
	if err != nil {
		return errors.Join(err, n.Close())
	}
	if n.first != nil {
		printFirst(os.Stdout, c.PrintSecrets || term.IsTerminal(int(os.Stdout.Fd())), s.url, c.Upstream != "", g, n.first)
		if err := s.console.printSetup(ctx, os.Stdout); err != nil {
			return errors.Join(err, n.Close())
		}
	}
	fmt.Fprintf(os.Stderr, "latchkey: API on %s (version %s, node %s, data in %s)\n", s.url, version(), n.name, g.Data)
	if s.console != nil {
		fmt.Fprintf(os.Stderr, "latchkey: console on %s\n", s.console.url())
	}
	return errors.Join(s.run(ctx, signals, c.Drain), n.Close())
}

// leewayField gives the flag's 0 the meaning "none", which the field has below 0.
func leewayField(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}

// check finds what is wrong with the flags before anything is touched.
func (c *serveCmd) check() error {
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return usageError("--tls-cert and --tls-key go together")
	}
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return usageError("--listen %q is not HOST:PORT", c.Listen)
	}
	if c.TLSCert == "" && !c.Insecure && !isLoopback(host) {
		return usageError("--listen %s is not loopback: credentials would travel in clear text (give --tls-cert and --tls-key, or --insecure if something in front does TLS)", c.Listen)
	}
	if c.Leeway < 0 || c.Leeway > time.Minute {
		return usageError("--leeway must be between 0s and 60s")
	}
	if c.MaxBody < 0 || c.Drain < 0 || c.UpstreamTimeout <= 0 {
		return usageError("--max-body and --drain cannot be negative, and --upstream-timeout must be above 0")
	}
	return c.consoleFlags.check(c.TLSCert != "")
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

// prefixes reads --trusted-proxies: networks, or single addresses.
func (c *serveCmd) prefixes() ([]netip.Prefix, error) {
	var list []netip.Prefix
	for _, text := range c.TrustedProxies {
		text = strings.TrimSpace(text)
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			addr, addrErr := netip.ParseAddr(text)
			if addrErr != nil {
				return nil, usageError("--trusted-proxies %q is not a network such as 10.0.0.0/8", text)
			}
			prefix = netip.PrefixFrom(addr, addr.BitLen())
		}
		list = append(list, prefix.Masked())
	}
	return list, nil
}

// A server is the listeners of a node.
type server struct {
	node    *node
	url     string // of the API, as a caller reaches it
	api     *http.Server
	apiLn   net.Listener
	admin   *http.Server
	sock    net.Listener
	console *consoleServer // nil if it is off
	logger  *slog.Logger
}

func (c *serveCmd) newServer(n *node, g *globals, logger *slog.Logger) (*server, error) {
	handler, err := c.handler(n, logger)
	if err != nil {
		return nil, err
	}
	errorLog := slog.NewLogLogger(logger.Handler(), slog.LevelWarn)
	s := &server{node: n, logger: logger}
	s.api = &http.Server{
		Handler: handler, ErrorLog: errorLog,
		ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
		DisableGeneralOptionsHandler: true, // OPTIONS * comes to the door, like all else
	}
	scheme := "http"
	if c.TLSCert != "" {
		scheme = "https"
		cert := &certificate{certFile: c.TLSCert, keyFile: c.TLSKey, logger: logger}
		if _, err := cert.get(nil); err != nil {
			return nil, err
		}
		s.api.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: cert.get}
	}
	management := &admin.API{Keyring: n.keyring, Records: n.records, Users: n.store, Version: version(), Logger: logger}
	s.admin = &http.Server{
		Handler:  management.Handler(),
		ErrorLog: errorLog, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout,
	}
	if s.apiLn, err = net.Listen("tcp", c.Listen); err != nil {
		return nil, fmt.Errorf("listen on %s: %w", c.Listen, err)
	}
	if s.sock, err = listenSocket(socketPath(g.Data)); err != nil {
		return nil, errors.Join(err, s.apiLn.Close())
	}
	s.url = scheme + "://" + s.apiLn.Addr().String()
	path := "/v1/contacts"
	if c.Upstream != "" {
		path = "/"
	}
	if s.console, err = c.newConsole(n, s.url+path, s.api.TLSConfig, logger); err != nil {
		return nil, errors.Join(err, s.apiLn.Close(), s.sock.Close())
	}
	management.ConsoleURL = s.console.url()
	return s, nil
}

// listenSocket listens on a Unix socket that only its owner may use. The lock of
// the data directory is held: a socket that is there is a dead process's.
func listenSocket(path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("remove the old socket: %w", err)
	}
	old := syscall.Umask(0o177) // the mode must hold from the first moment
	l, err := net.Listen("unix", path)
	syscall.Umask(old)
	if err != nil {
		return nil, fmt.Errorf("listen on the socket for commands: %w", err)
	}
	return l, nil
}

// door is the guard in front of the API.
func (c *serveCmd) door(n *node, trusted []netip.Prefix, logger *slog.Logger) *guard.Guard {
	return &guard.Guard{
		Authenticate: n.keyring.Authenticate, Recorder: n.diagnoser, Diagnose: n.diagnoser.Diagnose, Problems: c.problems(), Node: n.name,
		TrustedProxies: trusted, MaxBody: c.MaxBody, Logger: logger,
	}
}

func (c *serveCmd) problems() problem.Writer { return problem.Writer{Realm: c.Realm, Docs: c.DocsURL} }

// handler is the door, and what stands behind it.
func (c *serveCmd) handler(n *node, logger *slog.Logger) (http.Handler, error) {
	trusted, err := c.prefixes()
	if err != nil {
		return nil, err
	}
	door := c.door(n, trusted, logger)
	if c.Upstream == "" {
		api := &contacts.API{Store: n.store, Problems: c.problems(), Version: version(), Logger: logger}
		return door.Wrap(api.Handler()), nil
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

// run serves until a signal, then lets requests end. A second signal ends the
// process at once.
func (s *server) run(ctx context.Context, signals <-chan os.Signal, drain time.Duration) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	var background sync.WaitGroup
	background.Go(func() { s.node.replica.Run(ctx) })
	background.Go(func() { s.keepHouse(ctx) })
	failed := make(chan error, 3)
	go func() { failed <- s.serveAPI() }()
	go func() { failed <- s.admin.Serve(s.sock) }()
	if s.console != nil {
		go func() { failed <- s.console.serve() }()
	}

	var err error
	select {
	case got := <-signals:
		fmt.Fprintf(os.Stderr, "latchkey: %s: finishing the requests under way (at most %s)\n", signalName(got), drain)
		go func() {
			<-signals
			fmt.Fprintln(os.Stderr, "latchkey: stopped at once by a second signal")
			os.Exit(1)
		}()
	case err = <-failed:
		err = fmt.Errorf("serve: %w", err)
	}
	s.shutdown(drain)
	cancel()
	background.Wait()
	if err == nil {
		fmt.Fprintln(os.Stderr, "latchkey: stopped")
	}
	return err
}

func (s *server) serveAPI() error {
	if s.api.TLSConfig != nil {
		return s.api.ServeTLS(s.apiLn, "", "")
	}
	return s.api.Serve(s.apiLn)
}

// shutdown stops taking requests and waits for those under way.
func (s *server) shutdown(drain time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), drain)
	defer cancel()
	if err := s.api.Shutdown(ctx); err != nil {
		s.logger.Warn("requests were still under way when the time to drain was over", "drain", drain)
		_ = s.api.Close()
	}
	s.console.shutdown(ctx)
	if err := s.admin.Shutdown(ctx); err != nil {
		_ = s.admin.Close()
	}
}

// keepHouse does what comes due: ends of overlaps, and old tombstones.
func (s *server) keepHouse(ctx context.Context) {
	overlaps, tombstones := time.NewTicker(overlapEvery), time.NewTicker(24*time.Hour)
	defer overlaps.Stop()
	defer tombstones.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case <-overlaps.C:
			err = s.node.keyring.EndOverlaps(ctx)
		case <-tombstones.C:
			_, err = s.node.store.PurgeTombstones(ctx, time.Now().Add(-tombstoneAge))
		}
		if err != nil && ctx.Err() == nil {
			s.logger.Error("housekeeping failed; it is tried again", "error", err)
		}
	}
}
