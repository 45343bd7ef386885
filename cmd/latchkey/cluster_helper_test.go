package main

import (
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"latchkey/admin"
	"latchkey/postgres/postgrestest"
)

var opsListening = regexp.MustCompile(`(?m)^latchkey: metrics on (\S+)/metrics$`)

// A cluster is nodes that share a database.
type cluster struct {
	server   *postgrestest.Server
	database string // its URL, with a password
	dir      string
	keyset   string // of the first node
}

func newCluster(t *testing.T, server *postgrestest.Server) *cluster {
	t.Helper()
	f := &cluster{server: server, database: server.TCP(server.NewDatabase(t)), dir: t.TempDir()}
	f.keyset = filepath.Join(f.dir, "first", "keyset.json")
	return f
}

// data is the data directory of a node.
func (f *cluster) data(node string) string { return filepath.Join(f.dir, node) }

// start starts a node.
func (f *cluster) start(t *testing.T, node string, args ...string) *process {
	t.Helper()
	t.Setenv("LATCHKEY_DATABASE", f.database)
	return startServer(t, f.data(node), append([]string{"--node", node, "--keyset", f.keyset, "--console="}, args...)...)
}

// latchkey runs a command against a node, or without one against the database.
func (f *cluster) latchkey(t *testing.T, node string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	c := command(t, append([]string{"--data", f.data(node), "--keyset", f.keyset}, args...)...)
	c.Env = append(os.Environ(), "LATCHKEY_DATABASE="+f.database)
	var out, errs strings.Builder
	c.Stdout, c.Stderr = &out, &errs
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errs.String(), c.ProcessState.ExitCode()
}

// must runs a command that must succeed.
func (f *cluster) must(t *testing.T, node string, args ...string) (stdout, stderr string) {
	t.Helper()
	stdout, stderr, code := f.latchkey(t, node, args...)
	if code != 0 {
		t.Fatalf("latchkey %v: exit code %d: %s", args, code, stderr)
	}
	return stdout, stderr
}

// api speaks to a node as commands do.
func (f *cluster) api(node string) *admin.Client { return admin.Dial(socketPath(f.data(node))) }

// key is the current key of the first team.
func (f *cluster) key(t *testing.T, node string) string {
	t.Helper()
	key, err := f.api(node).Key(t.Context(), firstTeam)
	if err != nil {
		t.Fatal(err)
	}
	return key.APIKey
}

// nodes lists the nodes, by name.
func (f *cluster) nodes(t *testing.T, node string) map[string]admin.Node {
	t.Helper()
	list, err := f.api(node).Nodes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	nodes := make(map[string]admin.Node)
	for _, n := range list.Nodes {
		nodes[n.Name] = n
	}
	return nodes
}

// answer is the answer to one request for contacts.
func (p *process) answer(t *testing.T, authorization string) (status int, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+"/v1/contacts", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", authorization)
	return fetch(t, r)
}

// ops asks the listener for those who watch.
func (p *process) ops(t *testing.T, path string) (status int, body string) {
	t.Helper()
	m := opsListening.FindStringSubmatch(p.output.String())
	if m == nil {
		t.Fatalf("there is no listener for --ops: %s", p.output)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, m[1]+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return fetch(t, r)
}

func fetch(t *testing.T, r *http.Request) (status int, body string) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}
