package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"latchkey": main})
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

// buildProgram makes the command as its users run it. The stories start it some
// hundred times: with the race detector in it, most of their time would be its
// start. What runs in it at the same time, other tests run with the detector.
func buildProgram(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "latchkey")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return program
}
