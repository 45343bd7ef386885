package contacts

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"latchkey"
)

// whole is a contact with every field that a caller sets.
const whole = `{"first":"Ada","last":"Lovelace","display_name":"Ada L.","email":"ada@example.com","phone":"15555550123","custom":{"plan":"gold","note":"a\nb"}}`

func TestContactLife(t *testing.T) {
	h := newHouse(t)
	made := h.ask(t, "POST", "/v1/contact", whole)
	if made.StatusCode != http.StatusCreated || made.Header.Get("Location") != "/v1/contact/1" {
		t.Fatalf("POST: %s, Location %q: want 201 and the contact's path", made.Status, made.Header.Get("Location"))
	}
	want := `{"id":1,"first":"Ada","last":"Lovelace","display_name":"Ada L.","email":"ada@example.com","phone":"15555550123",` +
		`"custom":{"note":"a\nb","plan":"gold"},"created":"2025-04-15T22:40:00.123456Z","updated":"2025-04-15T22:40:00.123456Z","rev":1}` + "\n"
	if made.text != want {
		t.Errorf("POST answers\n%swant\n%s", made.text, want)
	}
	if read := h.ask(t, "GET", "/v1/contact/1", ""); read.text != want || read.StatusCode != http.StatusOK {
		t.Errorf("GET: %s %s, want the contact as it was created", read.Status, read.text)
	}

	// Read, alter, write back: id, created and updated come along and are ignored.
	back := strings.Replace(strings.Replace(made.text, "Lovelace", "King", 1), `"id":1`, `"id":99`, 1)
	put := h.ask(t, "PUT", "/v1/contact/1", back)
	if put.StatusCode != http.StatusOK || put.json["last"] != "King" || put.json["rev"] != 2.0 || put.json["id"] != 1.0 {
		t.Errorf("PUT of what was read: %s %s, want the new name, rev 2 and the same id", put.Status, put.text)
	}
	stale := h.ask(t, "PUT", "/v1/contact/1", back)
	stale.refused(t, 400, latchkey.CodeInvalidRequest)
	if want := "rev is not the current one: the contact has changed since; read it again."; stale.detail() != want {
		t.Errorf("PUT with an old rev says %q, want %q", stale.detail(), want)
	}
	bare := h.ask(t, "PUT", "/v1/contact/1", `{"phone":"4930123456"}`)
	if bare.json["first"] != "" || fmt.Sprint(bare.json["custom"]) != "map[]" || bare.json["rev"] != 3.0 {
		t.Errorf("PUT replaces the whole contact, and goes without rev: %s", bare.text)
	}

	gone := h.ask(t, "DELETE", "/v1/contact/1", "")
	if gone.StatusCode != http.StatusNoContent || gone.text != "" || gone.Header.Get("Content-Type") != "" {
		t.Errorf("DELETE: %s %q, want 204 and nothing", gone.Status, gone.text)
	}
	for _, method := range []string{"GET", "PUT", "DELETE"} {
		h.ask(t, method, "/v1/contact/1", `{"phone":"4930123456"}`).refused(t, 404, latchkey.CodeNotFound)
	}
	empty := h.ask(t, "GET", "/v1/contacts", "")
	if want := `{"contacts":[],"next_cursor":null}` + "\n"; empty.text != want {
		t.Errorf("an empty list is %s, want %s", empty.text, want)
	}
}

// Another team's contact looks like none, whatever is done to it.
func TestTeamsAreApart(t *testing.T) {
	h := newHouse(t)
	h.ask(t, "POST", "/v1/contact", whole)
	for _, method := range []string{"GET", "PUT", "DELETE"} {
		other := h.ask(t, method, "/v1/contact/1", `{"phone":"4930123456"}`, "Team", "blue")
		none := h.ask(t, method, "/v1/contact/2", `{"phone":"4930123456"}`, "Team", "blue")
		other.refused(t, 404, latchkey.CodeNotFound)
		if other.text != none.text {
			t.Errorf("%s tells another team's contact from none: %s and %s", method, other.text, none.text)
		}
	}
	if list := h.ask(t, "GET", "/v1/contacts", "", "Team", "blue"); list.text != `{"contacts":[],"next_cursor":null}`+"\n" {
		t.Errorf("another team's list has %s", list.text)
	}
	if mine := h.ask(t, "GET", "/v1/contact/1", ""); mine.json["rev"] != 1.0 {
		t.Errorf("another team changed the contact: %s", mine.text)
	}
}

// Without a principal, and with one of no team, nothing is answered at all.
func TestNoPrincipal(t *testing.T) {
	for _, header := range [][]string{{"Team", ""}, {"Team", " "}} {
		h := newHouse(t)
		h.store.fail = errors.New("the store was asked")
		for _, path := range []string{"/v1/contacts", "/v1/contact/1", "/openapi.json", "/nowhere"} {
			a := h.ask(t, "GET", path, "", header...)
			a.refused(t, 500, latchkey.CodeInternal)
		}
		if log := h.log.String(); !strings.Contains(log, "without a principal") || strings.Contains(log, "the store was asked") {
			t.Errorf("the log must say that the principal is missing, and the store must not be asked: %s", log)
		}
	}
}

func TestPages(t *testing.T) {
	h := newHouse(t)
	for range 120 {
		h.ask(t, "POST", "/v1/contact", `{"phone":"15555550123"}`)
		h.ask(t, "POST", "/v1/contact", `{"phone":"15555550123"}`, "Team", "blue")
	}
	ids := func(a answer) (ids []int) {
		list, _ := a.json["contacts"].([]any)
		for _, c := range list {
			ids = append(ids, int(c.(map[string]any)["id"].(float64)))
		}
		return ids
	}
	for query, want := range map[string]int{"": 50, "?limit=": 50, "?limit=1": 1, "?limit=100": 100} {
		if got := len(ids(h.ask(t, "GET", "/v1/contacts"+query, ""))); got != want {
			t.Errorf("%q lists %d contacts, want %d", query, got, want)
		}
	}
	for _, limit := range []int{1, 7, 40, 100} {
		var all []int
		path, step := "/v1/contacts?limit="+strconv.Itoa(limit), ""
		for range 121 {
			a := h.ask(t, "GET", path+step, "")
			got := ids(a)
			if len(got) == 0 || len(got) > limit {
				t.Fatalf("limit %d: a page has %d contacts", limit, len(got))
			}
			all = append(all, got...)
			next, more := a.json["next_cursor"].(string)
			if !more {
				break
			}
			step = "&cursor=" + next
		}
		// Red's are the odd IDs, 1 to 239, newest first.
		if len(all) != 120 || all[0] != 239 || all[119] != 1 || !slices.IsSortedFunc(all, func(a, b int) int { return b - a }) {
			t.Errorf("limit %d: the pages hold %d contacts, %v: want all 120 of the team, newest first", limit, len(all), all)
		}
	}
}

// HEAD is GET without a body.
func TestHead(t *testing.T) {
	h := newHouse(t)
	h.ask(t, "POST", "/v1/contact", whole)
	for path, status := range map[string]int{"/v1/contacts": 200, "/v1/contact/1": 200, "/v1/contact/2": 404, "/openapi.json": 200} {
		head, get := h.ask(t, "HEAD", path, ""), h.ask(t, "GET", path, "")
		if head.StatusCode != status || head.text != "" || head.Header.Get("Content-Type") != get.Header.Get("Content-Type") {
			t.Errorf("HEAD %s: %s %q %q, want GET's header, %q, and no body", path, head.Status, head.Header, head.text, get.Header)
		}
	}
}

// Nothing that the caller says it would take changes the form of the answer.
// The third value makes huma's reading of the field panic.
func TestOneFormat(t *testing.T) {
	h := newHouse(t)
	for _, accept := range []string{"text/html", "application/cbor", "a;,b", "application/json;q=0", "application/problem+json", ";;,,", "*/*;q"} {
		for path, want := range map[string]string{"/v1/contacts": "application/json", "/v1/contact/9": "application/problem+json"} {
			a := h.ask(t, "GET", path, "", "Accept", accept)
			if ct := a.Header.Get("Content-Type"); ct != want || a.json == nil {
				t.Errorf("Accept %q on %s: %s %q, want %s", accept, path, a.Status, ct, want)
			}
			if a.Header.Get("Link") != "" || a.json["$schema"] != nil {
				t.Errorf("an answer links to a schema: %v %s", a.Header, a.text)
			}
		}
	}
}

// What the store says reaches the log, and the caller as what it means.
func TestStoreFails(t *testing.T) {
	cases := []struct {
		name   string
		err    error
		status int
		code   latchkey.Code
	}{
		{"a fault", errors.New("marker-fault"), 503, latchkey.CodeUnavailable},
		{"unavailable", &latchkey.Unavailable{Reason: latchkey.ReasonStoreUnavailable, Err: errors.New("marker-fault")}, 503, latchkey.CodeUnavailable},
		{"outcome unknown", fmt.Errorf("commit: %w (marker-fault)", latchkey.ErrOutcomeUnknown), 500, latchkey.CodeInternal},
	}
	requests := [][3]string{
		{"GET", "/v1/contacts", ""}, {"POST", "/v1/contact", whole}, {"GET", "/v1/contact/1", ""},
		{"PUT", "/v1/contact/1", whole}, {"DELETE", "/v1/contact/1", ""},
	}
	for _, c := range cases {
		h := newHouse(t)
		h.store.fail = c.err
		for i, q := range requests {
			a := h.ask(t, q[0], q[1], q[2])
			a.refused(t, c.status, c.code)
			if (a.Header.Get("Retry-After") != "") != (c.status == 503) {
				t.Errorf("%s: Retry-After %q", c.name, a.Header.Get("Retry-After"))
			}
			if strings.Contains(a.text, "marker") {
				t.Errorf("%s: the store's words reach the caller: %s", c.name, a.text)
			}
			if n := strings.Count(h.log.String(), "marker-fault"); n != i+1 {
				t.Errorf("%s: the log has the cause %d times after %d requests", c.name, n, i+1)
			}
		}
	}
}

// panicking is a store with a fault.
type panicking struct{ memory }

func (*panicking) Contact(context.Context, string, int64) (latchkey.Contact, error) {
	panic("a fault of the store")
}

// A panic reaches the door as it is: answering it, and logging it, is the door's.
func TestPanicPasses(t *testing.T) {
	handler := (&API{Store: &panicking{}, Logger: slog.New(slog.DiscardHandler)}).Handler()
	for range 3 {
		r := httptest.NewRequest("GET", "/v1/contact/1", nil)
		r = r.WithContext(latchkey.WithPrincipal(t.Context(), latchkey.Principal{TeamID: "red"}))
		w := httptest.NewRecorder()
		func() {
			defer func() {
				if recover() == nil || w.Body.Len() > 0 {
					t.Errorf("the panic was swallowed, or something was answered: %d %s", w.Code, w.Body)
				}
			}()
			handler.ServeHTTP(w, r)
		}()
	}
}

// hungUp is the response of a caller that is not there any more.
type hungUp struct{ *httptest.ResponseRecorder }

func (hungUp) Write([]byte) (int, error) { return 0, errors.New("write: broken pipe") }

// huma panics when it cannot write an answer; that is no fault of ours.
func TestCallerHangsUp(t *testing.T) {
	handler := (&API{Store: &memory{}, Logger: slog.New(slog.DiscardHandler)}).Handler()
	for _, path := range []string{"/v1/contacts", "/v1/contact/1", "/openapi.json"} {
		r := httptest.NewRequest("GET", path, nil)
		r = r.WithContext(latchkey.WithPrincipal(t.Context(), latchkey.Principal{TeamID: "red"}))
		handler.ServeHTTP(hungUp{httptest.NewRecorder()}, r)
	}
}

// Of many writers that have read the same rev, one wins; without rev, all do.
func TestConcurrentPuts(t *testing.T) {
	const writers = 16
	for _, c := range []struct {
		body string
		wins int
		rev  float64
	}{
		{`{"phone":"15555550123","rev":1}`, 1, 2},
		{`{"phone":"15555550123"}`, writers, 1 + writers},
	} {
		h := newHouse(t)
		h.ask(t, "POST", "/v1/contact", whole)
		statuses := make([]int, writers)
		var group sync.WaitGroup
		for i := range writers {
			group.Go(func() { statuses[i] = h.ask(t, "PUT", "/v1/contact/1", c.body).StatusCode })
		}
		group.Wait()
		won := 0
		for _, status := range statuses {
			if status == 200 {
				won++
			} else if status != 400 {
				t.Errorf("a writer that comes too late gets %d, want 400", status)
			}
		}
		if rev := h.ask(t, "GET", "/v1/contact/1", "").json["rev"]; won != c.wins || rev != c.rev {
			t.Errorf("%s: %d of %d writers won and rev is %v, want %d and %v", c.body, won, writers, rev, c.wins, c.rev)
		}
	}
}

// The body's bound is 1 MiB, that of whoever wrapped it if that is smaller, and
// a body that breaks off is the caller's mistake.
func TestBodyBounds(t *testing.T) {
	h := newHouse(t)
	for size, status := range map[int]int{maxBody: 201, maxBody + 1: 413, maxBody + 2: 413, 3 * maxBody: 413} {
		body := whole + strings.Repeat(" ", size-len(whole))
		if a := h.ask(t, "POST", "/v1/contact", body); a.StatusCode != status {
			t.Errorf("a body of %d bytes: %s, want %d: %s", size, a.Status, status, a.text)
		} else if status == 413 {
			a.refused(t, 413, latchkey.CodeBodyTooLarge)
		}
	}

	handler := (&API{Store: &memory{}, Logger: slog.New(slog.DiscardHandler)}).Handler()
	for name, c := range map[string]struct {
		body   io.Reader
		status int
		words  string
	}{
		"a smaller bound": {http.MaxBytesReader(nil, io.NopCloser(strings.NewReader(whole)), 20), 413, "20 bytes"},
		"broken off":      {io.MultiReader(strings.NewReader(`{"phone":`), iotest.ErrReader(io.ErrUnexpectedEOF)), 400, "ended early"},
		"too slow":        {iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader(whole))), 400, "in time"},
	} {
		r := httptest.NewRequest("POST", "/v1/contact", c.body)
		r = r.WithContext(latchkey.WithPrincipal(t.Context(), latchkey.Principal{TeamID: "red"}))
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.words) {
			t.Errorf("%s: %d %s, want %d and %q", name, w.Code, w.Body, c.status, c.words)
		}
	}
}
