package docs_test

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"latchkey/postgres/postgrestest"
)

// A step is a command of a session, and the output that the page shows.
type step struct {
	line    int // of the page, from 1
	command string
	shown   string
	first   int // the output is p.lines[first:end]
	end     int
}

// steps reads the sessions of a page: "$ COMMAND", "> MORE OF IT", and output.
// A line that ends in a backslash goes on in the next.
func (p *page) steps(t *testing.T) []step {
	t.Helper()
	var all []step
	for _, b := range p.blocks() {
		if b.kind != "console" {
			continue
		}
		for i := b.first; i < b.end; {
			command, ok := strings.CutPrefix(p.lines[i], "$ ")
			if !ok {
				t.Fatalf("%s:%d: a session begins with a command: $ COMMAND", p.path, i+1)
			}
			s := step{line: i + 1}
			for i++; i < b.end; i++ {
				more, ok := strings.CutPrefix(p.lines[i], "> ")
				if !ok && !strings.HasSuffix(command, `\`) {
					break
				}
				if !ok {
					more = p.lines[i]
				}
				command += "\n" + more
			}
			s.command, s.first = command, i
			for i < b.end && !strings.HasPrefix(p.lines[i], "$ ") {
				i++
			}
			s.end = i
			if s.first < s.end {
				s.shown = strings.Join(p.lines[s.first:s.end], "\n") + "\n"
			}
			all = append(all, s)
		}
	}
	return all
}

// A shell is a bash that a page is played to. It runs in a directory of its
// own; addresses such as 127.0.0.1:8080 are other, free ones behind the scenes.
type shell struct {
	stdin  io.WriteCloser
	output *bufio.Reader
	dir    string
	ports  map[string]string // by the port that the page shows
	shown  map[string]string // the other way round
	jobs   int

	aliases [][2]string // what a page shows, and what is in its place
}

// prelude makes bash like the one that a reader has: curl is quiet where it
// writes to a terminal, and "go run" of the program is the program.
const prelude = `
exec 2>&1
go() {
  if [ "$1 $2" = "run ./cmd/latchkey" ]; then shift 2; latchkey "$@"; else command go "$@"; fi
}
`

func newShell(t *testing.T) *shell {
	t.Helper()
	s := &shell{dir: t.TempDir(), ports: make(map[string]string), shown: make(map[string]string)}
	home := t.TempDir()
	if err := os.WriteFile(filepath.Join(home, ".curlrc"), []byte("silent\nshow-error\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := exec.Command("bash", "--noprofile", "--norc")
	c.Dir = s.dir
	c.Env = testEnv(append(goEnv(), "HOME="+home, "CURL_HOME="+home, "LC_ALL=C.UTF-8", "LATCHKEY_NODE=node1",
		"LATCHKEY_LISTEN=127.0.0.1:"+s.port("8080"), "LATCHKEY_CONSOLE=127.0.0.1:"+s.port("8081"))...)
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var err error
	if s.stdin, err = c.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.output = bufio.NewReader(out)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL) // the shell, and what it started
		_ = c.Wait()
	})
	s.send(t, prelude)
	return s
}

// goEnv is Go's own environment, which it would look for in HOME.
var goEnv = sync.OnceValue(func() []string {
	names := []string{"GOPATH", "GOCACHE", "GOMODCACHE", "GOFLAGS", "GOPROXY"}
	out, err := exec.Command("go", append([]string{"env"}, names...)...).Output()
	if err != nil {
		return nil // what needs it fails, and says so
	}
	var env []string
	for i, value := range strings.Split(strings.TrimSuffix(string(out), "\n"), "\n") {
		env = append(env, names[i]+"="+value)
	}
	return env
})

var taken sync.Map // ports that some page has

// port returns a free port for one that a page shows. It has as many digits, so
// that columns stay in place.
func (s *shell) port(shown string) string {
	if real, ok := s.ports[shown]; ok {
		return real
	}
	for {
		real := strconv.Itoa(2000 + rand.IntN(7900))
		if _, ours := taken.LoadOrStore(real, true); ours {
			continue
		}
		l, err := net.Listen("tcp", "127.0.0.1:"+real)
		if err != nil {
			continue
		}
		_ = l.Close()
		s.ports[shown], s.shown[real] = real, shown
		return real
	}
}

var address = regexp.MustCompile(`(127\.0\.0\.1:|localhost:)(\d{4})\b`)

func (s *shell) realPorts(text string) string {
	text = address.ReplaceAllStringFunc(text, func(a string) string { return a[:len(a)-4] + s.port(a[len(a)-4:]) })
	for _, alias := range s.aliases {
		text = strings.ReplaceAll(text, alias[0], alias[1])
	}
	return text
}

func (s *shell) shownPorts(text string) string {
	for _, alias := range s.aliases {
		text = strings.ReplaceAll(text, alias[1], alias[0])
	}
	return address.ReplaceAllStringFunc(text, func(a string) string {
		if shown, ok := s.shown[a[len(a)-4:]]; ok {
			return a[:len(a)-4] + shown
		}
		return a
	})
}

const endMark = "\x1eEND "

// send runs a command, and returns its output and exit code. The next command
// finds the code in $?.
func (s *shell) send(t *testing.T, command string) (string, int) {
	t.Helper()
	if _, err := fmt.Fprintf(s.stdin, "%s\n__c=$?; printf '\\n%s%%d\\n' $__c; (exit $__c)\n", command, endMark); err != nil {
		t.Fatal(err)
	}
	type answer struct {
		text string
		code int
		err  error
	}
	done := make(chan answer, 1)
	go func() {
		var text strings.Builder
		for {
			line, err := s.output.ReadString('\n')
			if code, ok := strings.CutPrefix(line, endMark); ok {
				n, err := strconv.Atoi(strings.TrimSpace(code))
				done <- answer{strings.TrimSuffix(text.String(), "\n"), n, err}
				return
			}
			text.WriteString(line)
			if err != nil {
				done <- answer{text.String(), -1, err}
				return
			}
		}
	}()
	select {
	case a := <-done:
		if a.err != nil {
			t.Fatalf("%s: the shell ended: %v\n%s", command, a.err, a.text)
		}
		return clean(a.text), a.code
	case <-time.After(2 * patience):
		t.Fatalf("%s: it does not end", command)
		return "", 0
	}
}

// clean ends a text with one line break, if there is any text, and takes the
// carriage returns of HTTP off.
func clean(text string) string {
	text = strings.TrimRight(strings.ReplaceAll(text, "\r", ""), "\n")
	if text == "" {
		return ""
	}
	return text + "\n"
}

var server = regexp.MustCompile(`^(latchkey|go run \./cmd/latchkey) serve\b`)

// inBackground reports whether a command goes on while others run: a server
// does, in a terminal of its own, also where the page shows no "&"; but not if
// the page asks at once how it ended.
func inBackground(command string, asked bool) bool {
	return strings.HasSuffix(command, " &") || server.MatchString(command) && !asked
}

// silence is how long a command in the background may say nothing more before
// what it said is taken for all that it says.
const silence = 5 * time.Second

// start runs a command in the background. Its output is what it printed when it
// is what the page shows, or when it has not become that for a while.
func (s *shell) start(t *testing.T, tr *translation, command, shown string) string {
	t.Helper()
	s.jobs++
	file := filepath.Join(s.dir, fmt.Sprintf(".job%d", s.jobs))
	command = strings.TrimSpace(strings.TrimSuffix(command, "&"))
	if out, code := s.send(t, command+" >"+file+" 2>&1 &"); code != 0 || out != "" {
		t.Fatalf("%s &: exit code %d\n%s", command, code, out)
	}
	var seen string
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		text, err := os.ReadFile(file)
		if err == nil {
			if now := s.shownPorts(clean(string(text))); now != seen {
				seen, deadline = now, time.Now().Add(silence) // it has begun to speak
			}
			if pattern, _ := tr.pattern(shown); pattern.MatchString(seen) && (seen != "" || shown == "") && (shown != "" || !*update) {
				return seen
			}
		}
	}
	return seen
}

// Every session of every page is what happens. A page is one story, from an
// empty directory to its end.
func TestSessions(t *testing.T) {
	need(t, "bash", "curl", "openssl")
	played := 0
	for _, p := range pages(t) {
		steps := p.steps(t)
		if len(steps) == 0 {
			continue
		}
		played++
		t.Run(strings.TrimPrefix(p.path, "../"), func(t *testing.T) {
			t.Parallel()
			p.play(t, steps)
		})
	}
	if played < 12 {
		t.Errorf("%d pages have a session: the test does not see them", played)
	}
}

// database starts a PostgreSQL in the place of the one that a page speaks of.
func database(t *testing.T) [][2]string {
	t.Helper()
	server := postgrestest.Start(t)
	name := server.NewDatabase(t)
	return [][2]string{
		{"postgres://latchkey:PASSWORD@db.example.com/latchkey", server.TCP(name)},
		{"db.example.com:5432/latchkey", server.Address() + "/" + name},
	}
}

// play runs the steps of a page.
func (p *page) play(t *testing.T, steps []step) {
	t.Helper()
	s, tr := newShell(t), newTranslation()
	p.prepare(t, s.dir)
	if p.path == "cluster.md" {
		s.aliases = database(t)
	}
	outputs := make([]string, len(steps))
	for i, step := range steps {
		outputs[i] = step.shown
	}
	if *update {
		defer func() { p.rewrite(t, steps, outputs) }() // as far as it went
	}
	for i, step := range steps {
		command := s.realPorts(tr.command(step.command))
		where := fmt.Sprintf("%s:%d: $ %s", p.path, step.line, step.command)
		asked := i+1 < len(steps) && steps[i+1].command == "echo $?"
		var seen string
		if inBackground(step.command, asked) {
			seen = s.start(t, tr, command, step.shown)
		} else {
			out, code := s.send(t, command)
			if code != 0 && !asked {
				t.Fatalf("%s\nexit code %d, and the page does not ask for it by: echo $?\n%s", where, code, indent(out))
			}
			seen = s.shownPorts(out)
		}
		err := tr.match(step.shown, seen)
		if err != nil && *update {
			outputs[i] = tr.show(seen)
			err = tr.match(outputs[i], seen)
		}
		if err != nil {
			t.Fatalf("%s\n%v", where, err)
		}
	}
}

// rewrite puts the outputs of the steps into the page.
func (p *page) rewrite(t *testing.T, steps []step, outputs []string) {
	t.Helper()
	for i, step := range slices.Backward(steps) {
		if outputs[i] != step.shown {
			lines := slices.DeleteFunc(strings.SplitAfter(outputs[i], "\n"), func(l string) bool { return l == "" })
			for j := range lines {
				lines[j] = strings.TrimSuffix(lines[j], "\n")
			}
			p.lines = slices.Replace(p.lines, step.first, step.end, lines...)
		}
	}
	p.write(t)
}

// prepare puts what a page of a language speaks of where its session runs: the
// snippets, as if they were copied from the page.
func (p *page) prepare(t *testing.T, dir string) {
	t.Helper()
	if strings.Contains(strings.Join(p.lines, "\n"), "\n$ python3 ") {
		need(t, "python3")
	}
	name := strings.TrimSuffix(filepath.Base(p.path), ".md")
	i := slices.IndexFunc(languages, func(l language) bool { return l.dir == name })
	if filepath.Dir(p.path) != "clients" || i < 0 {
		return
	}
	need(t, languages[i].needs...)
	copyDir(t, dir, "clients/"+name)
	switch name {
	case "javascript":
		linkPackages(t, dir)
	case "go": // its go.mod names the source by a path from where it stands
		root, err := filepath.Abs("..")
		if err != nil {
			t.Fatal(err)
		}
		text := "module example\n\ngo 1.26.0\n\nrequire latchkey v0.0.0\n\nreplace latchkey => " + root + "\n"
		if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
