// Command latchkey gives an HTTP API keys, signed tokens and request IDs: the
// server, and the commands that manage its teams and credentials.
package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"latchkey"
	"latchkey/admin"
)

// defaultData is the data directory where none is named.
const defaultData = "./latchkey-data"

// The exit codes.
const (
	exitFailed       = 1
	exitUsage        = 2
	exitUnknown      = 3
	exitNotConfirmed = 4
)

const description = `Authentication for an HTTP API: team keys, signed tokens, request IDs.

The commands work on the data directory: through the server that runs on it, or
by themselves when none does. TEAM is a team's name or ID.`

const exitCodes = `
Exit codes:
  0  done
  1  failed, or there is no such thing
  2  the command line or a value cannot be used
  3  a change was sent, and nobody can say whether it was made: look before you repeat it
  4  the change was made, but not every node has confirmed it
`

// globals are the flags that every command has.
type globals struct {
	Data             string `default:"${data}" env:"LATCHKEY_DATA" placeholder:"DIR" help:"Data directory. Default: ${default}."`
	Keyset           string `env:"LATCHKEY_KEYSET" placeholder:"FILE" help:"Keyset that seals the credentials. Default: keyset.json in the data directory."`
	Database         string `env:"LATCHKEY_DATABASE" placeholder:"URL" help:"PostgreSQL database that many nodes share (postgres://USER@HOST/NAME), in place of a store in the data directory. A URL with a password goes into the environment, or the password alone into the file that PGPASSFILE names."`
	KeyPrefix        string `env:"LATCHKEY_KEY_PREFIX" placeholder:"TEXT" help:"Beginning of new API keys. Where a server runs, it is the server's that counts. Default: lk_."`
	InsecureDatabase bool   `env:"LATCHKEY_INSECURE_DATABASE" help:"Speak to a database without TLS, though it is not on this machine."`
	JSON             bool   `name:"json" help:"Print JSON."`
}

// cli is the whole command line: flags, environment and help all come from it.
type cli struct {
	globals

	Serve    serveCmd    `cmd:"" help:"Run the server."`
	Team     teamCmd     `cmd:"" help:"Teams."`
	Key      keyCmd      `cmd:"" help:"A team's API key."`
	Secret   secretCmd   `cmd:"" help:"A team's API secrets, which sign JWTs."`
	Node     nodeCmd     `cmd:"" help:"The nodes that share a database."`
	Database databaseCmd `cmd:"" name:"database" help:"The database that nodes share."`
	Request  requestCmd  `cmd:"" help:"Records of requests."`
	Audit    auditCmd    `cmd:"" help:"Who did what to teams, credentials and users."`
	User     userCmd     `cmd:"" help:"Users of the console."`
	Token    tokenCmd    `cmd:"" help:"Print a fresh JWT, or show what one says."`
	Explain  explainCmd  `cmd:"" help:"Say what is wrong with a credential, and how to mend it."`
	Canary   canaryCmd   `cmd:"" help:"Roll a key of its own, and see that no node accepts the old one."`
	Call     callCmd     `cmd:"" help:"Call the API with the credential in the environment."`
	Version  versionCmd  `cmd:"" help:"Print the version."`
}

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is one command, and returns its exit code.
func run(args []string, stdin *os.File, stdout, stderr io.Writer) int {
	var c cli
	empty := unsetEmpty()
	parser, err := kong.New(&c,
		kong.Name("latchkey"), kong.Description(description), kong.Vars{"data": defaultData},
		kong.Writers(stdout, stderr), kong.Help(printHelp),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: false, NoAppDescFormat: true, WrapUpperBound: 100}))
	if err != nil {
		return report(stderr, &c.globals, err)
	}
	if len(args) == 0 {
		args = []string{"--help"}
		parser.Stdout, parser.Exit = stderr, func(int) { os.Exit(exitUsage) }
	}
	kctx, err := parser.Parse(args)
	if err != nil {
		return report(stderr, &c.globals, err)
	}
	c.Data = cmp.Or(c.Data, defaultData)
	if err := checkDatabase(&c.globals, kctx); err != nil {
		return report(stderr, &c.globals, err)
	}
	if err := checkEmpty(kctx, empty); err != nil {
		return report(stderr, &c.globals, err)
	}
	s := &session{globals: &c.globals, stdin: stdin, stdout: stdout, stderr: stderr, makesKeys: makesKeys(kctx)}
	return report(stderr, &c.globals, kctx.Run(&c.globals, s))
}

// prefixCommands are the commands for which --key-prefix means something.
var prefixCommands = []string{"serve", "explain", "team create", "key roll", "canary"}

func makesKeys(kctx *kong.Context) bool {
	selected := kctx.Selected()
	return selected != nil && slices.Contains(prefixCommands, strings.TrimPrefix(selected.Path(), "latchkey "))
}

// unsetEmpty takes variables of ours that are set and empty for not set, and returns
// their names.
func unsetEmpty() (names []string) {
	for _, variable := range os.Environ() {
		if name, value, _ := strings.Cut(variable, "="); value == "" && strings.HasPrefix(name, "LATCHKEY_") {
			_ = os.Unsetenv(name)
			names = append(names, name)
		}
	}
	return names
}

// printHelp adds the exit codes to the help of the whole, and leaves out of a
// command's what means nothing to it.
func printHelp(options kong.HelpOptions, ctx *kong.Context) error {
	if selected := ctx.Selected(); selected != nil {
		named := strings.TrimPrefix(selected.Path(), "latchkey ")
		for _, f := range ctx.Model.Flags {
			f.Hidden = f.Hidden || f.Name == "key-prefix" && !slices.Contains(prefixCommands, named)
		}
	}
	if err := kong.DefaultHelpPrinter(options, ctx); err != nil || ctx.Selected() != nil {
		return err
	}
	_, err := io.WriteString(ctx.Stdout, exitCodes)
	return err
}

// report prints an error as one line, and returns the exit code for it.
func report(stderr io.Writer, g *globals, err error) int {
	if err == nil {
		return 0
	}
	code, hint := exitFailed, ""
	var (
		parse       *kong.ParseError
		usage       *usageMistake
		said        *admin.Error
		unconfirmed *unconfirmedError
		hinted      *hintedError
	)
	switch {
	case errors.As(err, &parse):
		code = exitUsage
		hint, err = mistyped(parse)
	case errors.As(err, &usage):
		code = exitUsage
	case errors.As(err, &said) && said.Code == latchkey.CodeInvalidRequest:
		code = exitUsage
	case errors.Is(err, latchkey.ErrOutcomeUnknown):
		code = exitUnknown
	case errors.As(err, &unconfirmed):
		code = exitNotConfirmed
	}
	if errors.As(err, &hinted) {
		hint = g.command(hinted.hint)
	}
	// An argument in the wrong place may be a credential, whoever repeats it.
	line := (&latchkey.Keyring{Prefix: g.KeyPrefix}).Redact(oneLine(err))
	if hint != "" {
		line += " (see: " + hint + ")"
	}
	fmt.Fprintf(stderr, "latchkey: %s\n", line)
	return code
}

// oneLine is an error for people: errors.Join puts each on a line of its own.
func oneLine(err error) string {
	text := strings.NewReplacer(":\n", ": ", "\n", "; ", "\t", "").Replace(err.Error())
	return strings.Join(strings.Fields(plain(text)), " ")
}

// withoutValue matches what the parser (kong v1) says of an option that is followed by
// another, or by nothing.
var withoutValue = regexp.MustCompile(`^(--[a-z-]+): (?:expected \S+ value but got "(.*)" \((?:short flag|long flag|<EOL>)\)|missing value)`)

// mistyped returns what is wrong with a command line, and which command explains
// it. One argument too many is not repeated: it may be a credential
// that somebody took for one.
func mistyped(e *kong.ParseError) (hint string, err error) {
	err = e
	if found := withoutValue.FindStringSubmatch(e.Error()); found != nil {
		err = fmt.Errorf("%s: its value is missing", found[1])
		if next := found[2]; strings.HasPrefix(next, "-") {
			err = fmt.Errorf("%s: its value is missing: %s looks like an option", found[1], next)
		}
	}
	if e.Context == nil || e.Context.Selected() == nil {
		return "latchkey --help", err
	}
	selected := e.Context.Selected()
	hint = selected.FullPath() + " --help"
	switch {
	case !selected.Leaf() || !strings.HasPrefix(e.Error(), "unexpected argument "):
		return hint, err
	case selected.Name == "import":
		return hint, errors.New("a credential is read from standard input, never from the command line, where others can see it")
	}
	return hint, errors.New("there is one argument too many")
}

// A usageMistake is a command line that cannot be used.
type usageMistake struct{ text string }

func (e *usageMistake) Error() string { return e.text }

func usageError(format string, args ...any) error {
	return &usageMistake{fmt.Sprintf(format, args...)}
}

// A hintedError is an error, and the command to look at next.
type hintedError struct {
	err  error
	hint string
}

func (e *hintedError) Error() string { return e.err.Error() }
func (e *hintedError) Unwrap() error { return e.err }

// withHint adds a hint to an error that is one of kinds.
func withHint(err error, hint string, kinds ...error) error {
	for _, kind := range kinds {
		if errors.Is(err, kind) {
			return &hintedError{err, hint}
		}
	}
	return err
}
