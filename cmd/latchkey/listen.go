package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
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

// leadsTo reports whether a connection for a URL, from this machine, can come to
// nothing but a listener at addr. Of names it looks up localhost: where that has
// several addresses, an API may be at one of which this server is not.
func leadsTo(u *url.URL, addr net.Addr, lookup func(string) []netip.Addr) bool {
	listening, err := netip.ParseAddrPort(addr.String())
	port := map[string]string{"http": "80", "https": "443"}[u.Scheme]
	number, portErr := strconv.ParseUint(cmp.Or(u.Port(), port), 10, 16)
	if err != nil || portErr != nil || uint16(number) != listening.Port() {
		return false
	}
	goes := addressesOf(u.Hostname(), lookup)
	for _, to := range goes {
		if !covers(listening.Addr().Unmap(), to) {
			return false
		}
	}
	return len(goes) > 0
}

// covers reports whether a listener at an address takes connections to another one.
// [::] takes those over IPv4, too; Go listens there for 0.0.0.0 where it can.
func covers(at, to netip.Addr) bool {
	return at == to || at.IsUnspecified() && (at.Is6() || to.Is4()) && isOfThisMachine(to)
}

// addressesOf returns where a connection to a host may go, if it is an address or
// localhost. One to no address in particular goes to loopback, as Go dials it.
func addressesOf(host string, lookup func(string) []netip.Addr) []netip.Addr {
	if name := strings.ToLower(strings.TrimSuffix(host, ".")); name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return lookup(name)
	}
	addr, err := netip.ParseAddr(host)
	ipv4 := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	switch addr = addr.Unmap(); {
	case err != nil:
		return nil
	case addr == netip.IPv4Unspecified():
		return []netip.Addr{ipv4}
	case addr == netip.IPv6Unspecified():
		return []netip.Addr{netip.IPv6Loopback(), ipv4}
	}
	return []netip.Addr{addr}
}

// resolve returns the addresses of a name, and none if they are not found at once:
// what comes back is refused when it does.
func resolve(name string) []netip.Addr {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	found, _ := net.DefaultResolver.LookupNetIP(ctx, "ip", name)
	for i := range found {
		found[i] = found[i].Unmap()
	}
	return found
}

func isOfThisMachine(addr netip.Addr) bool {
	if addr.IsLoopback() {
		return true
	}
	all, err := net.InterfaceAddrs()
	if err != nil {
		return false // what comes back is refused when it does
	}
	for _, one := range all {
		if prefix, err := netip.ParsePrefix(one.String()); err == nil && prefix.Addr().Unmap() == addr.WithZone("") {
			return true
		}
	}
	return false
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
