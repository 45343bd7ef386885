package main

import (
	"cmp"
	"net"
	"net/url"
	"strings"

	"github.com/alecthomas/kong"
)

// A database is a PostgreSQL database that nodes share. The zero value is none.
type database struct {
	URL      string // may hold a password
	Insecure bool   // without TLS, wherever it is
}

// database is the one that the flags name.
func (g *globals) database() database { return database{URL: g.Database, Insecure: g.InsecureDatabase} }

// String names it without user or password: each of its hosts, where a standby
// may take over.
func (d database) String() string {
	u, err := url.Parse(d.URL)
	if err != nil || d.URL == "" {
		return ""
	}
	var hosts, ports []string
	for _, host := range strings.Split(u.Host, ",") {
		one := url.URL{Host: host}
		hosts, ports = append(hosts, one.Hostname()), append(ports, one.Port())
	}
	if named := u.Query().Get("host"); named != "" {
		hosts = strings.Split(named, ",")
	}
	if named := u.Query().Get("port"); named != "" {
		ports = strings.Split(named, ",")
	}
	for i, host := range hosts {
		port := ports[min(i, len(ports)-1)]
		hosts[i] = net.JoinHostPort(cmp.Or(host, "localhost"), cmp.Or(port, "5432"))
	}
	name := cmp.Or(u.Query().Get("dbname"), strings.Trim(u.Path, "/"), "of its user")
	return strings.Join(hosts, ",") + "/" + name
}

// checkDatabase refuses what is no URL, and a password that others can read in
// the list of processes. What the environment holds is not among the flags.
func checkDatabase(g *globals, parsed *kong.Context) error {
	if g.Database == "" {
		return nil
	}
	// Errors of url.Parse quote the URL.
	u, err := url.Parse(g.Database)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return usageError("the database is not a URL such as postgres://latchkey@db.example.com/latchkey")
	}
	if _, has := u.User.Password(); !has && !u.Query().Has("password") && !u.Query().Has("sslpassword") {
		return nil
	}
	for _, part := range parsed.Path {
		if part.Flag != nil && part.Flag.Name == "database" {
			return usageError("--database holds a password, and others can read the command line: secrets never come as a flag's value (put the URL into LATCHKEY_DATABASE, or the password into the file that PGPASSFILE names)")
		}
	}
	return nil
}
