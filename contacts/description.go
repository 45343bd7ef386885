package contacts

import (
	"cmp"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"latchkey"
	"latchkey/problem"
)

const about = `The contacts of a team: every request sees those of the team whose credential it carries, and no others.

**Credentials.** Send the team's API key as a Bearer token or as the user name of HTTP Basic, or a JWT signed with one of its API secrets. Any of the three will do for every operation.

**Request IDs.** Every response has an X-Request-Id. Keep it when something goes wrong: support finds the request by it.

**Errors** are application/problem+json (RFC 9457). Decide by ` + "`code`" + `, which does not change; ` + "`detail`" + ` is for people.`

// config is huma's configuration without all that it does by default.
func (a *API) config() huma.Config {
	return huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI:  "3.1.0",
			Info:     &huma.Info{Title: "Contacts", Version: cmp.Or(a.Version, "1"), Description: about},
			Servers:  []*huma.Server{{URL: "/", Description: "The server that gave this description."}},
			Tags:     []*huma.Tag{{Name: "contacts", Description: "People that a team keeps."}},
			Security: []map[string][]string{{"BearerAuth": {}}, {"BasicAuth": {}}, {"ApiKeyAuth": {}}},
			Components: &huma.Components{
				Schemas: huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer),
				SecuritySchemes: map[string]*huma.SecurityScheme{
					"BearerAuth": {Type: "http", Scheme: "bearer", Description: "The team API key: `Authorization: Bearer YOUR_API_KEY`."},
					"BasicAuth":  {Type: "http", Scheme: "basic", Description: "The team API key as user name, and an empty password: `curl -u \"YOUR_API_KEY:\"`."},
					"ApiKeyAuth": {
						Type: "http", Scheme: "bearer", BearerFormat: "JWT",
						Description: "A JWT signed with HMAC-SHA256 (`alg` HS256); the key is the API Secret ID, `||` and the API Secret Key. " +
							"`iss` is the API Secret ID, `iat` the time in seconds; the token dies 300 s after `iat`.",
					},
				},
			},
		},
		Formats: map[string]huma.Format{
			"application/json": strictJSON,
			// huma writes its own errors with this one, and package problem ours.
			problem.ContentType: {Marshal: func(io.Writer, any) error { return nil }},
		},
		DefaultFormat: "application/json",
		Transformers:  []huma.Transformer{catch},
	}
}

// An operation in words. It says which failures it can have besides those
// that every operation can.
type operation struct {
	method, path, id     string
	summary, description string
	status               int
	success              string
	wrong                *latchkey.InvalidError // the example of a 400; nil: there is none
	fails                []int                  // besides it
}

var (
	listOperation = operation{
		http.MethodGet, "/v1/contacts", "listContacts", "List contacts",
		"Answers the team's contacts, newest first, in pages. Go on with `next_cursor` until it is null. " +
			"Contacts that are created meanwhile do not move the pages.",
		http.StatusOK, "A page of contacts.", &latchkey.InvalidError{Field: "limit", Problem: "must be at most 100"}, nil,
	}
	createOperation = operation{
		http.MethodPost, "/v1/contact", "createContact", "Create a contact",
		"Creates a contact. Only `phone` is required; numbers need not be unique.",
		http.StatusCreated, "The contact as it was created.",
		&latchkey.InvalidError{Field: "phone", Problem: phoneProblem("+15555550123")}, []int{http.StatusRequestEntityTooLarge},
	}
	readOperation = operation{
		http.MethodGet, "/v1/contact/{id}", "getContact", "Get a contact", "Answers one contact.",
		http.StatusOK, "The contact.", nil, []int{http.StatusNotFound},
	}
	replaceOperation = operation{
		http.MethodPut, "/v1/contact/{id}", "replaceContact", "Replace a contact",
		"Replaces the whole contact: a field that is left out becomes empty. With `rev`, it is replaced only if nobody " +
			"has changed it since that `rev` was read; else the answer is 400, and names `rev`.",
		http.StatusOK, "The contact as it is now.",
		errRevision, []int{http.StatusNotFound, http.StatusRequestEntityTooLarge},
	}
	deleteOperation = operation{
		http.MethodDelete, "/v1/contact/{id}", "deleteContact", "Delete a contact",
		"Deletes the contact for good. Its ID is never used again.",
		http.StatusNoContent, "The contact is deleted.", nil, []int{http.StatusNotFound},
	}
)

// operation makes huma's operation, with every answer that it can give.
func (a *API) operation(o operation) huma.Operation {
	responses := map[string]*huma.Response{
		strconv.Itoa(o.status): {Description: o.success, Headers: map[string]*huma.Param{"X-Request-Id": requestIDHeader}},
	}
	always := []int{http.StatusUnauthorized, http.StatusInternalServerError, http.StatusServiceUnavailable}
	for _, status := range slices.Concat(o.fails, always) {
		responses[strconv.Itoa(status)] = a.failing(failureOf(status))
	}
	if o.wrong != nil {
		responses["400"] = a.failing(failureText{
			description: "What was sent cannot be used; `detail` names each field and what is wrong with it.",
			errs:        []error{o.wrong},
		})
	}
	op := huma.Operation{
		Method: o.method, Path: o.path, OperationID: o.id, Tags: []string{"contacts"},
		Summary: o.summary, Description: o.description, DefaultStatus: o.status, Responses: responses,
		// huma refuses a body that reaches the limit.
		MaxBodyBytes: maxBody + 1, BodyReadTimeout: 30 * time.Second,
	}
	if o.path == readOperation.path {
		lowest := 1.0
		op.Parameters = []*huma.Param{{
			Name: "id", In: "path", Required: true, Example: 42,
			Description: "The contact's ID. Whatever cannot be one is not found.",
			Schema:      &huma.Schema{Type: huma.TypeInteger, Format: "int64", Minimum: &lowest},
		}}
	}
	return op
}

// description is the OpenAPI document. It can fail only by a fault in this
// package, and then in every test.
func (a *API) description(doc *huma.OpenAPI) []byte {
	schemas := doc.Components.Schemas.Map()
	delete(schemas, "ErrorModel") // huma's own, which it always adds
	delete(schemas, "ErrorDetail")
	schemas["Problem"] = a.problemSchema()
	body, err := json.Marshal(doc)
	if err != nil {
		panic("contacts: write the API description: " + err.Error())
	}
	return body
}

const exampleRequestID = "01963b7c-52a0-7c3e-8f51-0d6c3a9b7e42"

var requestIDHeader = &huma.Param{
	Description: "This request's ID: a UUID, fresh for every response. Support finds the request by it.",
	Schema:      &huma.Schema{Type: huma.TypeString, Format: "uuid"},
	Example:     exampleRequestID,
}

// failing describes an error answer; its examples are made by package problem,
// so that they cannot differ from the answers.
func (a *API) failing(f failureText) *huma.Response {
	examples := map[string]*huma.Example{}
	for _, err := range f.errs {
		body := a.Problems.Body(err, exampleRequestID)
		examples[string(body.Code)] = &huma.Example{Value: body}
	}
	headers := map[string]*huma.Param{"X-Request-Id": requestIDHeader}
	for name, description := range f.headers {
		headers[name] = &huma.Param{Description: description, Schema: &huma.Schema{Type: huma.TypeString}}
	}
	return &huma.Response{
		Description: f.description, Headers: headers,
		Content: map[string]*huma.MediaType{
			problem.ContentType: {Schema: &huma.Schema{Ref: "#/components/schemas/Problem"}, Examples: examples},
		},
	}
}

// A failure in words, with one error for each code that it can have.
type failureText struct {
	description string
	headers     map[string]string
	errs        []error
}

func failureOf(status int) failureText {
	switch status {
	case http.StatusUnauthorized:
		return failureText{
			description: "The credential is missing, malformed, not valid, or a token that is too old or from the future.",
			headers:     map[string]string{"WWW-Authenticate": "The schemes that are understood: Bearer (RFC 6750) and Basic (RFC 7617)."},
			errs: []error{
				denial(nil),
				denial([]string{"Bearer"}),
				&latchkey.Denial{Code: latchkey.CodeInvalidCredentials},
				&latchkey.Denial{Code: latchkey.CodeTokenExpired, Detail: "The token expired 12 s ago: it lives for 300 s after its iat. Sign a new one, and check your clock."},
				&latchkey.Denial{Code: latchkey.CodeTokenNotYetValid, Detail: "The token's iat is 94 s in the future: your clock is ahead of ours; set it by NTP."},
			},
		}
	case http.StatusNotFound:
		return failureText{description: "The team has no contact with this ID.", errs: []error{errNoContact}}
	case http.StatusRequestEntityTooLarge:
		return failureText{description: "The body is larger than the server takes, by default 1 MiB.", errs: []error{errTooLarge}}
	case http.StatusServiceUnavailable:
		return failureText{
			description: "The server cannot tell at the moment whether the credential holds, or cannot reach the contacts. The same request may succeed later.",
			headers:     map[string]string{"Retry-After": "In how many seconds asking again may help."},
			errs:        []error{&latchkey.Unavailable{Reason: latchkey.ReasonStoreUnavailable}},
		}
	}
	return failureText{
		description: "A fault of the server. When a change was asked for, it is possible that it was made.",
		errs:        []error{&problem.Error{Code: latchkey.CodeInternal}},
	}
}

// denial is what reading an Authorization field ends with.
func denial(fields []string) error {
	_, d := latchkey.ReadAuthorization(fields)
	return d
}

// elsewhere are the errors that a caller can meet besides those of the
// operations: for another method, and behind a gateway. Each code has an example.
var elsewhere = []error{
	&problem.Error{Code: latchkey.CodeMethodNotAllowed},
	&problem.Error{Code: latchkey.CodeUpstreamUnreachable},
	&problem.Error{Code: latchkey.CodeUpstreamTimeout},
}

// problemSchema is the schema of [latchkey/problem.Body].
func (a *API) problemSchema() *huma.Schema {
	var examples []any
	for _, err := range elsewhere {
		examples = append(examples, a.Problems.Body(err, exampleRequestID))
	}
	return &huma.Schema{
		Type: huma.TypeObject,
		Description: "An error (RFC 9457). The answers of each operation have examples of the codes that it can give; " +
			"here are those of a path that does not know the method, and of an API behind a gateway.",
		Required: []string{"type", "title", "status", "detail", "code", "request_id"},
		Properties: map[string]*huma.Schema{
			"type":       {Type: huma.TypeString, Format: "uri-reference", Description: "Names the kind of error, and leads to its documentation where there is one."},
			"title":      {Type: huma.TypeString, Description: "The kind of error in a few words."},
			"status":     {Type: huma.TypeInteger, Description: "The HTTP status again."},
			"detail":     {Type: huma.TypeString, Description: "What is wrong with this request, and how to mend it. For people; its words may change."},
			"code":       {Type: huma.TypeString, Description: "The kind of error for programs; see the examples of each answer. More codes may come.", Examples: []any{"invalid_request"}},
			"request_id": {Type: huma.TypeString, Format: "uuid", Description: "The same as the X-Request-Id header."},
		},
		Examples: examples,
	}
}
