package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"time"

	"latchkey/client"
	"latchkey/jwt"
)

// newAPI stands for the API: it accepts one key and one secret.
func newAPI() *httptest.Server {
	secret := jwt.NewKey("74f80a77-9b3f-44ac-b3ad-ab68cfb548fa", "SECRET_KEY")
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Request-Id", "01890a5d-ac96-774b-bcce-b302099a8057")
		user, password, basic := r.BasicAuth()
		bearer, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		var token jwt.Token
		switch {
		case bearer == "API_KEY":
			fmt.Fprint(w, `{"method":"bearer"}`)
		case basic && user == "API_KEY" && password == "":
			fmt.Fprint(w, `{"method":"basic"}`)
		case token.Parse(bearer) == nil && secret.Verify(&token) && token.CheckTime(time.Now(), 30*time.Second) == nil:
			fmt.Fprint(w, `{"method":"jwt"}`)
		default:
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"code":"invalid_credentials","detail":"The credential was not accepted."}`)
		}
	}))
}

// show makes a request and prints the answer.
func show(hc *http.Client, url string) {
	resp, err := hc.Get(url)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(resp.StatusCode, string(body))
}

func ExampleBearer() {
	api := newAPI()
	defer api.Close()

	hc := &http.Client{Transport: client.Bearer("API_KEY")}
	show(hc, api.URL+"/v1/contacts")
	// Output: 200 {"method":"bearer"}
}

func ExampleBasic() {
	api := newAPI()
	defer api.Close()

	hc := &http.Client{Transport: client.Basic("API_KEY")}
	show(hc, api.URL+"/v1/contacts")
	// Output: 200 {"method":"basic"}
}

func ExampleJWT() {
	api := newAPI()
	defer api.Close()

	hc := &http.Client{Transport: client.JWT("74f80a77-9b3f-44ac-b3ad-ab68cfb548fa", "SECRET_KEY")}
	show(hc, api.URL+"/v1/contacts")
	// Output: 200 {"method":"jwt"}
}

// The credential goes over https, and over http to this machine, but not over
// http to another.
func ExampleTransport() {
	hc := &http.Client{Transport: client.Bearer("API_KEY")}
	_, err := hc.Get("http://api.example.com/v1/contacts")
	fmt.Println(err)
	// Output: Get "http://api.example.com/v1/contacts": client: the credential does not go to api.example.com in clear text: use https, or set AllowClearText
}

// All fields may be left out.
func ExampleTransport_fields() {
	transport := client.Bearer("API_KEY")
	transport.Base = &http.Transport{MaxIdleConnsPerHost: 100}
	transport.Host = "api.example.com"

	hc := &http.Client{Transport: transport}
	_, err := hc.Get("https://other.example.com/")
	fmt.Println(err)
	// Output: Get "https://other.example.com/": client: the credential is for api.example.com, and the request goes to other.example.com
}

// Before an API secret is revoked, its successor is given to every program as
// the second. From the moment of the revocation the second is used.
func ExampleTransport_changeOver() {
	api := newAPI()
	defer api.Close()

	transport := client.JWT("2d7ad84b-0d5c-4a6f-9f61-9a4b7b2c7b0e", "OLD_KEY")
	transport.Second = client.JWT("74f80a77-9b3f-44ac-b3ad-ab68cfb548fa", "SECRET_KEY")
	show(&http.Client{Transport: transport}, api.URL+"/v1/contacts")
	// Output: 200 {"method":"jwt"}
}

// A transport is a part of other transports, and can be called by them.
func ExampleTransport_RoundTrip() {
	api := newAPI()
	defer api.Close()

	req, err := http.NewRequest("GET", api.URL+"/v1/contacts", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	resp, err := client.Bearer("API_KEY").RoundTrip(req)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	fmt.Println(resp.StatusCode, req.Header)
	// Output: 200 map[]
}

func ExampleTransport_CloseIdleConnections() {
	api := newAPI()
	defer api.Close()

	hc := &http.Client{Transport: client.Bearer("API_KEY")}
	show(hc, api.URL+"/v1/contacts")
	hc.CloseIdleConnections() // reaches the Transport, and its Base
	// Output: 200 {"method":"bearer"}
}

func ExampleTransport_String() {
	fmt.Println(client.Bearer("API_KEY").String())
	// Output: [secret]
}

func ExampleTransport_GoString() {
	fmt.Println(client.Bearer("API_KEY").GoString())
	// Output: [secret]
}

func ExampleTransport_Format() {
	fmt.Printf("%v %+v %#v %x\n", client.Bearer("API_KEY"), client.Basic("API_KEY"), *client.JWT("ID", "KEY"), client.Bearer("API_KEY"))
	// Output: [secret] [secret] [secret] [secret]
}

func ExampleTransport_LogValue() {
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	}))
	logger.Info("ready", "transport", client.Bearer("API_KEY"))
	// Output: level=INFO msg=ready transport=[secret]
}

func ExampleTransport_MarshalText() {
	text, err := json.Marshal(client.Bearer("API_KEY"))
	fmt.Println(string(text), err)
	// Output: "[secret]" <nil>
}

func ExampleRetry() {
	calls := 0
	busy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if calls++; calls < 3 {
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer busy.Close()

	transport := client.Bearer("API_KEY")
	transport.Retry = client.Retry{Max: 4, Wait: 10 * time.Millisecond}
	resp, err := (&http.Client{Transport: transport}).Get(busy.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	fmt.Println(resp.StatusCode, "after", calls, "requests")
	// Output: 200 after 3 requests
}

func ExampleNew() {
	_, err := client.New("https://API_KEY@api.example.com", client.Bearer("API_KEY"))
	fmt.Println(err)

	c, err := client.New("https://api.example.com", client.Bearer("API_KEY"))
	fmt.Println(*c, err)
	// Output:
	// client: the API's address must have no user name in it: give the API key to Bearer or Basic
	// {https://api.example.com [secret]} <nil>
}

func ExampleFromEnv() {
	api := newAPI()
	defer api.Close()
	// In a shell: export LATCHKEY_URL=… LATCHKEY_SECRET_ID=… LATCHKEY_SECRET_KEY=…
	defer setenv("LATCHKEY_URL", api.URL)()
	defer setenv("LATCHKEY_API_KEY", "")()
	defer setenv("LATCHKEY_SECRET_ID", "74f80a77-9b3f-44ac-b3ad-ab68cfb548fa")()
	defer setenv("LATCHKEY_SECRET_KEY", "SECRET_KEY")()

	c, err := client.FromEnv()
	if err != nil {
		fmt.Println(err)
		return
	}
	var answer struct{ Method string }
	err = c.Do(context.Background(), "GET", "/v1/contacts", nil, &answer)
	fmt.Println(answer.Method, err)
	// Output: jwt <nil>
}

// setenv sets a variable, and returns what puts it back.
func setenv(name, value string) func() {
	before, was := os.LookupEnv(name)
	os.Setenv(name, value)
	return func() {
		if was {
			os.Setenv(name, before)
		} else {
			os.Unsetenv(name)
		}
	}
}

// The fields may be changed until the first call.
func ExampleClient() {
	c, err := client.New("https://api.example.com/base", client.Bearer("API_KEY"))
	if err != nil {
		fmt.Println(err)
		return
	}
	c.Transport.Retry.Max = 3
	fmt.Println(c.URL, c.Transport)
	// Output: https://api.example.com/base [secret]
}

func ExampleClient_Do() {
	api := newAPI()
	defer api.Close()

	c, err := client.New(api.URL, client.Bearer("API_KEY"))
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	contact := map[string]string{"first": "Ada", "phone": "15550100"}
	var answer struct{ Method string }
	err = c.Do(ctx, "POST", "/v1/contact", contact, &answer)
	fmt.Println(answer.Method, err)
	// Output: bearer <nil>
}

func ExampleError() {
	api := newAPI()
	defer api.Close()

	c, err := client.New(api.URL, client.Bearer("ANOTHER_KEY"))
	if err != nil {
		fmt.Println(err)
		return
	}
	err = c.Do(context.Background(), "GET", "/v1/contacts", nil, nil)
	if e, ok := errors.AsType[*client.Error](err); ok && e.Code == "invalid_credentials" {
		fmt.Println("no longer accepted; tell support:", e.RequestID)
	}
	// Output: no longer accepted; tell support: 01890a5d-ac96-774b-bcce-b302099a8057
}

func ExampleError_Error() {
	api := newAPI()
	defer api.Close()

	c, err := client.New(api.URL, client.Bearer("ANOTHER_KEY"))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(c.Do(context.Background(), "GET", "/v1/contacts", nil, nil))
	// Output: client: GET /v1/contacts: 401 invalid_credentials: The credential was not accepted; request ID 01890a5d-ac96-774b-bcce-b302099a8057
}

// Any answer of an http.Client becomes an error in the same words.
func ExampleErrorFrom() {
	api := newAPI()
	defer api.Close()

	hc := &http.Client{Transport: client.Bearer("ANOTHER_KEY")}
	resp, err := hc.Get(api.URL + "/v1/contacts")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	fmt.Println(client.ErrorFrom(resp))
	// Output: 401 invalid_credentials: The credential was not accepted; request ID 01890a5d-ac96-774b-bcce-b302099a8057
}
