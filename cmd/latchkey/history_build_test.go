package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// taggedTags are the build tags of the program that histories run: its clock is
// read from a file (torture), and LATCHKEY_HISTORY_TAGS may add mutant.
func taggedTags() string {
	if more := os.Getenv("LATCHKEY_HISTORY_TAGS"); more != "" {
		return "torture," + more
	}
	return "torture"
}

var buildOnce = sync.OnceValues(func() (program string, err error) {
	if _, err := build(); err != nil { // makes the directory
		return "", err
	}
	program = filepath.Join(programDir, "latchkey-history")
	if out, err := exec.Command("go", "build", "-tags", taggedTags(), "-o", program, ".").CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return program, nil
})

// buildTagged returns the program that histories run. LATCHKEY_HISTORY_PROGRAM
// names one that was built before.
func buildTagged(t *testing.T) string {
	t.Helper()
	if program := os.Getenv("LATCHKEY_HISTORY_PROGRAM"); program != "" {
		return program
	}
	program, err := buildOnce()
	if err != nil {
		t.Fatal(err)
	}
	return program
}
