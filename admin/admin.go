// Package admin is the management API that the command line speaks, and its
// client: teams, API keys, API secrets and look-ups of records, as operations
// over the [latchkey.Keyring].
//
// It is served on a Unix socket that only the owner of the data directory can
// open, to that owner's commands; a command that finds no server calls the same
// handler in its own process ([Local]). There is no authentication besides the
// socket's mode, and what it answers may hold credentials in clear.
//
// Every operation is a POST of a JSON object to a path of its own, answered by
// a JSON object: a team's name, or a secret's ID that came from elsewhere, never
// has to survive as part of a path. Errors are problem details (RFC 9457).
package admin

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"latchkey"
)

const (
	// actorField says who asks, in words. It is what a change is recorded as
	// made by.
	actorField = "Latchkey-Actor"

	// settlementField carries the [Settlement] of a change as JSON, so that
	// the answer's body is the object and nothing else.
	settlementField = "Latchkey-Settlement"

	maxBody  = 64 << 10 // bytes of a request; the largest is an import, well under 2 KiB
	maxActor = 200      // bytes
)

// An API is the management API of one node. Keyring and Records must be set.
type API struct {
	Keyring *latchkey.Keyring
	Records latchkey.RecordReader // the journal's unwritten tail, then the store
	Users   latchkey.UserStore    // of the console

	// Lacking says in sentences why Records may lack some of the time between two
	// moments. Nil: nobody knows.
	Lacking func(ctx context.Context, from, to time.Time) ([]string, error)

	Version string // of the program, as [Client.Server] tells it

	Database      string                                             // what nodes share, without user or password; empty: nothing
	Nodes         func(ctx context.Context) ([]Node, error)          // by name; with an error, the one that was asked. Nil: nobody knows
	AcceptHistory func(ctx context.Context, by latchkey.Actor) error // nil: the store is one process's own

	ConsoleURL string // the origin that links carry; "" means http://127.0.0.1:8081

	Logger *slog.Logger // each change is a line in it; nil means none
}

// Handler returns the API. It must be reachable by nobody but the owner of the
// data directory.
func (a *API) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST /version", read(a, a.server))

	mux.Handle("POST /team/create", change(a, a.createTeam))
	mux.Handle("POST /team/list", read(a, a.listTeams))
	mux.Handle("POST /team/disable", change(a, a.disableTeam))
	mux.Handle("POST /team/enable", change(a, a.enableTeam))
	mux.Handle("POST /team/delete", change(a, a.deleteTeam))
	mux.Handle("POST /team/rename", change(a, a.renameTeam))

	mux.Handle("POST /key/show", read(a, a.showKey))
	mux.Handle("POST /key/roll", change(a, a.rollKey))
	mux.Handle("POST /key/retire", change(a, a.retireKey))
	mux.Handle("POST /key/import", change(a, a.importKey))

	mux.Handle("POST /secret/create", change(a, a.createSecret))
	mux.Handle("POST /secret/import", change(a, a.importSecret))
	mux.Handle("POST /secret/list", read(a, a.listSecrets))
	mux.Handle("POST /secret/revoke", change(a, a.revokeSecret))

	mux.Handle("POST /request/show", read(a, a.showRequest))
	mux.Handle("POST /request/list", read(a, a.listRequests))

	mux.Handle("POST /audit/list", read(a, a.listEvents))

	mux.Handle("POST /user/create", read(a, a.createUser))
	mux.Handle("POST /user/invite", read(a, a.inviteUser))
	mux.Handle("POST /user/list", read(a, a.listUsers))
	mux.Handle("POST /user/remove", read(a, a.removeUser))

	mux.Handle("POST /node/list", read(a, a.listNodes))
	mux.Handle("POST /database/accept", read(a, a.acceptHistory))

	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		body := describe(fmt.Errorf("the server that runs here (latchkey %s) does not know this operation", a.Version))
		body.Status = http.StatusNotImplemented
		writeProblem(w, body)
	})
	return mux
}

// read serves an operation that changes neither teams nor credentials. What it
// shows to by may be an event all the same.
func read[Q, A any](a *API, do func(ctx context.Context, by latchkey.Actor, question Q) (A, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		question, err := readJSON[Q](w, r)
		if err != nil {
			writeError(w, err)
			return
		}
		answer, err := do(r.Context(), actor(r), question)
		if err != nil {
			a.failed(r, err)
			writeError(w, err)
			return
		}
		writeJSON(w, answer)
	})
}

// change serves an operation that changes teams or credentials on behalf of by.
func change[Q, A any](a *API, do func(ctx context.Context, by latchkey.Actor, question Q) (A, latchkey.Settlement, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		question, err := readJSON[Q](w, r)
		if err != nil {
			writeError(w, err)
			return
		}
		by := actor(r)
		answer, settled, err := do(r.Context(), by, question)
		if err != nil {
			a.failed(r, err)
			writeError(w, err)
			return
		}
		settlement := settlementOf(settled)
		a.logger().InfoContext(r.Context(), "admin change", "operation", r.URL.Path, "by", by.Name,
			"took_ms", settlement.TookMS, "confirmed", len(settlement.Confirmed), "lapsed", len(settlement.Lapsed), "not_confirmed", len(settlement.NotConfirmed))
		// Strings and numbers always encode; node names may not be ASCII, and a field's value must be.
		text, _ := json.Marshal(settlement)
		w.Header().Set(settlementField, asciiJSON(text))
		writeJSON(w, answer)
	})
}

// failed logs what is the server's fault, or nobody's; a mistake of the one who
// asks is told to them alone.
func (a *API) failed(r *http.Request, err error) {
	if e := describe(err); e.Status >= http.StatusInternalServerError {
		a.logger().ErrorContext(r.Context(), "admin operation failed", "operation", r.URL.Path, "code", string(e.Code), "error", err)
	}
}

func (a *API) logger() *slog.Logger {
	if a.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return a.Logger
}

// actor returns who asks, fit to be kept and shown.
func actor(r *http.Request) latchkey.Actor {
	by := strings.Map(func(c rune) rune {
		if c == utf8.RuneError || !unicode.IsPrint(c) {
			return -1
		}
		return c
	}, r.Header.Get(actorField))
	for len(by) > maxActor {
		_, size := utf8.DecodeLastRuneInString(by)
		by = by[:len(by)-size]
	}
	return latchkey.Actor{Name: cmp.Or(by, "command line"), Source: "this machine"}
}

// readJSON reads the one JSON object of a request. A field that this server
// does not know is refused: to ignore it could be to do something else than was
// asked. The error never quotes the body, which may hold a credential.
func readJSON[Q any](w http.ResponseWriter, r *http.Request) (question Q, err error) {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	d.DisallowUnknownFields()
	err = d.Decode(&question)
	if err == nil {
		if _, end := d.Token(); !errors.Is(end, io.EOF) {
			err = errors.New("more than one value")
		}
	}
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return question, large
	case err != nil:
		return question, &latchkey.InvalidError{Field: "body", Problem: "is not the JSON object of this operation"}
	}
	return question, nil
}

func writeJSON(w http.ResponseWriter, answer any) {
	text, err := json.Marshal(answer)
	if err != nil {
		writeError(w, err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	_, _ = w.Write(append(text, '\n')) // whoever asked has gone: there is nobody left to tell
}
