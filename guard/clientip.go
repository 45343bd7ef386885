package guard

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// ClientIP returns the address of the client: the peer's own or, if the peer is
// a trusted proxy, what the proxies on the way say, read from right to left:
// the first address that is no trusted proxy's. It ends at the last good one
// where an entry cannot be read. It is invalid if the peer has no IP address.
//
// A proxy appends to one field and may pass the other on as the caller sent it.
// Where both came and say different things, neither is believed.
func (g *Guard) ClientIP(r *http.Request) netip.Addr {
	peer := peerOf(r)
	if !g.trusts(peer) {
		return peer
	}
	forwarded, list := r.Header["Forwarded"], r.Header["X-Forwarded-For"]
	switch {
	case len(forwarded) == 0:
		return g.walk(peer, strings.Join(list, ","), parseAddress)
	case len(list) == 0:
		return g.walk(peer, strings.Join(forwarded, ","), parseForwarded)
	}
	a := g.walk(peer, strings.Join(forwarded, ","), parseForwarded)
	if b := g.walk(peer, strings.Join(list, ","), parseAddress); a != b {
		return peer
	}
	return a
}

// peerOf returns the address at the other end of the connection.
func peerOf(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return peer.Addr().Unmap().WithZone("")
}

func (g *Guard) trusts(a netip.Addr) bool {
	return a.IsValid() && slices.ContainsFunc(g.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(a) })
}

// walk reads a list from its end, as long as trusted proxies vouch for it.
func (g *Guard) walk(peer netip.Addr, list string, parse func(string) (netip.Addr, bool)) netip.Addr {
	last := peer
	for list != "" && g.trusts(last) {
		var entry string
		list, entry = cutLast(list)
		if entry == "" {
			continue // RFC 9110, section 5.6.1.2: empty elements do not count
		}
		a, ok := parse(entry)
		if !ok {
			break
		}
		last = a
	}
	return last
}

// cutLast takes the last entry off a list. Commas within a quoted string do not
// separate. Because it reads from the end, what a caller wrote at the beginning
// cannot change how the proxies' entries are read.
func cutLast(list string) (before, entry string) {
	quoted := false
	for i := len(list) - 1; i >= 0; i-- {
		switch c := list[i]; {
		case c == '"' && (!quoted || i == 0 || list[i-1] != '\\'):
			quoted = !quoted
		case c == ',' && !quoted:
			return list[:i], strings.Trim(list[i+1:], " \t")
		}
	}
	return "", strings.Trim(list, " \t")
}

// parseForwarded reads the for parameter of an element of Forwarded (RFC 7239,
// section 4). There must be exactly one, and it must be an address.
func parseForwarded(element string) (netip.Addr, bool) {
	var node string
	found := false
	for pair := range strings.SplitSeq(element, ";") {
		name, value, ok := strings.Cut(strings.Trim(pair, " \t"), "=")
		if !ok {
			return netip.Addr{}, false
		}
		if strings.EqualFold(name, "for") {
			if found {
				return netip.Addr{}, false
			}
			node, found = value, true
		}
	}
	if len(node) >= 2 && node[0] == '"' && node[len(node)-1] == '"' {
		node = node[1 : len(node)-1]
	}
	if !found || strings.Contains(node, ":") && !strings.HasPrefix(node, "[") && strings.Count(node, ":") > 1 {
		return netip.Addr{}, false // section 6: an IPv6 address is in brackets
	}
	return parseAddress(node)
}

// parseAddress reads an IP address, with or without a port; an IPv6 address may
// be in brackets.
func parseAddress(s string) (netip.Addr, bool) {
	if inner, ok := strings.CutPrefix(s, "["); ok {
		host, port, ok := strings.Cut(inner, "]")
		a, err := netip.ParseAddr(host)
		return clean(a), ok && err == nil && a.Is6() && (port == "" || isPort(port))
	}
	host, port, hasPort := strings.Cut(s, ":")
	if hasPort && !strings.Contains(port, ":") {
		a, err := netip.ParseAddr(host)
		return clean(a), err == nil && isPort(":"+port)
	}
	a, err := netip.ParseAddr(s)
	return clean(a), err == nil
}

func clean(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

// isPort reports whether s is a colon and a port.
func isPort(s string) bool {
	digits, ok := strings.CutPrefix(s, ":")
	if !ok || digits == "" || len(digits) > 5 {
		return false
	}
	return strings.Trim(digits, "0123456789") == ""
}
