package main

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"latchkey/jwt"
)

// spellings are the forms in which a secret could be found in a file.
func spellings(secret string) map[string]string {
	quoted, _ := json.Marshal(secret)
	var percent, escaped strings.Builder
	for _, b := range []byte(secret) {
		fmt.Fprintf(&percent, "%%%02X", b)
		fmt.Fprintf(&escaped, `\u%04x`, b)
	}
	all := map[string]string{
		"plain": secret, "hex": hex.EncodeToString([]byte(secret)), "percent": percent.String(),
		"query": url.QueryEscape(secret), "JSON": strings.Trim(string(quoted), `"`), "JSON escapes": escaped.String(),
	}
	// Base64 of a text that the secret stands in has one of three forms.
	for shift := range 3 {
		whole := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", shift) + secret))
		inner := whole[(shift*8+5)/6 : len(whole)-4]
		all[fmt.Sprint("base64 ", shift)] = inner
		all[fmt.Sprint("base64url ", shift)] = strings.NewReplacer("+", "-", "/", "_").Replace(inner)
	}
	return all
}

// hits returns where a secret stands in a text.
func hits(text []byte, secrets []string) (found []string) {
	lower := bytes.ToLower(text)
	for i, s := range secrets {
		for form, spelt := range spellings(s) {
			if bytes.Contains(text, []byte(spelt)) || form == "hex" && bytes.Contains(lower, []byte(spelt)) {
				found = append(found, fmt.Sprintf("secret %d in %s", i, form))
			}
		}
	}
	return found
}

// TestNoSecretIsLeftAnywhere uses every kind of credential in every way, right
// and wrong, and then searches the data directory and all that the server said.
func TestNoSecretIsLeftAnywhere(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	p := startServer(t, data)
	var secrets []string
	issue := func(args ...string) map[string]any {
		t.Helper()
		out, err := runCommand(t, append([]string{"--data", data, "--json"}, args...)...)
		if err != nil {
			t.Fatal(err)
		}
		var answer map[string]any
		if err := json.Unmarshal([]byte(out), &answer); err != nil {
			t.Fatal(err)
		}
		return answer
	}
	team := issue("team", "create", "acme")
	secret := team["secret"].(map[string]any)
	id, secretKey := secret["id"].(string), secret["key"].(string)
	second := issue("secret", "create", "acme")
	old := team["api_key"].(string)
	rolled := issue("key", "roll", "acme", "--overlap", "1h")["api_key"].(string)
	again := issue("key", "roll", "acme")["api_key"].(string)
	secrets = append(secrets, old, rolled, again, secretKey, second["key"].(string), issue("key", "show", "default")["api_key"].(string))
	imported := "imported-" + rand.Text()
	in := command(t, "--data", data, "key", "import", "default")
	in.Stdin = strings.NewReader(imported + "\n")
	if out, err := in.CombinedOutput(); err != nil {
		t.Fatalf("key import: %v: %s", err, out)
	}
	secrets = append(secrets, imported)
	issue("secret", "revoke", second["id"].(string))

	token := jwt.Sign(id, secretKey, time.Now())
	wrong := jwt.Sign(id, secretKey+"x", time.Now())
	secrets = append(secrets, token[strings.LastIndexByte(token, '.')+1:], wrong[strings.LastIndexByte(wrong, '.')+1:])
	for _, s := range []string{old, rolled, again, secretKey, imported, token, wrong, again + "x"} {
		p.status(t, "Bearer "+s)
		p.status(t, "Basic "+base64.StdEncoding.EncodeToString([]byte(s+":")))
		p.status(t, "Basic "+base64.StdEncoding.EncodeToString([]byte(s+":"+s)))
		p.status(t, "Bearer "+s+" "+s)
		p.status(t, s)
		if answer, err := http.Get(p.url + "/v1/contacts?api_key=" + url.QueryEscape(s)); err == nil {
			answer.Body.Close()
		}
	}
	if _, err := runCommand(t, "--data", data, "request", "list", "--json", "--limit", "1000"); err != nil {
		t.Fatal(err)
	}
	search := func(when string) {
		t.Helper()
		files := 0
		err := filepath.WalkDir(data, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			files++
			text, err := os.ReadFile(path)
			for _, hit := range hits(text, secrets) {
				t.Errorf("%s: %s: %s", when, filepath.Base(path), hit)
			}
			return err
		})
		if err != nil || files < 4 {
			t.Fatalf("%s: searched %d files: %v", when, files, err)
		}
		for _, hit := range hits([]byte(p.output.String()), secrets) {
			t.Errorf("%s: the server's output: %s", when, hit)
		}
	}
	search("while it runs")
	cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.Process.Pid))
	if err != nil || len(hits(cmdline, secrets)) > 0 {
		t.Errorf("the process list: %v %v", hits(cmdline, secrets), err)
	}
	_ = p.Process.Signal(syscall.SIGTERM)
	<-p.ended
	search("after it stopped")
}

func TestTheSearchFindsWhatItLooksFor(t *testing.T) {
	secret := rand.Text()
	for form, spelt := range spellings(secret) {
		if len(hits([]byte("before "+spelt+" after"), []string{secret})) == 0 {
			t.Errorf("a secret in %s is not found", form)
		}
	}
	for shift := range 3 {
		for _, tail := range []string{"", ":", "::", "abc"} {
			basic := base64.StdEncoding.EncodeToString([]byte("abc"[:shift] + secret + tail))
			if len(hits([]byte(basic), []string{secret})) == 0 {
				t.Errorf("a secret in base64 at offset %d before %q is not found", shift, tail)
			}
		}
	}
}
