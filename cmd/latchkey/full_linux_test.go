package main

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"latchkey/admin"
)

// smallDisk makes the directory of the journal a file system of its own, and
// returns what sets its size in bytes. Package journal has the same with a disk
// of its own making, for those who may not mount.
func smallDisk(t *testing.T, data string) (resize func(size string)) {
	t.Helper()
	dir := filepath.Join(data, "journal")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k,mode=700"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("a small disk cannot be mounted: %v", err)
		}
		t.Skipf("a small disk cannot be mounted: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return func(size string) {
		t.Helper()
		if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_REMOUNT, "size="+size); err != nil {
			t.Fatal(err)
		}
	}
}

var notKept = regexp.MustCompile(`is not recorded: between \S+ and \S+ (\d+) records? w\w+ not kept on`)

// TestJournalDiskFull: a full disk changes no verdict. What it did not take is
// counted exactly, also after a restart, and a look-up says so.
func TestJournalDiskFull(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	resize := smallDisk(t, data)
	p := startServer(t, data)
	key, err := runCommand(t, "--data", data, "key", "show", firstTeam)
	if err != nil {
		t.Fatal(err)
	}
	key = strings.TrimSpace(strings.SplitN(key, "\n", 2)[0])
	const lost = 60
	var gone []string
	for i := range lost {
		want, field := http.StatusOK, "Bearer "+key
		if i%2 == 1 {
			want, field = http.StatusUnauthorized, "Bearer wrong-"+key
		}
		status, id := p.ask(t, field)
		if status != want {
			t.Fatalf("with a full disk a request is answered %d, must be %d", status, want)
		}
		gone = append(gone, id)
	}
	resize("64m")
	time.Sleep(2 * time.Second) // many times what the journal waits before it tries again
	var kept []string
	for range 20 {
		_, id := p.ask(t, "Bearer "+key)
		kept = append(kept, id)
	}
	look := func(when string) {
		t.Helper()
		api := admin.Dial(socketPath(data))
		for _, id := range gone {
			_, err := api.Request(t.Context(), id)
			if err == nil || !notKept.MatchString(err.Error()) {
				t.Fatalf("%s: a record that was not kept: %v", when, err)
			}
			if count := notKept.FindStringSubmatch(err.Error())[1]; count != strconv.Itoa(lost) {
				t.Fatalf("%s: the gap counts %s, must count %d: %v", when, count, lost, err)
			}
		}
		for _, id := range kept {
			if _, err := api.Request(t.Context(), id); err != nil {
				t.Errorf("%s: a record from when there was room again: %v", when, err)
			}
		}
		if _, err := api.Request(t.Context(), "0198c5e2-7d3a-7b61-9f0e-3c1d5a8b2e47"); err == nil || notKept.MatchString(err.Error()) {
			t.Errorf("%s: an ID from outside the gap: %v", when, err)
		}
	}
	look("at once")
	p.kill()
	startServer(t, data)
	look("after a kill")
}

// TestStrictDiskFull: with --journal strict, what cannot be recorded is answered
// unavailable, until there is room.
func TestStrictDiskFull(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	resize := smallDisk(t, data)
	p := startServer(t, data, "--journal", "strict")
	key, err := runCommand(t, "--data", data, "key", "show", firstTeam)
	if err != nil {
		t.Fatal(err)
	}
	key = strings.TrimSpace(strings.SplitN(key, "\n", 2)[0])
	for _, field := range []string{"Bearer " + key, "Bearer wrong"} {
		if status := p.status(t, field); status != http.StatusServiceUnavailable {
			t.Errorf("a request that cannot be recorded is answered %d, must be 503", status)
		}
	}
	resize("64m")
	time.Sleep(2 * time.Second) // many times what the journal waits before it tries again
	if status := p.status(t, "Bearer "+key); status != http.StatusOK {
		t.Errorf("a request that can be recorded again is answered %d", status)
	}
	if status := p.status(t, "Bearer wrong"); status != http.StatusUnauthorized {
		t.Errorf("a refusal that can be recorded again is answered %d", status)
	}
}

// ask sends one request, and returns the status and the ID of the answer.
func (p *process) ask(t *testing.T, authorization string) (status int, id string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+"/v1/contacts", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", authorization)
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	return response.StatusCode, response.Header.Get("X-Request-Id")
}
