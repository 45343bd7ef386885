package client_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"

	"crypto/rand"

	"latchkey/client"
	"latchkey/jwt"
)

func TestEachMethodSendsWhatTheSpecificationSays(t *testing.T) {
	key := "lk_" + rand.Text()
	id, secret := newSecret()
	verify := func(auth string) error {
		var tok jwt.Token
		if err := tok.Parse(strings.TrimPrefix(auth, "Bearer ")); err != nil {
			return err
		}
		if string(tok.Issuer()) != id || !jwt.NewKey(id, secret).Verify(&tok) {
			return fmt.Errorf("the token was not signed with the secret")
		}
		return nil
	}
	same := func(want string) func(string) error {
		return func(auth string) error {
			if auth != want {
				return fmt.Errorf("another value was sent")
			}
			return nil
		}
	}
	for name, test := range map[string]struct {
		transport *client.Transport
		check     func(string) error
	}{
		"Bearer": {client.Bearer(key), same("Bearer " + key)},
		"Basic":  {client.Basic(key), same("Basic " + base64.StdEncoding.EncodeToString([]byte(key+":")))},
		"JWT":    {client.JWT(id, secret), verify},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBase(t, ok)
			get(t, over(b, test.transport), api+"/v1/contacts?limit=1")
			if err := test.check(b.last().auth); err != nil {
				t.Error(err)
			}
			if b.last().url != api+"/v1/contacts?limit=1" {
				t.Errorf("the URL was changed to %s", b.last().url)
			}
		})
	}
}

func TestRequestIsNotChanged(t *testing.T) {
	b := newBase(t, ok)
	req := newRequest(t, "POST", api, "content")
	req.Header.Set("X-One", "1")
	before, body := maps.Clone(req.Header), req.Body
	resp, err := over(b, client.Bearer(rand.Text())).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if !maps.EqualFunc(before, req.Header, func(a, b []string) bool { return strings.Join(a, ",") == strings.Join(b, ",") }) {
		t.Errorf("the request's header became %v", req.Header)
	}
	if req.Body != body {
		t.Error("the request's body was replaced")
	}
	if resp.Request != req {
		t.Error("the answer's Request is not the one that was given, and so has the credential")
	}
	if b.last().auth == "" || b.last().body != "content" {
		t.Error("the copy lacks the credential or the body")
	}
	// A request made by hand may have no header at all.
	req = newRequest(t, "GET", api, "")
	req.Header = nil
	if resp, err = over(b, client.Bearer(rand.Text())).RoundTrip(req); err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if b.last().auth == "" || req.Header != nil {
		t.Error("a request without a header was changed, or not authenticated")
	}
}

func TestRefusedBeforeAnythingIsSent(t *testing.T) {
	key := rand.Text()
	with := func(t *client.Transport, change func(*client.Transport)) *client.Transport {
		change(t)
		return t
	}
	tests := map[string]struct {
		transport *client.Transport
		url       string
		header    string // name of a header to be set to the key
		want      string // part of the error
	}{
		"no credential":       {&client.Transport{}, api, "", "make it with Bearer, Basic or JWT"},
		"empty key":           {client.Bearer(""), api, "", "the API key is empty"},
		"line break":          {client.Bearer(key + "\n"), api, "", "the API key has white space"},
		"inner space":         {client.Bearer("Bearer " + key), api, "", "the API key has white space"},
		"not ASCII":           {client.Basic(key + "é"), api, "", "not visible ASCII"},
		"colon":               {client.Basic(key + ":"), api, "", `the API key must not have a ":"`},
		"empty ID":            {client.JWT("", key), api, "", "the API Secret ID is empty"},
		"empty secret":        {client.JWT("id", ""), api, "", "the API Secret Key is empty"},
		"ID with a bar":       {client.JWT("id|", key), api, "", `the API Secret ID must not have a "|"`},
		"second unusable":     {with(client.JWT("id", key), func(t *client.Transport) { t.Second = client.JWT("id", " ") }), api, "", "the API Secret Key has white space"},
		"second empty":        {with(client.JWT("id", key), func(t *client.Transport) { t.Second = &client.Transport{} }), api, "", "Second has no credential"},
		"header set":          {client.Bearer(key), api, "Authorization", "has a credential already"},
		"header in lower":     {client.Bearer(key), api, "authorization", "has a credential already"},
		"user name":           {client.Bearer(key), "https://user:pass@api.example.com/", "", "the user name in the URL"},
		"clear text":          {client.Bearer(key), "http://api.example.com/", "", "api.example.com in clear text: use https, or set AllowClearText"},
		"no host":             {client.Bearer(key), "/v1/contacts", "", "the request's URL names no host"},
		"clear text, address": {client.Bearer(key), "http://192.0.2.1:8080/", "", "in clear text"},
		"like localhost":      {client.Bearer(key), "http://localhost.example.com/", "", "in clear text"},
		"any address":         {client.Bearer(key), "http://0.0.0.0/", "", "in clear text"},
		"another host":        {with(client.Bearer(key), func(t *client.Transport) { t.Host = "api.example.com" }), "https://other.example.com/", "", "is for api.example.com, and the request goes to other.example.com"},
		"another port":        {with(client.Bearer(key), func(t *client.Transport) { t.Host = "api.example.com" }), "https://api.example.com:8443/", "", "goes to api.example.com:8443"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBase(t, ok)
			test.transport.Base = b
			req := streamed(t, "POST", test.url)
			if test.header != "" {
				req.Header[test.header] = []string{key}
			}
			resp, err := (&http.Client{Transport: test.transport}).Do(req)
			if err == nil {
				_ = resp.Body.Close()
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("the error %q does not say %q", err, test.want)
			}
			if strings.Contains(err.Error(), key) || strings.Contains(err.Error(), "pass@") {
				t.Error("the error shows a secret")
			}
			if b.count() != 0 {
				t.Error("it was sent")
			}
			if !req.Body.(*watched).isClosed() {
				t.Error("the request's body was not closed")
			}
		})
	}
}

func TestRequestWithoutURL(t *testing.T) {
	req := &http.Request{Body: watch(t, "the request's body", strings.NewReader("x"))}
	if _, err := client.Bearer(rand.Text()).RoundTrip(req); err == nil {
		t.Error("no error")
	}
}

func TestClearTextToThisMachineOrWhenAllowed(t *testing.T) {
	for _, url := range []string{
		"http://localhost/", "http://LOCALHOST:8080/", "http://127.0.0.1:8080/",
		"http://127.9.9.9/", "http://[::1]:8080/",
	} {
		b := newBase(t, ok)
		get(t, over(b, client.Bearer(rand.Text())), url)
		if b.last().auth == "" {
			t.Errorf("%s got no credential", url)
		}
	}
	b := newBase(t, ok)
	transport := over(b, client.Bearer(rand.Text()))
	transport.AllowClearText = true
	get(t, transport, "http://api.example.com/")
	if b.last().auth == "" {
		t.Error("AllowClearText did not allow it")
	}
}

func TestRedirects(t *testing.T) {
	const host = "https://api.example.com"
	tests := map[string]struct {
		hops []string
		want string // for each hop: y with the credential, n without
		host string
	}{
		"same host":                {[]string{host + "/a", host + "/b", host + "/c"}, "yyy", ""},
		"default port named":       {[]string{host + "/a", host + ":443/b"}, "yy", ""},
		"other case":               {[]string{host + "/a", "https://API.example.com/b"}, "yy", ""},
		"another host":             {[]string{host + "/a", "https://evil.example/b"}, "yn", ""},
		"subdomain":                {[]string{host + "/a", "https://x.api.example.com/b"}, "yn", ""},
		"parent domain":            {[]string{host + "/a", "https://example.com/b"}, "yn", ""},
		"another port":             {[]string{host + "/a", host + ":8443/b"}, "yn", ""},
		"away, then along":         {[]string{host + "/a", "https://evil.example/b", "https://evil.example/c"}, "ynn", ""},
		"away and back":            {[]string{host + "/a", "https://evil.example/b", host + "/c", host + "/d"}, "ynnn", ""},
		"down to clear text":       {[]string{host + "/a", "http://api.example.com/b"}, "yn", ""},
		"down, same port":          {[]string{host + ":8443/a", "http://api.example.com:8443/b"}, "yn", ""},
		"up to TLS":                {[]string{"http://api.example.com/a", host + "/b"}, "yy", ""},
		"up and down again":        {[]string{"http://api.example.com/a", host + "/b", "http://api.example.com/c"}, "yyn", ""},
		"up on another port":       {[]string{"http://api.example.com:8080/a", host + "/b"}, "yn", ""},
		"loopback, another port":   {[]string{"http://127.0.0.1:8080/a", "http://127.0.0.1:9090/b"}, "yn", ""},
		"Host named":               {[]string{host + "/a", host + "/b", "https://evil.example/c"}, "yyn", "api.example.com"},
		"Host named with its port": {[]string{host + "/a"}, "y", "API.example.com:443"},
		"user name for a stranger": {[]string{host + "/a", "https://u:p@evil.example/b"}, "yn", ""},
	}
	for name, test := range tests {
		// With a wrapper around it that clones requests, as tracing does.
		for _, wrapped := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s wrapped=%v", name, wrapped), func(t *testing.T) {
				var hop int
				key := rand.Text()
				b := newBase(t, nil)
				b.handle = func(*http.Request) *http.Response {
					if hop++; hop < len(test.hops) {
						return answer(307, "", "Location", test.hops[hop])
					}
					return answer(200, "")
				}
				transport := over(b, client.Bearer(key))
				transport.AllowClearText = true
				transport.Host = test.host
				rt := http.RoundTripper(transport)
				if wrapped {
					rt = cloning{transport}
				}
				do(t, rt, newRequest(t, "POST", test.hops[0], "content"))
				got := ""
				for _, s := range b.sent {
					got += map[bool]string{true: "y", false: "n"}[s.auth == "Bearer "+key]
				}
				if got != test.want {
					t.Errorf("the hops got the credential %s, and should %s", got, test.want)
				}
			})
		}
	}
}

type cloning struct{ http.RoundTripper }

func (c cloning) RoundTrip(req *http.Request) (*http.Response, error) {
	return c.RoundTripper.RoundTrip(req.Clone(req.Context()))
}

func TestRedirectOfUnknownOriginGetsNoCredential(t *testing.T) {
	b := newBase(t, ok)
	req := newRequest(t, "GET", api, "")
	req.Response = answer(307, "")
	do(t, over(b, client.Bearer(rand.Text())), req)
	if b.last().auth != "" {
		t.Error("a redirect from nobody knows where got the credential")
	}
}

func TestErrorOfBase(t *testing.T) {
	b := newBase(t, func(*http.Request) *http.Response { return nil })
	transport := over(b, client.Bearer(rand.Text()))
	transport.Retry = client.Retry{Max: 3}
	req := streamed(t, "GET", api)
	if _, err := (&http.Client{Transport: transport}).Do(req); err == nil || !strings.Contains(err.Error(), io.ErrUnexpectedEOF.Error()) {
		t.Errorf("the error of Base became %v", err)
	}
	if b.count() != 1 {
		t.Errorf("an error of the connection was tried %d times", b.count())
	}
}

func TestNothingPrintsASecret(t *testing.T) {
	id, secret := "visible-id", rand.Text()
	key := rand.Text()
	second := client.JWT(id, secret)
	for name, transport := range map[string]*client.Transport{
		"Bearer": client.Bearer(key), "Basic": client.Basic(key), "JWT": client.JWT(id, secret),
	} {
		t.Run(name, func(t *testing.T) {
			transport.Second = second
			transport.Base = newBase(t, ok)
			auth := ""
			transport.Base.(*base).handle = func(r *http.Request) *http.Response {
				auth = r.Header.Get("Authorization")
				return answer(200, "")
			}
			get(t, transport, api)
			transport.Base = nil
			c, err := client.New(api, transport)
			if err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			for _, v := range []any{transport, *transport, c, *c, http.Client{Transport: transport}, []any{transport}} {
				for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%p"} {
					fmt.Fprintf(&out, verb+"\n", v)
				}
				if err := json.NewEncoder(&out).Encode(v); err != nil && !strings.Contains(err.Error(), "unsupported type: func") {
					t.Error(err)
				}
				slog.New(slog.NewTextHandler(&out, nil)).Info("m", "v", v)
				slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "v", v)
			}
			out.WriteString(transport.String() + transport.GoString())
			value := auth[strings.Index(auth, " ")+1:]
			for _, s := range []string{key, secret, value, fmt.Sprintf("%x", key), fmt.Sprintf("%x", value)} {
				if strings.Contains(out.String(), s) {
					t.Errorf("a secret was printed: %s", strings.ReplaceAll(out.String(), s, "HERE"))
				}
			}
			if !strings.Contains(out.String(), "[secret]") {
				t.Error("nothing was printed as [secret]")
			}
		})
	}
}

func TestOnlyTheStandardLibraryAndJWT(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", "latchkey/client").Output()
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(strings.Fields(string(out)), " "); got != "latchkey/jwt latchkey/client" {
		t.Errorf("the package depends on %s", got)
	}
}

func TestOverARealConnection(t *testing.T) {
	key := rand.Text()
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/go" {
			http.Redirect(w, r, "/there", http.StatusTemporaryRedirect)
			return
		}
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%v %s", r.Header.Get("Authorization") == "Bearer "+key, body)
	})
	srv := httptest.NewTLSServer(h)
	defer srv.Close()
	transport := over(srv.Client().Transport, client.Bearer(key))
	hc := &http.Client{Transport: transport}
	resp, err := hc.Post(srv.URL+"/go", "text/plain", strings.NewReader("content"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got, _ := io.ReadAll(resp.Body); string(got) != "true content" {
		t.Errorf("after a redirect the server got %q", got)
	}
	hc.CloseIdleConnections()
}
