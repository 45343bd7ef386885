package client_test

import (
	"net/http"
	"testing"

	"latchkey/client"
)

// canned answers at once, so that what is measured is the transport alone.
type canned struct{ resp *http.Response }

func (c canned) RoundTrip(*http.Request) (*http.Response, error) { return c.resp, nil }

func request(tb testing.TB) *http.Request {
	req, err := http.NewRequest("GET", api+"/v1/contacts", nil)
	if err != nil {
		tb.Fatal(err)
	}
	req.Header.Set("Accept", "application/json")
	return req
}

// A request with a cached token costs the copy of it: the Request, its header's
// map and values, and the Authorization value. Nothing is signed.
func TestAllocationsOfTheHotPath(t *testing.T) {
	transport := over(canned{answer(200, "")}, client.JWT(newSecret()))
	req := request(t)
	allocs := testing.AllocsPerRun(1000, func() {
		if _, err := transport.RoundTrip(req); err != nil {
			t.Fatal(err)
		}
	})
	if allocs > 5 {
		t.Errorf("a request with a cached token allocates %.0f times", allocs)
	}
}

func BenchmarkTransport(b *testing.B) {
	id, secret := newSecret()
	base := canned{answer(200, "")}
	for _, bench := range []struct {
		name string
		rt   http.RoundTripper
	}{
		{"bare", base},
		{"bearer", over(base, client.Bearer("key"))},
		{"jwt", over(base, client.JWT(id, secret))},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				req := request(b)
				for pb.Next() {
					if _, err := bench.rt.RoundTrip(req); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}
