package guard_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"latchkey"
	"latchkey/guard"
	"latchkey/jwt"
)

// TestCredentials: the verdict, the answer, the upstream's count and the record
// of each case, in both modes.
func TestCredentials(t *testing.T) {
	both(t, func(t *testing.T, mode string) {
		d := newDoor(t, mode, hello, nil)
		for _, c := range append(verdictsA(d.vault), verdictsB(d.vault)...) {
			t.Run(c.name, func(t *testing.T) {
				d.reached.Store(0)
				checkVerdict(t, d, c, d.get(t, "/v1/contacts?q=1", c.fields))
			})
		}
	})
}

func checkVerdict(t *testing.T, d *door, c verdict, got *answer) {
	t.Helper()
	record := d.one(t)
	if id := got.id(t); record.RequestID != id {
		t.Errorf("the record is of %s, the answer of %s", record.RequestID, id)
	}
	if record.Auth != c.auth || record.Path != "/v1/contacts" || record.Status != got.StatusCode {
		t.Errorf("record: auth %q (want %q), path %q, status %d", record.Auth, c.auth, record.Path, record.Status)
	}
	text, _ := json.Marshal(record)
	d.checkNoSecret(t, "the record", string(text))
	d.checkNoSecret(t, "the answer", got.body)
	if c.code == "" {
		if got.StatusCode != http.StatusOK || d.reached.Load() != 1 || got.body != "hello" {
			t.Fatalf("must pass: %d %s", got.StatusCode, got.body)
		}
		if record.Outcome != latchkey.OutcomeAccepted || record.Reason != latchkey.ReasonOK || record.TeamID != "team_a" {
			t.Errorf("record of one that passed: %+v", record)
		}
		return
	}
	got.problem(t, http.StatusUnauthorized, c.code)
	if n := d.reached.Load(); n != 0 {
		t.Errorf("a refused request reached the API %d times", n)
	}
	if record.Outcome != latchkey.OutcomeDenied || record.Reason != c.reason {
		t.Errorf("record says %s %s, want denied %s", record.Outcome, record.Reason, c.reason)
	}
	challenges := got.Header["Www-Authenticate"]
	if len(challenges) != 2 || !strings.HasPrefix(challenges[0], `Bearer realm="latchkey"`) ||
		challenges[1] != `Basic realm="latchkey", charset="UTF-8"` {
		t.Errorf("challenges: %q", challenges)
	}
	if hasError := strings.Contains(challenges[0], "error="); hasError == (c.reason == latchkey.ReasonNoField) {
		t.Errorf("RFC 6750 §3.1: error only if a credential came: %q", challenges)
	}
}

// TestCredentialsHTTP2: the same over HTTP/2, whose values keep their spaces.
func TestCredentialsHTTP2(t *testing.T) {
	both(t, func(t *testing.T, mode string) {
		d := newDoor(t, mode, hello, nil)
		client, base := d.overHTTP2(t)
		for name, c := range map[string]verdict{
			"A05 spaces around": {fields: " " + d.bearer() + "  ", auth: latchkey.MethodBearer},
			"A02":               {fields: d.bearer(), auth: latchkey.MethodBearer},
			"B01":               {fields: basic(d.key + ":"), auth: latchkey.MethodBasic},
			"JWT":               {fields: "Bearer " + d.token(), auth: latchkey.MethodJWT},
			"A25":               {fields: "Bearer " + flip(d.key), auth: latchkey.MethodBearer, code: latchkey.CodeInvalidCredentials, reason: "key_checksum"},
			"A01":               {code: latchkey.CodeMissingCredentials, reason: "no_field"},
		} {
			t.Run(name, func(t *testing.T) {
				d.reached.Store(0)
				req, _ := http.NewRequest(http.MethodGet, base+"/v1/contacts?q=1", nil)
				if c.fields != "" {
					req.Header["Authorization"] = []string{c.fields}
				}
				res, err := client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				if res.ProtoMajor != 2 {
					t.Fatal("not HTTP/2")
				}
				checkVerdict(t, d, c, slurp(res))
			})
		}
	})
}

// TestOtherPlaces (A18, A19): a credential in a trailer, the query or a form is
// none, and OPTIONS is no exception.
func TestOtherPlaces(t *testing.T) {
	both(t, func(t *testing.T, mode string) {
		d := newDoor(t, mode, hello, nil)
		const head = " HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n"
		form := "api_key=" + d.key + "&access_token=" + d.key
		for name, request := range map[string]string{
			"trailer": "POST /" + head + "Transfer-Encoding: chunked\r\nTrailer: Authorization\r\n\r\n" +
				"1\r\nx\r\n0\r\n" + authorization(d.bearer()) + "\r\n",
			"query": "GET /?" + form + head + "\r\n",
			"form": "POST /" + head + "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: " +
				strconv.Itoa(len(form)) + "\r\n\r\n" + form,
			"user":    "GET http://" + d.key + "@api.test/" + head + "\r\n",
			"OPTIONS": "OPTIONS /" + head + "Origin: http://evil.test\r\nAccess-Control-Request-Method: GET\r\n\r\n",
			"all":     "OPTIONS *" + head + "\r\n",
		} {
			t.Run(name, func(t *testing.T) {
				got := d.raw(t, request)
				got.problem(t, http.StatusUnauthorized, latchkey.CodeMissingCredentials)
				record := d.one(t)
				text, _ := json.Marshal(record)
				d.checkNoSecret(t, "the record", string(text))
				if record.Reason != latchkey.ReasonNoField || d.reached.Load() != 0 {
					t.Errorf("reason %s, API reached %d times", record.Reason, d.reached.Load())
				}
			})
		}
	})
}

// TestInvalidLooksTheSame: an unknown key, a rolled one, a disabled team, an
// unknown issuer and a bad signature get the same bytes but for the ID.
func TestInvalidLooksTheSame(t *testing.T) {
	d := newDoor(t, middleware, hello, nil)
	var first string
	for _, value := range []string{
		"Bearer " + latchkey.NewAPIKey("lk_").Reveal(), "Bearer " + flip(d.key), "Bearer " + d.rolled, "Bearer " + d.disabled, basic(d.rolled + ":"),
		"Bearer " + jwt.Sign("nobody", "x", time.Now()), "Bearer " + jwt.Sign(d.secretID, "x", time.Now()),
	} {
		got := d.get(t, "/", authorization(value))
		id := got.id(t)
		delete(got.Header, "Date")
		var all strings.Builder
		_ = got.Header.Write(&all)
		text := strings.ReplaceAll(all.String()+got.body, id, "ID")
		if first == "" {
			first = text
		}
		if text != first {
			t.Errorf("invalid credentials must look the same:\n%s\n%s", first, text)
		}
	}
	d.take(t, 7)
}

// TestCannotTell: what is neither yes nor no keeps the door shut.
func TestCannotTell(t *testing.T) {
	both(t, func(t *testing.T, mode string) {
		d := newDoor(t, mode, hello, nil)
		for _, c := range []struct {
			name   string
			err    error
			retry  string
			reason latchkey.Reason
		}{
			{"lease", &latchkey.Unavailable{Reason: latchkey.ReasonLeaseOver, RetryAfter: 1500 * time.Millisecond}, "2", latchkey.ReasonLeaseOver},
			{"store", &latchkey.Unavailable{Reason: latchkey.ReasonStoreUnavailable}, "1", latchkey.ReasonStoreUnavailable},
			{"something else", errors.New("broken " + "pipe of dreams"), "1", latchkey.ReasonStoreUnavailable},
		} {
			t.Run(c.name, func(t *testing.T) {
				d.unavailable = c.err
				got := d.pass(t, "/", "")
				got.problem(t, http.StatusServiceUnavailable, latchkey.CodeUnavailable)
				if after := got.Header.Get("Retry-After"); after != c.retry {
					t.Errorf("Retry-After %q, want %q", after, c.retry)
				}
				record := d.one(t)
				if record.Outcome != latchkey.OutcomeUnavailable || record.Reason != c.reason ||
					record.Auth != latchkey.MethodBearer || d.reached.Load() != 0 {
					t.Errorf("record %+v, API reached %d times", record, d.reached.Load())
				}
				if strings.Contains(got.body, "dreams") {
					t.Error("an error's text left the house")
				}
			})
		}
		if !strings.Contains(d.log.String(), "dreams") {
			t.Error("an error that nobody expected must be logged")
		}
	})
}

// TestNobody: a guard without Authenticate, and one that names nobody, let
// nothing through.
func TestNobody(t *testing.T) {
	for name, authenticate := range map[string]func(context.Context, []string) (latchkey.Principal, error){
		"none": nil,
		"zero": func(context.Context, []string) (latchkey.Principal, error) { return latchkey.Principal{}, nil },
	} {
		t.Run(name, func(t *testing.T) {
			d := newDoor(t, middleware, hello, func(g *guard.Guard, _ *guard.Gateway) { g.Authenticate = authenticate })
			d.pass(t, "/", "").problem(t, http.StatusServiceUnavailable, latchkey.CodeUnavailable)
			if d.one(t); d.reached.Load() != 0 {
				t.Error("the door was open")
			}
		})
	}
}

// TestAuthenticatePanics: a fault in the verdict is a refusal too.
func TestAuthenticatePanics(t *testing.T) {
	d := newDoor(t, middleware, hello, func(g *guard.Guard, _ *guard.Gateway) {
		g.Authenticate = func(context.Context, []string) (latchkey.Principal, error) { panic("fault") }
	})
	d.pass(t, "/", "").problem(t, http.StatusInternalServerError, latchkey.CodeInternal)
	if record := d.one(t); record.Outcome != latchkey.OutcomeError || d.reached.Load() != 0 {
		t.Errorf("record %+v", record)
	}
}

// TestPrincipal (M01, A27): the identity is in the context behind the door, and
// nowhere else.
func TestPrincipal(t *testing.T) {
	if _, ok := latchkey.PrincipalFrom(t.Context()); ok {
		t.Fatal("there is no principal without a door")
	}
	var got latchkey.Principal
	var ok bool
	var id string
	d := newDoor(t, middleware, func(_ http.ResponseWriter, r *http.Request) {
		got, ok = latchkey.PrincipalFrom(r.Context())
		id = latchkey.RequestIDFrom(r.Context())
		for name := range r.Header {
			if strings.HasPrefix(name, "X-Latchkey-") && r.Header.Get(name) != "evil" {
				t.Errorf("Wrap added %s to the request", name)
			}
		}
		if r.Header.Get("Authorization") == "" {
			t.Error("Wrap leaves Authorization where it is")
		}
	}, nil)
	answer := d.pass(t, "/", "X-Latchkey-Team: evil\r\n")
	want := latchkey.Principal{TeamID: "team_a", CredentialID: "key_current", Method: latchkey.MethodBearer, Revision: 7}
	if !ok || got != want || id != answer.id(t) {
		t.Errorf("principal %+v %v, ID %s", got, ok, id)
	}
	d.one(t)
}

// TestMethods (A23, F25): what may not pass does not, and only after its
// credential held.
func TestMethods(t *testing.T) {
	both(t, func(t *testing.T, mode string) {
		d := newDoor(t, mode, hello, nil)
		for _, line := range []string{
			"CONNECT api.test:443 HTTP/1.1", "CONNECT / HTTP/1.1", "TRACE / HTTP/1.1", "PRI * HTTP/2.0",
			"FOO / HTTP/1.1", "get / HTTP/1.1",
		} {
			t.Run(line, func(t *testing.T) {
				const rest = "\r\nHost: api.test\r\nConnection: close\r\n"
				d.raw(t, line+rest+"\r\n").problem(t, http.StatusUnauthorized, latchkey.CodeMissingCredentials)
				got := d.raw(t, line+rest+authorization(d.bearer())+"\r\n")
				got.problem(t, http.StatusMethodNotAllowed, latchkey.CodeMethodNotAllowed)
				if allow := got.Header.Get("Allow"); !strings.Contains(allow, "GET, HEAD, POST") || strings.Contains(allow, "CONNECT") {
					t.Errorf("Allow: %q", allow)
				}
				records := d.take(t, 2)
				if r := records[1]; r.Outcome != latchkey.OutcomeAccepted || r.Status != http.StatusMethodNotAllowed ||
					r.Diagnosis != "This method is not accepted. The API was not asked." {
					t.Errorf("record: %+v", r)
				}
				if d.reached.Load() != 0 {
					t.Error("the API was reached")
				}
			})
		}
	})
	t.Run("own list", func(t *testing.T) {
		d := newDoor(t, gateway, hello, func(g *guard.Guard, _ *guard.Gateway) { g.Methods = []string{"GET", "CONNECT"} })
		d.pass(t, "/", "")
		for _, method := range []string{"POST", "CONNECT"} {
			got := d.raw(t, method+" / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n"+authorization(d.bearer())+"\r\n")
			got.problem(t, http.StatusMethodNotAllowed, latchkey.CodeMethodNotAllowed)
		}
		d.take(t, 3)
	})
}
