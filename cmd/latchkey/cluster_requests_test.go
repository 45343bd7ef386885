package main

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey"
)

// requestsOfNodes holds that a response is found on every node, and by a command
// without one, while it goes on and after; and that an ID that is nobody's is
// told from one that a node may yet hand in.
func requestsOfNodes(t *testing.T, f *cluster) {
	end := make(chan struct{})
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(3 * time.Second) // the first byte comes late
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		<-end
		_, _ = w.Write([]byte("done"))
	}))
	defer upstream.Close()
	first := f.start(t, "first", "--upstream", upstream.URL)
	f.start(t, "second", "--upstream", upstream.URL)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, first.url+"/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+f.key(t, "first"))
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	id := answer.Header.Get("X-Request-Id")
	for _, node := range []string{"second", "none"} {
		var out string
		waitFor(t, "a response that goes on to be found with "+node, func() bool {
			var said string
			var code int
			out, said, code = f.latchkey(t, node, "request", "show", id)
			if code != 0 && !strings.Contains(said, "handed in") {
				t.Fatalf("with %s: %s", node, said)
			}
			return code == 0
		})
		if !strings.Contains(out, "not ended yet, on first") {
			t.Errorf("with %s a response that goes on is shown as\n%s", node, out)
		}
	}
	waitFor(t, "it to be clear that an ID is nobody's", func() bool { // while the response goes on
		_, err := f.api("second").Request(t.Context(), uuid.Must(uuid.NewV7()).String())
		if !errors.Is(err, latchkey.ErrNotFound) {
			t.Fatalf("of an ID that is nobody's: %v", err)
		}
		return !strings.Contains(err.Error(), "handed in")
	})
	close(end)
	waitFor(t, "the response to have ended on the second node", func() bool {
		got, err := f.api("second").Request(t.Context(), id)
		return err == nil && !got.Open && got.BytesOut == 4 && got.DurationUS > 0
	})
	first.kill()
	if _, said, code := f.latchkey(t, "second", "request", "show", uuid.Must(uuid.NewV7()).String()); code == 0 || !strings.Contains(said, "first (nothing since 20") {
		t.Errorf("of an ID that a killed node may have: %s", said)
	}
}
