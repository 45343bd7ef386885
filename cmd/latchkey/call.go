package main

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
	"os/signal"
	"strings"
	"syscall"
	"time"
	"unicode"

	"golang.org/x/term"

	"latchkey"
	"latchkey/client"
	"latchkey/jwt"
)

const (
	// maxBody is the longest body that is sent, in bytes: it is held in memory
	// to be sent again when a token is mended.
	maxBody = 64 << 20
	// clockSlack is how far this machine's clock may be off before it is said.
	clockSlack = 30 * time.Second
)

type callCmd struct {
	URL    string   `name:"url" default:"http://127.0.0.1:8080" env:"LATCHKEY_URL" placeholder:"URL" help:"The API's address. Default: ${default}."`
	Method string   `short:"X" placeholder:"VERB" help:"HTTP method. Default: GET, or POST with a body."`
	Body   *string  `short:"d" placeholder:"BODY" help:"Body: itself, @FILE, or @- for standard input. It is sent as JSON unless a Content-Type header says otherwise."`
	Header []string `short:"H" sep:"none" placeholder:"NAME: VALUE" help:"Another header. May be repeated; never a credential."`
	Auth   string   `enum:",bearer,basic,jwt" default:"" env:"LATCHKEY_AUTH" placeholder:"METHOD" help:"bearer or basic (the API key), or jwt (the API secret): which to use where the environment has both."`
	Path   string   `arg:"" help:"Path and query, such as /v1/contacts?limit=2."`
}

// Help says more.
func (*callCmd) Help() string {
	return "Calls the API with the credential in the environment, $LATCHKEY_API_KEY, or $LATCHKEY_SECRET_ID and $LATCHKEY_SECRET_KEY, and prints the answer's body. An answer that is an error goes to standard error, with what to do about it and the request ID; the exit code is 1."
}

// Run makes the call.
func (c *callCmd) Run(s *session) error {
	// The client takes address, method and credential from one place.
	for name, value := range map[string]string{"LATCHKEY_URL": c.URL, "LATCHKEY_AUTH": c.Auth} {
		if err := os.Setenv(name, value); err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
	}
	if !strings.Contains(c.URL, "://") {
		return usageError("LATCHKEY_URL (or --url) must begin with http:// or https://, such as http://127.0.0.1:8080")
	}
	if err := jwt.CheckPair(os.Getenv("LATCHKEY_SECRET_ID"), os.Getenv("LATCHKEY_SECRET_KEY")); err != nil {
		return usageError("the API secret: %v", err)
	}
	api, err := client.FromEnv()
	if err != nil {
		hint := strings.NewReplacer("client: ", "", "the API's address", "LATCHKEY_URL (or --url)",
			"choose by LATCHKEY_AUTH=", "choose by --auth ", "LATCHKEY_AUTH is", "--auth is")
		return usageError("%s", hint.Replace(err.Error()))
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	request, err := c.request(ctx, s, api.URL)
	if err != nil {
		return err
	}
	hc := http.Client{Transport: api.Transport, CheckRedirect: stay}
	response, err := hc.Do(request)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // it would show the query
		}
		text := strings.TrimPrefix(err.Error(), "client: ")
		if before, clear := strings.CutSuffix(text, " use https, or set AllowClearText"); clear {
			text = before + " give LATCHKEY_URL (or --url) with https"
		}
		return fmt.Errorf("%s %s: %s", request.Method, request.URL.EscapedPath(), text)
	}
	defer response.Body.Close()
	s.compareClocks(response, time.Now())
	if err := client.ErrorFrom(response); err != nil {
		return s.refused(request, err)
	}
	if response.Header.Get("X-Request-Id") == "" {
		s.remark("%s", notOurs)
	}
	return s.printBody(response)
}

// notOurs is said of an answer without a request ID: latchkey gives each of its own one.
const notOurs = "The answer has no X-Request-Id: it is not latchkey's. Is LATCHKEY_URL (or --url) right?"

// stay follows redirects to the same place only: elsewhere is not the API.
func stay(r *http.Request, via []*http.Request) error {
	if first := via[0].URL; r.URL.Scheme != first.Scheme || r.URL.Host != first.Host {
		return fmt.Errorf("the server redirects to %s, which is not the API; not followed", r.URL.Host)
	}
	if len(via) >= 10 {
		return errors.New("stopped after 10 redirects")
	}
	return nil
}

// request is the request that the flags ask for.
func (c *callCmd) request(ctx context.Context, s *session, address string) (*http.Request, error) {
	if !strings.HasPrefix(c.Path, "/") {
		return nil, usageError("the path must begin with a slash, such as /v1/contacts")
	}
	method := c.Method
	var body io.Reader
	if c.Body != nil {
		text, err := s.body(*c.Body)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(text)
		if method == "" {
			method = http.MethodPost
		}
	}
	r, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(address, "/")+c.Path, body)
	if err != nil {
		return nil, usageError("method or path cannot be used: %v", errors.Unwrap(err))
	}
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", "latchkey/"+version())
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	given := make(http.Header)
	for _, h := range c.Header {
		name, value, ok := strings.Cut(h, ":")
		switch name = http.CanonicalHeaderKey(strings.TrimSpace(name)); {
		case !ok:
			return nil, usageError("a header is NAME: VALUE") // not repeated: it may be a credential
		case name == "Authorization":
			return nil, usageError("no credential on the command line, where others can see it: set LATCHKEY_API_KEY, or LATCHKEY_SECRET_ID and LATCHKEY_SECRET_KEY")
		case name == "Host":
			r.Host = strings.TrimSpace(value)
		default:
			given.Add(name, strings.TrimSpace(value))
		}
	}
	for name, values := range given {
		r.Header[name] = values
	}
	return r, nil
}

// body reads what -d names.
func (s *session) body(data string) ([]byte, error) {
	path, named := strings.CutPrefix(data, "@")
	if !named {
		return []byte(data), nil
	}
	from := io.Reader(s.stdin)
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("read the body: %w", err)
		}
		defer f.Close()
		from = f
	}
	text, err := io.ReadAll(io.LimitReader(from, maxBody+1))
	if err != nil {
		return nil, fmt.Errorf("read the body: %w", err)
	}
	if len(text) > maxBody {
		return nil, usageError("the body is longer than 64 MiB")
	}
	return text, nil
}

// compareClocks says how far this machine's clock is off: tokens are signed by
// it, also by other programs.
func (s *session) compareClocks(response *http.Response, now time.Time) {
	date, err := http.ParseTime(response.Header.Get("Date"))
	if err != nil {
		return
	}
	off := now.Sub(date).Round(time.Second)
	if off.Abs() <= clockSlack {
		return
	}
	where := "ahead of"
	if off < 0 {
		where = "behind"
	}
	s.remark("This machine's clock is %d s %s the server's: set it by NTP.", int64(off.Abs()/time.Second), where)
}

// refused tells people about an answer that is an error.
func (s *session) refused(r *http.Request, err error) error {
	var answer *client.Error
	if !errors.As(err, &answer) {
		return err
	}
	fields(s.stderr,
		[2]string{"Detail", answer.Detail},
		[2]string{"What to do", advice(answer)},
		[2]string{"Request ID", answer.RequestID})
	status := fmt.Sprint(answer.Status)
	if answer.Code != "" {
		status += " " + answer.Code
	}
	return fmt.Errorf("%s %s: %s", r.Method, r.URL.EscapedPath(), status)
}

// advice says what to do about an answer.
func advice(e *client.Error) string {
	signed := os.Getenv("LATCHKEY_API_KEY") == "" || os.Getenv("LATCHKEY_AUTH") == "jwt"
	switch code := latchkey.Code(e.Code); {
	case e.RequestID == "":
		return notOurs
	case code == latchkey.CodeInvalidCredentials && signed:
		return "Is the API secret in LATCHKEY_SECRET_ID still live, and LATCHKEY_SECRET_KEY the key that belongs to it? See Settings → Integrations, or give support the request ID."
	case code == latchkey.CodeInvalidCredentials:
		return "Is LATCHKEY_API_KEY the team's current key? It may have been rolled. See Settings → Integrations, or give support the request ID."
	case code == latchkey.CodeMalformedCredentials && !signed:
		return "Look at LATCHKEY_API_KEY: printenv LATCHKEY_API_KEY | latchkey explain"
	case code == latchkey.CodeTokenExpired, code == latchkey.CodeTokenNotYetValid:
		return "Set this machine's clock by NTP."
	case code == latchkey.CodeUnavailable, e.Status == http.StatusTooManyRequests, e.Status == http.StatusServiceUnavailable:
		return "Try again in a moment."
	case code == latchkey.CodeUpstreamUnreachable, code == latchkey.CodeUpstreamTimeout, e.Status >= 500:
		return "The credential is not the cause. Try again; if it stays so, give support the request ID."
	case e.Status == http.StatusUnauthorized, e.Status == http.StatusForbidden:
		return "Give support the request ID."
	}
	return "The credential holds; look at the request."
}

// printBody writes the answer's body to standard output. A terminal gets no
// commands of a stranger's.
func (s *session) printBody(response *http.Response) error {
	if !s.JSON {
		out := s.stdout
		if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
			out = harmless{out}
		}
		if _, err := io.Copy(out, response.Body); err != nil {
			return fmt.Errorf("the call was made, but its answer could not be read or written whole: %w", err)
		}
		return nil
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, maxBody))
	if err != nil {
		return fmt.Errorf("the call was made, but its answer could not be read: %w", err)
	}
	answer := map[string]any{"status": response.StatusCode, "request_id": response.Header.Get("X-Request-Id")}
	if json.Valid(text) {
		answer["body"] = json.RawMessage(text)
	} else {
		answer["body"] = string(text)
	}
	return s.show(answer, nil)
}

// A harmless writer puts "?" for each byte that a terminal could take for the
// beginning of a command. C1 controls in UTF-8 begin with 0xC2.
type harmless struct{ w io.Writer }

func (h harmless) Write(p []byte) (int, error) {
	clean := bytes.Map(func(c rune) rune {
		if c == '\n' || c == '\t' || !unicode.IsControl(c) {
			return c
		}
		return '?'
	}, p)
	if _, err := h.w.Write(clean); err != nil {
		return 0, err
	}
	return len(p), nil
}
