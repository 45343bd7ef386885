//go:build linux

package main

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	"latchkey"
)

// openTerminal returns a pseudo-terminal: our end, and the command's.
func openTerminal(t *testing.T) (ours, theirs *os.File) {
	t.Helper()
	ours, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ours.Close() })
	if err := unix.IoctlSetPointerInt(int(ours.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(ours.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = theirs.Close() })
	return ours, theirs
}

// echoes reports whether a terminal shows what is typed.
func echoes(t *testing.T, terminal *os.File) bool {
	t.Helper()
	state, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return state.Lflag&unix.ECHO != 0
}

// A value is typed at a prompt that does not show it, and the terminal is given
// back as it was, whatever ends the prompt.
func TestHiddenPrompt(t *testing.T) {
	for name, end := range map[string]func(terminal *os.File, p *os.Process) error{
		"typed": func(terminal *os.File, _ *os.Process) error {
			_, err := terminal.WriteString("0123456789abcdef\n")
			return err
		},
		"interrupted": func(_ *os.File, p *os.Process) error { return p.Signal(syscall.SIGINT) },
	} {
		t.Run(name, func(t *testing.T) {
			ours, theirs := openTerminal(t)
			c := command(t, "key", "import", "acme", "--data", t.TempDir()+"/none")
			var output bytes.Buffer
			c.Stdin, c.Stdout, c.Stderr = theirs, &output, &output
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			deadline := time.Now().Add(patience)
			for echoes(t, ours) {
				if time.Now().After(deadline) {
					t.Fatal("the terminal still shows what is typed")
				}
				time.Sleep(5 * time.Millisecond)
			}
			if err := end(ours, c.Process); err != nil {
				t.Fatal(err)
			}
			if err := c.Wait(); c.ProcessState.ExitCode() != exitFailed {
				t.Errorf("ended with %v, want exit code 1", err)
			}
			if !echoes(t, ours) {
				t.Error("the terminal is left silent")
			}
			if !strings.HasPrefix(output.String(), "API key (not shown): \nlatchkey: ") {
				t.Errorf("output %q does not begin with the prompt", output.String())
			}
			if strings.Contains(output.String(), "0123456789abcdef") {
				t.Error("the output repeats what was typed")
			}
		})
	}
}

// A writer that hides which file it writes to.
type pipe struct{ io.Writer }

// TestExportOnATerminal holds that records which are shown are not drawn over,
// and that the number of records comes after them.
func TestExportOnATerminal(t *testing.T) {
	const count = 3
	data := filepath.Join(t.TempDir(), "data")
	lock, err := claimDir(t.Context(), data, true)
	if err != nil {
		t.Fatal(err)
	}
	n, err := openNode(t.Context(), lock, nodeConfig{Data: data, Node: "node-1", Create: true, Command: true, By: latchkey.System, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	var records []latchkey.Record
	for range count {
		records = append(records, latchkey.Record{RequestID: uuid.Must(uuid.NewV7()).String(), Time: time.Now().Add(-time.Second), Status: 200})
	}
	if err := n.store.AppendRecords(t.Context(), records); err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	for _, shown := range []bool{true, false} {
		ours, theirs := openTerminal(t)
		s := &session{globals: &globals{Data: data}, stdout: theirs, stderr: theirs}
		if !shown {
			s.stdout = pipe{theirs}
		}
		if err := (&requestExport{}).Run(s); err != nil {
			t.Fatal(err)
		}
		if err := theirs.Close(); err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(ours) // ends with EIO: nobody has the other end any more
		got := string(text)
		if lines := strings.Count(got, `"request_id"`); lines != count {
			t.Errorf("records are shown (%t): %d of %d are there", shown, lines, count)
		}
		if shown && strings.Contains(got, "\x1b[K") {
			t.Errorf("where records are shown there is a bar: %q", got)
		}
		if !shown && !strings.HasSuffix(got, "3 records\r\n") {
			t.Errorf("the number of records does not come last: %q", got)
		}
	}
}
