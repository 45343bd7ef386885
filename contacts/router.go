package contacts

import (
	"log/slog"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"

	"latchkey"
	"latchkey/problem"
)

// router is http.ServeMux with our answers in place of its own: a path that it
// would clean and redirect is not found, and errors go through package problem.
type router struct {
	mux      http.ServeMux
	methods  map[string][]string // by path pattern
	problems problem.Writer
	logger   *slog.Logger
}

// handle adds a method of a path. GET serves HEAD too.
func (m *router) handle(method, pattern string, serve func(http.ResponseWriter, *http.Request) error) {
	if m.methods == nil {
		m.methods = map[string][]string{}
	}
	m.methods[pattern] = append(m.methods[pattern], method)
	if method == http.MethodGet {
		m.methods[pattern] = append(m.methods[pattern], http.MethodHead)
	}
	m.mux.HandleFunc(method+" "+pattern, m.answering(serve))
}

// close adds the answers for all that handle was not called for.
func (m *router) close() {
	m.mux.HandleFunc("/", m.answering(func(http.ResponseWriter, *http.Request) error { return errNoPath }))
	for pattern, methods := range m.methods {
		slices.Sort(methods)
		allow := strings.Join(methods, ", ")
		m.mux.HandleFunc(pattern, m.answering(func(http.ResponseWriter, *http.Request) error {
			return &problem.Error{Code: latchkey.CodeMethodNotAllowed, Allow: allow}
		}))
	}
}

var errNoPath = &problem.Error{
	Code: latchkey.CodeNotFound, Err: latchkey.ErrNotFound,
	Detail: "There is nothing at this path; /openapi.json describes what there is.",
}

// answering answers the error that serve returns, and logs it if it is ours.
func (m *router) answering(serve func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		err := serve(w, r)
		if err == nil {
			return
		}
		// A caller that has gone makes the store give up: no fault of ours.
		if problem.Status(err) >= http.StatusInternalServerError && r.Context().Err() == nil {
			m.logger.ErrorContext(r.Context(), "contacts: answer a request",
				"err", err, "request_id", latchkey.RequestIDFrom(r.Context()))
		}
		m.problems.Write(w, r, err)
	}
}

// ServeHTTP answers what is clean as it stands, and refuses the rest.
func (m *router) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if p := r.URL.EscapedPath(); !strings.HasPrefix(p, "/") || p != path.Clean(p) {
		m.problems.Write(w, r, errNoPath)
		return
	}
	if err := readable(r.URL.RawQuery); err != nil {
		m.problems.Write(w, r, err)
		return
	}
	m.mux.ServeHTTP(w, r)
}

// readable refuses a query of which a part would be passed over in silence. A
// parameter that nobody knows is ignored, as everywhere on the web.
func readable(query string) error {
	values, err := url.ParseQuery(query)
	if err != nil {
		return &latchkey.InvalidError{Field: "query", Problem: "cannot be read: check its percent-encoding, and separate by & alone"}
	}
	for _, name := range []string{"cursor", "limit"} {
		if len(values[name]) > 1 {
			return &latchkey.InvalidError{Field: name, Problem: "is given more than once"}
		}
	}
	return nil
}
