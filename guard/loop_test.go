package guard_test

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"latchkey"
	"latchkey/guard"
)

// TestLoop: an upstream that leads back here, be it through another gateway, or
// to another one of the cluster, is a 502, and the record of what came back says so; nothing goes round twice.
func TestLoop(t *testing.T) {
	for name, c := range map[string]struct{ forward, second, cluster bool }{
		"to itself": {}, "to itself, with the credential": {forward: true},
		"through another gateway":        {forward: true, second: true},
		"through another of its cluster": {second: true, cluster: true},
	} {
		t.Run(name, func(t *testing.T) {
			target := httptest.NewUnstartedServer(nil)
			back, _ := url.Parse("http://" + target.Listener.Addr().String())
			d := newDoor(t, middleware, nil, func(own *guard.Guard, g *guard.Gateway) {
				g.Upstream, g.ForwardAuthorization = back, c.forward
				if c.cluster {
					own.Pseudonym = "latchkey-of-one-cluster"
				}
			})
			target.Config.Handler = d.server.Config.Handler
			if c.second {
				first, _ := url.Parse(d.server.URL)
				second := &guard.Guard{Authenticate: d.keyring.Authenticate, Pseudonym: d.guard.Pseudonym}
				if c.cluster {
					second.Recorder = &d.ledger
				}
				other, err := second.Gateway(guard.Gateway{Upstream: first, ForwardAuthorization: c.forward})
				if err != nil {
					t.Fatal(err)
				}
				target.Config.Handler = other
			}
			target.Config.ErrorLog = log.New(io.Discard, "", 0)
			target.Start()
			t.Cleanup(target.Close)
			got := d.pass(t, "/", "Via: 1.0 fred\r\n")
			if got.StatusCode != 502 || got.Header.Get("X-Latchkey-Loop") != "" {
				t.Errorf("answered %d with %v", got.StatusCode, got.Header)
			}
			var came, returned latchkey.Record
			for _, r := range d.take(t, 2) {
				if r.TeamID != "" {
					came = r
				} else {
					returned = r
				}
			}
			for _, r := range []latchkey.Record{came, returned} {
				if c.second && !c.cluster && r.TeamID != "" {
					continue // to this gateway the other one's answer is its API's
				}
				if r.Status != 502 || r.Outcome != latchkey.OutcomeError || r.Reason != "upstream_unreachable" ||
					r.Diagnosis != "The upstream leads back to this server, or to another of its cluster: it must be the API behind them." {
					t.Errorf("record: %+v", r)
				}
			}
			if !c.second || c.cluster {
				got.problem(t, 502, latchkey.CodeUpstreamUnreachable)
			}
		})
	}
}

// TestVia: the upstream learns which gateways a request has passed, this one
// last, and nobody else's name is taken for it.
func TestVia(t *testing.T) {
	up := newWire(t, always(ok))
	d := newDoor(t, middleware, nil, up.to())
	for _, fields := range []string{"", "Via: 1.0 fred, 1.1 latchkey-ABCDEFGHIJKLMNOPQRSTUVWXYZ\r\nVia: 2 p.example\r\n", "Via: x\r\nConnection: Via\r\n"} {
		if got := d.pass(t, "/", fields); got.StatusCode != http.StatusOK {
			t.Fatalf("%q: %d %s", fields, got.StatusCode, got.body)
		}
		d.one(t)
		via := values(<-up.requests, "Via")
		if n := len(via); n == 0 || !strings.HasPrefix(via[n-1], "1.1 latchkey-") || len(via[n-1]) != len("1.1 latchkey-")+26 || (n == 3) != strings.Contains(fields, "fred") {
			t.Errorf("%q: the upstream gets Via %q", fields, via)
		}
	}
}
