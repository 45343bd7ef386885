package guard_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"latchkey"
	"latchkey/guard"
)

// TestStopping holds that a request which the server gives up is answered 503
// where it still can be, and that its record does not blame the client.
func TestStopping(t *testing.T) {
	ctx, stop := context.WithCancelCause(context.Background())
	v, l := newVault(), &ledger{}
	g := &guard.Guard{Authenticate: v.keyring.Authenticate, Recorder: l}
	entered := make(chan struct{})
	server := httptest.NewUnstartedServer(g.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
	})))
	server.Config.BaseContext = func(net.Listener) context.Context { return ctx }
	server.Start()
	t.Cleanup(server.Close)
	go func() { <-entered; stop(guard.ErrStopping) }()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", v.bearer())
	answer, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusServiceUnavailable || answer.Header.Get("Retry-After") == "" {
		t.Errorf("status %d, must be 503 with Retry-After", answer.StatusCode)
	}
	record := l.take(t, 1)[0]
	if record.Status != http.StatusServiceUnavailable || record.Outcome != latchkey.OutcomeError || record.TeamID == "" ||
		record.Diagnosis != "The server was stopped before there was an answer." {
		t.Errorf("the record says %d, %s: %s", record.Status, record.Outcome, record.Diagnosis)
	}
}

// TestCredentialsElsewhereAreMasked holds that a credential which a caller put
// where none belongs does not get into the record, though nobody set Redact.
func TestCredentialsElsewhereAreMasked(t *testing.T) {
	v, l := newVault(), &ledger{}
	token := v.token()
	g := &guard.Guard{Authenticate: v.keyring.Authenticate, Recorder: l}
	server := httptest.NewServer(g.Wrap(http.NotFoundHandler()))
	t.Cleanup(server.Close)
	for _, secret := range []string{v.key, v.rolled, token, latchkey.NewAPIKey("acme_").Reveal()} {
		r, err := http.NewRequestWithContext(t.Context(), secret, server.URL+"/v1/"+secret+"/x", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = secret
		r.Header.Set("User-Agent", "curl "+secret+","+secret)
		r.Header.Set("X-Request-Id", "id="+secret)
		answer, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		record := l.take(t, 1)[0]
		v.checkNoSecret(t, "the record", record.Method+record.Path+record.Host+record.UserAgent+record.ClientRequestID)
		if record.Method != "[secret]" || record.Path != "/v1/[secret]/x" || record.Host != "[secret]" || record.UserAgent != "curl [secret],[secret]" || record.ClientRequestID != "id=[secret]" {
			t.Errorf("masked as %q, %q, %q, %q, %q", record.Method, record.Path, record.Host, record.UserAgent, record.ClientRequestID)
		}
	}
}
