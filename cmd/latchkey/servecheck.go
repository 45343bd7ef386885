package main

import (
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/alecthomas/kong"
)

const (
	// leastKept is the smallest --keep-bytes but 0: some 6,000 records. Less is rather a
	// unit that was left out, and would take all records but the newest day's.
	leastKept size = 1_000_000
)

// checkEmpty refuses a flag of serve that is given, and empty, and the upstream's
// variable: what is not set elsewhere must not turn the gateway into the built-in API.
// Where "" means something, the flag is a pointer.
func checkEmpty(parsed *kong.Context, unset []string) error {
	if selected := parsed.Selected(); selected == nil || selected.Name != "serve" {
		return nil
	}
	if slices.Contains(unset, "LATCHKEY_UPSTREAM") {
		return usageError("LATCHKEY_UPSTREAM is set, and empty: unset it for the built-in contacts API")
	}
	for _, part := range parsed.Path {
		if f := part.Flag; f != nil && f.Target.Kind() == reflect.String && f.Target.String() == "" {
			return usageError("--%s is given, and empty: is a variable not set?", f.Name)
		}
	}
	return nil
}

// checkMeant refuses values that nobody can mean.
func (c *serveCmd) checkMeant() error {
	const day = span(24 * time.Hour)
	switch {
	case c.Keep != nil && *c.Keep%day != 0:
		return usageError("--keep must be whole days, such as 30d: records go by the day")
	case c.KeepBytes != nil && *c.KeepBytes != 0 && *c.KeepBytes < leastKept:
		return usageError("--keep-bytes must be at least 1MB, some 6,000 records: is a unit missing, such as 20GB? (leave it out to keep any amount)")
	case strings.ContainsFunc(c.Realm, unicode.IsControl):
		return usageError("--realm must not hold control characters")
	case c.DocsURL == "":
		return nil
	}
	u, err := url.Parse(c.DocsURL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || strings.Contains(c.DocsURL, "#") {
		return usageError("--docs-url is not a URL without # such as https://docs.example.com/errors")
	}
	return nil
}

// behind says what the server stands in front of.
func (c *serveCmd) behind() string {
	if u, err := url.Parse(c.Upstream); err == nil && c.Upstream != "" {
		return "in front of " + u.Redacted()
	}
	return "with the built-in contacts API"
}
