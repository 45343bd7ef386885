package guard_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"latchkey"
	"latchkey/guard"
	"latchkey/jwt"
)

func TestMain(m *testing.M) {
	// After a 431, net/http waits half a second for the client to have read it.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

// patience is how long a test waits for what must come.
const patience = time.Minute

// A vault is a keyring over credentials made for one test.
type vault struct {
	keyring     *latchkey.Keyring
	key         string // of team_a: the current API key
	rolled      string // of team_a: a dead API key
	disabled    string // of team_off, which is disabled
	secretID    string // of team_a
	secretKey   string
	unavailable error // what every look-up answers, if set

	keys    map[latchkey.Digest]latchkey.Found
	secrets map[string]latchkey.Found
}

func newVault() *vault {
	v := &vault{
		key:      latchkey.NewAPIKey("lk_").Reveal(),
		rolled:   latchkey.NewAPIKey("lk_").Reveal(),
		disabled: latchkey.NewAPIKey("lk_").Reveal(),
		keys:     map[latchkey.Digest]latchkey.Found{},
		secrets:  map[string]latchkey.Found{},
	}
	id, secret := latchkey.NewAPISecret()
	v.secretID, v.secretKey = id, secret.Reveal()
	a, off := &latchkey.Team{ID: "team_a"}, &latchkey.Team{ID: "team_off", Disabled: true}
	found := func(team *latchkey.Team, id string) latchkey.Found {
		return latchkey.Found{Credential: &latchkey.Credential{ID: id, TeamID: team.ID}, Team: team, Revision: 7}
	}
	v.keys[latchkey.DigestOf([]byte(v.key))] = found(a, "key_current")
	dead := found(a, "key_dead")
	dead.Credential.End(time.Unix(1_700_000_000, 0), "somebody", latchkey.EndedByRoll)
	v.keys[latchkey.DigestOf([]byte(v.rolled))] = dead
	v.keys[latchkey.DigestOf([]byte(v.disabled))] = found(off, "key_off")
	signer := found(a, v.secretID)
	signer.Key = jwt.NewKey(v.secretID, v.secretKey)
	v.secrets[v.secretID] = signer
	v.keyring = &latchkey.Keyring{Replica: v}
	return v
}

func (v *vault) APIKey(_ context.Context, d latchkey.Digest) (latchkey.Found, error) {
	return v.keys[d], v.unavailable
}

func (v *vault) APISecret(_ context.Context, id []byte) (latchkey.Found, error) {
	return v.secrets[string(id)], v.unavailable
}

func (v *vault) Settle(context.Context, latchkey.Change) (latchkey.Settlement, error) {
	return latchkey.Settlement{}, errors.New("not here")
}

func (v *vault) bearer() string { return "Bearer " + v.key }
func (v *vault) token() string  { return jwt.Sign(v.secretID, v.secretKey, time.Now()) }
func basic(userinfo string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(userinfo))
}

// checkNoSecret fails the test if text holds a credential in any usual form.
func (v *vault) checkNoSecret(t *testing.T, where, text string) {
	t.Helper()
	for _, secret := range []string{v.key, v.rolled, v.disabled, v.secretKey} {
		for form, s := range map[string]string{
			"plain": secret, "base64": base64.RawStdEncoding.EncodeToString([]byte(secret))[:40],
			"hex": hex.EncodeToString([]byte(secret)), "percent": url.QueryEscape(secret),
		} {
			if strings.Contains(text, s) {
				t.Errorf("%s holds a credential (%s)", where, form)
			}
		}
	}
}

// A ledger is a Recorder that remembers.
type ledger struct {
	mu    sync.Mutex
	begun map[string]latchkey.Record
	ended []latchkey.Record
	wrong []string
	full  error // what Begin returns
}

func (l *ledger) Begin(r latchkey.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.begun == nil {
		l.begun = map[string]latchkey.Record{}
	}
	if _, twice := l.begun[r.RequestID]; twice {
		l.wrong = append(l.wrong, "two Begins for "+r.RequestID)
	}
	l.begun[r.RequestID] = r
	return l.full
}

func (l *ledger) End(r latchkey.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b, begun := l.begun[r.RequestID]
	if !begun {
		l.wrong = append(l.wrong, "End without Begin for "+r.RequestID)
	}
	if b.Status != r.Status && l.full == nil {
		l.wrong = append(l.wrong, "the status changed between Begin and End")
	}
	for _, e := range l.ended {
		if e.RequestID == r.RequestID {
			l.wrong = append(l.wrong, "two Ends for "+r.RequestID)
		}
	}
	l.ended = append(l.ended, r)
}

func (l *ledger) hasBegun(id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ok := l.begun[id]
	return ok
}

// take waits for exactly n records, and forgets them.
func (l *ledger) take(t *testing.T, n int) []latchkey.Record {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		l.mu.Lock()
		if len(l.ended) >= n || time.Now().After(deadline) {
			break
		}
		l.mu.Unlock()
	}
	defer l.mu.Unlock()
	if len(l.ended) != n || len(l.begun) != n {
		t.Errorf("one record each: %d began, %d ended, want %d", len(l.begun), len(l.ended), n)
	}
	for _, w := range l.wrong {
		t.Error("record: " + w)
	}
	ended := l.ended
	l.begun, l.ended, l.wrong = nil, nil, nil
	if len(ended) < n {
		t.FailNow()
	}
	return ended
}

// one waits for exactly one record.
func (l *ledger) one(t *testing.T) latchkey.Record {
	t.Helper()
	return l.take(t, 1)[0]
}

// The two ways through the door, over either protocol.
const (
	middleware = "middleware"
	gateway    = "gateway"
)

// A door is a server with a guard, and an API behind it.
type door struct {
	*vault
	ledger
	guard   *guard.Guard
	server  *httptest.Server
	addr    string
	reached atomic.Int64 // requests that the API saw
	log     syncBuffer
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// newDoor opens a door of a mode before api. set may change the guard and the
// gateway before they are used.
func newDoor(t *testing.T, mode string, api http.HandlerFunc, set func(*guard.Guard, *guard.Gateway)) *door {
	t.Helper()
	d := &door{vault: newVault()}
	logger := slog.New(slog.NewTextHandler(&d.log, nil))
	d.guard = &guard.Guard{Authenticate: d.keyring.Authenticate, Recorder: &d.ledger, Node: "n1", Logger: logger}
	counted := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.reached.Add(1)
		api(w, r)
	})
	c := guard.Gateway{}
	if mode == gateway {
		up := httptest.NewUnstartedServer(counted)
		up.Config.DisableGeneralOptionsHandler = true
		up.Config.ErrorLog = log.New(io.Discard, "", 0)
		up.Start()
		t.Cleanup(up.Close)
		c.Upstream, _ = url.Parse(up.URL)
	}
	if set != nil {
		set(d.guard, &c)
	}
	h := d.guard.Wrap(counted)
	if c.Upstream != nil {
		var err error
		if h, err = d.guard.Gateway(c); err != nil {
			t.Fatal(err)
		}
	}
	d.open(t, h)
	t.Cleanup(func() { d.checkNoSecret(t, "the log", d.log.String()) })
	return d
}

func (d *door) open(t *testing.T, h http.Handler) {
	d.server = httptest.NewUnstartedServer(h)
	d.server.Config.DisableGeneralOptionsHandler = true
	d.server.Config.ErrorLog = log.New(&d.log, "", 0)
	d.server.Start()
	t.Cleanup(d.server.Close)
	d.addr = d.server.Listener.Addr().String()
}

// overHTTP2 opens the same door over TLS and HTTP/2, and returns its client.
func (d *door) overHTTP2(t *testing.T) (*http.Client, string) {
	t.Helper()
	s := httptest.NewUnstartedServer(d.server.Config.Handler)
	s.EnableHTTP2 = true
	s.Config.ErrorLog = log.New(&d.log, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.Client(), s.URL
}

// raw sends bytes as they are and reads one response, after any 1xx.
func (d *door) raw(t *testing.T, request string) *answer {
	t.Helper()
	conn := d.dial(t)
	defer conn.Close()
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	method, _, _ := strings.Cut(request, " ")
	return readAnswer(t, bufio.NewReader(conn), method)
}

func (d *door) dial(t *testing.T) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", d.addr)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(patience))
	return conn
}

// get is a GET with the given extra field lines, each ended by CRLF.
func (d *door) get(t *testing.T, path, fields string) *answer {
	t.Helper()
	return d.raw(t, "GET "+path+" HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n"+fields+"\r\n")
}

// pass is a get with the current key.
func (d *door) pass(t *testing.T, path, fields string) *answer {
	t.Helper()
	return d.get(t, path, "Authorization: "+d.bearer()+"\r\n"+fields)
}

// An answer is a response, read to its end.
type answer struct {
	*http.Response
	body string
	err  error // reading the body
}

func readAnswer(t *testing.T, r *bufio.Reader, method string) *answer {
	t.Helper()
	res, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("read response: %v", err)
	}
	if res.StatusCode == http.StatusSwitchingProtocols || res.StatusCode < 200 {
		return &answer{Response: res}
	}
	return slurp(res)
}

func slurp(res *http.Response) *answer {
	body, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	return &answer{res, string(body), err}
}

var uuid7 = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

// id checks that there is exactly one X-Request-Id, a UUIDv7, and returns it.
func (a *answer) id(t *testing.T) string {
	t.Helper()
	var all []string
	for name, values := range a.Header {
		if strings.EqualFold(strings.ReplaceAll(name, "_", "-"), "X-Request-Id") {
			all = append(all, values...)
		}
	}
	if len(all) != 1 || !uuid7.MatchString(all[0]) {
		t.Fatalf("exactly one X-Request-Id, a UUIDv7: got %q (status %d)", all, a.StatusCode)
	}
	return all[0]
}

// problem checks that the answer is problem+json with a status and code, and
// the ID of its header.
func (a *answer) problem(t *testing.T, status int, code latchkey.Code) {
	t.Helper()
	var body struct {
		Status    int           `json:"status"`
		Code      latchkey.Code `json:"code"`
		RequestID string        `json:"request_id"`
	}
	err := json.Unmarshal([]byte(a.body), &body)
	if a.StatusCode != status || err != nil || body.Code != code || body.Status != status {
		t.Fatalf("answer is %d %q, want %d %s", a.StatusCode, a.body, status, code)
	}
	if id := a.id(t); body.RequestID != id {
		t.Errorf("request_id %s is not the header's %s", body.RequestID, id)
	}
	if got := a.Header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("content type %q", got)
	}
	if got := a.Header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("error answers are no-store: %q", got)
	}
	for name := range a.Header {
		if strings.HasPrefix(name, "Access-Control-") {
			t.Errorf("no CORS field ever: %s", name)
		}
	}
}

// both runs a test in both modes.
func both(t *testing.T, test func(t *testing.T, mode string)) {
	for _, mode := range []string{middleware, gateway} {
		t.Run(mode, func(t *testing.T) { test(t, mode) })
	}
}

// hello is an API that answers 200.
func hello(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }
