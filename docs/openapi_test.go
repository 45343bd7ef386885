package docs_test

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The API description of the running server passes spectral's rules, with no
// error and no warning.
func TestSpectral(t *testing.T) {
	need(t, "node", "npm packages")
	dir := t.TempDir()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, serve(t, dir)+"/openapi.json", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(command(t, dir, "key", "show", "default")))
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("GET /openapi.json: %s, %v", answer.Status, err)
	}
	if out, err := spectral(t, text); err != nil {
		t.Errorf("spectral: %v\n%s", err, out)
	}

	// What the linter is for.
	broken := strings.Replace(string(text), `"operationId":"listContacts"`, `"operationId":"getContact"`, 1)
	if broken == string(text) {
		t.Fatal("the description has no listContacts")
	}
	if out, err := spectral(t, []byte(broken)); err == nil {
		t.Errorf("spectral lets an operationId pass that is there twice:\n%s", out)
	}
}

func spectral(t *testing.T, description []byte) (string, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "openapi.json")
	if err := os.WriteFile(file, description, 0o644); err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), "node", "testdata/npm/node_modules/.bin/spectral", "lint", file,
		"--ruleset", "testdata/spectral.yaml", "--fail-severity", "hint")
	out, err := c.CombinedOutput()
	return string(out), err
}
