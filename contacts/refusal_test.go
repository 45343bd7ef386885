package contacts

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"

	"latchkey"
)

// with returns a contact in which a field has another value, or is new.
func with(field, value string) string {
	if field == "phone" {
		return `{"phone":` + value + `}`
	}
	return `{"phone":"15555550123",` + fmt.Sprintf("%q", field) + `:` + value + `}`
}

func quoted(n int) string { return `"` + strings.Repeat("é", n) + `"` }

func entries(n int) string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf(`"f%d":"v"`, i))
	}
	return "{" + strings.Join(list, ",") + "}"
}

// Each body is refused with these words, or accepted where there are none.
var bodies = []struct{ body, detail string }{
	{whole, ""},
	{`{"phone":"15"}`, ""},
	{with("phone", `"123456789012345"`), ""},
	{`{}`, "phone is missing."},
	{with("phone", `null`), "phone must be a string."},
	{with("phone", `15555550123`), "phone must be a string."},
	{with("phone", `""`), "phone is empty."},
	{with("phone", `"+15555550123"`), "phone must be digits only: leave out the +."},
	{with("phone", `"1 555 555 0123"`), "phone must be digits only: leave out +, spaces, brackets and dashes."},
	{with("phone", `"05555550123"`), "phone must begin with the country code, and no country code begins with 0."},
	{with("phone", `"1"`), "phone must have 2 to 15 digits."},

	{with("first", quoted(100)), ""},
	{with("first", quoted(101)), "first is longer than 100 characters."},
	{with("first", `null`), ""},
	{with("first", `["x"]`), "first must be a string."},
	{with("first", `"a\u0000b"`), "first holds a control character."},
	{with("last", quoted(100)), ""},
	{with("last", quoted(101)), "last is longer than 100 characters."},
	{with("last", `"a\nb"`), "last holds a control character."},
	{with("display_name", quoted(200)), ""},
	{with("display_name", quoted(201)), "display_name is longer than 200 characters."},
	{with("display_name", `"\u0085"`), "display_name holds a control character."},
	{with("email", `""`), ""},
	{with("email", `"ada"`), "email must have one @, with something before and after it."},
	{with("email", `"a@`+strings.Repeat("b", 252)+`"`), ""},
	{with("email", `"a@`+strings.Repeat("b", 253)+`"`), "email is longer than 254 characters."},

	{with("custom", `{}`), ""},
	{with("custom", `null`), ""},
	{with("custom", `{"A":"x","a":"y"}`), ""},
	{with("custom", `"x"`), "custom must be an object."},
	{with("custom", `[]`), "custom must be an object."},
	{with("custom", entries(50)), ""},
	{with("custom", entries(51)), "custom has more than 50 fields."},
	{with("custom", `{"plan":5}`), "custom.plan must be a string."},
	{with("custom", `{"plan":null}`), "custom.plan must be a string."},
	{with("custom", `{"plan":{"a":"b"}}`), "custom.plan must be a string."},
	{with("custom", `{"":"x"}`), "custom has a field without a name."},
	{with("custom", `{`+quoted(64)+`:"x"}`), ""},
	{with("custom", `{`+quoted(65)+`:"x"}`), "custom has a field whose name is longer than 64 characters."},
	{with("custom", `{"a\tb":"x"}`), "custom has a field whose name holds a control character."},
	{with("custom", `{"note":`+quoted(1024)+`}`), ""},
	{with("custom", `{"note":`+quoted(1025)+`}`), "custom.note is longer than 1024 characters."},
	{with("custom", `{"note":"a\tb\r\nc"}`), ""},
	{with("custom", `{"note":"\u0000"}`), "custom.note holds a control character other than tab and line breaks."},

	// What only the server sets is ignored, whatever it is; rev must be a rev.
	{with("id", `[[1]]`), ""},
	{with("created", `false`), ""},
	{with("updated", `"yesterday"`), ""},
	{with("rev", `null`), ""},
	{with("rev", `1`), ""},
	{with("rev", `0`), "rev must be at least 1."},
	{with("rev", `1.5`), "rev must be an integer."},
	{with("rev", `1.0`), "rev must be an integer."},
	{with("rev", `1e30`), "rev must be an integer."},
	{with("rev", `"1"`), "rev must be an integer."},
	{with("rev", `2`), "rev is not the current one: the contact has changed since; read it again."},

	// Unknown fields, and known ones in another case.
	{with("nick", `"x"`), "nick is not a field of a contact."},
	{with("First", `"x"`), "First is not a field of a contact."},
	{`{"PHONE":"15555550123"}`, "PHONE is not a field of a contact."},
	{`{"phone":"15555550123","Phone":"+1"}`, "Phone is not a field of a contact; phone must be digits only: leave out the +."},
	{with("$schema", `"x"`), `"$schema" is not a field of a contact.`},
	{with("<script>", `1`), `"<script>" is not a field of a contact.`},
	{with(strings.Repeat("x", 81), `1`), strings.Repeat("x", 80) + "… is not a field of a contact."},
	{with("zeta", `1,"mu":1,"alpha":1,"chi":1,"nu":1`), "alpha is not a field of a contact; chi is not a field of a contact; mu is not a field of a contact; " +
		"nu is not a field of a contact; zeta is not a field of a contact."},
	{`{"first":5,"email":5,"last":5}`, "email must be a string; first must be a string; last must be a string; phone is missing."},

	// The JSON itself.
	{`{"phone":"15555550123"`, "The body is not valid JSON (byte 22)."},
	{`{"phone":"15555550123"} {}`, "The body is not valid JSON (byte 25)."},
	{`{"phone":"15555550123",}`, "The body is not valid JSON (byte 24)."},
	{`null`, "The body must be an object."},
	{`"x"`, "The body must be an object."},
	{`[{"phone":"15555550123"}]`, "The body must be an object."},
	{`{"phone":"15555550123","phone":"15555550123"}`, "The body has an object with the same name twice."},
	{with("custom", `{"a":"x","\u0061":"y"}`), "The body has an object with the same name twice."},
	{with("id", strings.Repeat("[", 15)+strings.Repeat("]", 15)), ""},
	{with("id", strings.Repeat("[", 16)+strings.Repeat("]", 16)), "The body is nested deeper than 16 levels."},
	{with("id", strings.Repeat("[", 20000)+strings.Repeat("]", 20000)), "The body is nested deeper than 16 levels."},
	{with("first", "\"\xff\""), "The body is not valid UTF-8."},
	{with("first", `"\ud83d\ude00"`), ""},
	{with("first", `"\ud83d"`), `The body has a \u escape that is half of a character.`},
	{with("first", `"\\ud83d"`), ""},
	{" ", "The body is not valid JSON (byte 1)."},
	{"", "The request needs a body: a contact in JSON."},
}

func TestBodies(t *testing.T) {
	for _, c := range bodies {
		h := newHouse(t)
		h.ask(t, "POST", "/v1/contact", whole)
		for _, q := range [][2]string{{"POST", "/v1/contact"}, {"PUT", "/v1/contact/1"}} {
			if q[0] == "POST" && strings.HasPrefix(c.detail, "rev is not the current") {
				continue
			}
			a := h.ask(t, q[0], q[1], c.body)
			if c.detail == "" {
				if a.StatusCode >= 300 {
					t.Errorf("%s %.100s: %s, want it accepted: %s", q[0], c.body, a.Status, a.text)
				}
				continue
			}
			a.refused(t, 400, latchkey.CodeInvalidRequest)
			if a.detail() != c.detail {
				t.Errorf("%s %.100s says\n%q, want\n%q", q[0], c.body, a.detail(), c.detail)
			}
		}
		if h.log.Len() > 0 {
			t.Errorf("%.100s: a caller's mistake is logged: %s", c.body, h.log.String())
		}
	}
}

func TestContentTypes(t *testing.T) {
	h := newHouse(t)
	for contentType, ok := range map[string]bool{
		"application/json": true, "": true, "application/json; charset=utf-8": true, "Application/JSON": true,
		"application/x-www-form-urlencoded": false, "text/json": false, "multipart/form-data; boundary=x": false,
		"application/problem+json": false, "application/cbor": false, "json": false, ";": false, "a;b+c": false,
	} {
		a := h.ask(t, "POST", "/v1/contact", whole, "Content-Type", contentType)
		switch {
		case ok && a.StatusCode != 201:
			t.Errorf("Content-Type %q: %s, want 201: %s", contentType, a.Status, a.text)
		case !ok:
			a.refused(t, 400, latchkey.CodeInvalidRequest)
			if want := "The Content-Type must be application/json."; a.detail() != want {
				t.Errorf("Content-Type %q says %q, want %q", contentType, a.detail(), want)
			}
		}
	}
}

func TestQueries(t *testing.T) {
	h := newHouse(t)
	for query, detail := range map[string]string{
		"limit=0":                    "limit must be at least 1.",
		"limit=-1":                   "limit must be at least 1.",
		"limit=101":                  "limit must be at most 100.",
		"limit=ten":                  "limit must be an integer.",
		"limit=1.0":                  "limit must be an integer.",
		"limit":                      "limit must be an integer.",
		"limit=99999999999999999999": "limit must be an integer.",
		"cursor=x":                   "cursor is none of ours: send next_cursor as it came, or leave it out to begin at the newest.",
		"cursor=AAAAAAAAAAAA":        "cursor is none of ours: send next_cursor as it came, or leave it out to begin at the newest.",
		"page=2":                     "", // other parameters mean nothing
		"cursor=":                    "",
		"limit=%zz":                  "query cannot be read: check its percent-encoding, and separate by & alone.",
	} {
		a := h.ask(t, "GET", "/v1/contacts?"+query, "")
		if detail == "" && a.StatusCode != 200 || a.detail() != detail {
			t.Errorf("?%s: %s %q, want %q", query, a.Status, a.detail(), detail)
		}
		if detail != "" {
			a.refused(t, 400, latchkey.CodeInvalidRequest)
		}
	}
}

// Whatever is no path of ours is not found, and never redirected.
func TestPaths(t *testing.T) {
	h := newHouse(t)
	h.ask(t, "POST", "/v1/contact", whole)
	for _, path := range []string{"/v1/contact/2", "/v1/contact/9223372036854775807"} {
		h.ask(t, "GET", path, "").refused(t, 404, latchkey.CodeNotFound)
	}
	h.store.fail = errors.New("the store was asked")
	for _, path := range []string{
		"/", "/v1", "/v1/", "/v1/contacts/", "/v1/contact/", "/v1/contact/1/", "/openapi.json/", "//v1/contacts", "/v1//contacts",
		"/v1/./contacts", "/v1/x/../contacts", "/v1/contact/..", "/v1/contact/%2e%2e", "/v1/contact/../contacts", "/V1/contacts",
		"/v1/contacts%2F", "/v1%2Fcontacts", "/v1/contact/1%2F", "/v1/contact/1/x", "/v2/contacts", "/v1/contact/1;x",
		"/openapi", "/openapi.yaml", "/openapi-3.0.json", "/openapi-3.0.yaml", "/docs", "/schemas", "/schemas/Contact.json",
		"/v1/contact/0", "/v1/contact/-1", "/v1/contact/+1", "/v1/contact/01", "/v1/contact/1.0", "/v1/contact/1e0", "/v1/contact/0x1",
		"/v1/contact/one", "/v1/contact/%20", "/v1/contact/1%00", "/v1/contact/9223372036854775808",
		"/v1/contact/" + strings.Repeat("9", 4000), "/v1/contact/\u0661",
	} {
		a := h.ask(t, "GET", path, "")
		a.refused(t, 404, latchkey.CodeNotFound)
		if a.Header.Get("Location") != "" || strings.Contains(a.text, "9999") {
			t.Errorf("%.100s: redirected, or the path is echoed: %v %s", path, a.Header, a.text)
		}
		if t.Failed() {
			t.Fatalf("at %.100s", path)
		}
	}
}

func TestMethods(t *testing.T) {
	h := newHouse(t)
	allowed := map[string]string{
		"/v1/contacts": "GET, HEAD", "/v1/contact": "POST", "/v1/contact/1": "DELETE, GET, HEAD, PUT", "/openapi.json": "GET, HEAD",
	}
	for path, allow := range allowed {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "get"} {
			if slices.Contains(strings.Split(allow, ", "), method) {
				continue
			}
			a := h.ask(t, method, path, "")
			if a.StatusCode != http.StatusMethodNotAllowed || a.Header.Get("Allow") != allow {
				t.Errorf("%s %s: %s, Allow %q, want 405 and %q", method, path, a.Status, a.Header.Get("Allow"), allow)
			}
			if method != "HEAD" {
				a.refused(t, 405, latchkey.CodeMethodNotAllowed)
			}
		}
	}
}

// A refusal names the field and never repeats the value, in the answer or in
// the log.
func TestNoEcho(t *testing.T) {
	const marker = "MaRkEr7391"
	for name, q := range map[string][]string{
		"a path":         {"GET", "/v1/contact/" + marker, ""},
		"no path":        {"GET", "/" + marker, ""},
		"a limit":        {"GET", "/v1/contacts?limit=" + marker, ""},
		"a cursor":       {"GET", "/v1/contacts?cursor=" + marker, ""},
		"a first name":   {"POST", "/v1/contact", with("first", `["`+marker+`"]`)},
		"a long name":    {"POST", "/v1/contact", with("last", `"`+strings.Repeat(marker, 50)+`"`)},
		"a display name": {"POST", "/v1/contact", with("display_name", `"`+marker+`\u0000"`)},
		"an email":       {"POST", "/v1/contact", with("email", `"`+marker+`"`)},
		"a phone":        {"POST", "/v1/contact", with("phone", `"`+marker+`"`)},
		"a custom value": {"POST", "/v1/contact", with("custom", `{"x":["`+marker+`"]}`)},
		"custom":         {"POST", "/v1/contact", with("custom", `"`+marker+`"`)},
		"a rev":          {"POST", "/v1/contact", with("rev", `"`+marker+`"`)},
		"an unknown one": {"POST", "/v1/contact", with("nick", `"`+marker+`"`)},
		"no JSON":        {"POST", "/v1/contact", marker},
		"half JSON":      {"POST", "/v1/contact", `{"phone":"` + marker},
		"a JSON string":  {"POST", "/v1/contact", `"` + marker + `"`},
		"a name twice":   {"POST", "/v1/contact", `{"` + marker + `":1,"` + marker + `":1}`},
		"a type":         {"POST", "/v1/contact", whole, "Content-Type", "text/" + marker},
		"a method":       {marker, "/v1/contacts", ""},
	} {
		h := newHouse(t)
		a := h.ask(t, q[0], q[1], q[2], q[3:]...)
		if a.StatusCode < 400 {
			t.Errorf("%s: %s, want it refused", name, a.Status)
		}
		if strings.Contains(strings.ToLower(a.text+fmt.Sprint(a.Header)+h.log.String()), strings.ToLower(marker)) {
			t.Errorf("%s is echoed: %v %s %s", name, a.Header, a.text, h.log.String())
		}
	}
}

// A caller with a thousand mistakes is told of some.
func TestManyMistakes(t *testing.T) {
	body := strings.Replace(entries(1000), `"v"`, `1`, -1)
	a := newHouse(t).ask(t, "POST", "/v1/contact", body)
	a.refused(t, 400, latchkey.CodeInvalidRequest)
	if !strings.HasSuffix(a.detail(), "; and so on for 991 more.") || len(a.detail()) > 1000 {
		t.Errorf("1,000 unknown fields and no phone: %q", a.detail())
	}
}

// What huma says that is not in the table does not get through, and what it
// refuses by itself with a status of its own is one of ours.
func TestUnknownWords(t *testing.T) {
	err := refusal(&huma.ErrorModel{Status: 422, Errors: []*huma.ErrorDetail{
		{Location: "body.email", Message: "expected string to be RFC 5322 email: mail: missing '@' in marker", Value: "marker"},
	}}, nil)
	if got := fmt.Sprint(err, wordsOf(err)); strings.Contains(got, "marker") || !strings.Contains(got, "email is not valid.") {
		t.Errorf("an unknown message becomes %s", got)
	}
	if err := refusal(&huma.ErrorModel{Status: 500, Detail: "x"}, nil); wordsOf(err) != "" {
		t.Errorf("a fault of huma's has words for the caller: %v", err)
	}
}
