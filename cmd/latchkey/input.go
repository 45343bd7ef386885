package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"

	"latchkey"
)

// maxInput is well above any value that can be imported, in bytes.
const maxInput = 4 << 10

// maxPasted is for what somebody pasted around a credential, in bytes.
const maxPasted = 64 << 10

// readSecret reads a value from standard input: all of it, but one newline at
// the end. A terminal gets a prompt, and does not show what is typed.
func (s *session) readSecret(what string) (latchkey.Secret, error) { return s.readText(what, maxInput) }

// readText is readSecret for a text of at most limit bytes.
func (s *session) readText(what string, limit int) (latchkey.Secret, error) {
	var (
		text []byte
		err  error
	)
	if term.IsTerminal(int(s.stdin.Fd())) {
		fmt.Fprintf(s.stderr, "%s (not shown): ", what)
		text, err = readHidden(s.stdin)
		fmt.Fprintln(s.stderr)
	} else {
		text, err = io.ReadAll(io.LimitReader(s.stdin, int64(limit)+1))
	}
	if err != nil {
		return latchkey.Secret{}, fmt.Errorf("read the value from standard input: %w", err)
	}
	value := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	switch {
	case len(text) > limit:
		return latchkey.Secret{}, usageError("the value on standard input is longer than %d KiB", limit>>10)
	case value == "":
		return latchkey.Secret{}, usageError("there is no value on standard input")
	}
	return latchkey.NewSecret(value), nil
}

// readHidden reads a line from a terminal that does not show it. A signal gives
// the terminal back as it was: the default would leave it silent.
func readHidden(f *os.File) ([]byte, error) {
	fd := int(f.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return nil, err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	type line struct {
		text []byte
		err  error
	}
	read := make(chan line, 1)
	go func() {
		text, err := term.ReadPassword(fd)
		read <- line{text, err}
	}()
	select {
	case l := <-read:
		return l.text, l.err
	case <-ctx.Done():
		return nil, errors.Join(errors.New("interrupted"), term.Restore(fd, before))
	}
}

// confirm makes a person type name on a terminal before a thing is done that
// cannot be undone.
func (s *session) confirm(question, name string) error {
	fmt.Fprintf(s.stderr, "%s\nType %s to go on: ", question, plain(name))
	typed, err := bufio.NewReader(io.LimitReader(s.stdin, maxInput)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the answer: %w", err)
	}
	if strings.TrimSpace(typed) != name {
		return errors.New("nothing was done: that is not the name")
	}
	return nil
}

// A span is a length of time on the command line: as Go writes it, and with
// days, such as 90s, 24h, 7d or 1d12h.
type span time.Duration

// UnmarshalText reads a span.
func (s *span) UnmarshalText(text []byte) error {
	var days time.Duration
	rest := string(text)
	if number, after, ok := strings.Cut(rest, "d"); ok {
		n, err := strconv.ParseUint(number, 10, 16) // more days than that could overflow
		if err != nil {
			return errSpan
		}
		days, rest = time.Duration(n)*24*time.Hour, after
		if rest == "" {
			rest = "0"
		}
	}
	d, err := time.ParseDuration(rest)
	if err != nil || d < 0 || days+d < 0 {
		return errSpan
	}
	*s = span(days + d)
	return nil
}

var errSpan = errors.New("it is not a length of time such as 90s, 24h or 7d")

// A size is a number of bytes on the command line, such as 20GB.
type size int64

// UnmarshalText reads a size.
func (s *size) UnmarshalText(text []byte) error {
	number := strings.TrimSuffix(strings.ToUpper(string(text)), "B")
	unit := int64(1)
	for i, letter := range "KMGT" {
		if n, is := strings.CutSuffix(number, string(letter)); is {
			number = n
			for range i + 1 {
				unit *= 1000
			}
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/unit {
		return errors.New("it is not a size such as 500MB or 20GB")
	}
	*s = size(n * unit)
	return nil
}

// A since is the beginning of a time on the command line: a span before now, a
// moment as RFC 3339 writes it, or the beginning of a day in UTC.
type since struct {
	ago    span
	moment time.Time
	set    bool
}

// UnmarshalText reads a since.
func (s *since) UnmarshalText(text []byte) error {
	for _, form := range []string{time.RFC3339, time.DateOnly} {
		if moment, err := time.Parse(form, string(text)); err == nil {
			*s = since{moment: moment, set: true}
			return nil
		}
	}
	var ago span
	if err := ago.UnmarshalText(text); err != nil {
		return errors.New("it is neither a length of time such as 24h or 7d nor a day or a moment such as 2026-05-01 or 2026-05-01T09:30:00Z (UTC)")
	}
	*s = since{ago: ago, set: true}
	return nil
}

// from returns the moment, or nil if none was given.
func (s since) from(now time.Time) *time.Time {
	if !s.set {
		return nil
	}
	moment := s.moment
	if moment.IsZero() {
		moment = now.Add(-time.Duration(s.ago))
	}
	return &moment
}
