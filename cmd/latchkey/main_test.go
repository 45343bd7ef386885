package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(tidy{m}, map[string]func(){"latchkey": main, "embedded": embedded})
}

// tidy removes the program that was built for the tests.
type tidy struct{ *testing.M }

func (t tidy) Run() int {
	defer func() { _ = os.RemoveAll(programDir) }()
	return t.M.Run()
}

// TestStories runs the stories in testdata: what the command does, with its real
// output.
func TestStories(t *testing.T) {
	program := buildProgram(t)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"serve":    cmdServe,
			"halt":     cmdHalt,
			"pause":    cmdPause,
			"fake":     cmdFake,
			"stale":    cmdStale,
			"http":     cmdHTTP,
			"token":    cmdToken,
			"exits":    cmdExits,
			"capture":  cmdCapture,
			"jsonhas":  cmdJSONHas,
			"jsonkeys": cmdJSONKeys,
			"lines":    cmdLines,
		},
		Setup: func(env *testscript.Env) error {
			env.Values[serversKey{}] = map[string]*running{}
			env.Setenv("PATH", filepath.Dir(program)+string(os.PathListSeparator)+env.Getenv("PATH"))
			env.Setenv("PROGRAM", program)
			return nil
		},
	})
}

// programDir is where buildProgram puts it.
var programDir string

// build makes the command, once, as its users run it.
var build = sync.OnceValues(func() (program string, err error) {
	if programDir, err = os.MkdirTemp("", "latchkey-test-*"); err != nil {
		return "", err
	}
	program = filepath.Join(programDir, "latchkey")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return program, nil
})

// buildProgram returns the command as its users run it. The tests start it some
// hundred times: with the race detector in it, most of their time would be its
// start. What runs in it at the same time, other tests run with the detector.
func buildProgram(t *testing.T) string {
	t.Helper()
	program, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return program
}
