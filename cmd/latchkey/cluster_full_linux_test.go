package main

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"latchkey/postgres/postgrestest"
)

// smallLog puts the log of a database (pg_wal) onto a file system of its own, and
// returns what fills the rest of it, or makes room again.
func smallLog(t *testing.T, server *postgrestest.Server) (filler func(full bool)) {
	t.Helper()
	var data string
	if err := connectTo(t, server.URL("postgres")).QueryRow(t.Context(), "SHOW data_directory").Scan(&data); err != nil {
		t.Fatal(err)
	}
	server.Stop(t)
	dir := filepath.Join(data, "pg_wal")
	var owner unix.Stat_t
	if err := unix.Stat(dir, &owner); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir, dir+".old"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=192m,mode=700"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("a small disk cannot be mounted: %v", err)
		}
		t.Skipf("a small disk cannot be mounted: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	if err := unix.Chown(dir, int(owner.Uid), int(owner.Gid)); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("cp", "-a", dir+".old/.", dir).CombinedOutput(); err != nil {
		t.Fatalf("copy the log: %v: %s", err, out)
	}
	server.Start(t)
	return func(full bool) {
		t.Helper()
		name := filepath.Join(dir, "filler")
		if !full {
			if err := os.Remove(name); err != nil {
				t.Fatal(err)
			}
			return
		}
		f, err := os.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := io.Copy(f, zeros{}); err == nil {
			t.Fatal("the small disk takes everything")
		}
	}
}

// zeros never ends.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// TestDatabaseDiskFull: a database whose disk for its log is full ends by itself.
// Changes fail in a line, verdicts go on for the lease and are 503 then, and all
// comes back with room.
func TestDatabaseDiskFull(t *testing.T) {
	server := postgrestest.Start(t)
	filler := smallLog(t, server)
	f := newCluster(t, server)
	const lease = 5 * time.Second
	p := f.start(t, "first", "--lease", lease.String())
	name := f.database[strings.LastIndexByte(f.database, '/')+1:]
	full := time.Now()
	filler(true)
	// The next file of the log cannot be made: the server ends, in the way of a crash.
	c := connectTo(t, server.URL(name))
	for i := 0; i < 100; i++ {
		if _, err := c.Exec(t.Context(), "SELECT pg_switch_wal(), pg_logical_emit_message(true, 'fill', repeat('x', 1000000))"); err != nil {
			t.Logf("the database says: %v", err)
			break
		}
	}
	down := time.Now()
	if got := p.status(t, "Bearer lk_unknown"); got != http.StatusUnauthorized && time.Since(down) < lease/2 {
		t.Errorf("within the lease, a verdict is %d, must be made from memory", got)
	}
	_, said, code := f.latchkey(t, "first", "key", "roll", firstTeam)
	if code == 0 || strings.Count(said, "\n") != 1 || strings.Contains(said, "panic") {
		t.Errorf("a roll on a full disk: exit code %d, %q, must fail in one line", code, said)
	}
	waitFor(t, "the lease to be over", func() bool { return p.status(t, "Bearer lk_unknown") == http.StatusServiceUnavailable })
	t.Logf("on a full disk, %v after it was full: %d, %s", time.Since(full).Round(time.Millisecond), code, said)
	filler(false)
	server.Kill(t) // what is left of it
	server.Start(t)
	waitFor(t, "the node to answer again", func() bool { return p.status(t, "Bearer lk_unknown") == http.StatusUnauthorized })
	key := f.key(t, "first") // the roll may have been made
	waitFor(t, "the contacts to be there again", func() bool { return p.status(t, "Bearer "+key) == http.StatusOK })
	if _, _, err := f.api("first").RollKey(t.Context(), firstTeam, 0); err != nil {
		t.Errorf("a roll when there is room again: %v", err)
	}
	if got := p.status(t, "Bearer "+key); got != http.StatusUnauthorized {
		t.Errorf("after it, the old key is answered %d", got)
	}
}
