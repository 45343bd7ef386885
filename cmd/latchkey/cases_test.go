package main

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"latchkey"
)

// A house is a node behind a real socket, with something behind the door that
// counts the requests that reach it.
type house struct {
	*node
	addr    string       // of the API
	reached atomic.Int64 // requests that came through
	clock   atomic.Pointer[time.Time]
	team    latchkey.NewTeam // the first team
}

// openHouse starts a node. mode is "gateway" (the counter is an upstream server
// of its own) or "middleware" (it is a handler behind the door).
func openHouse(t *testing.T, mode string) *house {
	t.Helper()
	h := &house{}
	data := filepath.Join(t.TempDir(), "data")
	lock, err := claimDir(t.Context(), data, true)
	if err != nil {
		t.Fatal(err)
	}
	n, err := openNode(t.Context(), lock, nodeConfig{
		Data: data, Node: "n1", Create: true, By: latchkey.System, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	h.node, h.team = n, *n.first
	n.keyring.Now = func() time.Time {
		if at := h.clock.Load(); at != nil {
			return *at
		}
		return time.Now()
	}
	count := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.reached.Add(1)
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, "through")
	})
	c := &serveCmd{UpstreamTimeout: 10 * time.Second}
	var door http.Handler
	if mode == "gateway" {
		upstream := httptest.NewServer(count)
		t.Cleanup(upstream.Close)
		c.Upstream = upstream.URL
		_, door, err = c.handler(n, slog.New(slog.DiscardHandler))
	} else {
		door = c.door(n, nil, slog.New(slog.DiscardHandler)).Wrap(count)
	}
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(door)
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
	server.Config.MaxHeaderBytes = maxHeaderBytes
	server.Start()
	t.Cleanup(server.Close)
	h.addr = server.Listener.Addr().String()
	return h
}

// send writes a request as it is, and returns the answer.
func (h *house) send(t *testing.T, request string) (*http.Response, string) {
	t.Helper()
	conn, err := net.Dial("tcp", h.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatalf("half an answer: %v", err)
	}
	return answer, string(body)
}

// get is a request with the given header lines.
func get(lines ...string) string {
	return "GET /v1/contacts HTTP/1.1\r\nHost: api.example\r\nConnection: close\r\n" + strings.Join(append(lines, "\r\n"), "\r\n")
}

func auth(value string) string   { return "Authorization: " + value }
func bearer(value string) string { return get(auth("Bearer " + value)) }
func basic(value string) string {
	return get(auth("Basic " + base64.StdEncoding.EncodeToString([]byte(value))))
}

// forge signs any header and payload with any key, right or wrong.
func forge(header, payload, key string) string {
	return forgeWith(sha256.New, header, payload, key)
}

func forgeWith(h func() hash.Hash, header, payload, key string) string {
	signed := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(payload))
	mac := hmac.New(h, []byte(key))
	mac.Write([]byte(signed))
	return signed + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// A case is one row of the groups A to D: what comes in, and what must come out.
type testCase struct {
	id      string
	request string
	code    latchkey.Code   // empty: it must pass
	reason  latchkey.Reason // empty with an empty code: ok
	status  int             // 0: 200 or 401, as code says
	at      time.Time       // the clock of the verdict; zero: now
}

// TestCases runs the groups A, B, C and D through a real socket. For each it
// holds that a refusal reaches nothing, that there is one record with the exact
// reason, and that neither the answer nor the record holds the credential.
func TestCases(t *testing.T) {
	for _, mode := range []string{"gateway", "middleware"} {
		t.Run(mode, func(t *testing.T) {
			h := openHouse(t, mode)
			w := newWorld(t, h)
			var all []testCase
			all = append(all, casesA(w)...)
			all = append(all, casesB(w)...)
			all = append(all, casesC(w)...)
			all = append(all, casesD(w)...)
			if len(all) < 190 {
				t.Fatalf("%d cases, must be 190 or more", len(all))
			}
			for _, c := range all {
				h.check(t, w, c)
			}
		})
	}
}

// check sends one case and holds what must follow.
func (h *house) check(t *testing.T, w *world, c testCase) {
	t.Helper()
	h.clock.Store(nil)
	if !c.at.IsZero() {
		h.clock.Store(&c.at)
	}
	before := h.reached.Load()
	answer, body := h.send(t, c.request)
	reached := h.reached.Load() - before

	status := c.status
	if status == 0 && c.code == "" {
		status = http.StatusOK
	} else if status == 0 {
		status = http.StatusUnauthorized
	}
	if answer.StatusCode != status {
		t.Errorf("%s: status %d, must be %d", c.id, answer.StatusCode, status)
	}
	if want := int64(1); c.code == "" && reached != want {
		t.Errorf("%s: the upstream saw %d requests, must be 1", c.id, reached)
	} else if c.code != "" && reached != 0 {
		t.Errorf("%s: a refused request reached the upstream", c.id)
	}
	ids := answer.Header.Values("X-Request-Id")
	if len(ids) != 1 {
		t.Errorf("%s: %d request IDs, must be 1", c.id, len(ids))
		return
	}
	if c.code != "" {
		var told struct{ Code, RequestID string }
		told.Code, told.RequestID = problemOf(t, c.id, body)
		if told.Code != string(c.code) || told.RequestID != ids[0] {
			t.Errorf("%s: code %q, must be %q, with the answer's request ID", c.id, told.Code, c.code)
		}
	}
	reason := c.reason
	if reason == "" {
		reason = latchkey.ReasonOK
	}
	record := h.recordOf(t, c.id, ids[0])
	if record.Reason != reason || record.Status != status {
		t.Errorf("%s: the record says %s (%d), must say %s (%d)", c.id, record.Reason, record.Status, reason, status)
	}
	text, _ := json.Marshal(record)
	for _, secret := range w.secrets {
		if strings.Contains(string(text)+body+fmt.Sprint(answer.Header), secret) {
			t.Errorf("%s: the answer or the record holds a credential", c.id)
		}
	}
}

func problemOf(t *testing.T, id, body string) (code, requestID string) {
	t.Helper()
	var p struct {
		Type, Title, Detail, Code string
		Status                    int
		RequestID                 string `json:"request_id"`
	}
	if err := json.Unmarshal([]byte(body), &p); err != nil || p.Type == "" || p.Title == "" || p.Status == 0 {
		t.Errorf("%s: the answer is no problem of RFC 9457: %v", id, err)
	}
	return p.Code, p.RequestID
}

// recordOf waits for the end of the record, which follows the answer, and holds
// that there is no second one.
func (h *house) recordOf(t *testing.T, id, requestID string) latchkey.Record {
	t.Helper()
	record, err := h.records.Record(context.Background(), requestID)
	if err != nil {
		t.Fatalf("%s: the answer's request ID is not found: %v", id, err)
	}
	list, err := h.records.Records(context.Background(), latchkey.RecordQuery{Limit: 2})
	if err != nil || len(list) == 0 || list[0].RequestID != requestID {
		t.Errorf("%s: the newest record is another request's (%v): one request must make one record", id, err)
	}
	return record
}

// world is what the cases speak of.
type world struct {
	key, id, secret string // K, ID and KEY of the first team
	s               string // ID||KEY
	rolled          string // a key that was rolled
	otherKey        string // of another team
	otherID         string
	otherSecret     string
	disabledKey     string
	disabledID      string
	disabledSecret  string
	deletedKey      string
	revokedID       string
	revokedSecret   string
	importedKey     string // of a team of its own: 512 bytes
	now             int64  // seconds
	secrets         []string
}

func newWorld(t *testing.T, h *house) *world {
	t.Helper()
	ctx, k, by := t.Context(), h.keyring, latchkey.System
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	team := func(name string) latchkey.NewTeam {
		made, _, err := k.CreateTeam(ctx, name, by)
		must(err)
		return made
	}
	w := &world{now: time.Now().Unix(), rolled: h.team.APIKey.Reveal(), id: h.team.SecretID, secret: h.team.SecretKey.Reveal()}
	view, _, err := k.RollKey(ctx, firstTeam, 0, by)
	must(err)
	w.key, w.s = view.APIKey.Reveal(), w.id+"||"+w.secret
	other, disabled, deleted, large := team("other"), team("disabled"), team("deleted"), team("large")
	w.otherKey, w.otherID, w.otherSecret = other.APIKey.Reveal(), other.SecretID, other.SecretKey.Reveal()
	w.disabledKey, w.disabledID, w.disabledSecret = disabled.APIKey.Reveal(), disabled.SecretID, disabled.SecretKey.Reveal()
	w.deletedKey = deleted.APIKey.Reveal()
	_, _, err = k.DisableTeam(ctx, "disabled", by)
	must(err)
	_, _, err = k.DeleteTeam(ctx, "deleted", by)
	must(err)
	id, key, _, err := k.CreateSecret(ctx, firstTeam, by)
	must(err)
	w.revokedID, w.revokedSecret = id, key.Reveal()
	_, _, err = k.RevokeSecret(ctx, id, by)
	must(err)
	w.importedKey = strings.Repeat("Kk0-_~+/", 64)
	_, _, err = k.ImportKey(ctx, large.Team.ID, latchkey.NewSecret(w.importedKey), by)
	must(err)
	w.secrets = []string{w.key, w.secret, w.rolled, w.otherKey, w.otherSecret, w.disabledKey, w.deletedKey, w.revokedSecret, w.importedKey}
	return w
}

const goodHeader = `{"alg":"HS256","typ":"JWT"}`

func (w *world) claims(iat any) string { return fmt.Sprintf(`{"iss":"%s","iat":%v}`, w.id, iat) }

// token is a right token of the first team, but for what is given.
func (w *world) token(header, payload string) string { return bearer(forge(header, payload, w.s)) }

func hexOf(s string) string { return hex.EncodeToString([]byte(s)) }

func sha512New() hash.Hash { return sha512.New() }
func sha384New() hash.Hash { return sha512.New384() }
