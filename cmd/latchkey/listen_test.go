package main

import (
	"net"
	"net/netip"
	"net/url"
	"strings"
	"testing"
)

// TestLeadsTo: an upstream that is a listener of this server is known by every
// form of its address; one beside it is not.
func TestLeadsTo(t *testing.T) {
	own := outwardAddress(t)
	hosts := func(name string) []netip.Addr {
		if name == "ipv4.localhost" {
			return []netip.Addr{netip.MustParseAddr("127.0.0.1")}
		}
		return []netip.Addr{netip.IPv6Loopback(), netip.MustParseAddr("127.0.0.1")}
	}
	for _, c := range []struct {
		upstream, listening string
		want                bool
	}{
		{"http://127.0.0.1:8080", "127.0.0.1:8080", true},
		{"http://localhost:8080", "[::]:8080", true},
		{"http://LocalHost.:8080", "[::]:8080", true},
		{"http://api.localhost:8080", "[::]:8080", true},
		{"http://localhost:8080", "127.0.0.1:8080", false}, // the API may be at [::1]
		{"http://localhost:8080", "0.0.0.0:8080", false},
		{"http://localhost:8080", "[::1]:8080", false},
		{"http://[::1]:8080", "0.0.0.0:8080", false},
		{"http://[::1]:8080", "[::]:8080", true},
		{"http://0.0.0.0:8080", "127.0.0.1:8080", true},
		{"http://0.0.0.0:8080", "0.0.0.0:8080", true},
		{"http://ipv4.localhost:8080", "127.0.0.1:8080", true},
		{"http://ipv4.localhost:8080", "[::1]:8080", false},
		{"http://[::]:8080", "[::1]:8080", false}, // Go tries 127.0.0.1, too
		{"http://[::]:8080", "[::]:8080", true},
		{"http://[::ffff:127.0.0.1]:8080", "127.0.0.1:8080", true},
		{"http://127.0.0.2:8080", "[::]:8080", true},
		{"http://" + own + ":8080", "[::]:8080", true},
		{"http://" + own + ":8080", "0.0.0.0:8080", true},
		{"http://" + own + ":8080", own + ":8080", true},
		{"http://127.0.0.1", "127.0.0.1:80", true},
		{"https://localhost/", "[::]:443", true},
		{"http://127.0.0.1:3000", "127.0.0.1:8080", false},
		{"http://127.0.0.2:8080", "127.0.0.1:8080", false},
		{"http://" + own + ":8080", "127.0.0.1:8080", false},
		{"http://192.0.2.1:8080", "[::]:8080", false},
		{"http://api.example:8080", "[::]:8080", false},
		{"https://localhost", "127.0.0.1:80", false},
	} {
		if own == "" && (strings.Contains(c.upstream, "//:") || c.listening[0] == ':') {
			continue // this machine has loopback alone
		}
		u, err := url.Parse(c.upstream)
		if err != nil {
			t.Fatal(err)
		}
		if got := leadsTo(u, net.TCPAddrFromAddrPort(netip.MustParseAddrPort(c.listening)), hosts); got != c.want {
			t.Errorf("%s leads to what listens on %s: %t, must be %t", c.upstream, c.listening, got, c.want)
		}
	}
}

// outwardAddress is an IPv4 address of this machine that is not loopback, or "".
func outwardAddress(t *testing.T) string {
	t.Helper()
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range all {
		if p, err := netip.ParsePrefix(one.String()); err == nil && p.Addr().Is4() && !p.Addr().IsLoopback() {
			return p.Addr().String()
		}
	}
	return ""
}
