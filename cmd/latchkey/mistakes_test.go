package main

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"latchkey"
	"latchkey/admin"
)

// A mistake is what a caller does wrong, with a real client, and what support
// must be told of it.
type mistake struct {
	name string
	send func(t *testing.T, c *clients) (body, id string)
	code latchkey.Code  // all that the caller is told
	says *regexp.Regexp // what "request show" says
}

// clients are curl, and Python with requests and PyJWT.
type clients struct {
	url            string
	requests, pyjw string // Pythons that have them
	id, key        string // of a live API secret
	apiKey         string // the current one
}

// pythonWith returns a Python that has a module; the test is skipped where none
// has, and fails where CI is true.
func pythonWith(t *testing.T, module string) string {
	t.Helper()
	for _, name := range []string{"python3", "/usr/bin/python3"} {
		if path, err := exec.LookPath(name); err == nil && exec.CommandContext(t.Context(), path, "-c", "import "+module).Run() == nil {
			return path
		}
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("no Python has %s", module)
	}
	t.Skipf("no Python has %s", module)
	return ""
}

var idField = regexp.MustCompile(`(?im)^x-request-id:[ \t]*(\S+)`)

// curl sends a request with what it is given, which stays out of its arguments.
func (c *clients) curl(t *testing.T, config string) (body, id string) {
	t.Helper()
	run := exec.CommandContext(t.Context(), "curl", "--silent", "--show-error", "--dump-header", "/dev/stderr", "--config", "-", c.url+"/v1/contacts")
	run.Stdin = strings.NewReader(config)
	var out, header bytes.Buffer
	run.Stdout, run.Stderr = &out, &header
	if err := run.Run(); err != nil {
		t.Fatalf("curl: %v: %s", err, header.String())
	}
	found := idField.FindStringSubmatch(header.String())
	if found == nil {
		t.Fatalf("no X-Request-Id: %s", header.String())
	}
	return out.String(), found[1]
}

func bearerBy(value func(c *clients) string) func(*testing.T, *clients) (string, string) {
	return func(t *testing.T, c *clients) (string, string) {
		return c.curl(t, "oauth2-bearer = \""+value(c)+"\"\n")
	}
}

func headerBy(value func(c *clients) string) func(*testing.T, *clients) (string, string) {
	return func(t *testing.T, c *clients) (string, string) {
		return c.curl(t, "header = \"Authorization: "+value(c)+"\"\n")
	}
}

// python runs a program that reads its input as JSON, and returns what it
// prints.
func python(t *testing.T, path, program string, input any) string {
	t.Helper()
	text, err := json.Marshal(input)
	if err != nil {
		t.Fatal(err)
	}
	run := exec.CommandContext(t.Context(), path, "-c", "import json, sys, time\nq = json.load(sys.stdin)\n"+program)
	run.Stdin = bytes.NewReader(text)
	var out, errs bytes.Buffer
	run.Stdout, run.Stderr = &out, &errs
	if err := run.Run(); err != nil {
		t.Fatalf("python: %v: %s", err, errs.String())
	}
	return strings.TrimSpace(out.String())
}

// signed sends a token that PyJWT made with a signing secret and an iat, which
// is a Python expression.
func signed(secret func(c *clients) string, iat string) func(*testing.T, *clients) (string, string) {
	return func(t *testing.T, c *clients) (string, string) {
		token := python(t, c.pyjw, `import jwt
now = int(time.time())
print(jwt.encode({"iss": q["id"], "iat": `+iat+`}, q["secret"], algorithm="HS256"))`,
			map[string]string{"id": c.id, "secret": secret(c)})
		return c.curl(t, "oauth2-bearer = \""+token+"\"\n")
	}
}

// basicBy sends a user name and a password, a Python expression, by requests.
func basicBy(password string) func(*testing.T, *clients) (string, string) {
	return func(t *testing.T, c *clients) (string, string) {
		answer := python(t, c.requests, `import requests, warnings
warnings.simplefilter("ignore")
r = requests.get(q["url"] + "/v1/contacts", auth=(q["key"], `+password+`))
print(r.headers["X-Request-Id"])
print(r.text)`, map[string]string{"url": c.url, "key": c.apiKey})
		id, body, _ := strings.Cut(answer, "\n")
		return body, id
	}
}

// secretOf is ID||KEY, as it is right.
func (c *clients) secretOf() string { return c.id + "||" + c.key }

// mistakes are those that issue 5 names. dead and revoked are of the team, too.
func mistakes(deadKey, revokedID, revokedKey string) []mistake {
	re := regexp.MustCompile
	invalid, bad := latchkey.CodeInvalidCredentials, latchkey.CodeMalformedCredentials
	key := func(c *clients) string { return c.apiKey }
	b64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	of := func(change func(string) string) func(*clients) string {
		return func(c *clients) string { return change(c.apiKey) }
	}
	const now = "now"
	return []mistake{
		{"signed with the key alone", signed(func(c *clients) string { return c.key }, now), invalid, re(`signed with the API Secret Key alone\. Sign with`)},
		{"ID:KEY", signed(func(c *clients) string { return c.id + ":" + c.key }, now), invalid, re(`signed with ID:KEY`)},
		{"IDKEY", signed(func(c *clients) string { return c.id + c.key }, now), invalid, re(`signed with IDKEY`)},
		{"base64 of it", signed(func(c *clients) string { return b64(c.secretOf()) }, now), invalid, re(`signed with ID\|\|KEY in base64`)},
		{"hex of it", signed(func(c *clients) string { return hex.EncodeToString([]byte(c.secretOf())) }, now), invalid, re(`signed with ID\|\|KEY in hexadecimal`)},
		{"a trailing newline", signed(func(c *clients) string { return c.secretOf() + "\n" }, now), invalid, re(`signed with ID\|\|KEY and a newline`)},
		{"iat in milliseconds", signed((*clients).secretOf, "now * 1000"), bad, re(`iat is in milliseconds`)},
		{"iat as text", signed((*clients).secretOf, "str(now)"), bad, re(`iat is a string\. Send a number`)},
		{"clock ahead", signed((*clients).secretOf, "now + 3600"), latchkey.CodeTokenNotYetValid, re(`iat is 3[56]\d\d s in the future: the clock that it was signed by is ahead`)},
		{"clock behind, expired", signed((*clients).secretOf, "now - 1000"), latchkey.CodeTokenExpired,
			re(`expired 7\d\d s ago.*the clock that it was signed by is 1\d\d\d s behind`)},
		{"a revoked secret", func(t *testing.T, c *clients) (string, string) {
			revoked := *c
			revoked.id, revoked.key = revokedID, revokedKey
			return signed((*clients).secretOf, now)(t, &revoked)
		}, invalid, re(`is revoked\. It was revoked at 20\d\d-\S+Z by \S`)},
		{"a dead key", bearerBy(func(*clients) string { return deadKey }), invalid, re(`This API key is dead\. It was rolled at 20\d\d-\S+Z by \S`)},
		{"the secret key as a Bearer key", bearerBy(func(c *clients) string { return c.key }), invalid, re(`looks like an API Secret Key`)},
		{"Basic without a colon", headerBy(func(c *clients) string { return "Basic " + b64(c.apiKey) }), bad, re(`no colon after the API key`)},
		{"Basic with a password", basicBy(`"secret-password"`), bad, re(`There is a password`)},
		{"Basic with the word None", basicBy("None"), bad, re(`the word None`)},
		{"a key cut short", bearerBy(of(func(k string) string { return k[:len(k)-5] })), invalid, re(`cut short: it has \d+ of \d+ characters`)},
		{"a key with a typo", bearerBy(of(func(k string) string { return k[:8] + nextChar(k[8]) + k[9:] })), invalid, re(`a typing mistake: its checksum`)},
		{"a key of Stripe", bearerBy(func(*clients) string { return "sk_live_" + rand.Text() }), invalid, re(`a key of another service \(Stripe\)`)},
		{"a key of GitHub", bearerBy(func(*clients) string { return "ghp_" + rand.Text() }), invalid, re(`a key of another service \(GitHub\)`)},
		{"a key of nobody", bearerBy(func(*clients) string { return rand.Text() + "x" }), invalid, re(`No team has this API key`)},
		{"the key by another scheme", headerBy(func(c *clients) string { return "Token " + key(c) }), bad, re(`first word is Token`)},
		{"nothing", func(t *testing.T, c *clients) (string, string) { return c.curl(t, "") }, latchkey.CodeMissingCredentials, re(`There is no credential`)},
	}
}

// TestMistakes makes each of the usual mistakes with a real client, and holds
// that "request show" tells support what it was, while the caller is told what
// it may be told. No value that was sent is anywhere in the data directory.
func TestMistakes(t *testing.T) {
	c := &clients{requests: pythonWith(t, "requests"), pyjw: pythonWith(t, "jwt.api_jwt")}
	if _, err := exec.LookPath("curl"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("there is no curl")
		}
		t.Skip("there is no curl")
	}
	data := filepath.Join(t.TempDir(), "data")
	p := startServer(t, data)
	c.url = p.url
	api := admin.Dial(socketPath(data))
	ended, _, err := api.RollKey(t.Context(), firstTeam, 0)
	if err != nil {
		t.Fatal(err)
	}
	rolled, _, err := api.RollKey(t.Context(), firstTeam, 0)
	if err != nil {
		t.Fatal(err)
	}
	revoked, _, err := api.CreateSecret(t.Context(), firstTeam)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := api.RevokeSecret(t.Context(), revoked.ID); err != nil {
		t.Fatal(err)
	}
	live, _, err := api.CreateSecret(t.Context(), firstTeam)
	if err != nil {
		t.Fatal(err)
	}
	c.apiKey, c.id, c.key = rolled.APIKey, live.ID, live.Key
	for _, m := range mistakes(ended.APIKey, revoked.ID, revoked.Key) {
		t.Run(m.name, func(t *testing.T) { m.check(t, c, data, api) })
	}
	t.Run("fingerprints", func(t *testing.T) { fingerprints(t, c, data, p) })
	for name, value := range map[string]string{"dead API key": ended.APIKey, "API key": c.apiKey, "API Secret Key": c.key, "password": "secret-password"} {
		if file := fileWith(t, data, value); file != "" {
			t.Errorf("%s holds the %s that was sent", file, name)
		}
	}
}

// check makes the mistake until its diagnosis is there: a machine that is too
// busy leaves diagnoses out, by design, and no more than that.
func (m *mistake) check(t *testing.T, c *clients, data string, api *admin.Client) {
	for deadline := time.Now().Add(patience); ; {
		body, id := m.send(t, c)
		var answer struct {
			Code   latchkey.Code `json:"code"`
			Detail string        `json:"detail"`
		}
		if err := json.Unmarshal([]byte(body), &answer); err != nil || answer.Code != m.code {
			t.Fatalf("the caller is told %s, must be told %s", body, m.code)
		}
		if m.code == latchkey.CodeInvalidCredentials && m.says.MatchString(answer.Detail) {
			t.Errorf("the caller is told %q", answer.Detail)
		}
		time.Sleep(150 * time.Millisecond) // the diagnosis is made beside the request
		r, err := api.Request(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if !m.says.MatchString(r.Diagnosis) && time.Now().Before(deadline) {
			continue
		}
		shown, err := runCommand(t, "--data", data, "request", "show", id)
		if err != nil || !m.says.MatchString(strings.Join(strings.Fields(shown), " ")) {
			t.Errorf("request show does not say %q: %v\n%s", m.says, err, shown)
		}
		return
	}
}

// fingerprints holds that two refusals of the same wrong key can be seen to be
// of the same, also after a restart, and that what was sent is kept nowhere.
func fingerprints(t *testing.T, c *clients, data string, p *process) {
	wrong, other := rand.Text()+"w", rand.Text()+"o"
	of := func(value string) string {
		for deadline := time.Now().Add(patience); ; {
			_, id := c.curl(t, "oauth2-bearer = \""+value+"\"\n")
			time.Sleep(150 * time.Millisecond)
			r, err := admin.Dial(socketPath(data)).Request(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			if r.CredentialID != "" || time.Now().After(deadline) {
				return r.CredentialID
			}
		}
	}
	first, again, another := of(wrong), of(wrong), of(other)
	p.kill()
	p = startServer(t, data)
	c.url = p.url
	later := of(wrong)
	if first != again || first != later || first == another || !strings.HasPrefix(first, latchkey.FingerprintPrefix) {
		t.Errorf("one wrong key is %q, %q and after a restart %q; another one %q", first, again, later, another)
	}
	list, err := runCommand(t, "--data", data, "request", "list", "--credential", first)
	if err != nil || strings.Count(list, "key_unknown") != 3 {
		t.Errorf("the refusals of one wrong key are listed by its fingerprint: %v\n%s", err, list)
	}
	for _, value := range []string{wrong, other} {
		if file := fileWith(t, data, value); file != "" {
			t.Errorf("%s holds the wrong key that was sent", file)
		}
	}
}

// fileWith returns the first file that holds a text.
func fileWith(t *testing.T, dir, text string) (found string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if err == nil && bytes.Contains(content, []byte(text)) {
			found = path
		}
		return err
	})
	if err != nil {
		t.Fatal(fmt.Errorf("read the data directory: %w", err))
	}
	return found
}
