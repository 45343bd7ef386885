package main

import (
	"net"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"latchkey"
)

const (
	// maxNodeName is the longest name of a node, in bytes.
	maxNodeName = 64
	// maxStale bounds --stale-ok: a dead key that lives on for longer is no roll.
	maxStale = 24 * time.Hour
)

// clusterFlags are the flags of a server that shares a database with others.
type clusterFlags struct {
	Node      string        `env:"LATCHKEY_NODE" placeholder:"NAME" help:"This node's name, in records and rolls; no two nodes share one. Default: the host's."`
	Advertise string        `env:"LATCHKEY_ADVERTISE" placeholder:"URL" help:"With --database: origin by which other machines reach this node's API, for node list and canary. Default: where it listens, unless that is every address."`
	Lease     time.Duration `default:"3s" env:"LATCHKEY_LEASE" placeholder:"DURATION" help:"With --database: how long this node answers from memory without hearing from the database (200ms … 60s), and how long a roll waits for it if it is gone. Default: ${default}."`
	StaleOK   time.Duration `name:"stale-ok" default:"0s" env:"LATCHKEY_STALE_OK" placeholder:"DURATION" help:"With --database: how much longer it answers then, though a rolled key may be accepted by it for so long; a roll says so (exit code 4). Default: not at all."`
}

// check finds what is wrong with the flags.
func (c *clusterFlags) check(database bool) error {
	if len(c.Node) > maxNodeName || !utf8.ValidString(c.Node) || strings.ContainsFunc(c.Node, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return usageError("--node must be at most %d printable characters", maxNodeName)
	}
	if c.Lease < latchkey.MinLease || c.Lease > latchkey.MaxLease {
		return usageError("--lease must be between %s and %s", latchkey.MinLease, latchkey.MaxLease)
	}
	if c.StaleOK < 0 || c.StaleOK > maxStale {
		return usageError("--stale-ok must be between 0s and %s", maxStale)
	}
	if !database && (c.StaleOK > 0 || c.Advertise != "") {
		return usageError("--stale-ok and --advertise are for nodes that share a database: name it with --database")
	}
	if c.Advertise == "" {
		return nil
	}
	u, err := url.Parse(c.Advertise)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
		return usageError("--advertise is not an origin such as https://node1.example.com")
	}
	return nil
}

// address is what others are told.
func (c *clusterFlags) address(listening *sockets) string {
	if c.Advertise != "" {
		return strings.TrimSuffix(c.Advertise, "/")
	}
	if tcp, ok := listening.api.Addr().(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		return ""
	}
	return listening.url()
}
