package client_test

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"crypto/rand"

	"latchkey/client"
)

func newClient(t *testing.T, url string, handle func(*http.Request) *http.Response) (*client.Client, *base) {
	t.Helper()
	b := newBase(t, handle)
	c, err := client.New(url, over(b, client.Bearer(rand.Text())))
	if err != nil {
		t.Fatal(err)
	}
	return c, b
}

func TestNewRefuses(t *testing.T) {
	password := rand.Text()
	good := client.Bearer(rand.Text())
	for name, test := range map[string]struct {
		url       string
		transport *client.Transport
		want      string
	}{
		"empty":          {"", good, "absolute URL"},
		"no scheme":      {"api.example.com", good, "absolute URL"},
		"no scheme, //":  {"//api.example.com", good, "absolute URL"},
		"another scheme": {"ftp://api.example.com", good, "absolute URL"},
		"no host":        {"https:///v1", good, "absolute URL"},
		"port alone":     {"https://:443", good, "absolute URL"},
		"opaque":         {"https:api.example.com", good, "absolute URL"},
		"user name":      {"https://" + password + "@api.example.com", good, "give the API key to Bearer or Basic"},
		"broken":         {"https://u:" + password + "@api.example.com:x/%zz", good, "is not a URL"},
		"query":          {"https://api.example.com?key=" + password, good, "no query"},
		"empty query":    {"https://api.example.com?", good, "no query"},
		"fragment":       {"https://api.example.com#" + password, good, "no fragment"},
		"no transport":   {api, nil, "make it with Bearer, Basic or JWT"},
		"no credential":  {api, &client.Transport{}, "make it with Bearer, Basic or JWT"},
		"bad credential": {api, client.Bearer(password + " "), "white space"},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := client.New(test.url, test.transport)
			if err == nil || c != nil {
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), password) {
				t.Errorf("the error is %q, want %q and no secret", strings.ReplaceAll(err.Error(), password, "SECRET"), test.want)
			}
		})
	}
}

func TestFromEnv(t *testing.T) {
	key, id, secret := rand.Text(), rand.Text(), rand.Text()
	for name, test := range map[string]struct {
		env  map[string]string
		want string // the error; empty: none
	}{
		"nothing":      {nil, "LATCHKEY_URL is not set"},
		"no URL":       {map[string]string{"API_KEY": key}, "LATCHKEY_URL is not set"},
		"URL alone":    {map[string]string{"URL": api}, "set LATCHKEY_API_KEY, or LATCHKEY_SECRET_ID and LATCHKEY_SECRET_KEY"},
		"key":          {map[string]string{"URL": api, "API_KEY": key}, ""},
		"secret":       {map[string]string{"URL": api, "SECRET_ID": id, "SECRET_KEY": secret}, ""},
		"ID alone":     {map[string]string{"URL": api, "SECRET_ID": id}, "LATCHKEY_SECRET_ID is set and LATCHKEY_SECRET_KEY is not"},
		"secret alone": {map[string]string{"URL": api, "SECRET_KEY": secret}, "LATCHKEY_SECRET_KEY is set and LATCHKEY_SECRET_ID is not"},
		"both":         {map[string]string{"URL": api, "API_KEY": key, "SECRET_ID": id, "SECRET_KEY": secret}, "LATCHKEY_SECRET_ID too: unset one of the two credentials, or choose by LATCHKEY_AUTH=bearer"},
		"key and key":  {map[string]string{"URL": api, "API_KEY": key, "SECRET_KEY": secret}, "LATCHKEY_SECRET_KEY too: unset"},
		"both, bearer": {map[string]string{"URL": api, "API_KEY": key, "SECRET_ID": id, "SECRET_KEY": secret, "AUTH": "bearer"}, ""},
		"both, basic":  {map[string]string{"URL": api, "API_KEY": key, "SECRET_ID": id, "SECRET_KEY": secret, "AUTH": "basic"}, ""},
		"both, jwt":    {map[string]string{"URL": api, "API_KEY": key, "SECRET_ID": id, "SECRET_KEY": secret, "AUTH": "jwt"}, ""},
		"key, jwt":     {map[string]string{"URL": api, "API_KEY": key, "AUTH": "jwt"}, "LATCHKEY_SECRET_ID and LATCHKEY_SECRET_KEY are not set"},
		"secret, basic": {map[string]string{"URL": api, "SECRET_ID": id, "SECRET_KEY": secret, "AUTH": "basic"},
			"LATCHKEY_AUTH is basic, and LATCHKEY_API_KEY is not set"},
		"secret as AUTH": {map[string]string{"URL": api, "API_KEY": key, "AUTH": secret}, "LATCHKEY_AUTH must be"},
		"key and ID":     {map[string]string{"URL": api, "API_KEY": key, "SECRET_ID": id}, "unset one of the two"},
		"bad URL":        {map[string]string{"URL": "api", "API_KEY": key}, "absolute URL"},
		"bad key":        {map[string]string{"URL": api, "API_KEY": key + "\r\n"}, "the API key has white space"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, v := range []string{"URL", "API_KEY", "SECRET_ID", "SECRET_KEY", "AUTH"} {
				t.Setenv("LATCHKEY_"+v, test.env[v])
			}
			c, err := client.FromEnv()
			if test.want != "" {
				if err == nil || !strings.Contains(err.Error(), test.want) {
					t.Fatalf("the error is %v, want %q", err, test.want)
				}
				if strings.Contains(err.Error(), key) || strings.Contains(err.Error(), secret) {
					t.Error("the error shows a secret")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			b := newBase(t, ok)
			c.Transport.Base = b
			if err := c.Do(t.Context(), "GET", "/v1/contacts", nil, nil); err != nil {
				t.Fatal(err)
			}
			want := cmp.Or(test.env["AUTH"], "bearer")
			if test.env["API_KEY"] == "" {
				want = "jwt"
			}
			got := "jwt"
			switch b.last().auth {
			case "Bearer " + key:
				got = "bearer"
			case "Basic " + base64.StdEncoding.EncodeToString([]byte(key+":")):
				got = "basic"
			}
			if got != want {
				t.Errorf("%s was sent, must be %s", got, want)
			}
		})
	}
}

func TestDo(t *testing.T) {
	type contact struct{ Name string }
	var got *http.Request
	c, b := newClient(t, api+"/base/", func(r *http.Request) *http.Response {
		got = r
		return answer(201, `{"Name":"Ada"}`+"\n", "Content-Type", "application/json")
	})
	var out contact
	if err := c.Do(t.Context(), "POST", "/v1/contact?notify=a%2Fb;c", contact{"Bob"}, &out); err != nil {
		t.Fatal(err)
	}
	if s := b.last(); s.url != api+"/base/v1/contact?notify=a%2Fb;c" || s.body != `{"Name":"Bob"}` || out.Name != "Ada" {
		t.Errorf("sent %s to %s, got %+v", s.body, s.url, out)
	}
	if got.Header.Get("Content-Type") != "application/json" || got.Header.Get("Accept") != "application/json" {
		t.Errorf("the header was %v", got.Header["Content-Type"])
	}
	if err := c.Do(t.Context(), "GET", "//evil.example/x", nil, nil); err != nil || !strings.HasPrefix(b.last().url, api+"/") {
		t.Errorf("a path of two slashes went to %s (%v)", b.last().url, err)
	}
	if _, there := got.Header["Content-Type"]; there {
		t.Error("a request without a body has a Content-Type")
	}
	for _, path := range []string{"", "v1", "https://evil.example/", "@evil.example/", ".evil.example/", ":80/"} {
		before := b.count()
		if err := c.Do(t.Context(), "GET", path, nil, nil); err == nil || b.count() != before {
			t.Errorf("the path %q was accepted", path)
		}
	}
}

func TestDoReadsTheAnswer(t *testing.T) {
	for name, test := range map[string]struct {
		resp *http.Response
		want string // the error; empty: none
	}{
		"JSON":       {answer(200, `{"a":1}`), ""},
		"empty":      {answer(204, ""), ""},
		"not JSON":   {answer(200, "<html>"), "read the answer: invalid character"},
		"half":       {answer(200, `{"a":`), "read the answer: unexpected EOF"},
		"not a 2xx":  {answer(304, "", "X-Request-Id", "r1"), "304 Not Modified; request ID r1"},
		"no handler": {answer(404, "404 page not found", "X-Request-Id", "r1"), "client: GET /v1: 404 Not Found; request ID r1"},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := newClient(t, api, func(*http.Request) *http.Response { return test.resp })
			var out json.RawMessage
			err := c.Do(t.Context(), "GET", "/v1?phone=15550100", nil, &out)
			if (err == nil) != (test.want == "") || err != nil && !strings.HasSuffix(err.Error(), test.want) && !strings.Contains(err.Error(), test.want) {
				t.Errorf("the error is %v, want %q", err, test.want)
			}
			if name == "JSON" && string(out) != `{"a":1}` {
				t.Errorf("got %s", out)
			}
		})
	}
}

func TestDoRefusesAnEndlessAnswer(t *testing.T) {
	c, _ := newClient(t, api, func(*http.Request) *http.Response {
		resp := answer(200, "")
		resp.Body = io.NopCloser(io.MultiReader(strings.NewReader(`"`), endless{}))
		return resp
	})
	if err := c.Do(t.Context(), "GET", "/", nil, new(string)); err == nil || !strings.Contains(err.Error(), "longer than 16 MiB") {
		t.Errorf("the error is %v", err)
	}
}

func TestDoErrors(t *testing.T) {
	c, b := newClient(t, api, func(r *http.Request) *http.Response {
		switch r.URL.Path {
		case "/away":
			return answer(307, "", "Location", "https://evil.example/x?token=hidden")
		case "/loop":
			return answer(302, "", "Location", "/loop?token=hidden")
		case "/nowhere":
			return answer(302, "", "Location", "https://%zz/")
		}
		return nil
	})
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, test := range map[string]struct {
		ctx    context.Context
		method string
		path   string
		body   any
		want   string
		is     error
	}{
		"connection":     {t.Context(), "GET", "/v1?token=hidden", nil, "client: GET /v1: unexpected EOF", io.ErrUnexpectedEOF},
		"cancelled":      {cancelled, "GET", "/v1?token=hidden", nil, "client: GET /v1: context canceled", context.Canceled},
		"redirect away":  {t.Context(), "POST", "/away?token=hidden", "hidden", "client: POST /away: the server redirects to evil.example, which is not the API; not followed", nil},
		"loop":           {t.Context(), "GET", "/loop?token=hidden", nil, "client: GET /loop: stopped after 10 redirects", nil},
		"bad method":     {t.Context(), "GE T", "/v1?token=hidden", nil, `client: make the request: net/http: invalid method "GE T"`, nil},
		"bad path":       {t.Context(), "GET", "/v1\x7f?token=hidden", nil, "client: make the request: net/url: invalid control character in URL", nil},
		"no JSON":        {t.Context(), "POST", "/v1", func() {}, "client: encode the request's body: json: unsupported type: func()", nil},
		"relative":       {t.Context(), "GET", "hidden", nil, "client: the path of a call must begin with a slash", nil},
		"bad Location":   {t.Context(), "GET", "/nowhere", nil, "client: GET /nowhere: ", nil},
		"cancelled ever": {cancelled, "GET", "/loop", nil, "client: GET /loop: context canceled", context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.Do(test.ctx, test.method, test.path, test.body, nil)
			if err == nil {
				t.Fatal("no error")
			}
			if got := err.Error(); got != test.want && (!strings.HasSuffix(test.want, ": ") || !strings.HasPrefix(got, test.want)) {
				t.Errorf("the error is %q, want %q", got, test.want)
			}
			if strings.Contains(err.Error(), "hidden") {
				t.Errorf("the error shows what it should not: %v", err)
			}
			if _, is := errors.AsType[*url.Error](err); is {
				t.Error("whoever unwraps the error finds the whole URL")
			}
			if test.is != nil && !errors.Is(err, test.is) {
				t.Errorf("%v is not %v", err, test.is)
			}
		})
	}
	for _, s := range b.sent {
		if strings.Contains(s.url, "evil") {
			t.Error("the redirect was followed")
		}
	}
}

func TestDoWithAClientMadeByHand(t *testing.T) {
	key := rand.Text()
	for _, c := range []client.Client{{}, {URL: api}, {URL: "https://" + key + "@api.example.com", Transport: client.Bearer(key)}} {
		if err := c.Do(t.Context(), "GET", "/", nil, nil); err == nil || strings.Contains(err.Error(), key) {
			t.Errorf("the error is %v", strings.ReplaceAll(err.Error(), key, "SECRET"))
		}
	}
}

// The specification's own host gives neither codes nor problem+json that we know
// of: what it says must still come through.
func TestAHostThatKnowsNothingOfUs(t *testing.T) {
	c, b := newClient(t, "https://api.heymarket.com", func(*http.Request) *http.Response {
		return answer(401, "Unauthorized\n", "Content-Type", "text/plain", "X-Request-Id", "a1b2c3d4-e5f6-7890-abcd-ef1234567890")
	})
	err := c.Do(t.Context(), "GET", "/v1/contacts", nil, nil)
	if want := "client: GET /v1/contacts: 401 Unauthorized; request ID a1b2c3d4-e5f6-7890-abcd-ef1234567890"; err == nil || err.Error() != want {
		t.Errorf("the error is %v", err)
	}
	if b.count() != 1 {
		t.Errorf("%d requests", b.count())
	}
}
