package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"

	"latchkey"
	"latchkey/jwt"
)

// printFirst tells whoever started the first server how to call the API. The
// credentials themselves are printed only if reveal is set: what is not a
// terminal may be a log.
func printFirst(w io.Writer, reveal bool, url string, upstream bool, g *globals, made *latchkey.NewTeam) {
	path := "/v1/contacts"
	if upstream {
		path = "/"
	}
	if !reveal {
		fmt.Fprintf(w, "A first team, %q, was made. Its API key:\n\n  %s\n\n", made.Team.Name, g.command("latchkey key show "+made.Team.Name))
		fmt.Fprintf(w, "Then call the API:\n\n  curl %s%s -H \"Authorization: Bearer YOUR_API_KEY\"\n", url, path)
		return
	}
	insecure := ""
	if strings.HasPrefix(url, "https:") {
		insecure = "  # add --cacert FILE if the certificate is your own"
	}
	token := jwt.Sign(made.SecretID, made.SecretKey.Reveal(), time.Now())
	fmt.Fprintf(w, "A first team, %q, was made. Call the API as this team, by any of three methods:%s\n\n", made.Team.Name, insecure)
	fmt.Fprintf(w, "  curl %s%s -H \"Authorization: Bearer %s\"\n\n", url, path, made.APIKey.Reveal())
	fmt.Fprintf(w, "  curl %s%s -u \"%s:\"\n\n", url, path, made.APIKey.Reveal())
	fmt.Fprintf(w, "  curl %s%s -H \"Authorization: Bearer %s\"\n\n", url, path, token)
	fmt.Fprintf(w, "The last one is a JWT; it lives for five minutes. It is signed with this API secret:\n\n")
	fmt.Fprintf(w, "  API Secret ID   %s\n  API Secret Key  %s\n\n", made.SecretID, made.SecretKey.Reveal())
	fmt.Fprintf(w, "The console shows all of them again, and the API key is shown by: %s\n", g.command("latchkey key show "+made.Team.Name))
}

// command adds the data directory to a command that somebody is told to type,
// unless that works without.
func (g *globals) command(line string) string {
	if g.Data == defaultData || g.Data == os.Getenv("LATCHKEY_DATA") {
		return line
	}
	return line + " --data " + word(g.Data)
}

func shellQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// newLogger logs text to a terminal, and JSON to anything else.
func newLogger(f *os.File) *slog.Logger {
	if term.IsTerminal(int(f.Fd())) {
		return slog.New(slog.NewTextHandler(f, nil))
	}
	return slog.New(slog.NewJSONHandler(f, nil))
}

func signalName(s os.Signal) string {
	switch s {
	case syscall.SIGTERM:
		return "SIGTERM"
	case syscall.SIGINT:
		return "SIGINT"
	}
	return s.String()
}
