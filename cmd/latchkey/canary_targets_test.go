package main

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"latchkey"
	"latchkey/admin"
)

// TestCanaryWantsAnAddressForEachNode holds that a node which shares its address
// with another is not certified by the other's answers.
func TestCanaryWantsAnAddressForEachNode(t *testing.T) {
	node := func(name, address string) admin.Node { return admin.Node{Name: name, Address: address} }
	for rule, c := range map[string]struct {
		nodes  []admin.Node
		asked  int
		silent int
		says   string
	}{
		"nodes with addresses of their own": {[]admin.Node{node("a", "http://10.0.0.1:8080"), node("b", "http://10.0.0.2:8080")}, 2, 0, ""},
		"one port, two machines' loopback":  {[]admin.Node{node("a", "http://127.0.0.1:8080"), node("b", "http://127.0.0.1:8080")}, 0, 0, "--advertise"},
		"the same address, spelt otherwise": {[]admin.Node{node("a", "https://API.example"), node("b", "https://api.example:443/")}, 0, 0, "a and b advertise the same address"},
		"the default port of http":          {[]admin.Node{node("a", "http://api.example"), node("b", "http://api.example:80")}, 0, 0, "the same address"},
		"another scheme":                    {[]admin.Node{node("a", "http://api.example"), node("b", "https://api.example")}, 2, 0, ""},
		"a node that was started again":     {[]admin.Node{node("a", "http://10.0.0.1:8080"), node("a", "http://10.0.0.1:8080")}, 1, 0, ""},
		"a node without an address":         {[]admin.Node{node("a", ""), node("b", ""), node("c", "http://[::1]:1")}, 1, 2, ""},
	} {
		targets, silent, err := targetsOf(c.nodes)
		if len(targets) != c.asked || len(silent) != c.silent || (err != nil) != (c.says != "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %d are asked, %d are not, %v", rule, len(targets), len(silent), err)
		}
	}
}

// TestCanaryLeavesOutLostNodes holds that what stands for lost nodes is not taken for
// one that has no address.
func TestCanaryLeavesOutLostNodes(t *testing.T) {
	nodes, lost := nodesOf([]admin.Node{{Name: "(lost at failover)", State: admin.NodeLost}, {Name: "(lost at failover)", State: admin.NodeAnswering}})
	if len(nodes) != 1 || len(lost) != 1 || nodes[0].State != admin.NodeAnswering {
		t.Errorf("nodes: %+v, lost: %+v", nodes, lost)
	}
}

// TestCanaryAsksWhoAnswers holds that the record of an answer says which node it
// was, that another one is an error, and that nothing is claimed without it.
func TestCanaryAsksWhoAnswers(t *testing.T) {
	const id = standInID
	var looked atomic.Int32
	for rule, c := range map[string]struct {
		header     string
		record     func() (latchkey.Record, error)
		identified bool
		says       string
	}{
		"the node itself": {id, func() (latchkey.Record, error) { return latchkey.Record{Node: "node"}, nil }, true, ""},
		"another node":    {id, func() (latchkey.Record, error) { return latchkey.Record{Node: "other"}, nil }, false, "but node other answers there: give each"},
		"a record that comes late": {id, func() (latchkey.Record, error) {
			if looked.Add(1) < 3 {
				return latchkey.Record{}, latchkey.NotFound("request", id)
			}
			return latchkey.Record{Node: "node"}, nil
		}, true, ""},
		"no look-up is possible": {id, func() (latchkey.Record, error) { return latchkey.Record{}, errors.New("the database is down") }, false, ""},
		"no request ID":          {"", func() (latchkey.Record, error) { return latchkey.Record{Node: "node"}, nil }, false, "no latchkey answers at http://127.0.0.1:"},
		"another's request ID":   {"7c9e6679-7425-40de-944b-e07fc1f90ae7", func() (latchkey.Record, error) { return latchkey.Record{Node: "node"}, nil }, false, "no latchkey answers at http://127.0.0.1:"},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "" {
				t.Errorf("%s: a credential is sent before it is known who answers", rule)
			}
			w.Header().Set("X-Request-Id", c.header)
			w.WriteHeader(http.StatusUnauthorized)
		}))
		run := &canary{path: "/", targets: []*target{newTarget("node", server.URL)}}
		err := run.identify(t.Context(), func(_ context.Context, asked string) (latchkey.Record, error) {
			if asked != id {
				t.Errorf("%s: %q is looked up", rule, asked)
			}
			return c.record()
		})
		if (err != nil) != (c.says != "") || err != nil && !strings.Contains(err.Error(), c.says) || run.targets[0].counts.Identified != c.identified {
			t.Errorf("%s: %v, identified: %t", rule, err, run.targets[0].counts.Identified)
		}
		server.Close()
	}
}

// TestCanaryLeavesNoTeam holds that a team of which it is not known whether it
// was made is taken away, or named.
func TestCanaryLeavesNoTeam(t *testing.T) {
	n, _ := openOps(t)
	handler := n.management("", nil).Handler()
	for rule, c := range map[string]struct {
		makes, deletes bool
		unknown        bool
		says           string
	}{
		"it was made":                            {true, true, false, "was made, and is deleted again"},
		"it was not made":                        {false, true, true, "is not there, and may yet come"},
		"it was made, and cannot be deleted now": {true, false, true, "could not be deleted"},
	} {
		lossy := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.URL.Path == "/team/create" && c.makes:
				handler.ServeHTTP(httptest.NewRecorder(), r)
				w.WriteHeader(http.StatusBadGateway) // the answer is lost
			case r.URL.Path == "/team/create", r.URL.Path == "/team/delete" && !c.deletes:
				w.WriteHeader(http.StatusBadGateway)
			default:
				handler.ServeHTTP(w, r)
			}
		})
		var said strings.Builder
		s := &session{globals: &globals{Data: defaultData}, stdout: &said, stderr: &said}
		_, err := (&canaryCmd{Rolls: 1, Path: "/"}).run(t.Context(), s, admin.Local(lossy), &canary{})
		if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), canaryPrefix) || errors.Is(err, latchkey.ErrOutcomeUnknown) != c.unknown {
			t.Errorf("%s: %v", rule, err)
		}
		if c.unknown && !strings.Contains(err.Error(), "latchkey team delete canary-") {
			t.Errorf("%s: %v, must say how to delete it", rule, err)
		}
		all, listed := admin.Local(handler).Teams(t.Context())
		if left := c.makes && !c.deletes; listed != nil || (len(all.Teams) > 1) != left {
			t.Errorf("%s: there are the teams %+v (%v)", rule, all.Teams, listed)
		}
		for _, team := range all.Teams[1:] {
			if _, _, err := admin.Local(handler).DeleteTeam(t.Context(), team.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestCanaryNamesLeftovers holds that the teams of canaries that were killed are
// named after an hour, and no others.
func TestCanaryNamesLeftovers(t *testing.T) {
	n, _ := openOps(t)
	api := admin.Local(n.management("", nil).Handler())
	for _, name := range []string{"canary-abcdefgh2345", "canary-abcdefgh2345x", "canary-yellow"} {
		if _, _, err := api.CreateTeam(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	for age, want := range map[time.Duration]int{0: 0, 2 * leftoverAge: 1} {
		var said strings.Builder
		s := &session{globals: &globals{Data: defaultData, JSON: true}, stdout: &said, stderr: &said}
		if err := leftovers(t.Context(), s, api, time.Now().Add(age)); err != nil {
			t.Fatal(err)
		}
		if got := strings.Count(said.String(), "latchkey team delete canary-abcdefgh2345\n"); got != want || strings.Count(said.String(), "\n") != want {
			t.Errorf("after %v: %q", age, said.String())
		}
	}
}
