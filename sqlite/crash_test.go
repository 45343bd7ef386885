package sqlite

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey"
)

// crashVariable names the data directory of the process that is to be killed.
const crashVariable = "SQLITE_CRASH_DIR"

// TestCrashChild is that process: it changes, and says what is done.
func TestCrashChild(t *testing.T) {
	dir := os.Getenv(crashVariable)
	if dir == "" {
		t.Skip("only as a child of TestKilled")
	}
	s := mustOpen(t, dir)
	fmt.Println("opened", s.Created())
	h, err := s.Holding(t.Context(), "default")
	if err != nil {
		t.Fatal(err)
	}
	for {
		after, change, err := s.UpdateTeam(t.Context(), h.Team.ID, roll)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println("rolled", change.Revision, after.APIKey().ID)
		r := latchkey.Record{RequestID: uuid.Must(uuid.NewV7()).String(), Time: time.Now()}
		if err := s.AppendRecords(t.Context(), []latchkey.Record{r}); err != nil {
			t.Fatal(err)
		}
		fmt.Println("recorded", r.RequestID)
	}
}

// acknowledged is what a killed process had said to be done.
type acknowledged struct {
	revision latchkey.Revision
	keyID    string
	records  []string
}

// runUntilKilled lets a child change the store in dir, and kills it so long
// after it was started, or after it had opened the store.
func runUntilKilled(t *testing.T, dir string, after time.Duration, opened bool) (done acknowledged, startup time.Duration) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, self, "-test.run=^TestCrashChild$")
	cmd.Env = append(os.Environ(), crashVariable+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill := func() { time.AfterFunc(after, func() { _ = cmd.Process.Kill() }) }
	if !opened {
		kill()
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		switch word := strings.Fields(lines.Text()); {
		case len(word) == 3 && word[0] == "rolled":
			n, err := strconv.ParseInt(word[1], 10, 64)
			if err != nil {
				t.Fatalf("child said %q", lines.Text())
			}
			done.revision, done.keyID = latchkey.Revision(n), word[2]
		case len(word) == 2 && word[0] == "recorded":
			done.records = append(done.records, word[1])
		case len(word) == 2 && word[0] == "opened":
			startup = time.Since(begun)
			if opened {
				kill()
			}
		default:
			t.Fatalf("child said %q", lines.Text())
		}
	}
	if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("child was not killed: %v", err)
	}
	return done, startup
}

// TestKilled kills a process again and again in the midst of its changes.
func TestKilled(t *testing.T) {
	const rounds = 20
	dir := t.TempDir()
	var last acknowledged
	total := 0
	for round := range rounds {
		done, _ := runUntilKilled(t, dir, time.Duration(rand.Int64N(int64(200*time.Millisecond))), true)
		total += len(done.records)
		s := openAfterKill(t, dir)
		if s == nil {
			t.Fatalf("round %d: a store that was opened is there", round)
		}
		all := mustChanges(t, s)
		if done.revision == 0 { // killed before its first roll
			done.revision, done.keyID = last.revision, last.keyID
		}
		checkAcknowledged(t, s, all, done)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		last.revision, last.keyID = all.Revision, ""
	}
	t.Logf("%d rounds, %d acknowledged rolls, revision %d", rounds, total, last.revision)
	if total < rounds {
		t.Errorf("only %d acknowledged rolls in %d rounds show too little", total, rounds)
	}
}

// TestKilledWhileMade kills a process while it makes the store: all of it is
// there, or nothing.
func TestKilledWhileMade(t *testing.T) {
	_, startup := runUntilKilled(t, t.TempDir(), 0, true)
	whole := 0
	const rounds = 12
	for round := range rounds {
		dir := t.TempDir()
		done, _ := runUntilKilled(t, dir, startup*time.Duration(round+1)/rounds, false)
		if s := openAfterKill(t, dir); s != nil {
			whole++
			done.revision = max(done.revision, 1)
			checkAcknowledged(t, s, mustChanges(t, s), done)
		} else if done.revision > 0 {
			t.Errorf("an acknowledged roll is there after a kill")
		}
		if s := mustOpen(t, dir); len(mustChanges(t, s).Teams) != 1 {
			t.Errorf("the next start makes what is missing, and nothing twice")
		}
	}
	t.Logf("killed within %v: %d of %d stores were there, whole", startup, whole, rounds)
}

// openAfterKill opens the store without making it; nil if it is not there yet.
func openAfterKill(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(t.Context(), Config{Dir: dir})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatalf("a killed process leaves a store that opens: %v", err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// checkAcknowledged holds a store against what the killed process had said.
func checkAcknowledged(t *testing.T, s *Store, all latchkey.Changes, done acknowledged) {
	t.Helper()
	if all.Revision < done.revision || all.Revision > max(done.revision, 1)+1 {
		t.Errorf("the last acknowledged change is there, and at most one more: acknowledged %d, found %d", done.revision, all.Revision)
	}
	h, err := s.Holding(t.Context(), "default")
	if err != nil {
		t.Fatalf("the first team is there as soon as the schema is: %v", err)
	}
	if len(h.Credentials) != 1 || len(all.Credentials) != int(all.Revision) {
		t.Errorf("a change is there whole or not at all: %d live keys, %d keys at revision %d", len(h.Credentials), len(all.Credentials), all.Revision)
	}
	if all.Revision == done.revision && done.keyID != "" && h.Credentials[0].ID != done.keyID {
		t.Errorf("the last acknowledged key is the current one")
	}
	for _, id := range done.records {
		if _, err := s.Record(t.Context(), id); err != nil {
			t.Errorf("an acknowledged record survives the process: %v", err)
		}
	}
	for _, d := range []*database{s.credentials, s.records} {
		var verdict string
		if err := d.write.QueryRowContext(t.Context(), `PRAGMA integrity_check`).Scan(&verdict); err != nil || verdict != "ok" {
			t.Errorf("%s is sound after a kill: %s, %v", d.path, verdict, err)
		}
	}
}
