package admin

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"time"

	"latchkey"
	"latchkey/problem"
)

// ErrNoServer: nothing listens on the socket, so that nothing was asked of
// anybody.
var ErrNoServer = errors.New("no server is running")

const (
	// answerTime is above what the keyring gives a change (90 s).
	answerTime = 2 * time.Minute

	// maxAnswer bounds what is read: a thousand records of 16 KiB.
	maxAnswer = 16 << 20
)

// errTooLong is what connect returns for a path of over 107 bytes.
const errTooLong = syscall.EINVAL

// A Client speaks the management API. HTTP must be set, as [Dial] and [Local]
// do. It is safe for concurrent use.
//
// An error of a change is [latchkey.ErrOutcomeUnknown] whenever the server may
// have made the change all the same: its answer was lost, or cut off.
type Client struct {
	HTTP  *http.Client
	Actor string // who asks, in words, such as "command line (uid 1000, ann)"
}

// Dial returns a client of the server that listens on a Unix socket. It is
// dialled when the first operation is called; [ErrNoServer] if nobody listens.
func Dial(socket string) *Client {
	transport := &http.Transport{
		DisableKeepAlives:      true, // an operation or two, then the command ends
		MaxResponseHeaderBytes: maxAnswer,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			c, err := d.DialContext(ctx, "unix", socket)
			for _, absent := range []error{fs.ErrNotExist, syscall.ECONNREFUSED, syscall.ENOTDIR, errTooLong} {
				if errors.Is(err, absent) {
					return nil, fmt.Errorf("%w: %w", ErrNoServer, err)
				}
			}
			return c, err
		},
	}
	return &Client{HTTP: &http.Client{Transport: transport, Timeout: answerTime}}
}

// Local returns a client that calls h in this process.
func Local(h http.Handler) *Client {
	return &Client{HTTP: &http.Client{Transport: &inProcess{h}}}
}

// CreateTeam makes a team with an API key and an API secret.
func (c *Client) CreateTeam(ctx context.Context, name string) (NewTeam, Settlement, error) {
	return alter[NewTeam](ctx, c, "/team/create", named{name})
}

// Teams returns all teams, oldest first.
func (c *Client) Teams(ctx context.Context) (Teams, error) {
	return ask[Teams](ctx, c, "/team/list", nothing{})
}

// DisableTeam makes all credentials of a team refused until [Client.EnableTeam].
func (c *Client) DisableTeam(ctx context.Context, team string) (Team, Settlement, error) {
	return alter[Team](ctx, c, "/team/disable", ofTeam{team})
}

// EnableTeam undoes [Client.DisableTeam].
func (c *Client) EnableTeam(ctx context.Context, team string) (Team, Settlement, error) {
	return alter[Team](ctx, c, "/team/enable", ofTeam{team})
}

// DeleteTeam ends a team and all its credentials, for good.
func (c *Client) DeleteTeam(ctx context.Context, team string) (Team, Settlement, error) {
	return alter[Team](ctx, c, "/team/delete", ofTeam{team})
}

// RenameTeam gives a team another name.
func (c *Client) RenameTeam(ctx context.Context, team, name string) (Team, Settlement, error) {
	return alter[Team](ctx, c, "/team/rename", renaming{team, name})
}

// Key returns a team's current API key.
func (c *Client) Key(ctx context.Context, team string) (Key, error) {
	return ask[Key](ctx, c, "/key/show", ofTeam{team})
}

// RollKey gives a team a new API key; the old one lives on for overlap, at most
// [latchkey.MaxOverlap], to the millisecond.
func (c *Client) RollKey(ctx context.Context, team string, overlap time.Duration) (RolledKey, Settlement, error) {
	return alter[RolledKey](ctx, c, "/key/roll", rolling{team, overlap.Milliseconds()})
}

// RetireKey ends a team's old API key before its overlap is over.
func (c *Client) RetireKey(ctx context.Context, team string) (RetiredKey, Settlement, error) {
	return alter[RetiredKey](ctx, c, "/key/retire", ofTeam{team})
}

// ImportKey makes value a team's current API key.
func (c *Client) ImportKey(ctx context.Context, team string, value latchkey.Secret) (RolledKey, Settlement, error) {
	return alter[RolledKey](ctx, c, "/key/import", keyImport{team, value.Reveal()})
}

// CreateSecret gives a team another API secret.
func (c *Client) CreateSecret(ctx context.Context, team string) (NewSecret, Settlement, error) {
	return alter[NewSecret](ctx, c, "/secret/create", ofTeam{team})
}

// ImportSecret gives a team an API secret that was made elsewhere.
func (c *Client) ImportSecret(ctx context.Context, team, id string, key latchkey.Secret) (ImportedSecret, Settlement, error) {
	return alter[ImportedSecret](ctx, c, "/secret/import", secretImport{team, id, key.Reveal()})
}

// Secrets returns a team's live API secrets, oldest first.
func (c *Client) Secrets(ctx context.Context, team string) (Secrets, error) {
	return ask[Secrets](ctx, c, "/secret/list", ofTeam{team})
}

// RevokeSecret ends an API secret.
func (c *Client) RevokeSecret(ctx context.Context, id string) (RevokedSecret, Settlement, error) {
	return alter[RevokedSecret](ctx, c, "/secret/revoke", ofID{id})
}

// Request returns the record of a request by its ID, as people paste it: in any
// case, among spaces or quotes, after the name of its header.
func (c *Client) Request(ctx context.Context, id string) (latchkey.Record, error) {
	return ask[latchkey.Record](ctx, c, "/request/show", ofID{id})
}

// Requests returns the records that f selects, newest first.
func (c *Client) Requests(ctx context.Context, f RequestFilter) (Requests, error) {
	return ask[Requests](ctx, c, "/request/list", f)
}

// ask calls an operation that changes nothing.
func ask[A any](ctx context.Context, c *Client, path string, question any) (answer A, err error) {
	_, err = c.post(ctx, path, question, &answer)
	return answer, err
}

// alter calls an operation that changes something. Once the question may have
// reached the server, only its own word says that nothing was changed.
func alter[A any](ctx context.Context, c *Client, path string, question any) (answer A, s Settlement, err error) {
	header, err := c.post(ctx, path, question, &answer)
	var said *Error
	switch {
	case err == nil:
		err = json.Unmarshal([]byte(header.Get(settlementField)), &s)
		if err != nil {
			err = fmt.Errorf("%w: the change was made, but the answer does not say on which nodes", latchkey.ErrOutcomeUnknown)
		}
	case !errors.As(err, &said) && !errors.Is(err, ErrNoServer):
		err = fmt.Errorf("%w: the change was sent to the server, but its answer did not come whole: %w", latchkey.ErrOutcomeUnknown, err)
	}
	return answer, s, err
}

// post sends one question, and reads the answer into the pointer.
func (c *Client) post(ctx context.Context, path string, question, answer any) (http.Header, error) {
	body, err := json.Marshal(question)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://latchkey"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	if c.Actor != "" {
		r.Header.Set(actorField, c.Actor)
	}
	response, err := c.HTTP.Do(r)
	if err != nil {
		var at *url.Error // it would add a URL that nobody can open
		if errors.As(err, &at) {
			err = at.Err
		}
		return nil, fmt.Errorf("ask the server: %w", err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("read the server's answer: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, readProblem(response, text)
	}
	if err := json.Unmarshal(text, answer); err != nil {
		// The error could quote the answer, which may hold credentials.
		return nil, errors.New("the server's answer is not the JSON that was expected")
	}
	return response.Header, nil
}

// readProblem returns the [*Error] of an answer, or another error if it is none
// of ours.
func readProblem(response *http.Response, text []byte) error {
	var p problem.Body
	if err := json.Unmarshal(text, &p); err != nil || p.Code == "" {
		return fmt.Errorf("the server answered %s without saying why", response.Status)
	}
	return &Error{Status: response.StatusCode, Code: p.Code, Detail: p.Detail}
}

// inProcess is a transport that calls a handler.
type inProcess struct{ handler http.Handler }

// RoundTrip serves r and returns the whole answer.
func (t *inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	defer r.Body.Close()
	w := &answerWriter{header: http.Header{}}
	t.handler.ServeHTTP(w, r.Clone(r.Context()))
	status := cmp.Or(w.status, http.StatusOK)
	return &http.Response{
		Status: fmt.Sprintf("%d %s", status, http.StatusText(status)), StatusCode: status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.header, Body: io.NopCloser(&w.body), ContentLength: int64(w.body.Len()), Request: r,
	}, nil
}

// answerWriter keeps an answer in memory.
type answerWriter struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *answerWriter) Header() http.Header { return w.header }

func (w *answerWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

func (w *answerWriter) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(p)
}
