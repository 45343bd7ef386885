package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"latchkey"
	"latchkey/console"
)

// defaultConsole is where the console is, unless told otherwise.
const defaultConsole = "127.0.0.1:8081"

// formTimeout bounds how long a browser may take to send a form.
const formTimeout = 30 * time.Second

// consoleFlags are the flags of the console's listener.
type consoleFlags struct {
	Console    *string `env:"LATCHKEY_CONSOLE" placeholder:"ADDR" help:"Address of the console. Loopback, or any with --tls-cert; \"\" turns it off. Default: 127.0.0.1:8081, or another port if that is taken."`
	ConsoleURL string  `name:"console-url" env:"LATCHKEY_CONSOLE_URL" placeholder:"URL" help:"Origin by which browsers reach the console: what links carry. Default: the address."`
}

// addr returns where to listen; "" means nowhere.
func (c *consoleFlags) addr() string {
	if c.Console == nil {
		return defaultConsole
	}
	return *c.Console
}

// check finds what is wrong with the flags. Passwords never travel in clear
// text: there is no --insecure for the console.
func (c *consoleFlags) check(withTLS bool) error {
	if c.ConsoleURL != "" {
		u, err := url.Parse(c.ConsoleURL)
		if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
			return usageError("--console-url is not an origin such as https://console.example.com")
		}
		if u.Scheme == "http" && !isLoopback(u.Hostname()) {
			return usageError("--console-url must be https, unless it is loopback: browsers keep no session otherwise")
		}
	}
	if c.addr() == "" {
		return nil
	}
	host, _, err := net.SplitHostPort(c.addr())
	if err != nil {
		return usageError("--console %q is not HOST:PORT", c.addr())
	}
	if !withTLS && !isLoopback(host) {
		return usageError("--console %s is not loopback: it needs --tls-cert and --tls-key (or stay on loopback behind a proxy that does TLS, and give --console-url)", c.addr())
	}
	return nil
}

// A consoleServer is the console's listener. A nil one does nothing.
type consoleServer struct {
	console *console.Console
	server  *http.Server
	ln      net.Listener
	logger  *slog.Logger
}

// newConsole returns the console that a socket was opened for, or nil.
func (c *consoleFlags) newConsole(n *node, sockets *sockets, apiURL string, source func(*http.Request) netip.Addr, keep latchkey.Retention, logger *slog.Logger) (*consoleServer, error) {
	ln := sockets.console
	if ln == nil {
		return nil, nil
	}
	s := &consoleServer{ln: ln, logger: logger}
	s.console = &console.Console{
		Keyring: n.keyring, Users: n.store, Sessions: n.store, Records: n.records, Usage: n.journal, Source: source, Tallies: n.store,
		URL: c.origin(ln.Addr(), sockets.tls != nil), APIURL: apiURL, Keep: keep, Missing: n.journal.Missing, Lacking: n.lacking, Logger: logger,
	}
	handler, err := s.console.Handler()
	if err != nil {
		return nil, err
	}
	s.server = &http.Server{
		Handler: handler, TLSConfig: sockets.tls.Clone(), ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
		ReadHeaderTimeout: headerTimeout, ReadTimeout: formTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
	}
	return s, nil
}

// listenConsole takes another port if the one that nobody chose is taken. It
// returns nil if the console is off.
func (c *consoleFlags) listenConsole() (net.Listener, error) {
	if c.addr() == "" {
		return nil, nil
	}
	ln, err := net.Listen("tcp", c.addr())
	if c.Console == nil && errors.Is(err, syscall.EADDRINUSE) {
		fmt.Fprintf(os.Stderr, "latchkey: %s is taken: the console is on another port (choose one with --console)\n", defaultConsole)
		ln, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		return nil, fmt.Errorf("listen for the console: %w", err)
	}
	return ln, nil
}

// origin is what links carry.
func (c *consoleFlags) origin(addr net.Addr, withTLS bool) string {
	if c.ConsoleURL != "" {
		return strings.TrimSuffix(c.ConsoleURL, "/")
	}
	return urlOf(addr, withTLS)
}

// url returns the console's origin, or "" if it is off.
func (s *consoleServer) url() string {
	if s == nil {
		return ""
	}
	return s.console.URL
}

// setupFile holds the set-up link where it was not printed.
const setupFile = "setup-link.txt"

// offerSetup makes the link by which the first admin joins. It is printed only
// if reveal is set: what is not a terminal may be a log. Else it is written to a
// file in the data directory, and w hears where.
func (s *consoleServer) offerSetup(ctx context.Context, w io.Writer, reveal bool, data string) error {
	if s == nil {
		return nil
	}
	link, err := s.console.SetupLink(ctx)
	if err != nil {
		return err
	}
	if reveal {
		_, err = fmt.Fprintf(w, "\nSet up the console, in a browser (the link works once, for a day):\n\n  %s\n", link)
		return err
	}
	path := filepath.Join(data, setupFile)
	if err := os.WriteFile(path, []byte(link+"\n"), 0o600); err != nil {
		return fmt.Errorf("write the set-up link: %w", err)
	}
	_, err = fmt.Fprintf(w, "\nSet up the console, in a browser: the link (it works once, for a day) is in %s\n", path)
	return err
}

// dropSetup removes a link that has died of age.
func dropSetup(data string, now time.Time) error {
	path := filepath.Join(data, setupFile)
	file, err := os.Stat(path)
	if err == nil && now.Sub(file.ModTime()) > latchkey.SetupTime {
		err = os.Remove(path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// serve serves until shutdown.
func (s *consoleServer) serve() error {
	if s.server.TLSConfig != nil {
		return s.server.ServeTLS(s.ln, "", "")
	}
	return s.server.Serve(s.ln)
}

// shutdown lets visits end.
func (s *consoleServer) shutdown(ctx context.Context) {
	if s == nil {
		return
	}
	if err := s.server.Shutdown(ctx); err != nil {
		_ = s.server.Close()
	}
}
