package client_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"latchkey/client"
	"latchkey/jwt"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const api = "https://api.example.com"

// A base is the transport below: it answers with handle, keeps what was sent, and
// sees to it that every body is closed.
type base struct {
	t      *testing.T
	handle func(*http.Request) *http.Response

	mu   sync.Mutex
	sent []sent
}

// sent is a request as it reached the base.
type sent struct {
	url, auth, body string
}

func newBase(t *testing.T, handle func(*http.Request) *http.Response) *base {
	return &base{t: t, handle: handle}
}

func (b *base) RoundTrip(req *http.Request) (*http.Response, error) {
	s := sent{url: req.URL.String(), auth: req.Header.Get("Authorization")}
	if req.Body != nil {
		content, err := io.ReadAll(req.Body)
		if err != nil {
			b.t.Errorf("a body that cannot be read was sent: %v", err)
		}
		s.body = string(content)
		_ = req.Body.Close()
	}
	b.mu.Lock()
	b.sent = append(b.sent, s)
	b.mu.Unlock()
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	resp := b.handle(req)
	if resp == nil {
		return nil, io.ErrUnexpectedEOF
	}
	resp.Request = req
	resp.Body = watch(b.t, fmt.Sprintf("the body of answer %d", len(b.sent)), resp.Body)
	return resp, nil
}

func (b *base) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.sent)
}

func (b *base) last() sent {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sent[len(b.sent)-1]
}

// watch returns a body that fails the test if nobody has closed it by its end.
func watch(t *testing.T, name string, content io.Reader) *watched {
	w := &watched{Reader: content}
	t.Cleanup(func() {
		if !w.isClosed() {
			t.Errorf("%s was not closed", name)
		}
	})
	return w
}

type watched struct {
	io.Reader
	mu     sync.Mutex
	closed bool
	read   int64
}

func (w *watched) Read(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return 0, fmt.Errorf("read of a closed body")
	}
	n, err := w.Reader.Read(p)
	w.read += int64(n)
	return n, err
}

func (w *watched) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	return nil
}

func (w *watched) isClosed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.closed
}

// answer returns an answer with these headers, given as name, value, ….
func answer(status int, body string, headers ...string) *http.Response {
	h := make(http.Header)
	for i := 0; i < len(headers); i += 2 {
		h.Set(headers[i], headers[i+1])
	}
	return &http.Response{
		StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: h, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
	}
}

func ok(*http.Request) *http.Response { return answer(200, "{}", "Content-Type", "application/json") }

// A server judges tokens as the design says.
type server struct {
	now     func() time.Time
	leeway  time.Duration
	plain   bool // it gives no codes
	noDate  bool
	secrets map[string]*jwt.Key
	tokens  map[string]bool // that were accepted
}

func (s *server) handle(req *http.Request) *http.Response {
	code := s.judge(strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer "))
	resp := answer(200, "{}")
	switch {
	case code != "" && s.plain:
		resp = answer(401, "Unauthorized", "Content-Type", "text/plain")
	case code != "":
		resp = answer(401, `{"code":"`+code+`","detail":"why"}`, "Content-Type", "application/problem+json")
	}
	if !s.noDate {
		resp.Header.Set("Date", s.now().UTC().Format(http.TimeFormat))
	}
	return resp
}

func (s *server) judge(token string) string {
	var tok jwt.Token
	if err := tok.Parse(token); err != nil {
		return "malformed_credentials"
	}
	key := s.secrets[string(tok.Issuer())]
	if key == nil || !key.Verify(&tok) {
		return "invalid_credentials"
	}
	if err := tok.CheckTime(s.now(), s.leeway); err != nil {
		if err.(*jwt.TimeError).Expired {
			return "token_expired"
		}
		return "token_not_yet_valid"
	}
	if s.tokens == nil {
		s.tokens = make(map[string]bool)
	}
	s.tokens[token] = true
	return ""
}

// newSecret returns an API secret, made on the spot.
func newSecret() (id, key string) { return "id-" + rand.Text(), rand.Text() }

// get makes a request and returns its status.
func get(t *testing.T, transport http.RoundTripper, url string) int {
	t.Helper()
	return do(t, transport, newRequest(t, "GET", url, ""))
}

func do(t *testing.T, transport http.RoundTripper, req *http.Request) int {
	t.Helper()
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", req.Method, req.URL, err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	return resp.StatusCode
}

func newRequest(t *testing.T, method, url, body string) *http.Request {
	t.Helper()
	var content io.Reader
	if body != "" {
		content = bytes.NewBufferString(body)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, url, content)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// streamed returns a request whose body can be sent once.
func streamed(t *testing.T, method, url string) *http.Request {
	t.Helper()
	req := newRequest(t, method, url, "")
	req.Body = watch(t, "the request's body", strings.NewReader("stream"))
	return req
}

func over(b http.RoundTripper, t *client.Transport) *client.Transport {
	t.Base = b
	return t
}
