package console

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey"
	"latchkey/contacts"
	"latchkey/guard"
	"latchkey/journal"
	"latchkey/problem"
	"latchkey/replica"
	"latchkey/sqlite"
)

// A house is a whole node in memory and a temporary directory: an API behind the
// door, and the console.
type house struct {
	t       *testing.T
	store   *sqlite.Store
	keyring *latchkey.Keyring
	journal *journal.Journal
	console *Console
	site    *site
	api     http.Handler
	log     *logBuffer
	made    latchkey.NewTeam // the first team

	mu   sync.Mutex
	skew time.Duration // of the console's clock
}

// logBuffer is a log that tests may read while it is written.
type logBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func newHouse(t *testing.T) *house {
	t.Helper()
	dir := t.TempDir()
	h := &house{t: t, log: &logBuffer{}}
	logger := slog.New(slog.NewTextHandler(h.log, nil))
	sealer, err := latchkey.CreateKeyset(dir + "/keyset.json")
	check(t, err)
	h.store, err = sqlite.Open(t.Context(), sqlite.Config{Dir: dir, Genesis: func(now time.Time) (latchkey.Genesis, error) {
		holding, made, err := latchkey.NewHolding(sealer, latchkey.DefaultKeyPrefix, "default", latchkey.System, now)
		check(t, err)
		h.made = made
		probe, err := sealer.Probe()
		return latchkey.Genesis{Probe: probe, Holding: holding}, err
	}})
	check(t, err)
	t.Cleanup(func() { _ = h.store.Close() })
	node := &replica.Replica{Store: h.store, Sealer: sealer, Node: "node-1", Logger: logger}
	t.Cleanup(func() { _ = node.Close() })
	h.keyring = &latchkey.Keyring{Store: h.store, Audit: h.store, Replica: node, Sealer: sealer}
	_, err = node.Settle(t.Context(), latchkey.Change{})
	check(t, err)
	h.journal, err = journal.Open(t.Context(), journal.Config{Dir: dir + "/journal", Store: h.store, Node: "node-1", Logger: logger})
	check(t, err)
	t.Cleanup(func() { _ = h.journal.Close(context.WithoutCancel(t.Context())) })
	problems := problem.Writer{}
	door := &guard.Guard{Authenticate: h.keyring.Authenticate, Recorder: h.journal, Problems: problems, Node: "node-1", Logger: logger}
	h.api = door.Wrap((&contacts.API{Store: h.store, Problems: problems, Version: "test", Logger: logger}).Handler())
	h.console = &Console{
		Keyring: h.keyring, Users: h.store, Sessions: h.store, Records: h.journal, Usage: h.store, Tallies: h.store,
		URL: "http://127.0.0.1:8081", APIURL: "http://127.0.0.1:8080/v1/contacts", Logger: logger,
		Now: func() time.Time {
			h.mu.Lock()
			defer h.mu.Unlock()
			return time.Now().Add(h.skew)
		},
	}
	handler, err := h.console.Handler()
	check(t, err)
	h.site = handler.(*site)
	return h
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// pass lets time go by for the console.
func (h *house) pass(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.skew += d
}

const password = "correct horse battery"

// passwordHash is the hash of password, computed once for all tests, and cheap
// to check.
var passwordHash = sync.OnceValue(func() string {
	h := newHasher()
	h.memory = 64
	hash, err := h.hash(context.Background(), password)
	if err != nil {
		panic(err)
	}
	return hash
})

// addUser adds a user whose password is password.
func (h *house) addUser(email string, role latchkey.Role, teamID string) latchkey.User {
	h.t.Helper()
	u := latchkey.User{ID: latchkey.NewUserID(), Email: email, TeamID: teamID, Role: role, Password: passwordHash(),
		Epoch: 1, Created: time.Now(), CreatedBy: "test"}
	check(h.t, h.store.CreateUser(h.t.Context(), u, nil))
	return u
}

// An agent is a browser as far as these tests need one: it keeps the cookie, and
// says where its requests come from.
type agent struct {
	h      *house
	cookie string
	source string
}

func (h *house) agent() *agent { return &agent{h: h, source: "127.0.0.1:40000"} }

// loggedIn returns an agent of a new user.
func (h *house) loggedIn(email string, role latchkey.Role, teamID string) *agent {
	h.t.Helper()
	h.addUser(email, role, teamID)
	a := h.agent()
	a.login(email)
	return a
}

func (h *house) admin() *agent {
	return h.loggedIn("ada@example.com", latchkey.RoleAdmin, h.made.Team.ID)
}

func (a *agent) login(email string) {
	a.h.t.Helper()
	r := a.post("/login", "email", email, "password", password)
	if r.Code != http.StatusSeeOther || a.cookie == "" {
		a.h.t.Fatalf("login of %s: %d, %s", email, r.Code, text(r))
	}
}

// do sends a request as it is, but for the cookie.
func (a *agent) do(r *http.Request) *httptest.ResponseRecorder {
	r.RemoteAddr = a.source
	if a.cookie != "" {
		r.Header.Set("Cookie", cookieName+"="+a.cookie)
	}
	w := httptest.NewRecorder()
	a.h.site.ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		if c.Name == cookieName {
			a.cookie = c.Value
		}
	}
	return w
}

func (a *agent) get(path string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.Host = "127.0.0.1:8081"
	return a.do(r)
}

// request makes a POST as a page of ours would send it.
func request(path string, fields ...string) *http.Request {
	form := url.Values{}
	for i := 0; i+1 < len(fields); i += 2 {
		form.Add(fields[i], fields[i+1])
	}
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(form.Encode()))
	r.Host = "127.0.0.1:8081"
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", "http://127.0.0.1:8081")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return r
}

func (a *agent) post(path string, fields ...string) *httptest.ResponseRecorder {
	return a.do(request(path, fields...))
}

func text(r *httptest.ResponseRecorder) string {
	body, _ := io.ReadAll(r.Result().Body)
	return string(body)
}

// call makes a call of the API.
func (h *house) call(authorization, path, agent, source string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	r.Header.Set("User-Agent", agent)
	r.RemoteAddr = source
	w := httptest.NewRecorder()
	h.api.ServeHTTP(w, r)
	return w
}

// key is the team's current key, without an event in the audit.
func (h *house) key() latchkey.Credential {
	h.t.Helper()
	holding, err := h.store.Holding(h.t.Context(), h.made.Team.ID)
	check(h.t, err)
	return *holding.APIKey()
}
