// Package docs_test holds the documentation to what the program does: every
// snippet runs, every console session on a page is repeated, every link leads
// somewhere.
//
//	go test ./docs            fails with a diff where a page has drifted
//	go test ./docs -update    writes what was seen into the pages
package docs_test

import (
	"bytes"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write what was seen into the pages")

// patience bounds every wait for another process.
const patience = time.Minute

// What all tests share. TestMain sets it before any of them runs.
var (
	binDir string // holds latchkey, and python3 if Debian's is not the first in PATH
	runs   table
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(mainTests(m))
}

func mainTests(m *testing.M) int {
	var err error
	if binDir, err = os.MkdirTemp("", "latchkey-docs-*"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(binDir)
	if err := build(filepath.Join(binDir, "latchkey")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if python := pythonWithJWT(); python != "" {
		if err := os.Symlink(python, filepath.Join(binDir, "python3")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	code := m.Run()
	if text := runs.text(); text != "" {
		fmt.Print(text)
		// go test shows what a passing package prints only with -v: make test
		// shows this file.
		if err := os.WriteFile("testdata/runs.txt", []byte(text), 0o644); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return code
}

// build makes the program that the pages speak of, without the race detector.
func build(path string) error {
	// go test knows the inputs of a cached result by the files that this
	// process looks at; what go build reads is not among them.
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if name := d.Name(); path != ".." && (strings.HasPrefix(name, ".") || name == "testdata" || name == "node_modules" || name == "latchkey-data") {
			return fs.SkipDir
		}
		_, err = os.Stat(path)
		return err
	})
	if err != nil {
		return fmt.Errorf("look at the sources: %w", err)
	}
	command := exec.Command("go", "build", "-o", path, "latchkey/cmd/latchkey")
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("build latchkey: %w\n%s", err, out)
	}
	return nil
}

// pythonWithJWT returns a Python that has PyJWT: Debian's package is for
// Debian's own Python, which may not be the first in PATH.
func pythonWithJWT() string {
	for _, name := range []string{"python3", "/usr/bin/python3"} {
		path, err := exec.LookPath(name)
		if err == nil && exec.Command(path, "-c", "import jwt.api_jwt").Run() == nil {
			return path
		}
	}
	return ""
}

// need skips a test for whose programs a laptop has not; where CI is true,
// everything must be there.
func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, program := range programs {
		found := true
		switch program {
		case "python3":
			found = pythonWithJWT() != ""
		case "npm packages":
			_, err := os.Stat("testdata/npm/node_modules/.bin/spectral")
			found = err == nil
		default:
			_, err := exec.LookPath(program)
			found = err == nil
		}
		switch {
		case found:
		case os.Getenv("CI") == "true":
			t.Fatalf("%s is missing: scripts/setup installs it", program)
		default:
			t.Skipf("%s is missing: scripts/setup installs it", program)
		}
	}
}

// testEnv is the environment of what tests start: ours, without variables of
// latchkey's, with the program first in PATH, and more.
func testEnv(more ...string) []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "LATCHKEY_") })
	return append(append(env, "PATH="+binDir+string(os.PathListSeparator)+os.Getenv("PATH")), more...)
}

// command runs the program in a directory, and returns its standard output.
func command(t *testing.T, dir string, args ...string) string {
	t.Helper()
	c := exec.CommandContext(t.Context(), filepath.Join(binDir, "latchkey"), args...)
	var out, errs bytes.Buffer
	c.Dir, c.Env, c.Stdout, c.Stderr = dir, testEnv(), &out, &errs
	if err := c.Run(); err != nil {
		t.Fatalf("latchkey %s: %v\n%s", strings.Join(args, " "), err, errs.String())
	}
	return out.String()
}

var listening = regexp.MustCompile(`API on (http://\S+)`)

// serve starts a server with its data in dir, and returns its URL.
func serve(t *testing.T, dir string, args ...string) string {
	t.Helper()
	log := filepath.Join(dir, "server.log")
	f, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c := exec.Command(filepath.Join(binDir, "latchkey"), append([]string{"serve", "--listen", "127.0.0.1:0", "--console", ""}, args...)...)
	c.Dir, c.Env, c.Stderr = dir, testEnv(), f
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		text, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		if m := listening.FindSubmatch(text); m != nil {
			return string(m[1])
		}
	}
	t.Fatal("the server does not listen")
	return ""
}

// A table is what ran, for people.
type table struct {
	mu   sync.Mutex
	rows [][]string
}

func (t *table) add(row ...string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rows = append(t.rows, row)
}

func (t *table) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.rows) == 0 {
		return ""
	}
	slices.SortFunc(t.rows, slices.Compare[[]string])
	rows := append([][]string{{"SNIPPET", "METHOD", "RUN BY", "CREDENTIAL HELD", "CREDENTIAL WRONG", "IDS FOUND"}}, t.rows...)
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], len(cell))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		line := ""
		for i, cell := range row {
			line += fmt.Sprintf("%-*s  ", widths[i], cell)
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return b.String()
}
