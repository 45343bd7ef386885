package guard_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey"
	"latchkey/guard"
)

// TestTarget (F10): path and query reach the upstream byte for byte.
func TestTarget(t *testing.T) {
	up := newWire(t, always(ok))
	d := newDoor(t, middleware, nil, up.to())
	h2, base := d.overHTTP2(t)
	for _, c := range []struct{ sent, want, record string }{
		{"/", "/", "/"},
		{"/v1/contacts", "/v1/contacts", "/v1/contacts"},
		{"/a/%2e%2e/b//c", "/a/%2e%2e/b//c", "/a/%2e%2e/b//c"},
		{"/a/../b/./c", "/a/../b/./c", "/a/../b/./c"},
		{"//x/y", "//x/y", "//x/y"},
		{"//evil.test/%2f", "//evil.test/%2f", "//evil.test/%2f"},
		{"///", "///", "///"},
		{"/?", "/?", "/"},
		{"/a?", "/a?", "/a"},
		{"/a??b=?", "/a??b=?", "/a"},
		{"/?x=1;y=2&z=%zz", "/?x=1;y=2&z=%zz", "/"},
		{"/?a=b&a=c&&=", "/?a=b&a=c&&=", "/"},
		{"/?q=a+b%20c", "/?q=a+b%20c", "/"},
		{"/%E2%82%AC/%e2%82%ac", "/%E2%82%AC/%e2%82%ac", "/%E2%82%AC/%e2%82%ac"},
		{"/a;b=c/d,e/f@g/h:i/!$&'()*+=~", "/a;b=c/d,e/f@g/h:i/!$&'()*+=~", "/a;b=c/d,e/f@g/h:i/!$&'()*+=~"},
		{`/{a}/|b|/^c/"d"/<e>/\f`, `/{a}/|b|/^c/"d"/<e>/\f`, `/{a}/|b|/^c/"d"/<e>/\f`},
		{"/\xc3\xa9\xff", "/\xc3\xa9\xff", "/é?"},
		{"/%00%0d%0a", "/%00%0d%0a", "/%00%0d%0a"},
		{"/?" + strings.Repeat("a=1&", 3000), "/?" + strings.Repeat("a=1&", 3000), "/"},
		{"http://other.test/abs?x", "/abs?x", "/abs"},
		{"http://other.test", "/", "/"},
		{"http://other.test?x=1", "/?x=1", "/"},
		{"http://user:pw@other.test//p", "//p", "//p"},
	} {
		t.Run(c.sent[:min(len(c.sent), 40)], func(t *testing.T) {
			got := d.pass(t, c.sent, "")
			record := d.one(t)
			if got.StatusCode != 200 || record.Path != c.record {
				t.Fatalf("answer %d %s, path %q in the record", got.StatusCode, got.body, record.Path)
			}
			line, _, _ := strings.Cut(<-up.requests, "\r\n")
			if line != "GET "+c.want+" HTTP/1.1" {
				t.Errorf("upstream got %q", line)
			}
			if strings.HasPrefix(c.sent, "http") {
				return
			}
			path, query, has := strings.Cut(c.sent, "?")
			req, _ := http.NewRequest("GET", base, nil)
			if req.URL.Opaque = path; strings.HasPrefix(path, "//") {
				req.URL.Opaque, req.URL.RawPath = "", path
				req.URL.Path, _ = url.PathUnescape(path)
			}
			req.URL.RawQuery, req.URL.ForceQuery = query, has
			req.Header.Set("Authorization", d.bearer())
			res, err := h2.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			slurp(res)
			d.one(t)
			if line, _, _ := strings.Cut(<-up.requests, "\r\n"); line != "GET "+c.want+" HTTP/1.1" {
				t.Errorf("over HTTP/2, upstream got %q", line)
			}
		})
	}
	t.Run("OPTIONS *", func(t *testing.T) {
		d.raw(t, "OPTIONS * HTTP/1.1\r\nHost: h\r\n"+authorization(d.bearer())+"\r\n")
		if line, _, _ := strings.Cut(<-up.requests, "\r\n"); line != "OPTIONS * HTTP/1.1" {
			t.Errorf("upstream got %q", line)
		}
		d.one(t)
	})
}

// TestBadTarget (F11): what HTTP/2 lets through and no request line can hold.
func TestBadTarget(t *testing.T) {
	both(t, func(t *testing.T, mode string) {
		d := newDoor(t, mode, hello, nil)
		h2, base := d.overHTTP2(t)
		for _, path := range []string{"/a b", "/a?b c", "/a b HTTP/1.1\r\nX-Evil: 1\r\n\r\n", "/\x00", "/\x7f"} {
			// The server drops a connection that sends a control character, and
			// the client then tries again, and again.
			ctx, cancel := context.WithTimeout(t.Context(), time.Second/2)
			defer cancel()
			req, _ := http.NewRequestWithContext(ctx, "GET", base, nil)
			req.URL.Opaque = path
			req.Header.Set("Authorization", d.bearer())
			res, err := h2.Do(req)
			if err != nil {
				if path == "/a b" || path == "/a?b c" {
					t.Errorf("%q must get an answer: %v", path, err)
				}
				continue
			}
			slurp(res).problem(t, 400, latchkey.CodeInvalidRequest)
			d.one(t)
		}
		d.raw(t, "GET * HTTP/1.1\r\nHost: h\r\n"+authorization(d.bearer())+"\r\n").problem(t, 400, latchkey.CodeInvalidRequest)
		if r := d.one(t); r.Diagnosis != "The request target is neither a path nor a URL. The API was not asked." {
			t.Errorf("the record says %q", r.Diagnosis)
		}
		if mode == gateway {
			d.pass(t, "//{}", "").problem(t, 400, latchkey.CodeInvalidRequest)
			if r := d.one(t); !strings.HasSuffix(r.Diagnosis, "must be percent-encoded. The API was not asked.") {
				t.Errorf("the record says %q", r.Diagnosis)
			}
			// net/http refuses such a Host over HTTP/1 by itself.
			w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil)
			r.Host = d.key + "@h"
			r.Header.Set("Authorization", d.bearer())
			d.server.Config.Handler.ServeHTTP(w, r)
			slurp(w.Result()).problem(t, 400, latchkey.CodeInvalidRequest)
			if r := d.one(t); r.Host != "h" {
				t.Error("user information in the record")
			}
		}
		if n := d.reached.Load(); n != 0 {
			t.Errorf("the API was reached %d times", n)
		}
	})
}

// values returns the values of a field in a request as it was written, whatever
// the case of its name.
func values(head, name string) []string {
	var all []string
	for line := range strings.SplitSeq(head, "\r\n") {
		if n, v, found := strings.Cut(line, ":"); found && strings.EqualFold(n, name) {
			all = append(all, strings.TrimSpace(v))
		}
	}
	return all
}

// TestIdentity (F01, E07, E08, E18, A27): only we say who calls.
func TestIdentity(t *testing.T) {
	up := newWire(t, always(ok))
	d := newDoor(t, middleware, nil, up.to())
	for _, fields := range []string{
		"",
		"X-Latchkey-Team: evil\r\nX-Latchkey-Credential: evil\r\nX-Latchkey-Method: evil\r\nX-Latchkey-Revision: evil\r\n",
		"x-latchkey-team: evil\r\nX-LATCHKEY-TEAM: evil\r\n",
		"X_Latchkey_Team: evil\r\nX-Latchkey_Team: evil\r\nx_latchkey-credential: evil\r\n",
		"X.Latchkey.Team: evil\r\nX!Latchkey~Team: evil\r\nX|Latchkey+Method: evil\r\n",
		"X-Latchkey-Admin: evil\r\nX_LATCHKEY_ROLE: evil\r\n",
		"X-Request-Id: evil\r\nX_Request_Id: evil\r\nx-request_id: evil\r\n",
		"Connection: X-Latchkey-Team, X-Latchkey-Credential, X-Latchkey-Method, X-Latchkey-Revision, X-Request-Id\r\n",
		"Connection: x_latchkey_team\r\nX_Latchkey_Team: evil\r\n",
	} {
		t.Run(fields, func(t *testing.T) {
			got := d.pass(t, "/", fields)
			head := <-up.requests
			for name, want := range map[string]string{
				"X-Latchkey-Team": "team_a", "X-Latchkey-Credential": "key_current",
				"X-Latchkey-Method": "bearer", "X-Latchkey-Revision": "7", "X-Request-Id": got.id(t),
			} {
				if all := values(head, name); len(all) != 1 || all[0] != want {
					t.Errorf("%s: upstream sees %q, want %q once", name, all, want)
				}
			}
			if strings.Contains(head, "evil") {
				t.Errorf("a spelling got through:\n%s", head)
			}
			d.checkNoSecret(t, "the upstream's request", head)
			d.one(t)
		})
	}
	t.Run("trailers", func(t *testing.T) {
		up := newWire(t, func(_ string, conn net.Conn) string {
			_, _ = io.WriteString(conn, strings.Replace(ok, "\r\n", "\r\nConnection: close\r\n", 1))
			return ""
		})
		d := newDoor(t, middleware, nil, up.to())
		d.raw(t, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTrailer: X-Latchkey-Team, X-Ok\r\n"+
			authorization(d.bearer())+"\r\n0\r\nX-Latchkey-Team: evil\r\nX-Ok: 1\r\n\r\n")
		if head := <-up.requests; strings.Contains(head, "Trailer") || strings.Contains(head, "evil") {
			t.Errorf("trailers reached the upstream:\n%s", head)
		}
		d.one(t)
	})
}

// TestForwardedRequest: what the upstream sees of everything else.
func TestForwardedRequest(t *testing.T) {
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	trusting := func(g *guard.Guard, _ *guard.Gateway) { g.TrustedProxies = loopback }
	forwarding := func(_ *guard.Guard, c *guard.Gateway) { c.ForwardAuthorization = true }
	for _, c := range []struct {
		name   string
		set    func(*guard.Guard, *guard.Gateway)
		fields string
		want   map[string][]string
	}{
		{"nothing is added", nil, "", map[string][]string{
			"User-Agent": nil, "Accept-Encoding": nil, "Authorization": nil, "Host": {"api.test"}, "Connection": nil, "Forwarded": nil,
			"X-Forwarded-For": {"127.0.0.1"}, "X-Forwarded-Host": {"api.test"}, "X-Forwarded-Proto": {"http"},
		}},
		{"end to end fields pass", nil, "Traceparent: x\r\nAccept-Encoding: br\r\nX-A: 1\r\nX-A: 2\r\nUser-Agent: u\r\n", map[string][]string{
			"Traceparent": {"x"}, "Accept-Encoding": {"br"}, "X-A": {"1", "2"}, "User-Agent": {"u"},
		}},
		{"F02 hop by hop", nil, "Connection: X-Hop, Keep-Alive\r\nX-Hop: 1\r\nKeep-Alive: 1\r\nTE: trailers\r\nProxy-Connection: x\r\n" +
			"Proxy-Authorization: x\r\nUpgrade: foo\r\nTrailer: X\r\n", map[string][]string{
			"X-Hop": nil, "Keep-Alive": nil, "Te": nil, "Proxy-Connection": nil, "Proxy-Authorization": nil, "Upgrade": nil, "Trailer": nil, "Connection": nil,
		}},
		{"F03 Connection names much", nil, "Connection: close, Authorization, Content-Length, Host, Cookie, X-Request-Id\r\nCookie: a=b\r\n",
			map[string][]string{"Host": {"api.test"}, "Cookie": nil, "X-Latchkey-Team": {"team_a"}}},
		{"F12 h2c", nil, "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
			map[string][]string{"Upgrade": nil, "Connection": nil, "Http2-Settings": nil}},
		{"F12 h2c beside websocket", nil, "Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n", map[string][]string{"Upgrade": nil}},
		{"odd upgrade", nil, "Connection: Upgrade\r\nUpgrade: \xff\r\n", map[string][]string{"Upgrade": nil}},
		{"authorization asked for", forwarding, "Connection: Authorization\r\n", map[string][]string{"Authorization": {"asked"}}},
		{"cookies", nil, "Cookie: a=b; __Host-latchkey=s; c=\"d\"\r\nCookie: __Host-latchkey-session=x\r\nCookie: e=f;g=h\r\n",
			map[string][]string{"Cookie": {"a=b; c=\"d\"", "e=f;g=h"}}},
		{"cookie alone", nil, "Cookie: __Host-Latchkey=s\r\n", map[string][]string{"Cookie": nil}},
		{"untrusted peer", nil, "Forwarded: for=6.6.6.6\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Host: e\r\nX-Forwarded-Proto: https\r\n" +
			"X-Forwarded-Port: 1\r\nX-Forwarded-Prefix: /e\r\nX_Forwarded_For: 6.6.6.6\r\nX-Real-Ip: 6.6.6.6\r\nX_Real_Ip: 6.6.6.6\r\nX-Forwarded: e\r\n",
			map[string][]string{
				"Forwarded": nil, "X-Forwarded-For": {"127.0.0.1"}, "X-Forwarded-Host": {"api.test"}, "X-Forwarded-Proto": {"http"},
				"X-Forwarded-Port": nil, "X-Forwarded-Prefix": nil, "X_Forwarded_For": nil, "X-Real-Ip": nil, "X_Real_Ip": nil, "X-Forwarded": nil,
			}},
		{"trusted peer", trusting, "Forwarded: for=1.1.1.1\r\nX-Forwarded-For: 1.1.1.1, 2.2.2.2\r\nX-Forwarded-For: 3.3.3.3\r\nX-Forwarded-Host: pub.test\r\n" +
			"X-Forwarded-Proto: https\r\nX-Forwarded-Port: 443\r\nX_Forwarded_For: 6.6.6.6\r\nX-Real-Ip: 1.1.1.1\r\n",
			map[string][]string{
				"Forwarded": {"for=1.1.1.1, for=127.0.0.1;proto=http"}, "X-Forwarded-For": {"1.1.1.1, 2.2.2.2, 3.3.3.3, 127.0.0.1"},
				"X-Forwarded-Host": {"pub.test"}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Port": {"443"}, "X_Forwarded_For": nil, "X-Real-Ip": {"1.1.1.1"},
			}},
		{"trusted peer says nothing", trusting, "", map[string][]string{
			"Forwarded": nil, "X-Forwarded-For": {"127.0.0.1"}, "X-Forwarded-Host": {"api.test"}, "X-Forwarded-Proto": {"http"},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			up := newWire(t, always(ok))
			set := func(g *guard.Guard, gw *guard.Gateway) {
				if c.set != nil {
					c.set(g, gw)
				}
			}
			d := newDoor(t, middleware, nil, up.to(set))
			if got := d.raw(t, "GET / HTTP/1.1\r\nHost: api.test\r\n"+authorization(d.bearer())+c.fields+"\r\n"); got.StatusCode != 200 {
				t.Fatalf("answer %d %s", got.StatusCode, got.body)
			}
			head := <-up.requests
			for name, want := range c.want {
				if len(want) == 1 && want[0] == "asked" {
					want = []string{d.bearer()}
				}
				if got := values(head, name); !slices.Equal(got, want) {
					t.Errorf("%s: upstream sees %q, want %q", name, got, want)
				}
			}
			d.one(t)
		})
	}
}

// TestForwardedResponse (F20, F21): what the caller sees of the upstream's
// answer.
func TestForwardedResponse(t *testing.T) {
	up := newWire(t, always("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nX-Request-Id: up\r\nx-request-id: up2\r\nX_Request_Id: up3\r\n"+
		"X-Latchkey-Team: up\r\nX_Latchkey_Secret: up\r\nAlt-Svc: h3\r\nSet-Cookie: a=b\r\nSet-Cookie: __Host-latchkey=evil; Path=/\r\n"+
		"Connection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 1\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n"+
		"Trailer: X-Sum, X-Request-Id\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\nX-Request-Id: up\r\nX-Latchkey-Team: up\r\nX-Late: 2\r\n\r\n"))
	d := newDoor(t, middleware, nil, up.to())
	got := d.pass(t, "/", "")
	got.id(t)
	if got.StatusCode != 302 || got.Header.Get("Location") != "http://127.0.0.1:1/" || len(up.requests) != 1 {
		t.Errorf("redirects are not followed: %d %v", got.StatusCode, got.Header)
	}
	for _, name := range []string{"X-Latchkey-Team", "X_latchkey_secret", "Alt-Svc", "X-Hop", "Keep-Alive"} {
		if v, there := got.Header[name]; there {
			t.Errorf("%s: %q must not reach the caller", name, v)
		}
	}
	if cookies := got.Header["Set-Cookie"]; len(cookies) != 1 || cookies[0] != "a=b" {
		t.Errorf("Set-Cookie: %q", cookies)
	}
	if got.Header.Get("Content-Encoding") != "gzip" || got.body != "ok" || got.err != nil {
		t.Errorf("body must pass as it is: %q %v", got.body, got.err)
	}
	if want := (http.Header{"X-Sum": {"1"}, "X-Late": {"2"}}); fmt.Sprint(got.Trailer) != fmt.Sprint(want) {
		t.Errorf("trailers %v, want %v", got.Trailer, want)
	}
	if r := d.one(t); r.Status != 302 || r.Outcome != latchkey.OutcomeAccepted || r.BytesOut != 2 {
		t.Errorf("record: %+v", r)
	}
}

// TestUpstream1xx: informational answers of the upstream pass, with our ID and
// without its own.
func TestUpstream1xx(t *testing.T) {
	up := newWire(t, always("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nX-Request-Id: up\r\nX-Latchkey-Team: up\r\n\r\n"+
		"HTTP/1.1 103 Early Hints\r\nX_Request_Id: up\r\n\r\n"+ok))
	d := newDoor(t, middleware, nil, up.to())
	conn := d.dial(t)
	defer conn.Close()
	fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: h\r\n%s\r\n", authorization(d.bearer()))
	r := bufio.NewReader(conn)
	var ids []string
	for _, status := range []int{103, 103, 200} {
		got := readAnswer(t, r, "GET")
		if got.StatusCode != status || got.Header.Get("X-Latchkey-Team") != "" {
			t.Errorf("got %d %v, want %d", got.StatusCode, got.Header, status)
		}
		ids = append(ids, got.id(t))
	}
	if record := d.one(t); ids[0] != record.RequestID || ids[1] != ids[0] || ids[2] != ids[0] {
		t.Errorf("IDs %q, record %s", ids, record.RequestID)
	}
}

// TestUpstreamURL: a gateway that could not work is not made.
func TestUpstreamURL(t *testing.T) {
	for raw, want := range map[string]bool{
		"http://127.0.0.1:1": true, "https://api.test": true, "http://[::1]:80/": true,
		"": false, "127.0.0.1:80": false, "ftp://h": false, "http://": false, "http://:80": false, "http://u:p@h": false,
		"http://h/path": false, "http://h?q": false, "http://h?": false, "http://h#f": false, "unix:///s": false,
	} {
		u, err := url.Parse(raw)
		if err != nil {
			u = nil
		}
		h, err := (&guard.Guard{}).Gateway(guard.Gateway{Upstream: u})
		if (err == nil) != want || (h != nil) != want {
			t.Errorf("upstream %q: %v", raw, err)
		}
		if err != nil && strings.Contains(err.Error(), "u:p") {
			t.Error("the error quotes user information")
		}
	}
}
