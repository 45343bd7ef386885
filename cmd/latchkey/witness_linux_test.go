package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestWitness: a lock has one name, by whichever process it is held, and no other
// that somebody may hold has it.
func TestWitness(t *testing.T) {
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
	if name == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("CI needs its temporary files on ext4, XFS, Btrfs or tmpfs")
		}
		t.Skip("no certain name on the file system of temporary files")
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		t.Fatal(err)
	}
	var file unix.Stat_t
	if err := unix.Stat(first.Name(), &file); err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprint(strings.TrimSpace(string(boot)), " ", file.Dev, " ", file.Ino); name != want {
		t.Errorf("a lock is %q, must be %q: the kernel's run, the device and the inode", name, want)
	}
	_ = first.Close()
	held, again := claim(dir)
	if again != name {
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
	// What the kernel makes up has no inodes of its own.
	if made, err := os.Open("/proc/self/status"); err == nil {
		defer made.Close()
		if got := witness(made); got != "" {
			t.Errorf("a file in /proc has the witness %q", got)
		}
	}
}
