package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"time"

	"latchkey"
	"latchkey/jwt"
)

// A secretFlag says where a caller's API secret comes from: a file, or the
// environment. No flag holds a secret itself.
type secretFlag struct {
	SecretFile string `type:"path" placeholder:"FILE" help:"File with the API Secret ID and the API Secret Key, on two lines or as ID||KEY. Without it: $$LATCHKEY_SECRET_ID and $$LATCHKEY_SECRET_KEY."`
}

var errNoSecret = errors.New("there is no API secret: set LATCHKEY_SECRET_ID and LATCHKEY_SECRET_KEY, or give --secret-file")

// read returns the API secret, or errNoSecret.
func (f *secretFlag) read() (id string, key latchkey.Secret, err error) {
	where := "the environment"
	var value string
	if f.SecretFile != "" {
		where = f.SecretFile
		if id, value, err = secretIn(f.SecretFile); err != nil {
			return "", key, err
		}
	} else {
		id, value = os.Getenv("LATCHKEY_SECRET_ID"), os.Getenv("LATCHKEY_SECRET_KEY")
		switch {
		case id == "" && value == "":
			return "", key, errNoSecret
		case id == "":
			return "", key, usageError("LATCHKEY_SECRET_KEY is set, and LATCHKEY_SECRET_ID is not")
		case value == "":
			return "", key, usageError("LATCHKEY_SECRET_ID is set, and LATCHKEY_SECRET_KEY is not")
		}
	}
	if err := latchkey.ValidAPISecret(id, value); err != nil {
		return "", key, usageError("the API secret in %s: %v", where, err)
	}
	return id, latchkey.NewSecret(value), nil
}

// readPair is read for what is signed with: a pair that is swapped by its form would
// tell the key to everybody.
func (f *secretFlag) readPair() (id string, key latchkey.Secret, err error) {
	if id, key, err = f.read(); err == nil {
		if wrong := jwt.CheckPair(id, key.Reveal()); wrong != nil {
			return "", key, usageError("the API secret: %v", wrong)
		}
	}
	return id, key, err
}

// secretIn reads a file with an API secret.
func secretIn(path string) (id, key string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", "", fmt.Errorf("read the API secret: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxInput))
	if err != nil {
		return "", "", fmt.Errorf("read the API secret: %w", err)
	}
	whole := strings.TrimSpace(string(text))
	id, key, two := strings.Cut(whole, "\n")
	if !two {
		id, key, two = strings.Cut(whole, "||")
	}
	if !two {
		return "", "", usageError("%s holds no API secret: neither two lines nor ID||KEY", path)
	}
	return strings.TrimSpace(id), strings.TrimSpace(key), nil
}

type tokenCmd struct {
	secretFlag
	Decode bool   `help:"Show what a token says instead, without verifying it: the argument, or standard input."`
	Token  string `arg:"" optional:"" help:"The token for --decode. Standard input is safer: others can see the command line."`
}

// Help says more.
func (*tokenCmd) Help() string {
	return "Prints a fresh JWT for the Authorization header, signed with an API secret. It lives for five minutes. No server takes part."
}

// Run prints a token, or what one says.
func (c *tokenCmd) Run(s *session) error {
	if c.Decode {
		text, err := s.pasted(c.Token, "Token")
		if err != nil {
			return err
		}
		d, err := decodeToken(text)
		if err != nil {
			return err
		}
		return s.show(d, func(w io.Writer) { d.describe(w, time.Now()) })
	}
	if c.Token != "" {
		return usageError("a token is an argument of --decode only")
	}
	id, key, err := c.readPair()
	if err != nil {
		return err
	}
	now := time.Now()
	token := jwt.Sign(id, key.Reveal(), now)
	answer := map[string]any{"token": token, "expires_at": now.UTC().Truncate(time.Second).Add(jwt.Lifetime)}
	return s.show(answer, func(w io.Writer) { fmt.Fprintln(w, token) })
}

// pasted returns a credential from the argument, with a warning, or from
// standard input.
func (s *session) pasted(argument, what string) (string, error) {
	if argument != "" {
		fmt.Fprintln(s.stderr, "latchkey: others can see what is on the command line, and the shell may keep it: standard input is safer")
		return argument, nil
	}
	text, err := s.readText(what, maxPasted)
	return text.Reveal(), err
}

// A decoded is what a token says. Its signature is left out: with it, it would
// be a credential still.
type decoded struct {
	Header         json.RawMessage `json:"header"`
	Payload        json.RawMessage `json:"payload"`
	SignatureBytes int             `json:"signature_bytes"`
	Verified       bool            `json:"verified"` // never
}

// decodeToken reads all tokens that can be read at all, not only good ones.
func decodeToken(text string) (*decoded, error) {
	text = strings.TrimSpace(text)
	if fields := strings.Fields(text); len(fields) > 1 { // Authorization: Bearer TOKEN
		text = fields[len(fields)-1]
	}
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		noun := "parts"
		if len(parts) == 1 {
			noun = "part"
		}
		return nil, usageError("this is no JWT: it has %d %s between dots, and not three (latchkey explain says more)", len(parts), noun)
	}
	d := &decoded{}
	for i, part := range []*json.RawMessage{&d.Header, &d.Payload} {
		name := []string{"header", "payload"}[i]
		raw, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[i], "="))
		if err != nil {
			return nil, usageError("the token's %s is not base64url", name)
		}
		if !json.Valid(raw) {
			return nil, usageError("the token's %s is not JSON", name)
		}
		*part = raw
	}
	d.SignatureBytes = base64.RawURLEncoding.DecodedLen(len(strings.TrimRight(parts[2], "=")))
	return d, nil
}

// describe writes a token for people, its times in words.
func (d *decoded) describe(w io.Writer, now time.Time) {
	for _, part := range []struct {
		name string
		text json.RawMessage
	}{{"Header", d.Header}, {"Payload", d.Payload}} {
		var text bytes.Buffer
		if err := json.Indent(&text, part.text, "", "  "); err != nil {
			continue // it was valid when it was read
		}
		fmt.Fprintf(w, "%s\n", part.name)
		for line := range strings.Lines(text.String()) {
			fmt.Fprintf(w, "  %s\n", plain(strings.TrimSuffix(line, "\n")))
		}
	}
	var claims map[string]any
	_ = json.Unmarshal(d.Payload, &claims) // what is no object has no times
	var pairs [][2]string
	for _, c := range [][2]string{{"iat", "Signed"}, {"nbf", "Begins"}, {"exp", "Ends"}} {
		if value, there := claims[c[0]]; there {
			pairs = append(pairs, [2]string{c[1] + " (" + c[0] + ")", inWords(value, now)})
		}
	}
	pairs = append(pairs, [2]string{"Signature", fmt.Sprintf("%d bytes, not verified: latchkey explain does that", d.SignatureBytes)})
	fields(w, pairs...)
}

// inWords says what time a claim means.
func inWords(value any, now time.Time) string {
	seconds, ok := value.(float64)
	switch {
	case !ok:
		return "is not a number"
	case seconds < 0 || seconds > jwt.MaxTime:
		return "is not a time in seconds since 1970"
	}
	moment := time.Unix(int64(math.Floor(seconds)), 0)
	if d := now.Sub(moment).Truncate(time.Second); d >= 0 {
		return fmt.Sprintf("%s, %s ago", at(moment), d)
	}
	return fmt.Sprintf("%s, %s from now", at(moment), moment.Sub(now).Truncate(time.Second))
}
