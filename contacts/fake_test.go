package contacts

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey"
)

// memory is a latchkey.ContactStore.
type memory struct {
	mu   sync.Mutex
	last int64
	rows map[int64]row
	fail error // what every method returns, if set
}

type row struct {
	team string
	latchkey.Contact
}

func (m *memory) CreateContact(_ context.Context, team string, c latchkey.Contact) (latchkey.Contact, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return latchkey.Contact{}, m.fail
	}
	m.last++
	c.ID, c.Rev, c.Created = m.last, 1, m.now()
	c.Updated, c.Custom = c.Created, maps.Clone(c.Custom)
	if m.rows == nil {
		m.rows = map[int64]row{}
	}
	m.rows[c.ID] = row{team, c}
	return c, nil
}

// now is in another zone, and in nanoseconds.
func (*memory) now() time.Time {
	return time.Date(2025, 4, 16, 0, 40, 0, 123456789, time.FixedZone("", 2*60*60))
}

func (m *memory) Contact(_ context.Context, team string, id int64) (latchkey.Contact, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return latchkey.Contact{}, m.fail
	}
	if r, ok := m.rows[id]; ok && r.team == team {
		return r.Contact, nil
	}
	return latchkey.Contact{}, latchkey.NotFound("contact", "it")
}

func (m *memory) UpdateContact(ctx context.Context, team string, id int64, edit func(*latchkey.Contact) error) (latchkey.Contact, error) {
	c, err := m.Contact(ctx, team, id)
	if err != nil {
		return c, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	c = m.rows[id].Contact
	if err := edit(&c); err != nil {
		return latchkey.Contact{}, err
	}
	c.Rev++
	m.rows[id] = row{team, c}
	return c, nil
}

func (m *memory) DeleteContact(ctx context.Context, team string, id int64) error {
	if _, err := m.Contact(ctx, team, id); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.rows, id)
	return nil
}

func (m *memory) Contacts(_ context.Context, team string, before int64, limit int) ([]latchkey.Contact, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return nil, m.fail
	}
	var found []latchkey.Contact
	for _, id := range slices.Backward(slices.Sorted(maps.Keys(m.rows))) {
		if r := m.rows[id]; r.team == team && (before == 0 || id < before) && len(found) < limit {
			found = append(found, r.Contact)
		}
	}
	return found, nil
}

// A house is the API behind a door that believes every word.
type house struct {
	store memory
	log   bytes.Buffer
	url   string
}

const requestID = "01963b7c-52a0-7c3e-8f51-0d6c3a9b7e42"

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{}
	api := (&API{Store: &h.store, Logger: slog.New(slog.NewTextHandler(&h.log, nil))}).Handler()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := latchkey.WithRequestID(r.Context(), requestID)
		if team, named := r.Header["Team"]; named {
			ctx = latchkey.WithPrincipal(ctx, latchkey.Principal{TeamID: team[0]})
		}
		w.Header().Set("X-Request-Id", requestID)
		api.ServeHTTP(w, r.WithContext(ctx))
	}))
	t.Cleanup(server.Close)
	h.url = server.URL
	return h
}

// An answer is a response that was read.
type answer struct {
	*http.Response
	text string
	json map[string]any
}

// ask sends a request of team red; header is name, value, name, value.
func (h *house) ask(t *testing.T, method, path, body string, header ...string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, h.url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	// As it stands on the request line, so that nothing is cleaned here.
	r.URL.Opaque = strings.TrimPrefix(h.url, "http:") + path
	r.Header.Set("Team", "red")
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for pair := range slices.Chunk(header, 2) {
		r.Header.Set(pair[0], pair[1])
		if pair[1] == "" {
			r.Header.Del(pair[0])
		}
	}
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("%s %s: read the answer: %v", method, path, err)
	}
	a := answer{Response: response, text: string(text)}
	if len(text) > 0 {
		if err := json.Unmarshal(text, &a.json); err != nil {
			t.Errorf("%s %s: the answer is not JSON: %v: %.200s", method, path, err, text)
		}
	}
	return a
}

// refused checks that an answer is a problem in our form.
func (a answer) refused(t *testing.T, status int, code latchkey.Code) {
	t.Helper()
	if a.StatusCode != status {
		t.Errorf("status %d, want %d: %.300s", a.StatusCode, status, a.text)
	}
	if ct := a.Header.Get("Content-Type"); ct != "application/problem+json" {
		t.Errorf("Content-Type of an error is %q", ct)
	}
	if got := slices.Sorted(maps.Keys(a.json)); !slices.Equal(got, []string{"code", "detail", "request_id", "status", "title", "type"}) {
		t.Errorf("a problem has the members %q", got)
	}
	if a.json["code"] != string(code) {
		t.Errorf("code %v, want %s: %.300s", a.json["code"], code, a.text)
	}
	if a.json["request_id"] != requestID {
		t.Errorf("request_id %v, want the request's", a.json["request_id"])
	}
}

// detail returns the words of a problem.
func (a answer) detail() string {
	s, _ := a.json["detail"].(string)
	return s
}
