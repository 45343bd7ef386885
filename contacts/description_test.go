package contacts

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"latchkey/problem"
)

// at goes down a JSON value by names, or fails the test.
func at(t *testing.T, v any, path ...string) any {
	t.Helper()
	for i, name := range path {
		object, ok := v.(map[string]any)
		if !ok || object[name] == nil {
			t.Fatalf("the description has nothing at %s", strings.Join(path[:i+1], " › "))
		}
		v = object[name]
	}
	return v
}

func keys(t *testing.T, v any, path ...string) []string {
	t.Helper()
	object, _ := at(t, v, path...).(map[string]any)
	return slices.Sorted(maps.Keys(object))
}

func describe(t *testing.T, h *house) map[string]any {
	t.Helper()
	a := h.ask(t, "GET", "/openapi.json", "")
	if a.StatusCode != 200 || a.Header.Get("Content-Type") != "application/json" {
		t.Fatalf("GET /openapi.json: %s %q", a.Status, a.Header.Get("Content-Type"))
	}
	return a.json
}

// everyOperation calls f for each operation that is described.
func everyOperation(t *testing.T, doc map[string]any, f func(method, path string, op map[string]any)) {
	t.Helper()
	count := 0
	for _, path := range keys(t, doc, "paths") {
		for _, method := range keys(t, doc, "paths", path) {
			f(strings.ToUpper(method), path, at(t, doc, "paths", path, method).(map[string]any))
			count++
		}
	}
	if count != 5 {
		t.Errorf("%d operations are described, want 5", count)
	}
}

func TestDescription(t *testing.T) {
	doc := describe(t, newHouse(t))
	if v := at(t, doc, "openapi"); v != "3.1.0" {
		t.Errorf("OpenAPI %v, want 3.1.0", v)
	}
	at(t, doc, "info", "title")
	at(t, doc, "info", "description")
	schemes, err := json.Marshal(at(t, doc, "security"))
	if want := `[{"BearerAuth":[]},{"BasicAuth":[]},{"ApiKeyAuth":[]}]`; err != nil || string(schemes) != want {
		t.Errorf("security is %s, want any of the three: %s", schemes, want)
	}
	for name, want := range map[string]string{"BearerAuth": "http bearer <nil>", "BasicAuth": "http basic <nil>", "ApiKeyAuth": "http bearer JWT"} {
		s := at(t, doc, "components", "securitySchemes", name).(map[string]any)
		if got := fmt.Sprintf("%v %v %v", s["type"], s["scheme"], s["bearerFormat"]); got != want || s["description"] == nil {
			t.Errorf("%s is %s, want %s and a description", name, got, want)
		}
	}
	if got := keys(t, doc, "components", "schemas"); !slices.Equal(got, []string{"Contact", "ContactList", "Draft", "Problem"}) {
		t.Errorf("the schemas are %q: huma's own, or more than are used", got)
	}

	var members []string
	for f := range reflect.TypeFor[problem.Body]().Fields() {
		members = append(members, f.Tag.Get("json"))
	}
	slices.Sort(members)
	if got := keys(t, doc, "components", "schemas", "Problem", "properties"); !slices.Equal(got, members) {
		t.Errorf("the schema of a problem has %q, a problem has %q", got, members)
	}

	// Every code that a caller can get has an example somewhere.
	seen := map[string]bool{"conflict": true} // of the management API only
	for _, example := range at(t, doc, "components", "schemas", "Problem", "examples").([]any) {
		seen[example.(map[string]any)["code"].(string)] = true
	}
	defer func() {
		for _, code := range declaredCodes(t) {
			if !seen[code] {
				t.Errorf("the description has no example of %s", code)
			}
		}
	}()

	codes := map[string][]string{
		"400": {"invalid_request"}, "404": {"not_found"}, "413": {"body_too_large"}, "500": {"internal_error"}, "503": {"unavailable"},
		"401": {"invalid_credentials", "malformed_credentials", "missing_credentials", "token_expired", "token_not_yet_valid"},
	}
	statuses := map[string]string{
		"GET /v1/contacts": "200 400 401 500 503", "POST /v1/contact": "201 400 401 413 500 503",
		"GET /v1/contact/{id}": "200 401 404 500 503", "DELETE /v1/contact/{id}": "204 401 404 500 503",
		"PUT /v1/contact/{id}": "200 400 401 404 413 500 503",
	}
	everyOperation(t, doc, func(method, path string, op map[string]any) {
		if got, want := strings.Join(keys(t, op, "responses"), " "), statuses[method+" "+path]; got != want {
			t.Errorf("%s %s is described with %s, want %s", method, path, got, want)
		}
		for _, name := range []string{"operationId", "summary", "description", "tags"} {
			at(t, op, name)
		}
		for _, status := range keys(t, op, "responses") {
			answer := at(t, op, "responses", status)
			at(t, answer, "description")
			at(t, answer, "headers", "X-Request-Id", "schema")
			if status < "400" {
				continue
			}
			examples := at(t, answer, "content", problem.ContentType, "examples")
			if got := keys(t, examples); !slices.Equal(got, codes[status]) {
				t.Errorf("%s %s: the examples of %s are %q, want %q", method, path, status, got, codes[status])
			}
			for _, code := range keys(t, examples) {
				seen[code] = true
				value := at(t, examples, code, "value").(map[string]any)
				if fmt.Sprint(value["status"]) != status || value["code"] != code || value["detail"] == "" || len(value) != len(members) {
					t.Errorf("%s %s: the example of %s is %v", method, path, code, value)
				}
			}
		}
	})
	at(t, doc, "paths", "/v1/contact", "post", "responses", "201", "headers", "Location")
}

// declaredCodes reads the codes from the source of the root package: a new one
// cannot be forgotten here.
func declaredCodes(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("../errors.go")
	if err != nil {
		t.Fatal(err)
	}
	var codes []string
	for _, m := range regexp.MustCompile(`(?m)^\tCode\w+ +Code = "(\w+)"`).FindAllSubmatch(text, -1) {
		codes = append(codes, string(m[1]))
	}
	if len(codes) < 14 {
		t.Fatalf("errors.go declares %d codes: the test does not see them", len(codes))
	}
	return codes
}

// Each operation does what the description says: every answer that a request
// can bring about without the door and without a fault is made, and no other.
func TestDescriptionIsTrue(t *testing.T) {
	mistakes := map[string][]string{ // query or body that gives a status
		"400": {"?limit=0", `{}`}, "413": {"", strings.Repeat(" ", maxBody+1)},
	}
	everyOperation(t, describe(t, newHouse(t)), func(method, path string, op map[string]any) {
		for _, status := range keys(t, op, "responses") {
			h := newHouse(t)
			h.ask(t, "POST", "/v1/contact", whole)
			target, body := strings.Replace(path, "{id}", "1", 1), ""
			if op["requestBody"] != nil {
				body = whole
			}
			switch status {
			case "401", "500", "503":
				continue // the door's, and faults
			case "404":
				target = strings.Replace(path, "{id}", "2", 1)
			case "400", "413":
				if body != "" {
					body = mistakes[status][1]
				} else {
					target += mistakes[status][0]
				}
			}
			a := h.ask(t, method, target, body)
			if fmt.Sprint(a.StatusCode) != status {
				t.Errorf("%s %s: %s, where %s is described", method, target, a.Status, status)
			}
			described, _ := op["responses"].(map[string]any)[status].(map[string]any)["content"].(map[string]any)
			ct := a.Header.Get("Content-Type")
			if _, ok := described[ct]; !ok && (ct != "" || described != nil) {
				t.Errorf("%s %s: %s is %q, described are %q", method, target, status, ct, slices.Collect(maps.Keys(described)))
			}
		}
	})
}

// What is answered has exactly the fields of its schema.
func TestSchemasOfAnswers(t *testing.T) {
	h := newHouse(t)
	doc := describe(t, h)
	h.ask(t, "POST", "/v1/contact", whole)
	list := h.ask(t, "GET", "/v1/contacts", "")
	for name, v := range map[string]any{"ContactList": list.json, "Contact": at(t, list.json, "contacts").([]any)[0]} {
		schema := at(t, doc, "components", "schemas", name)
		required := at(t, schema, "required").([]any)
		if got, want := keys(t, v), keys(t, schema, "properties"); !slices.Equal(got, want) || len(required) != len(want) {
			t.Errorf("%s is answered with %q and described with %q, of which %d are always there", name, got, want, len(required))
		}
	}
	if got := keys(t, doc, "components", "schemas", "Draft", "properties"); !slices.Equal(got, slices.Sorted(slices.Values(draftNames))) {
		t.Errorf("a draft is described with %q and read with %q", got, draftNames)
	}
	if _, err := parseCursor(fmt.Sprint(at(t, doc, "components", "schemas", "ContactList", "properties", "next_cursor", "examples").([]any)[0])); err != nil {
		t.Errorf("the example of a cursor: %v", err)
	}
}

// The bounds that are described are those that hold: at each the value is
// taken, one above it is refused.
func TestBoundsAreDescribed(t *testing.T) {
	h := newHouse(t)
	draft := at(t, describe(t, h), "components", "schemas", "Draft", "properties")
	number := func(path ...string) int { return int(at(t, draft, path...).(float64)) }
	bounds := map[string]func(n int) string{
		"first":        func(n int) string { return with("first", quoted(n)) },
		"last":         func(n int) string { return with("last", quoted(n)) },
		"display_name": func(n int) string { return with("display_name", quoted(n)) },
		"email":        func(n int) string { return with("email", `"a@`+strings.Repeat("b", n-2)+`"`) },
		"custom":       func(n int) string { return with("custom", entries(n)) },
		"custom name":  func(n int) string { return with("custom", "{"+quoted(n)+`:"v"}`) },
		"custom value": func(n int) string { return with("custom", `{"x":`+quoted(n)+"}") },
	}
	described := map[string]int{
		"custom": number("custom", "maxProperties"), "custom name": number("custom", "propertyNames", "maxLength"),
		"custom value": number("custom", "additionalProperties", "maxLength"),
	}
	for _, name := range []string{"first", "last", "display_name", "email"} {
		described[name] = number(name, "maxLength")
	}
	for name, body := range bounds {
		n := described[name]
		if a := h.ask(t, "POST", "/v1/contact", body(n)); a.StatusCode != 201 {
			t.Errorf("%s: %d are described, and refused: %s", name, n, a.text)
		}
		field, _, _ := strings.Cut(name, " ")
		if a := h.ask(t, "POST", "/v1/contact", body(n+1)); a.StatusCode != 400 || !strings.HasPrefix(a.detail(), field) {
			t.Errorf("%s: %d are described, and one more is taken: %s", name, n, a.text)
		}
	}

	pattern := regexp.MustCompile(at(t, draft, "phone", "pattern").(string))
	for _, phone := range []string{"", "1", "15", "05", "+15", "123456789012345", "1234567890123456", "1 5", "15\n", "15x", "٣٣"} {
		if pattern.MatchString(phone) != (phoneProblem(phone) == "") {
			t.Errorf("phone %q: the pattern that is described says %v, we say %q", phone, pattern.MatchString(phone), phoneProblem(phone))
		}
	}
}
