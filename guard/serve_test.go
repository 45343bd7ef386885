package guard_test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"latchkey"
	"latchkey/guard"
)

// A front is a server behind [guard.Guard.Serve], in clear text and over TLS.
type front struct {
	*ledger
	clear, secure string // addresses
	trust         *tls.Config
}

// counterfeit is what a handler could write, and net/http does.
const counterfeit = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n400 Bad Request"

func newFront(t *testing.T, v *vault) *front {
	t.Helper()
	f := &front{ledger: &ledger{}}
	g := &guard.Guard{Authenticate: v.keyring.Authenticate, Recorder: f.ledger, Node: "n1"}
	handler := g.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Proto", r.Proto)
		w.Header().Set("Secure", map[bool]string{true: "yes", false: "no"}[r.TLS != nil])
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		_, _ = io.WriteString(w, counterfeit+strings.Repeat(" ", 8<<10)) // too long for a buffer: it is written as it is
	}))
	certificate := httptest.NewUnstartedServer(nil)
	certificate.StartTLS()
	certs := certificate.TLS.Certificates
	f.trust = certificate.Client().Transport.(*http.Transport).TLSClientConfig
	certificate.Close()
	serve := func(config *tls.Config) string {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s := &http.Server{Handler: handler, TLSConfig: config, MaxHeaderBytes: 4 << 10, ReadHeaderTimeout: patience,
			DisableGeneralOptionsHandler: true}
		done := make(chan error, 1)
		go func() { done <- g.Serve(s, ln) }()
		t.Cleanup(func() {
			_ = s.Close()
			if err := <-done; !errors.Is(err, http.ErrServerClosed) {
				t.Errorf("serve ended with %v", err)
			}
		})
		return ln.Addr().String()
	}
	f.clear, f.secure = serve(nil), serve(&tls.Config{Certificates: certs})
	return f
}

// send writes text and reads all that comes back.
func (f *front) send(t *testing.T, secure bool, text string) string {
	t.Helper()
	var (
		c   net.Conn
		err error
	)
	if secure {
		config := f.trust.Clone()
		config.ServerName = "example.com"
		c, err = tls.Dial("tcp", f.secure, config)
	} else {
		c, err = net.Dial("tcp", f.clear)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	answer, _ := io.ReadAll(c)
	return string(answer)
}

// record is what the ledger has of an ID.
func (f *front) record(id string) (latchkey.Record, bool) {
	for range 1000 {
		f.mu.Lock()
		for _, r := range f.ended {
			if r.RequestID == id {
				f.mu.Unlock()
				return r, true
			}
		}
		f.mu.Unlock()
		time.Sleep(time.Millisecond)
	}
	return latchkey.Record{}, false
}

// TestAnswersOfTheServerItself is R01: what net/http answers before the door is
// asked has an ID, too, and a record under it.
func TestAnswersOfTheServerItself(t *testing.T) {
	v := newVault()
	f := newFront(t, v)
	good := "GET / HTTP/1.1\r\nHost: x\r\nAuthorization: " + v.bearer() + "\r\n\r\n"
	for name, c := range map[string]struct {
		request string
		want    int
		says    string
	}{
		"no HTTP":           {"nonsense\r\n\r\n", 400, "could not be read"},
		"no host":           {"GET / HTTP/1.1\r\n\r\n", 400, "missing required Host header"},
		"a bad field":       {"GET / HTTP/1.1\r\nHost: x\r\nbad field: y\r\n\r\n", 400, "could not be read"},
		"no such version":   {"GET / HTTP/3.0\r\nHost: x\r\n\r\n", 505, "a version of HTTP"},
		"a large header":    {"GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 9<<10) + "\r\n\r\n", 431, "header is larger"},
		"an expectation":    {"GET / HTTP/1.1\r\nHost: x\r\nExpect: a miracle\r\n\r\n", 417, "Expect field"},
		"a transfer coding": {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 501, "Transfer-Encoding"},
		"behind a good one": {good + "GET / HTTP/1.1\r\n\r\n", 400, "could not be read"},
	} {
		for _, secure := range []bool{false, true} {
			reader := bufio.NewReader(strings.NewReader(f.send(t, secure, c.request)))
			if strings.HasPrefix(c.request, good) {
				first, err := http.ReadResponse(reader, nil)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(first.Body)
				if err != nil || strings.TrimRight(string(body), " ") != counterfeit {
					t.Errorf("%s (TLS: %t): the body of an answer was touched: %q, %v", name, secure, body[:min(len(body), 200)], err)
				}
			}
			r, err := http.ReadResponse(reader, nil)
			if err != nil {
				t.Errorf("%s (TLS: %t): no answer: %v", name, secure, err)
				continue
			}
			ids := r.Header["X-Request-Id"]
			if r.StatusCode != c.want || len(ids) != 1 || len(ids[0]) != 36 {
				t.Errorf("%s (TLS: %t): %d with the IDs %q, must be %d with one", name, secure, r.StatusCode, ids, c.want)
				continue
			}
			record, found := f.record(ids[0])
			if !found || record.Status != c.want || record.Node != "n1" || record.ClientIP != "127.0.0.1" ||
				record.Outcome != latchkey.OutcomeError || !strings.Contains(record.Diagnosis, http.StatusText(c.want)) ||
				!strings.Contains(record.Diagnosis, c.says) || strings.Contains(record.Diagnosis, "could not be read") != (c.want == 400) {
				t.Errorf("%s (TLS: %t): the record (found: %t) is %+v", name, secure, found, record)
			}
		}
	}
}

// TestClearTextToTLS: whoever forgets the s of https hears of it, with an ID.
func TestClearTextToTLS(t *testing.T) {
	f := newFront(t, newVault())
	f.clear = f.secure
	answer := f.send(t, false, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	_, id, _ := strings.Cut(answer, "X-Request-Id: ")
	id, _, _ = strings.Cut(id, "\r\n")
	record, found := f.record(id)
	if !strings.HasPrefix(answer, "HTTP/1.0 400 ") || !strings.Contains(answer, "HTTPS") || !found || record.Status != 400 ||
		!strings.HasPrefix(record.Diagnosis, "The request came in clear text to the TLS port: use https. A credential that was sent could be read on the way: replace it.") {
		t.Errorf("clear text to TLS: %q; its record: %+v", answer, record)
	}
	if answer := f.send(t, false, "SSH-2.0-nothing of ours\r\n"); strings.Contains(answer, "HTTP/1") {
		t.Errorf("what is no HTTP gets %q", answer)
	}
}

// TestNotHTTP1ToClearText: TLS, and HTTP/2 that nobody agreed on, are named in
// the one record that each has.
func TestNotHTTP1ToClearText(t *testing.T) {
	const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	for sent, says := range map[string]string{
		preface: "The client spoke HTTP/2 in clear text",
		"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00\r\n\r\n": "The client spoke TLS to a port that is in clear text",
	} {
		f := newFront(t, newVault())
		answer := f.send(t, false, sent)
		_, id, _ := strings.Cut(answer, "X-Request-Id: ")
		id, _, _ = strings.Cut(id, "\r\n")
		record := f.one(t)
		if !strings.HasPrefix(answer, "HTTP/1.1 400 ") || strings.Count(answer, "HTTP/1.1 ") != 1 || record.RequestID != id || record.Status != 400 ||
			record.Outcome != latchkey.OutcomeError || record.Reason != "invalid_request" || !strings.HasPrefix(record.Diagnosis, says) {
			t.Errorf("%q: answered %q; its record: %+v", sent, answer, record)
		}
	}
}

// TestServeChangesNothingElse: protocols, and what a request knows of TLS.
func TestServeChangesNothingElse(t *testing.T) {
	v := newVault()
	f := newFront(t, v)
	for _, c := range []struct {
		url, proto, secure string
		h2                 bool
	}{
		{"http://" + f.clear, "HTTP/1.1", "no", false},
		{"https://" + f.secure, "HTTP/1.1", "yes", false},
		{"https://" + f.secure, "HTTP/2.0", "yes", true},
	} {
		transport := &http.Transport{TLSClientConfig: f.trust.Clone(), ForceAttemptHTTP2: c.h2}
		transport.TLSClientConfig.ServerName = "example.com"
		for range 3 { // on one connection
			r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, c.url, nil)
			r.Header.Set("Authorization", v.bearer())
			answer, err := transport.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, answer.Body)
			_ = answer.Body.Close()
			if h := answer.Header; answer.StatusCode != 200 || h.Get("Proto") != c.proto || h.Get("Secure") != c.secure || len(h["X-Request-Id"]) != 1 {
				t.Errorf("%s (HTTP/2: %t): %d, %v", c.url, c.h2, answer.StatusCode, h)
			}
		}
		transport.CloseIdleConnections()
	}
}

// TestHeadersHaveOneBound, whichever protocol they come by: net/http reads 4 KiB
// more than MaxHeaderBytes.
func TestHeadersHaveOneBound(t *testing.T) {
	v := newVault()
	f := newFront(t, v)
	for _, h2 := range []bool{false, true} {
		for size, want := range map[int]int{7 << 10: http.StatusOK, 9 << 10: http.StatusRequestHeaderFieldsTooLarge} {
			transport := &http.Transport{TLSClientConfig: f.trust.Clone(), ForceAttemptHTTP2: h2}
			transport.TLSClientConfig.ServerName = "example.com"
			r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+f.secure, nil)
			r.Header.Set("Authorization", v.bearer())
			r.Header.Set("X", strings.Repeat("x", size))
			answer, err := transport.RoundTrip(r)
			if h2 && want != http.StatusOK && err != nil {
				continue // the client knows the bound
			}
			if err != nil {
				t.Errorf("HTTP/2 %t, a header of %d KiB: %v, must be %d", h2, size>>10, err, want)
				continue
			}
			_, _ = io.Copy(io.Discard, answer.Body)
			_ = answer.Body.Close()
			transport.CloseIdleConnections()
			if answer.StatusCode != want {
				t.Errorf("HTTP/2 %t, a header of %d KiB: %d, must be %d", h2, size>>10, answer.StatusCode, want)
			}
		}
	}
}

// TestBareAnswerThatCannotBeRecorded does not leave, where recording is made a
// condition.
func TestBareAnswerThatCannotBeRecorded(t *testing.T) {
	f := newFront(t, newVault())
	f.full = errors.New("the disk is full")
	if answer := f.send(t, false, "GET / HTTP/1.1\r\n\r\n"); answer != "" {
		t.Errorf("an answer that has no record left: %q", answer)
	}
}

// BenchmarkServe: requests on kept connections, by http.Server alone and by
// [guard.Guard.Serve].
func BenchmarkServe(b *testing.B) {
	v := newVault()
	g := &guard.Guard{Authenticate: v.keyring.Authenticate, Recorder: nowhere{}}
	for _, name := range []string{"alone", "serve", "alone again", "serve again"} {
		b.Run(name, func(b *testing.B) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			s := &http.Server{Handler: g.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))}
			done := make(chan error, 1)
			if strings.HasPrefix(name, "serve") {
				go func() { done <- g.Serve(s, ln) }()
			} else {
				go func() { done <- s.Serve(ln) }()
			}
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				c, err := net.Dial("tcp", ln.Addr().String())
				if err != nil {
					b.Error(err)
					return
				}
				defer c.Close()
				request := []byte("GET /v1/contacts HTTP/1.1\r\nHost: x\r\nAuthorization: " + v.bearer() + "\r\n\r\n")
				answer := make([]byte, 4<<10)
				for pb.Next() {
					if _, err := c.Write(request); err != nil {
						b.Error(err)
						return
					}
					if n, err := c.Read(answer); err != nil || !strings.HasPrefix(string(answer[:n]), "HTTP/1.1 204") {
						b.Errorf("%q, %v", answer[:n], err)
						return
					}
				}
			})
			_ = s.Close()
			<-done
		})
	}
}
