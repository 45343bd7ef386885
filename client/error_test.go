package client_test

import (
	"cmp"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"latchkey/client"
)

func TestErrorFrom(t *testing.T) {
	const problem = "application/problem+json"
	tests := map[string]struct {
		status      int
		contentType string
		body        string
		id          string
		want        client.Error
		text        string
	}{
		"problem": {401, problem, `{"type":"about:blank","title":"Unauthorized","status":401,"detail":"Send a key.","code":"missing_credentials","request_id":"r1"}`, "r1",
			client.Error{Code: "missing_credentials", Status: 401, Detail: "Send a key.", RequestID: "r1"},
			"401 missing_credentials: Send a key; request ID r1"},
		"no detail": {401, problem, `{"title":"Not accepted","code":"invalid_credentials"}`, "r2",
			client.Error{Code: "invalid_credentials", Status: 401, Detail: "Not accepted", RequestID: "r2"},
			"401 invalid_credentials: Not accepted; request ID r2"},
		"ID in the body alone": {503, problem, `{"code":"unavailable","request_id":"r3"}`, "",
			client.Error{Code: "unavailable", Status: 503, Detail: "Service Unavailable", RequestID: "r3"},
			"503 unavailable: Service Unavailable; request ID r3"},
		"the header's ID counts": {400, problem, `{"request_id":"other"}`, "r4",
			client.Error{Status: 400, Detail: "Bad Request", RequestID: "r4"}, "400 Bad Request; request ID r4"},
		"another server's JSON": {422, "application/json; charset=utf-8", `{"message":"phone is taken","code":17,"title":{"a":1}}`, "r5",
			client.Error{Status: 422, Detail: "phone is taken", RequestID: "r5"}, "422 phone is taken; request ID r5"},
		"error as a string": {400, "application/json", `{"error":"bad phone"}`, "",
			client.Error{Status: 400, Detail: "bad phone"}, "400 bad phone; the answer has no request ID"},
		"HTML": {502, "text/html", `<html>{"detail":"no"}`, "r6",
			client.Error{Status: 502, Detail: "Bad Gateway", RequestID: "r6"}, "502 Bad Gateway; request ID r6"},
		"not an object": {500, "application/json", `["detail"]`, "",
			client.Error{Status: 500, Detail: "Internal Server Error"}, "500 Internal Server Error; the answer has no request ID"},
		"broken JSON": {500, "application/json", `{"detail":"half`, "r7",
			client.Error{Status: 500, Detail: "Internal Server Error", RequestID: "r7"}, "500 Internal Server Error; request ID r7"},
		"nothing": {500, "", "", "r8",
			client.Error{Status: 500, Detail: "Internal Server Error", RequestID: "r8"}, "500 Internal Server Error; request ID r8"},
		"a status without a name": {599, "", "", "",
			client.Error{Status: 599, Detail: "unknown status"}, "599 unknown status; the answer has no request ID"},
		"what moves a cursor": {400, problem, `{"detail":"one\ntwo\u001b[2Jthree\u202e\u0000","code":"a\rb"}`, "r\x1b9",
			client.Error{Code: "ab", Status: 400, Detail: "one two[2Jthree", RequestID: "r9"}, "400 ab: one two[2Jthree; request ID r9"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			resp := answer(test.status, test.body, "Content-Type", test.contentType)
			if test.id != "" {
				resp.Header.Set("X-Request-Id", test.id)
			}
			e, isError := errors.AsType[*client.Error](client.ErrorFrom(resp))
			if !isError {
				t.Fatal("no *Error")
			}
			if *e != test.want {
				t.Errorf("got  %#v\nwant %#v", *e, test.want)
			}
			if e.Error() != test.text {
				t.Errorf("the text is %q, want %q", e.Error(), test.text)
			}
		})
	}
}

func TestErrorFromOfNoError(t *testing.T) {
	for _, status := range []int{200, 204, 304, 399} {
		if err := client.ErrorFrom(answer(status, "")); err != nil {
			t.Errorf("%d is %v", status, err)
		}
	}
}

func TestErrorIsBounded(t *testing.T) {
	body := watch(t, "the body", io.MultiReader(strings.NewReader(`{"detail":"`), endless{}))
	resp := answer(500, "", "Content-Type", "application/json", "X-Request-Id", strings.Repeat("i", 10_000))
	resp.Body = body
	err := client.ErrorFrom(resp)
	_ = body.Close()
	if body.read > 64<<10 {
		t.Errorf("%d bytes of an error were read", body.read)
	}
	if len(err.Error()) > 300 {
		t.Errorf("the text has %d bytes", len(err.Error()))
	}
	resp = answer(500, `{"detail":"`+strings.Repeat("é", 10_000)+`"}`, "Content-Type", "application/json")
	if text := client.ErrorFrom(resp).Error(); len(text) > 1200 || strings.ToValidUTF8(text, "") != text {
		t.Errorf("a long detail gives %d bytes", len(text))
	}
}

type endless struct{}

var xs = strings.Repeat("x", 64<<10)

func (endless) Read(p []byte) (int, error) {
	return copy(p, xs), nil
}

// Whatever a server says, its error is one line of bounded length that ends with
// the request ID.
func FuzzErrorFrom(f *testing.F) {
	for _, seed := range []string{
		"", "{}", "[]", "null", `"detail"`, `{"detail":"why","code":"c"}`, `{"detail":null,"message":"m"}`,
		`{"detail":"a\u0000\u001b[2J\u2028b"}`, `{"code":{"a":[]},"title":7}`, "{\"detail\":\"\xff\xfe\"}", `{"detail":"x","detail":"y"}`,
	} {
		f.Add(seed, "r1")
		f.Add(seed, "r\u202e\xff 1")
	}
	f.Fuzz(func(t *testing.T, body, id string) {
		resp := answer(400, body, "Content-Type", "application/problem+json", "X-Request-Id", id)
		e, ok := errors.AsType[*client.Error](client.ErrorFrom(resp))
		if !ok {
			t.Fatal("a 400 is no *Error")
		}
		text := e.Error()
		if len(text) > 1400 {
			t.Errorf("the text has %d bytes", len(text))
		}
		if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) || !utf8.ValidString(text) {
			t.Errorf("the text %q does not print as one line", text)
		}
		if e.Detail == "" || !strings.HasSuffix(text, cmp.Or(e.RequestID, "no request ID")) {
			t.Errorf("the text %q has no detail, or does not end with the request ID", text)
		}
	})
}

// What is read of an answer that is thrown away is bounded, too.
func TestDiscardIsBounded(t *testing.T) {
	var bodies []*watched
	b := newBase(t, func(*http.Request) *http.Response {
		resp := answer(503, "")
		w := watch(t, "the body", endless{})
		bodies = append(bodies, w)
		resp.Body = w
		return resp
	})
	transport := over(b, client.Bearer("key"))
	transport.Retry = client.Retry{Max: 1, Wait: 1}
	resp, err := transport.RoundTrip(newRequest(t, "GET", api, ""))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	for _, w := range bodies {
		_ = w.Close()
	}
	if n := bodies[0].read; n > 64<<10 {
		t.Errorf("%d bytes were read to be thrown away", n)
	}
}
