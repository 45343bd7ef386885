package guard_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"

	"latchkey"
	"latchkey/guard"
)

// A keyring's Authenticate goes here; this one knows a single team.
func authenticate(_ context.Context, fields []string) (latchkey.Principal, error) {
	if _, denial := latchkey.ReadAuthorization(fields); denial != nil {
		return latchkey.Principal{}, denial
	}
	return latchkey.Principal{TeamID: "team_1", CredentialID: "key_1", Method: latchkey.MethodBearer}, nil
}

func call(url, authorization string) {
	req, _ := http.NewRequest(http.MethodGet, url, nil)
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer res.Body.Close()
	body := "-"
	if res.StatusCode == http.StatusOK {
		text, _ := io.ReadAll(res.Body)
		body = string(text)
	}
	fmt.Println(res.StatusCode, body, res.Header.Get("X-Request-Id") != "")
}

// The door as middleware: the handler behind it knows who calls.
func ExampleGuard_Wrap() {
	door := &guard.Guard{Authenticate: authenticate}
	api := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, _ := latchkey.PrincipalFrom(r.Context())
		fmt.Fprintf(w, "hello %s", p.TeamID)
	})
	server := httptest.NewServer(door.Wrap(api))
	defer server.Close()
	defer http.DefaultClient.CloseIdleConnections()

	call(server.URL, "Bearer an-api-key")
	call(server.URL, "")
	// Output:
	// 200 hello team_1 true
	// 401 - true
}

// The door in front of another server, which learns who calls from the header.
func ExampleGuard_Gateway() {
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "hello %s", r.Header.Get("X-Latchkey-Team"))
	}))
	defer api.Close()

	upstream, err := url.Parse(api.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	door := &guard.Guard{Authenticate: authenticate}
	gateway, err := door.Gateway(guard.Gateway{Upstream: upstream})
	if err != nil {
		fmt.Println(err)
		return
	}
	server := httptest.NewServer(gateway)
	defer server.Close()
	defer http.DefaultClient.CloseIdleConnections()

	call(server.URL, "Bearer an-api-key")
	// Output:
	// 200 hello team_1 true
}
