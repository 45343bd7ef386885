package sqlite

import (
	"bufio"
	"context"
	"fmt"
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
		r := latchkey.Record{RequestID: uuid.NewString(), Time: time.Now()}
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

// runUntilKilled lets a child change the store in dir, and kills it after about
// the given time.
func runUntilKilled(t *testing.T, dir string, after time.Duration) (done acknowledged) {
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
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
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
		case len(word) == 0 || word[0] != "opened":
			t.Fatalf("child said %q", lines.Text())
		}
	}
	if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("child was not killed: %v", err)
	}
	return done
}

func TestKilled(t *testing.T) {
	const rounds = 25
	dir := t.TempDir()
	var last acknowledged
	total := 0
	for round := range rounds {
		// The first rounds are killed at about the time when the store is made.
		after := time.Duration(rand.Int64N(int64(400 * time.Millisecond)))
		if round < 5 {
			after = time.Duration(20+10*round) * time.Millisecond
		}
		done := runUntilKilled(t, dir, after)
		if done.revision == 0 {
			done.revision, done.keyID = last.revision, last.keyID
		}
		total += len(done.records)
		last = done
		if _, err := os.Stat(dir + "/" + credentialsFile); err != nil && done.revision == 0 {
			continue // it was killed before it began
		}
		checkAfterKill(t, round, dir, done)
	}
	t.Logf("%d rounds, %d acknowledged rolls, revision %d", rounds, total, last.revision)
	if total < rounds {
		t.Errorf("only %d acknowledged rolls in %d rounds: the children were killed too early to show anything", total, rounds)
	}
}

// checkAfterKill opens the store again: whole, or not there yet.
func checkAfterKill(t *testing.T, round int, dir string, done acknowledged) {
	t.Helper()
	s, err := Open(t.Context(), Config{Dir: dir})
	if err != nil && done.revision == 0 && strings.Contains(err.Error(), "no store yet") {
		return
	}
	if err != nil {
		t.Fatalf("round %d: a killed process leaves a store that opens: %v", round, err)
	}
	defer s.Close()
	all := mustChanges(t, s)
	if all.Revision < max(done.revision, 1) || all.Revision > max(done.revision, 1)+1 {
		t.Errorf("round %d: the last acknowledged change is there, and at most one more: acknowledged %d, found %d", round, done.revision, all.Revision)
	}
	h, err := s.Holding(t.Context(), "default")
	if err != nil {
		t.Fatalf("round %d: the first team is there as soon as the schema is: %v", round, err)
	}
	if len(h.Credentials) != 1 || len(all.Credentials) != int(all.Revision) {
		t.Errorf("round %d: a change is there whole or not at all: %d live keys, %d keys at revision %d", round, len(h.Credentials), len(all.Credentials), all.Revision)
	}
	if all.Revision == done.revision && h.Credentials[0].ID != done.keyID {
		t.Errorf("round %d: the last acknowledged key is the current one", round)
	}
	for _, id := range done.records {
		if _, err := s.Record(t.Context(), id); err != nil {
			t.Errorf("round %d: an acknowledged record survives the process: %v", round, err)
		}
	}
	var verdict string
	for _, d := range []*database{s.credentials, s.records} {
		if err := d.write.QueryRowContext(t.Context(), `PRAGMA integrity_check`).Scan(&verdict); err != nil || verdict != "ok" {
			t.Errorf("round %d: %s is sound after a kill: %s, %v", round, d.path, verdict, err)
		}
	}
}
