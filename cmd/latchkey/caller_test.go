package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"latchkey/jwt"
)

// TestCallerStories runs the stories of who writes a calling program: token,
// explain and call.
func TestCallerStories(t *testing.T) {
	program := buildProgram(t)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/callers",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"serve":    cmdServe,
			"exits":    cmdExits,
			"capture":  cmdCapture,
			"jsonhas":  cmdJSONHas,
			"jsonkeys": cmdJSONKeys,
			"lines":    cmdLines,
			"sign":     cmdSign,
			"given":    cmdGiven,
			"behind":   cmdBehind,
			"answers":  cmdAnswers,
		},
		Setup: func(env *testscript.Env) error {
			env.Values[serversKey{}] = map[string]*running{}
			env.Setenv("PATH", filepath.Dir(program)+string(os.PathListSeparator)+env.Getenv("PATH"))
			env.Setenv("PROGRAM", program)
			return nil
		},
	})
}

// cmdSign writes a token to a file, signed with any secret, so many seconds
// from now: sign FILE ID SECRET [SECONDS].
func cmdSign(ts *testscript.TestScript, _ bool, args []string) {
	iat := time.Now().Unix()
	if len(args) > 3 {
		seconds, err := strconv.ParseInt(args[3], 10, 64)
		ts.Check(err)
		iat += seconds
	}
	b64 := base64.RawURLEncoding
	payload, err := json.Marshal(map[string]any{"iss": args[1], "iat": iat})
	ts.Check(err)
	input := b64.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + b64.EncodeToString(payload)
	mac := hmac.New(sha256.New, []byte(args[2]))
	mac.Write([]byte(input))
	write(ts, args[0], input+"."+b64.EncodeToString(mac.Sum(nil)))
}

// cmdGiven writes text to a file, with \n as line breaks and %%TEXT%% in base64:
// given FILE TEXT.
func cmdGiven(ts *testscript.TestScript, _ bool, args []string) {
	text := strings.ReplaceAll(args[1], `\n`, "\n")
	if before, rest, ok := strings.Cut(text, "%%"); ok {
		inner, after, _ := strings.Cut(rest, "%%")
		text = before + base64.StdEncoding.EncodeToString([]byte(inner)) + after
	}
	write(ts, args[0], text)
}

// write makes a file, whose content the story's log does not show.
func write(ts *testscript.TestScript, name, text string) {
	ts.Check(os.WriteFile(ts.MkAbs(name), []byte(text), 0o600))
}

// cmdBehind starts an API whose clock is so many seconds behind, and sets
// LATCHKEY_URL: behind SECONDS ID SECRET. It takes tokens by its clock alone.
func cmdBehind(ts *testscript.TestScript, _ bool, args []string) {
	seconds, err := strconv.Atoi(args[0])
	ts.Check(err)
	key := jwt.NewKey(args[1], args[2])
	start(ts, func(w http.ResponseWriter, r *http.Request) {
		now := time.Now().Add(-time.Duration(seconds) * time.Second)
		w.Header().Set("Date", now.UTC().Format(http.TimeFormat))
		w.Header().Set("X-Request-Id", "from-the-past")
		var token jwt.Token
		err := token.Parse(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
		switch {
		case err != nil || !key.Verify(&token):
			refuse(w, http.StatusUnauthorized, "invalid_credentials", "No.")
		case token.CheckTime(now, 0) != nil:
			refuse(w, http.StatusUnauthorized, "token_not_yet_valid", "Your clock is ahead of ours.")
		default:
			fmt.Fprintln(w, `{"ok":true}`)
		}
	})
}

// cmdAnswers starts an API that gives one answer, and sets LATCHKEY_URL: answers
// STATUS CODE. Without a code, it shows what it was asked. A third argument stands
// for a server that is not latchkey, and gives no request ID.
func cmdAnswers(ts *testscript.TestScript, _ bool, args []string) {
	status, err := strconv.Atoi(args[0])
	ts.Check(err)
	start(ts, func(w http.ResponseWriter, r *http.Request) {
		if len(args) < 3 {
			w.Header().Set("X-Request-Id", "the-id")
		}
		if len(args) > 1 && args[1] != "" {
			refuse(w, status, args[1], "What is wrong.\x1b[2J")
			return
		}
		if status/100 == 3 {
			w.Header().Set("Location", "http://elsewhere.example/?token")
		}
		w.WriteHeader(status)
		body := new(strings.Builder)
		_, _ = fmt.Fprintf(body, "%s %s %s %q", r.Method, r.URL.RequestURI(), r.Host, r.Header["X-Mine"])
		_, _ = fmt.Fprintf(body, " %s ", r.Header.Get("Content-Type"))
		_, _ = io.Copy(body, r.Body)
		fmt.Fprintln(w, body)
	})
}

func refuse(w http.ResponseWriter, status int, code, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"status": status, "code": code, "detail": detail})
}

func start(ts *testscript.TestScript, h http.HandlerFunc) {
	server := httptest.NewServer(h)
	ts.Defer(server.Close)
	ts.Setenv("LATCHKEY_URL", server.URL)
}
