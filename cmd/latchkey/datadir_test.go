package main

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// TestWitness: a lock has one name, by whichever process it is held, and no other
// that somebody may hold has it.
func TestWitness(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the kernel does not say which run of it this is")
	}
	dir := t.TempDir()
	claim := func(dir string) (*os.File, string) {
		t.Helper()
		lock, err := claimDir(t.Context(), dir, true)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = lock.Close() })
		return lock, witness(lock)
	}
	first, name := claim(dir)
	_ = first.Close()
	held, again := claim(dir)
	if name == "" || again != name {
		t.Errorf("a lock that was free is %q, and was %q", again, name)
	}
	if err := os.Remove(held.Name()); err != nil {
		t.Fatal(err)
	}
	if _, other := claim(dir); other == name {
		t.Errorf("a lock that was made while another of its name is held is %q, too", other)
	}
	copied := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if _, other := claim(copied); other == name {
		t.Errorf("the lock of a copy is %q, too", other)
	}
	if witness(nil) != "" {
		t.Error("who has no lock has no witness")
	}
}
