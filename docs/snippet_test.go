package docs_test

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"latchkey"
)

// A language is how its snippets are run. {} stands for the snippet's file.
type language struct {
	dir     string
	needs   []string
	run     []string
	version []string
	count   int // of snippets: one that is not run is one that nobody notices
}

var languages = []language{
	{"bash", []string{"bash", "curl", "openssl"}, []string{"bash", "{}"}, []string{"curl", "--version"}, 3},
	{"python", []string{"python3"}, []string{"python3", "{}"}, []string{"python3", "--version"}, 4},
	{"javascript", []string{"node", "npm packages"}, []string{"node", "{}"}, []string{"node", "--version"}, 4},
	{"go", []string{"go"}, []string{"go", "run", "{}"}, []string{"go", "env", "GOVERSION"}, 6},
	{"ruby", []string{"ruby"}, []string{"ruby", "{}"}, []string{"ruby", "--version"}, 3},
	{"php", []string{"php"}, []string{"php", "{}"}, []string{"php", "--version"}, 3},
	{"java", []string{"javac"}, []string{"java", "{}"}, []string{"java", "-version"}, 3},
}

// methodOf says which method a snippet shows: its name does.
func methodOf(file string) latchkey.Method {
	name := strings.ToLower(filepath.Base(file))
	for _, m := range []latchkey.Method{latchkey.MethodBearer, latchkey.MethodBasic, latchkey.MethodJWT} {
		if strings.Contains(name, string(m)) {
			return m
		}
	}
	return latchkey.MethodNone
}

// A caller is an environment for snippets, and what they must see with it.
type caller struct {
	env    []string
	status string
	says   []string
	record latchkey.Record // outcome and reasons of the two kinds of credential
}

func TestSnippets(t *testing.T) {
	dir := t.TempDir()
	url := serve(t, dir)
	var made struct {
		APIKey string `json:"api_key"`
		Secret struct{ ID, Key string }
	}
	if err := json.Unmarshal([]byte(commandJSON(t, dir, "team", "create", "snippets")), &made); err != nil {
		t.Fatal(err)
	}
	right := caller{
		env: environment(url, made.APIKey, made.Secret.ID, made.Secret.Key), status: "200", says: []string{"contacts", "next_cursor"},
		record: latchkey.Record{Outcome: latchkey.OutcomeAccepted, Status: 200},
	}
	wrong := caller{
		env: environment(url, "lk_wrong", made.Secret.ID, "wrong"), status: "401",
		says:   []string{"invalid_credentials", "The credential is not valid. Support can look up the reason by the request ID"},
		record: latchkey.Record{Outcome: latchkey.OutcomeDenied, Status: 401},
	}
	for _, l := range languages {
		t.Run(l.dir, func(t *testing.T) {
			need(t, l.needs...)
			files := l.files(t)
			version := l.versionOf(t)
			work := l.workDir(t)
			for _, file := range files {
				t.Run(filepath.Base(file), func(t *testing.T) {
					t.Parallel()
					l.check(t, work, file, dir, right)
					l.check(t, work, file, dir, wrong)
					l.checkUnset(t, work, file, right)
					if !t.Failed() {
						runs.add(file, string(methodOf(file)), version, "200", "401 invalid_credentials", "2 of 2")
					}
				})
			}
		})
	}
}

func environment(url, key, secretID, secretKey string) []string {
	return testEnv("LATCHKEY_URL="+url, "LATCHKEY_API_KEY="+key, "LATCHKEY_SECRET_ID="+secretID, "LATCHKEY_SECRET_KEY="+secretKey)
}

func commandJSON(t *testing.T, dir string, args ...string) string {
	t.Helper()
	return command(t, dir, append(args, "--json")...)
}

// files returns the snippets of a language, of all three methods.
func (l *language) files(t *testing.T) []string {
	t.Helper()
	all, err := filepath.Glob("clients/" + l.dir + "/*.*")
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	methods := make(map[latchkey.Method]bool)
	for _, file := range all {
		if m := methodOf(file); m != latchkey.MethodNone {
			files = append(files, file)
			methods[m] = true
		}
	}
	if len(files) != l.count || len(methods) != 3 {
		t.Fatalf("%s has %d snippets of %d methods, want %d of 3", l.dir, len(files), len(methods), l.count)
	}
	return files
}

var versionNumber = regexp.MustCompile(`\d+\.\d+(\.\d+)?`)

func (l *language) versionOf(t *testing.T) string {
	t.Helper()
	c := exec.CommandContext(t.Context(), "/usr/bin/env", l.version...)
	c.Env = testEnv()
	out, err := c.CombinedOutput()
	number := versionNumber.FindString(string(out))
	if err != nil || number == "" {
		t.Fatalf("%s: %v\n%s", strings.Join(l.version, " "), err, out)
	}
	return l.version[0] + " " + number
}

// workDir returns where the snippets of a language are run: in place, but for
// those that need packages beside them.
func (l *language) workDir(t *testing.T) string {
	t.Helper()
	if l.dir != "javascript" {
		return "clients/" + l.dir
	}
	work := t.TempDir()
	copyDir(t, work, "clients/"+l.dir)
	linkPackages(t, work)
	return work
}

func linkPackages(t *testing.T, dir string) {
	t.Helper()
	packages, err := filepath.Abs("testdata/npm/node_modules")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(packages, filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
}

func copyDir(t *testing.T, to, from string) {
	t.Helper()
	entries, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		text, err := os.ReadFile(filepath.Join(from, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(to, entry.Name()), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// firstLine is what every snippet prints first.
var firstLine = regexp.MustCompile(`(?m)^(\d{3}) ([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$`)

// check runs a snippet, and looks for what it must print and for the record of
// the request ID that it printed.
func (l *language) check(t *testing.T, work, file, data string, who caller) {
	t.Helper()
	args := strings.Split(strings.ReplaceAll(strings.Join(l.run, " "), "{}", filepath.Base(file)), " ")
	c := exec.CommandContext(t.Context(), "/usr/bin/env", args...)
	c.Dir, c.Env = work, who.env
	out, err := c.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if failed := err != nil; failed != (who.status != "200") {
		t.Errorf("with status %s to come, the snippet ended with: %v", who.status, err)
	}
	m := firstLine.FindSubmatch(out)
	if m == nil || string(m[1]) != who.status {
		t.Fatalf("the snippet does not print status %s and request ID:\n%s", who.status, out)
	}
	for _, want := range who.says {
		if !strings.Contains(string(out), want) {
			t.Errorf("the snippet does not say %q:\n%s", want, out)
		}
	}
	var got latchkey.Record
	if err := json.Unmarshal([]byte(commandJSON(t, data, "request", "show", string(m[2]))), &got); err != nil {
		t.Fatal(err)
	}
	if got.Outcome != who.record.Outcome || got.Status != who.record.Status || got.Auth != methodOf(file) {
		t.Errorf("the record says %s, status %d, by %q; want %s, %d, %q",
			got.Outcome, got.Status, got.Auth, who.record.Outcome, who.record.Status, methodOf(file))
	}
}

// checkUnset runs a snippet with one variable unset, for each that it needs: it must
// say which, and send nothing in the place of a credential.
func (l *language) checkUnset(t *testing.T, work, file string, who caller) {
	t.Helper()
	names := []string{"LATCHKEY_URL", "LATCHKEY_API_KEY"}
	if methodOf(file) == latchkey.MethodJWT {
		names = []string{"LATCHKEY_URL", "LATCHKEY_SECRET_ID", "LATCHKEY_SECRET_KEY"}
	}
	for _, name := range names {
		says := name
		if strings.HasPrefix(filepath.Base(file), "client_") { // the package does not know where its values come from
			says = map[string]string{
				"LATCHKEY_URL": "the request's URL names no host", "LATCHKEY_API_KEY": "the API key is empty",
				"LATCHKEY_SECRET_ID": "the API Secret ID is empty", "LATCHKEY_SECRET_KEY": "the API Secret Key is empty",
			}[name]
		}
		unset := slices.DeleteFunc(slices.Clone(who.env), func(v string) bool { return strings.HasPrefix(v, name+"=") })
		args := strings.Split(strings.ReplaceAll(strings.Join(l.run, " "), "{}", filepath.Base(file)), " ")
		c := exec.CommandContext(t.Context(), "/usr/bin/env", args...)
		c.Dir, c.Env = work, unset
		out, err := c.CombinedOutput()
		if err == nil || !strings.Contains(string(out), says) || firstLine.Match(out) {
			t.Errorf("without %s the snippet must fail, say %q and send nothing: %v\n%s", name, says, err, out)
		}
	}
}

// The JavaScript snippets are TypeScript too, as they stand.
func TestTypeScript(t *testing.T) {
	need(t, "node", "npm packages")
	dir := t.TempDir()
	linkPackages(t, dir)
	files, err := filepath.Glob("clients/javascript/*.mjs")
	if err != nil || len(files) != 4 {
		t.Fatalf("%d snippets, want 4 (%v)", len(files), err)
	}
	args := []string{"node_modules/.bin/tsc", "--noEmit", "--strict", "--target", "es2022", "--module", "nodenext", "--types", "node", "--skipLibCheck"}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(file), ".mjs") + ".mts"
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			t.Fatal(err)
		}
		args = append(args, name)
	}
	c := exec.CommandContext(t.Context(), "node", args...)
	c.Dir = dir
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("tsc --strict: %v\n%s", err, out)
	}
}
