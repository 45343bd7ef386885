package admin

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"latchkey"
)

// TestNodes holds that the nodes come as they are, and that none is an empty list.
func TestNodes(t *testing.T) {
	renewed := time.Date(2026, 5, 1, 9, 30, 0, 0, time.UTC)
	everyWay(t, func(t *testing.T, c *Client, a *API, _ *memory) {
		if server, err := c.Server(t.Context()); err != nil || server.Version != "v1.2.3" || server.Database != "" {
			t.Errorf("a server with a store of its own says %+v (%v)", server, err)
		}
		if _, err := c.Nodes(t.Context()); err == nil {
			t.Error("a server that does not know its nodes lists them")
		}
		want := Node{Name: "alpha", Address: "http://a", Version: "v1", Revision: 7, State: NodeAnswering, LeaseMS: 3000, RemainingMS: 2100, StaleOKMS: 5, Renewed: &renewed, Alarm: "no"}
		var nodes []Node
		a.Nodes = func(context.Context) ([]Node, error) { return nodes, nil }
		if all, err := c.Nodes(t.Context()); err != nil || all.Nodes == nil || len(all.Nodes) != 0 {
			t.Errorf("no nodes: %+v (%v), must be an empty list", all, err)
		}
		nodes = []Node{want, {Name: "beta"}}
		all, err := c.Nodes(t.Context())
		if err != nil || len(all.Nodes) != 2 || !all.Nodes[0].Renewed.Equal(renewed) {
			t.Fatalf("the nodes: %+v (%v)", all, err)
		}
		got := all.Nodes[0]
		if got.Renewed = &renewed; got != want {
			t.Errorf("a node comes as %+v, was %+v", got, want)
		}
		failed := errors.New("the database is down")
		a.Nodes = func(context.Context) ([]Node, error) { return nil, failed }
		if _, err := c.Nodes(t.Context()); err == nil || !strings.Contains(err.Error(), failed.Error()) {
			t.Errorf("where the database is down: %v", err)
		}
	})
}

// TestAcceptHistory holds who is said to have accepted, that it is logged, and
// that it is refused where there is nothing to accept.
func TestAcceptHistory(t *testing.T) {
	everyWay(t, func(t *testing.T, c *Client, a *API, _ *memory) {
		if _, err := c.AcceptHistory(t.Context()); err == nil || !strings.Contains(err.Error(), "nothing to accept") {
			t.Errorf("without a cluster: %v", err)
		}
		var log bytes.Buffer
		var by latchkey.Actor
		a.Database, a.Logger = "db.example.com:5432/latchkey", slog.New(slog.NewTextHandler(&log, nil))
		a.AcceptHistory = func(_ context.Context, actor latchkey.Actor) error { by = actor; return nil }
		c.Actor = "ann"
		accepted, err := c.AcceptHistory(t.Context())
		if err != nil || accepted.Database != a.Database || by.Name != "ann" {
			t.Errorf("accepted %+v by %+v (%v)", accepted, by, err)
		}
		if !strings.Contains(log.String(), "level=WARN") || !strings.Contains(log.String(), "by=ann") {
			t.Errorf("the log says %q, must say who accepted", log.String())
		}
		a.AcceptHistory = func(context.Context, latchkey.Actor) error { return latchkey.ErrOutcomeUnknown }
		if _, err := c.AcceptHistory(t.Context()); !errors.Is(err, latchkey.ErrOutcomeUnknown) {
			t.Errorf("an acceptance that may have been written: %v, must be an unknown outcome", err)
		}
	})
}

// TestStoreOutOfReach holds that a look-up without a database is 503, with the
// time to try again.
func TestStoreOutOfReach(t *testing.T) {
	a, _ := newAPI(t)
	a.Nodes = func(context.Context) ([]Node, error) {
		return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	}
	w := httptest.NewRecorder()
	a.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/node/list", strings.NewReader("{}")))
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), `"code":"unavailable"`) {
		t.Errorf("%d %v %s: must be 503 unavailable, with Retry-After", w.Code, w.Header(), w.Body)
	}
}
