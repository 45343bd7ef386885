package sqlite

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestReadOnlyDirectory: a data directory that cannot be written to is an error
// that says so. (Root could write anyway: its thread becomes nobody's.)
func TestReadOnlyDirectory(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
			t.Fatal(err)
		}
		runtime.LockOSThread()
		t.Cleanup(func() {
			if _, err := unix.SetfsuidRetUid(0); err == nil {
				runtime.UnlockOSThread() // else the thread ends with the test
			}
		})
		if _, err := unix.SetfsuidRetUid(65534); err != nil {
			t.Fatal(err)
		}
	}
	s, err := Open(t.Context(), Config{Dir: dir, Genesis: genesis})
	if err == nil {
		_ = s.Close()
		t.Fatal("a store cannot be made in a directory that is read-only")
	}
	if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), dir) {
		t.Errorf("the error is about permission, and names the directory: %v", err)
	}
}
