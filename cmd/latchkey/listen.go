package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"syscall"
)

// sockets are what a server listens on.
type sockets struct {
	tls     *tls.Config // nil: clear text
	api     net.Listener
	console net.Listener // nil: the console is off
	ops     net.Listener // nil: the listener for those who watch is off
	command net.Listener // the Unix socket for commands
}

// listen opens all sockets, or none. The lock of the data directory is held.
func (c *serveCmd) listen(data string, logger *slog.Logger) (_ *sockets, err error) {
	s := &sockets{}
	defer func() {
		if err != nil {
			_ = s.close()
		}
	}()
	if c.TLSCert != "" {
		cert := &certificate{certFile: c.TLSCert, keyFile: c.TLSKey, logger: logger}
		if _, err := cert.get(nil); err != nil {
			return nil, err
		}
		s.tls = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: cert.get}
	}
	if s.api, err = net.Listen("tcp", c.Listen); err != nil {
		return nil, fmt.Errorf("listen on %s: %w", c.Listen, err)
	}
	if s.console, err = c.listenConsole(); err != nil {
		return nil, err
	}
	if s.ops, err = c.listenOps(); err != nil {
		return nil, err
	}
	s.command, err = listenSocket(socketPath(data))
	return s, err
}

func (s *sockets) close() error {
	var errs []error
	for _, l := range []net.Listener{s.api, s.console, s.ops, s.command} {
		if l != nil {
			errs = append(errs, l.Close())
		}
	}
	return errors.Join(errs...)
}

// url returns the URL by which the API is reached from this machine.
func (s *sockets) url() string { return urlOf(s.api.Addr(), s.tls != nil) }

func urlOf(addr net.Addr, withTLS bool) string {
	scheme := "http"
	if withTLS {
		scheme = "https"
	}
	host := addr.String()
	if tcp, ok := addr.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		host = fmt.Sprintf("localhost:%d", tcp.Port)
	}
	return scheme + "://" + host
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
