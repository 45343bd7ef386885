package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
)

// maxBody is the longest answer that Do decodes, in bytes.
const maxBody = 16 << 20

// A Client makes calls to one API that speaks JSON. Make it with [New] or
// [FromEnv]. Any number of goroutines may use it at once.
type Client struct {
	// URL is the API's address, such as "https://api.example.com". It may have a
	// path, which goes before the path of each call; no user name, query or
	// fragment.
	URL string

	// Transport sends the requests. Its fields may be set before the first call.
	Transport *Transport
}

// New returns a client of the API at baseURL. It checks the URL and the
// credential, and sends nothing.
func New(baseURL string, transport *Transport) (*Client, error) {
	c := &Client{URL: baseURL, Transport: transport}
	if _, err := c.base(); err != nil {
		return nil, err
	}
	if err := transport.usable(); err != nil {
		return nil, err
	}
	return c, nil
}

// FromEnv returns a client made from the environment: LATCHKEY_URL is the API's
// address; the credential is either LATCHKEY_API_KEY, sent as a Bearer token, or
// LATCHKEY_SECRET_ID with LATCHKEY_SECRET_KEY, which sign tokens. Where both are
// set, LATCHKEY_AUTH must choose: bearer, basic or jwt. A variable that is empty
// is not set.
func FromEnv() (*Client, error) {
	address := os.Getenv("LATCHKEY_URL")
	if address == "" {
		return nil, errors.New("client: LATCHKEY_URL is not set: it is the API's address, such as https://api.example.com")
	}
	key := os.Getenv("LATCHKEY_API_KEY")
	id, secret := os.Getenv("LATCHKEY_SECRET_ID"), os.Getenv("LATCHKEY_SECRET_KEY")
	method, err := methodOf(os.Getenv("LATCHKEY_AUTH"), key, id, secret)
	switch {
	case err != nil:
		return nil, err
	case method == "bearer":
		return New(address, Bearer(key))
	case method == "basic":
		return New(address, Basic(key))
	}
	return New(address, JWT(id, secret))
}

// methodOf returns the method that was chosen, or else the one that there is a
// credential for, if that is there whole.
func methodOf(chosen, key, id, secret string) (string, error) {
	if chosen == "" {
		switch {
		case key != "" && (id != "" || secret != ""):
			other := "LATCHKEY_SECRET_ID"
			if id == "" {
				other = "LATCHKEY_SECRET_KEY"
			}
			return "", fmt.Errorf("client: LATCHKEY_API_KEY is set, and %s too: unset one of the two credentials, or choose by LATCHKEY_AUTH=bearer, basic (both send the key) or jwt (signs with the secret)", other)
		case key != "":
			chosen = "bearer"
		case id == "" && secret == "":
			return "", errors.New("client: no credential is set: set LATCHKEY_API_KEY, or LATCHKEY_SECRET_ID and LATCHKEY_SECRET_KEY")
		default:
			chosen = "jwt"
		}
	}
	switch {
	case chosen != "bearer" && chosen != "basic" && chosen != "jwt":
		return "", errors.New("client: LATCHKEY_AUTH must be bearer, basic or jwt")
	case chosen != "jwt" && key == "":
		return "", fmt.Errorf("client: LATCHKEY_AUTH is %s, and LATCHKEY_API_KEY is not set", chosen)
	case chosen == "jwt" && id == "" && secret == "":
		return "", errors.New("client: LATCHKEY_AUTH is jwt, and LATCHKEY_SECRET_ID and LATCHKEY_SECRET_KEY are not set")
	case chosen == "jwt" && id == "":
		return "", errors.New("client: LATCHKEY_SECRET_KEY is set and LATCHKEY_SECRET_ID is not")
	case chosen == "jwt" && secret == "":
		return "", errors.New("client: LATCHKEY_SECRET_ID is set and LATCHKEY_SECRET_KEY is not")
	}
	return chosen, nil
}

// Do makes a call. path begins with a slash and may have a query; it is put after
// the Client's URL as it is. body is sent as JSON, unless it is nil. The answer's
// JSON is stored in what out points to, unless out is nil or the answer is empty;
// an answer of more than 16 MiB is an error.
//
// An answer that is not a 2xx is an [*Error], to be found with [errors.As]. A
// redirect to another origin is an error and not followed: whoever is there is
// not the API. Errors name the path, and nothing else of the URL.
func (c *Client) Do(ctx context.Context, method, path string, body, out any) error {
	req, err := c.request(ctx, method, path, body)
	if err != nil {
		return err
	}
	fail := func(err error) error {
		return fmt.Errorf("client: %s %s: %w", req.Method, req.URL.EscapedPath(), err)
	}
	hc := http.Client{Transport: c.Transport, CheckRedirect: checkRedirect}
	resp, err := hc.Do(req)
	if err != nil {
		// A url.Error would show the query, which is nobody's business.
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err
		}
		return fail(err)
	}
	defer discard(resp)
	if resp.StatusCode/100 != 2 {
		return fail(readError(resp))
	}
	if out == nil {
		return nil
	}
	err = json.NewDecoder(&limited{resp.Body, maxBody}).Decode(out)
	if err != nil && err != io.EOF {
		return fail(fmt.Errorf("read the answer: %w", err))
	}
	return nil
}

// base returns the parsed URL, or what is wrong with it.
func (c *Client) base() (*url.URL, error) {
	u, err := url.Parse(c.URL)
	switch {
	case err != nil:
		// The error of url.Parse repeats the URL, which may hold a password.
		return nil, errors.New("client: the API's address is not a URL")
	case u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "":
		return nil, errors.New("client: the API's address must be an absolute URL, such as https://api.example.com")
	case u.User != nil:
		return nil, errors.New("client: the API's address must have no user name in it: give the API key to Bearer or Basic")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, errors.New("client: the API's address must have no query and no fragment")
	}
	return u, nil
}

func (c *Client) request(ctx context.Context, method, path string, body any) (*http.Request, error) {
	if _, err := c.base(); err != nil {
		return nil, err
	}
	if !strings.HasPrefix(path, "/") {
		return nil, errors.New("client: the path of a call must begin with a slash")
	}
	var content io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("client: encode the request's body: %w", err)
		}
		content = bytes.NewReader(encoded)
	}
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(c.URL, "/")+path, content)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err
		}
		return nil, fmt.Errorf("client: make the request: %w", err)
	}
	req.Header.Set("Accept", "application/json")
	if content != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, nil
}

func checkRedirect(req *http.Request, via []*http.Request) error {
	if !stayed(req) {
		return fmt.Errorf("the server redirects to %s, which is not the API; not followed", req.URL.Host)
	}
	if len(via) >= 10 {
		return errors.New("stopped after 10 redirects")
	}
	return nil
}

// limited is a reader that fails, and does not end, once left is used up.
type limited struct {
	r    io.Reader
	left int64
}

func (l *limited) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, errors.New("it is longer than 16 MiB")
	}
	n, err := l.r.Read(p[:min(int64(len(p)), l.left)])
	l.left -= int64(n)
	return n, err
}
