package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"

	"latchkey"
	"latchkey/guard"
)

const (
	headerTimeout = 10 * time.Second
	idleTimeout   = 120 * time.Second
	// net/http reads 4 KiB more than it is told: this makes 16 KiB.
	maxHeaderBytes = 12 << 10

	// overlapEvery is how often ends of overlaps are looked for: they are at most 1 s late.
	overlapEvery = 500 * time.Millisecond
	// retainEvery is how often old records are looked for.
	retainEvery = time.Minute
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

	consoleFlags `embed:""`
	clusterFlags `embed:""`
	opsFlags     `embed:""`

	Journal   string `enum:"relaxed,strict" default:"relaxed" env:"LATCHKEY_JOURNAL" placeholder:"MODE" help:"When a response may leave: once its record is safe from the end of the process (relaxed; on disk within a second), or once it is on disk (strict; answers unavailable when it cannot be). Default: ${default}."`
	Keep      *span  `env:"LATCHKEY_KEEP" placeholder:"TIME" help:"Keep records for so long, such as 30d, in whole days. Default: for ever."`
	KeepBytes *size  `env:"LATCHKEY_KEEP_BYTES" placeholder:"SIZE" help:"Keep records up to so much, such as 20GB, at least 1MB: the oldest days go first. Default: any amount."`

	Drain        time.Duration `default:"10s" env:"LATCHKEY_DRAIN" placeholder:"DURATION" help:"How long requests may go on after SIGTERM. Default: ${default}."`
	PrintSecrets bool          `help:"On the first start, print the first team's credentials and the console's set-up link even if standard output is not a terminal."`
}

// Run serves until SIGTERM or SIGINT.
func (c *serveCmd) Run(g *globals) error {
	if err := c.check(g); err != nil {
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

	lock, err := claimDir(ctx, g.Data, true)
	if err != nil {
		return err
	}
	// A port that is taken must not leave a store behind whose credentials nobody has seen.
	sockets, err := c.listen(g.Data, logger)
	if err != nil {
		return errors.Join(err, lock.Close())
	}
	if err := c.checkUpstream(sockets); err != nil {
		return errors.Join(err, sockets.close(), lock.Close())
	}
	ops := newOps(sockets.ops, logger)
	ops.serve()
	defer ops.close()
	waiting := attend(sockets, logger)
	starting, started := until(ctx, signals)
	n, err := c.open(starting, g, lock, sockets, logger)
	if err != nil {
		started()
		waiting.close()
		return notStarted(starting, errors.Join(err, sockets.close()))
	}
	ops.watch(n)
	s, err := c.newServer(n, sockets, ops, logger)
	if err == nil {
		waiting.api()
		s.begin()
		err = n.join(starting, logger)
	}
	started()
	waiting.close()
	if err == nil {
		err = c.first(ctx, g, s)
	}
	if err != nil {
		s.end(c.Drain)
		return notStarted(starting, errors.Join(err, sockets.close(), n.Close()))
	}
	ops.started()
	c.announce(g, s)
	return errors.Join(s.run(ctx, signals, c.Drain), n.Close())
}

// first shows what a new store begins with.
func (c *serveCmd) first(ctx context.Context, g *globals, s *server) error {
	if s.node.first == nil {
		return dropSetup(g.Data, time.Now())
	}
	reveal := c.PrintSecrets || term.IsTerminal(int(os.Stdout.Fd()))
	printFirst(os.Stdout, reveal, s.url, c.Upstream != "", g, s.node.first)
	return s.console.offerSetup(ctx, os.Stdout, reveal, g.Data)
}

// announce says that it serves, and where.
func (c *serveCmd) announce(g *globals, s *server) {
	data := cmp.Or(g.database().String(), g.Data)
	fmt.Fprintf(os.Stderr, "latchkey: API on %s %s (version %s, node %s, data in %s)\n", s.url, c.behind(), version(), s.node.name, data)
	if s.console != nil {
		fmt.Fprintf(os.Stderr, "latchkey: console on %s\n", s.console.url())
	}
	s.ops.announce()
}

// node says what to open.
func (c *serveCmd) node(g *globals, sockets *sockets, logger *slog.Logger) nodeConfig {
	return nodeConfig{
		Data: g.Data, Database: g.database(), Keyset: g.Keyset, KeyPrefix: g.KeyPrefix, Node: c.Node, Leeway: leewayField(c.Leeway),
		Address: c.address(sockets), Lease: c.Lease, StaleOK: c.StaleOK,
		Create: true, By: latchkey.System, Logger: logger, Strict: c.Journal == "strict",
	}
}

// leewayField gives the flag's 0 the meaning "none", which the field has below 0.
func leewayField(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}

// check finds what is wrong with the flags before anything is touched.
func (c *serveCmd) check(g *globals) error {
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
	if err := latchkey.ValidKeyPrefix(cmp.Or(g.KeyPrefix, latchkey.DefaultKeyPrefix)); err != nil {
		return usageError("--key-prefix: %v", err)
	}
	if _, err := c.prefixes(); err != nil {
		return err
	}
	if _, err := c.gateway(&guard.Guard{}); err != nil {
		return err
	}
	if err := c.clusterFlags.check(g.Database != ""); err != nil {
		return err
	}
	if err := c.opsFlags.check(); err != nil {
		return err
	}
	if err := c.checkMeant(); err != nil {
		return err
	}
	return c.consoleFlags.check(c.TLSCert != "")
}

// checkUpstream refuses an upstream that is one of this server's own listeners.
// By a name other than localhost it is found when a request comes back.
func (c *serveCmd) checkUpstream(own *sockets) error {
	if c.Upstream == "" {
		return nil
	}
	upstream, err := url.Parse(c.Upstream)
	if err != nil {
		return usageError("--upstream is not a URL such as http://127.0.0.1:3000")
	}
	for _, l := range []struct {
		flag string
		net.Listener
	}{{"--listen", own.api}, {"--console", own.console}, {"--ops", own.ops}} {
		if l.Listener != nil && leadsTo(upstream, l.Addr(), resolve) {
			return usageError("--upstream %s is this server itself (%s): name the API that stands behind it", upstream.Host, l.flag)
		}
	}
	return nil
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

// retention is --keep and --keep-bytes.
func (c *serveCmd) retention() (r latchkey.Retention) {
	if c.Keep != nil {
		r.Age = time.Duration(*c.Keep)
	}
	if c.KeepBytes != nil {
		r.Bytes = int64(*c.KeepBytes)
	}
	return r
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
