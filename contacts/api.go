// Package contacts is the API that latchkey serves when no upstream is named: a
// team's contacts under /v1, described at /openapi.json.
//
// It stands behind a door that has checked the credential and left the
// principal in the request's context. All that it answers is JSON; every error
// is a problem (RFC 9457) of package problem.
package contacts

import (
	"log/slog"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"latchkey"
	"latchkey/problem"
)

// An API answers for the contacts of all teams, each from its own only.
type API struct {
	Store    latchkey.ContactStore
	Problems problem.Writer
	Version  string       // of the API, as its description gives it; "" means "1"
	Logger   *slog.Logger // gets the faults of ours; nil means slog.Default()
}

// Handler returns the whole API:
//
//	GET    /v1/contacts       the team's contacts, newest first, in pages
//	POST   /v1/contact        creates a contact
//	GET    /v1/contact/{id}   one contact
//	PUT    /v1/contact/{id}   replaces it
//	DELETE /v1/contact/{id}   deletes it
//	GET    /openapi.json      the description of these five
//
// HEAD works where GET does. A request without a principal in its context is
// refused with 500: the door is missing, and nobody's contacts are shown.
func (a *API) Handler() http.Handler {
	m := &router{problems: a.Problems, logger: a.Logger}
	if m.logger == nil {
		m.logger = slog.Default()
	}
	api := huma.NewAPI(a.config(), adapter{m})
	register(api, a.operation(listOperation), a.list)
	register(api, a.operation(createOperation), a.create)
	register(api, a.operation(readOperation), a.read)
	register(api, a.operation(replaceOperation), a.replace)
	register(api, a.operation(deleteOperation), a.delete)
	description := a.description(api.OpenAPI())
	m.handle(http.MethodGet, "/openapi.json", func(w http.ResponseWriter, _ *http.Request) error {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(description)
		return nil
	})
	m.close()

	return m.answering(func(w http.ResponseWriter, r *http.Request) error {
		if _, err := teamOf(r.Context()); err != nil {
			return err
		}
		w.Header().Set("Cache-Control", "no-store") // people's data, behind a credential
		m.ServeHTTP(w, r)
		return nil
	})
}
