package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey"
	"latchkey/jwt"
)

// accepted reports the reason that the keyring gives for a bearer value.
func accepted(t *testing.T, a *API, value string) latchkey.Reason {
	t.Helper()
	_, err := a.Keyring.Authenticate(t.Context(), []string{"Bearer " + value})
	var denial *latchkey.Denial
	if errors.As(err, &denial) {
		return denial.Reason
	}
	if err != nil {
		t.Fatal(err)
	}
	return latchkey.ReasonOK
}

func expect(t *testing.T, a *API, what, value string, want latchkey.Reason) {
	t.Helper()
	if got := accepted(t, a, value); got != want {
		t.Errorf("%s: verdict %s, want %s", what, got, want)
	}
}

func TestTeams(t *testing.T) {
	everyWay(t, func(t *testing.T, c *Client, a *API, _ *memory) {
		ctx := t.Context()
		if all := must(t, must2(c.Teams(ctx))(t), nil); all.Teams == nil || len(all.Teams) != 0 {
			t.Errorf("teams of an empty store: %#v, want an empty list", all.Teams)
		}
		made := mustChange[NewTeam](t)(c.CreateTeam(ctx, "Änne & Söhne/.."))
		if made.Team.Name != "Änne & Söhne/.." || made.Team.Disabled || made.Team.Created.IsZero() {
			t.Errorf("new team %+v", made.Team)
		}
		expect(t, a, "a new team's key", made.APIKey, latchkey.ReasonOK)
		token := jwt.Sign(made.Secret.ID, made.Secret.Key, time.Now())
		expect(t, a, "a new team's secret", token, latchkey.ReasonOK)

		off := mustChange[Team](t)(c.DisableTeam(ctx, "änne & söhne/.."))
		if !off.Disabled || off.ID != made.Team.ID {
			t.Errorf("disabled team %+v", off)
		}
		expect(t, a, "a disabled team's key", made.APIKey, latchkey.ReasonTeamDisabled)
		if on := mustChange[Team](t)(c.EnableTeam(ctx, made.Team.ID)); on.Disabled {
			t.Errorf("enabled team %+v", on)
		}
		expect(t, a, "an enabled team's key", made.APIKey, latchkey.ReasonOK)

		if renamed := mustChange[Team](t)(c.RenameTeam(ctx, made.Team.ID, "..")); renamed.Name != ".." || renamed.ID != made.Team.ID {
			t.Errorf("renamed team %+v", renamed)
		}
		all := must2(c.Teams(ctx))(t)
		if len(all.Teams) != 1 || all.Teams[0].Name != ".." {
			t.Errorf("teams %+v, want the one", all.Teams)
		}
		if gone := mustChange[Team](t)(c.DeleteTeam(ctx, "..")); gone.ID != made.Team.ID {
			t.Errorf("deleted team %+v", gone)
		}
		if got := accepted(t, a, made.APIKey); got == latchkey.ReasonOK {
			t.Error("a deleted team's key is accepted")
		}
		if all := must2(c.Teams(ctx))(t); len(all.Teams) != 0 {
			t.Errorf("a deleted team is listed: %+v", all.Teams)
		}
	})
}

// must2 takes a pair of results whole.
func must2[V any](v V, err error) func(*testing.T) V {
	return func(t *testing.T) V { t.Helper(); return must(t, v, err) }
}

func TestKeys(t *testing.T) {
	everyWay(t, func(t *testing.T, c *Client, a *API, m *memory) {
		ctx := t.Context()
		c.Actor = "command line (uid 0, root)"
		made := mustChange[NewTeam](t)(c.CreateTeam(ctx, "acme"))
		shown := must2(c.Key(ctx, "ACME"))(t)
		if shown.APIKey != made.APIKey || shown.Team != made.Team || shown.OldKeyUntil != nil || shown.RolledAt.IsZero() {
			t.Error("show: not the key that was made, or an old one that is not there")
		}

		first := mustChange[RolledKey](t)(c.RollKey(ctx, "acme", 0))
		expect(t, a, "the key before a roll", made.APIKey, latchkey.ReasonKeyRolled)
		expect(t, a, "the key after a roll", first.APIKey, latchkey.ReasonOK)

		second := mustChange[RolledKey](t)(c.RollKey(ctx, "acme", time.Hour))
		expect(t, a, "the old key in an overlap", first.APIKey, latchkey.ReasonOK)
		shown = must2(c.Key(ctx, "acme"))(t)
		if shown.APIKey != second.APIKey || shown.OldKeyUntil == nil || !shown.OldKeyUntil.Equal(second.RolledAt.Add(time.Hour)) {
			t.Errorf("show in an overlap: old key until %v, want an hour after %v", shown.OldKeyUntil, second.RolledAt)
		}

		if retired := mustChange[RetiredKey](t)(c.RetireKey(ctx, "acme")); retired.Team.Name != "acme" {
			t.Errorf("retire: the team is %q", retired.Team.Name)
		}
		expect(t, a, "the old key after its end", first.APIKey, latchkey.ReasonKeyRolled)

		value := latchkey.NewAPIKey("other_")
		imported := mustChange[RolledKey](t)(c.ImportKey(ctx, "acme", value))
		if imported.APIKey != value.Reveal() {
			t.Error("import: not the key that was imported")
		}
		expect(t, a, "an imported key", value.Reveal(), latchkey.ReasonOK)
		expect(t, a, "the key before an import", second.APIKey, latchkey.ReasonKeyRolled)

		for _, cred := range m.holdings[0].Credentials {
			if by := cred.CreatedBy; by != c.Actor {
				t.Errorf("%s was made by %q, want the actor", cred.Kind, by)
			}
			if !cred.Live() && cred.EndedBy != c.Actor {
				t.Errorf("a key was ended by %q, want the actor", cred.EndedBy)
			}
		}
		if n := len(m.events); n == 0 {
			t.Error("there is no audit of who was shown a key")
		}
		for _, event := range m.events {
			if event.Actor.Name != c.Actor || event.Actor.Source != "this machine" {
				t.Errorf("%s was by %+v, want the actor, on this machine", event.Action, event.Actor)
			}
		}
	})
}

func TestSecrets(t *testing.T) {
	everyWay(t, func(t *testing.T, c *Client, a *API, m *memory) {
		ctx := t.Context()
		made := mustChange[NewTeam](t)(c.CreateTeam(ctx, "acme"))
		second := mustChange[NewSecret](t)(c.CreateSecret(ctx, "acme"))
		expect(t, a, "a new secret", jwt.Sign(second.ID, second.Key, time.Now()), latchkey.ReasonOK)

		used := time.Date(2026, 5, 1, 9, 30, 0, 1000, time.FixedZone("east", 7200))
		m.used = map[string]time.Time{second.ID: used}
		all := must2(c.Secrets(ctx, "acme"))(t)
		if len(all.Secrets) != 2 || all.Secrets[0].ID != made.Secret.ID || all.Secrets[1].ID != second.ID {
			t.Fatalf("secrets %+v, want both, oldest first", all.Secrets)
		}
		if all.Secrets[0].LastUsed != nil || all.Secrets[1].LastUsed == nil || !all.Secrets[1].LastUsed.Equal(used) {
			t.Errorf("last used %v and %v, want nil and %v", all.Secrets[0].LastUsed, all.Secrets[1].LastUsed, used)
		}

		revoked := mustChange[RevokedSecret](t)(c.RevokeSecret(ctx, made.Secret.ID))
		if revoked.ID != made.Secret.ID || revoked.Team != made.Team || !revoked.RevokedAt.Equal(ended(m, made.Secret.ID)) {
			t.Errorf("revoked %+v", revoked)
		}
		expect(t, a, "a revoked secret", jwt.Sign(made.Secret.ID, made.Secret.Key, time.Now()), latchkey.ReasonSecretRevoked)

		_, key := latchkey.NewAPISecret()
		const id = "../tenant 1" // refused for its space, and not mangled
		if _, _, err := c.ImportSecret(ctx, "acme", id, key); err == nil {
			t.Error("an ID with a space was imported")
		}
		if got := mustChange[ImportedSecret](t)(c.ImportSecret(ctx, "acme", "../%2f?x#y", key)); got.ID != "../%2f?x#y" {
			t.Errorf("imported %q", got.ID)
		}
		expect(t, a, "an imported secret", jwt.Sign("../%2f?x#y", key.Reveal(), time.Now()), latchkey.ReasonOK)
		mustChange[RevokedSecret](t)(c.RevokeSecret(ctx, "../%2f?x#y"))
	})
}

func ended(m *memory, id string) time.Time {
	c, _ := m.find(func(c *latchkey.Credential) bool { return c.ID == id })
	return c.Ended
}

func TestRequests(t *testing.T) {
	everyWay(t, func(t *testing.T, c *Client, a *API, m *memory) {
		ctx := t.Context()
		made := mustChange[NewTeam](t)(c.CreateTeam(ctx, "acme"))
		now := time.Now().UTC().Truncate(time.Microsecond)
		m.records = []latchkey.Record{
			{RequestID: "0198c5e2-7d3a-7b61-9f0e-3c1d5a8b2e41", Time: now.Add(-2 * time.Hour), TeamID: made.Team.ID, Status: 200, Outcome: latchkey.OutcomeAccepted},
			{RequestID: "0198c5e2-7d3a-7b61-9f0e-3c1d5a8b2e42", Time: now.Add(-time.Hour), TeamID: "team_gone", Status: 401, Outcome: latchkey.OutcomeDenied},
			{RequestID: "0198c5e2-7d3a-7b61-9f0e-3c1d5a8b2e43", Time: now, Status: 401, Outcome: latchkey.OutcomeDenied, UserAgent: "\x1b[2J\u009b\u202e<&>😀"},
		}
		got := must2(c.Request(ctx, m.records[2].RequestID))(t)
		if !reflect.DeepEqual(got, m.records[2]) {
			t.Errorf("record %+v\n   want %+v", got, m.records[2])
		}

		hour := now.Add(-time.Hour)
		for name, test := range map[string]struct {
			filter RequestFilter
			want   []int // indices, newest first
		}{
			"all":                 {RequestFilter{}, []int{2, 1, 0}},
			"by a team's name":    {RequestFilter{Team: "Acme"}, []int{0}},
			"by a team's ID":      {RequestFilter{Team: made.Team.ID}, []int{0}},
			"by a deleted one's":  {RequestFilter{Team: "team_gone"}, []int{1}},
			"by status":           {RequestFilter{Status: 401}, []int{2, 1}},
			"by outcome":          {RequestFilter{Outcome: latchkey.OutcomeAccepted}, []int{0}},
			"since, inclusive":    {RequestFilter{Since: &hour}, []int{2, 1}},
			"at most":             {RequestFilter{Limit: 1}, []int{2}},
			"by several together": {RequestFilter{Status: 401, Outcome: latchkey.OutcomeAccepted}, nil},
		} {
			list := must2(c.Requests(ctx, test.filter))(t)
			var ids []string
			for _, i := range test.want {
				ids = append(ids, m.records[i].RequestID)
			}
			var gotIDs []string
			for _, r := range list.Requests {
				gotIDs = append(gotIDs, r.RequestID)
			}
			if !slices.Equal(gotIDs, ids) {
				t.Errorf("%s: got %v, want %v", name, gotIDs, ids)
			}
			if more := name == "at most"; list.More != more {
				t.Errorf("%s: that there are more is said: %t, want %t", name, list.More, more)
			}
			if list.Requests == nil {
				t.Errorf("%s: null, want a list", name)
			}
		}
	})
}

// The names of the answers are what scripts rely on.
func TestShapes(t *testing.T) {
	a, m := newAPI(t)
	h := a.Handler()
	post := func(path, body string) map[string]any {
		t.Helper()
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, path, strings.NewReader(body)))
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/json" || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: status %d with %v", path, w.Code, w.Header())
		}
		var answer map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		return answer
	}
	names := func(path string, answer any, want ...string) {
		t.Helper()
		object, _ := answer.(map[string]any)
		got := slices.Sorted(maps.Keys(object))
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: names %v, want %v", path, got, want)
		}
	}
	team := []string{"id", "name", "disabled", "created"}
	key := []string{"team", "api_key", "rolled_at", "old_key_until"}
	rolled := []string{"team", "api_key", "rolled_at", "superseded", "took_ms", "confirmed", "lapsed", "not_confirmed"}

	made := post("/team/create", `{"name":"acme"}`)
	names("team create", made, "team", "api_key", "secret")
	names("team create: team", made["team"], team...)
	names("team create: secret", made["secret"], "id", "key")
	all := post("/team/list", `{}`)
	names("team list", all, "teams")
	names("team list: a team", all["teams"].([]any)[0], team...)
	for _, path := range []string{"/team/disable", "/team/enable"} {
		names(path, post(path, `{"team":"acme"}`), team...)
	}
	names("team rename", post("/team/rename", `{"team":"acme","name":"acme"}`), team...)
	shown := post("/key/show", `{"team":"acme"}`)
	names("key show", shown, key...)
	if until, ok := shown["old_key_until"]; !ok || until != nil {
		t.Errorf("key show: old_key_until %v, want null", until)
	}
	roll := post("/key/roll", `{"team":"acme","overlap_ms":1000}`)
	names("key roll", roll, rolled...)
	names("key roll: team", roll["team"], team...)
	if got, ok := roll["not_confirmed"].([]any); !ok || len(got) != 0 {
		t.Errorf("key roll: not_confirmed %v, want []", roll["not_confirmed"])
	}
	names("key retire", post("/key/retire", `{"team":"acme"}`), "team", "took_ms", "confirmed", "lapsed", "not_confirmed")
	names("key import", post("/key/import", `{"team":"acme","api_key":"`+latchkey.NewAPIKey("x_").Reveal()+`"}`), rolled...)
	second := post("/secret/create", `{"team":"acme"}`)
	names("secret create", second, "id", "key")
	secrets := post("/secret/list", `{"team":"acme"}`)
	names("secret list", secrets, "secrets")
	names("secret list: a secret", secrets["secrets"].([]any)[0], "id", "created", "last_used")
	names("secret revoke", post("/secret/revoke", `{"id":"`+second["id"].(string)+`"}`),
		"team", "id", "revoked_at", "took_ms", "confirmed", "lapsed", "not_confirmed")
	names("secret import", post("/secret/import", `{"team":"acme","id":"i","key":"`+second["key"].(string)+`"}`), "id")

	m.records = []latchkey.Record{{RequestID: "0198c5e2-7d3a-7b61-9f0e-3c1d5a8b2e41", Time: time.Now()}}
	record := post("/request/show", `{"id":"0198C5E2-7d3a-7b61-9f0e-3c1d5a8b2e41"}`)
	names("request show", record, "request_id", "time", "node", "team_id", "credential_id", "auth", "outcome", "reason", "diagnosis",
		"method", "host", "path", "status", "bytes_in", "bytes_out", "duration_us", "client_ip", "user_agent", "client_request_id", "trace_id")
	names("request list", post("/request/list", `{}`), "requests", "more")
	m.events = []latchkey.Event{latchkey.NewEvent(time.Now(), latchkey.System, latchkey.ActionLogin, "", "ann@example.com", "")}
	events := post("/audit/list", `{}`)
	names("audit list", events, "events", "more")
	names("audit list: an event", events["events"].([]any)[0], "id", "time", "actor", "source", "action", "team_id", "subject", "detail")

	for _, text := range []any{made["team"].(map[string]any)["created"], roll["rolled_at"]} {
		if s, _ := text.(string); !strings.HasSuffix(s, "Z") {
			t.Errorf("time %v is not in UTC", text)
		}
	}
	names("team delete", post("/team/delete", `{"team":"acme"}`), team...)
}

// No value that was sent or made may be in a log.
func TestLog(t *testing.T) {
	a, m := newAPI(t)
	var log bytes.Buffer
	a.Logger = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	c := Local(a.Handler())
	c.Actor = "somebody"
	made := mustChange[NewTeam](t)(c.CreateTeam(t.Context(), "acme"))
	value := latchkey.NewAPIKey("zz_")
	mustChange[RolledKey](t)(c.ImportKey(t.Context(), "acme", value))
	m.fail = errors.New("disk I/O error")
	if _, _, err := c.RollKey(t.Context(), "acme", 0); err == nil {
		t.Error("a roll that failed is no error")
	}
	for _, secret := range []string{made.APIKey, made.Secret.Key, value.Reveal()} {
		if strings.Contains(log.String(), secret) {
			t.Error("the log holds a credential")
		}
	}
	for _, want := range []string{`"operation":"/key/import"`, `"by":"somebody"`, "disk I/O error"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %s:\n%s", want, log.String())
		}
	}
}
