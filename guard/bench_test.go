package guard_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"latchkey"
	"latchkey/guard"
)

// nowhere is a Recorder that forgets.
type nowhere struct{}

func (nowhere) Begin(latchkey.Record) error { return nil }
func (nowhere) End(latchkey.Record)         {}

// blank is a ResponseWriter that costs nothing.
type blank struct{ h http.Header }

func (b blank) Header() http.Header         { return b.h }
func (b blank) Write(p []byte) (int, error) { return len(p), nil }
func (b blank) WriteHeader(int)             {}

// BenchmarkWrap: what the door adds to a handler that does nothing.
func BenchmarkWrap(b *testing.B) {
	v := newVault()
	g := &guard.Guard{Authenticate: v.keyring.Authenticate, Recorder: nowhere{}}
	h := g.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	for name, value := range map[string]string{"key": v.bearer(), "jwt": "Bearer " + v.token(), "none": ""} {
		b.Run(name, func(b *testing.B) {
			r := httptest.NewRequest(http.MethodGet, "/v1/contacts", nil)
			if value != "" {
				r.Header.Set("Authorization", value)
			}
			b.ReportAllocs()
			for b.Loop() {
				h.ServeHTTP(blank{http.Header{}}, r)
			}
		})
	}
}
