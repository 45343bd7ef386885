// Package console is the web pages of latchkey: Settings → Integrations, where a
// team gets its credentials, and Requests, where a request ID is looked up.
//
// The pages are plain HTML, and all of them work without JavaScript; the script
// only saves navigation. No credential is on a page before somebody asked for it
// by a form, and none is ever in a URL.
package console

import (
	"context"
	"crypto/rand"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/alexedwards/scs/v2"

	"latchkey"
)

const (
	// sessionTime is how long a session lives, whatever is done with it.
	sessionTime = 12 * time.Hour

	// proofTime is how long a password, once typed, stands for revealing and
	// rolling.
	proofTime = 10 * time.Minute

	maxForm = 64 << 10 // bytes of a form
)

// A Console is the pages of one node. All fields but those that say otherwise
// must be set.
type Console struct {
	Keyring  *latchkey.Keyring
	Users    latchkey.UserStore
	Sessions latchkey.SessionStore
	Records  latchkey.RecordReader
	Usage    latchkey.UsageReader

	// Source returns where a request comes from, behind proxies that are
	// trusted. Nil: its peer.
	Source func(*http.Request) netip.Addr

	Tallies latchkey.TallyReader

	// Missing says why Records may lack a request, and looks for nothing: a team is
	// told the same of another's request and of none. Nil: it is told nothing.
	Missing func(ctx context.Context, requestID string) error

	// Lacking says, in sentences for support, why records between two moments may
	// be missing in a list. Nil: nothing is said.
	Lacking func(ctx context.Context, from, to time.Time) ([]string, error)

	URL    string             // the origin by which browsers reach it, without a path: what links carry
	APIURL string             // a URL of the API that a caller can try
	Keep   latchkey.Retention // how long records are kept, and how many
	Now    func() time.Time   // nil means time.Now
	Logger *slog.Logger       // nil means slog.Default()
}

// A site is a console that serves: what it keeps in memory.
type site struct {
	*Console
	origin   *url.URL
	sessions *scs.SessionManager
	cross    *http.CrossOriginProtection
	routes   map[string]map[string]route // by path and method
	pages    map[string]*template.Template
	files    map[string]file
	throttle throttle
	hasher   *hasher
	deeds    deeds
}

// Handler returns the pages. It fails only if URL is not an origin.
func (c *Console) Handler() (http.Handler, error) {
	origin, err := url.Parse(c.URL)
	if err != nil || origin.Host == "" || (origin.Scheme != "http" && origin.Scheme != "https") {
		return nil, &latchkey.InvalidError{Field: "console URL", Problem: "is not an origin such as https://console.example.com"}
	}
	s := &site{Console: c, origin: origin, routes: routes(), cross: http.NewCrossOriginProtection()}
	if err := s.cross.AddTrustedOrigin(origin.Scheme + "://" + origin.Host); err != nil {
		return nil, fmt.Errorf("trust the console's own origin: %w", err)
	}
	s.files = readFiles()
	s.pages = readPages(s.files)
	s.sessions = newSessions(c.Sessions)
	s.hasher = newHasher()
	return s, nil
}

// SetupLink makes the link by which the first admin joins; earlier ones are dead.
func (c *Console) SetupLink(ctx context.Context) (string, error) {
	link, invitation := latchkey.NewInvitation(c.URL, "", c.now())
	if err := c.Users.Invite(ctx, invitation); err != nil {
		return "", fmt.Errorf("make the set-up link: %w", err)
	}
	return link.Reveal(), nil
}

func (c *Console) now() time.Time {
	if c.Now != nil {
		return c.Now()
	}
	return time.Now()
}

func (c *Console) logger() *slog.Logger {
	if c.Logger == nil {
		return slog.Default()
	}
	return c.Logger
}

// newIntent returns a name for one intended change: a form that is sent twice
// carries the same.
func newIntent() string { return rand.Text() }
