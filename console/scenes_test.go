package console

import (
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/google/uuid"

	"latchkey"
)

// furnish gives the house what a team has after some weeks: callers, records, a
// second secret, a dead key that is still sent.
func (h *house) furnish() (requestID string) {
	h.t.Helper()
	ctx := h.t.Context()
	dead := h.key()
	by := latchkey.Actor{Name: "ada@example.com", Source: "192.0.2.7"}
	_, _, err := h.keyring.RollKey(ctx, h.made.Team.ID, 0, by)
	check(h.t, err)
	view, _, err := h.keyring.RollKey(ctx, h.made.Team.ID, 24*time.Hour, by)
	check(h.t, err)
	_, _, _, err = h.keyring.CreateSecret(ctx, h.made.Team.ID, by)
	check(h.t, err)
	team, day := h.made.Team.ID, time.Now().UTC().Truncate(24*time.Hour)
	usage := func(id, ip, agent string, how latchkey.Method, accepted, refused int64, ago time.Duration) latchkey.Usage {
		return latchkey.Usage{CredentialID: id, TeamID: team, Day: day, Caller: latchkey.Caller{ClientIP: ip, UserAgent: agent, Auth: how},
			Accepted: accepted, Refused: refused, Last: time.Now().Add(-ago)}
	}
	check(h.t, h.store.AddUsage(ctx, []latchkey.Usage{
		usage(view.KeyID, "203.0.113.24", "billing-worker/2.4 (python-requests 2.32)", latchkey.MethodBearer, 18204, 0, 3*time.Minute),
		usage(view.KeyID, "203.0.113.80", "curl/8.5.0", latchkey.MethodBasic, 12, 0, 5*time.Hour),
		usage(dead.ID, "198.51.100.17", "nightly-export/1.0", latchkey.MethodBearer, 40, 96, 20*time.Minute),
		usage(h.made.SecretID, "2001:db8::17", "crm-sync/4.1 (Go-http-client)", latchkey.MethodJWT, 904, 0, time.Minute),
	}))
	var records []latchkey.Record
	random := rand.New(rand.NewPCG(1, 2))
	for hour := range 7 * 24 {
		for range random.IntN(9) + 3*(hour%5) {
			at := time.Now().Add(-time.Duration(hour)*time.Hour - time.Duration(random.IntN(3000))*time.Second)
			records = append(records, someRecord(random, team, view.KeyID, at))
		}
	}
	check(h.t, h.store.AppendRecords(ctx, append(records, unreadable(unreadableID, time.Now()))))
	for i := range records {
		if records[i].Outcome == latchkey.OutcomeDenied {
			return records[i].RequestID
		}
	}
	return ""
}

// idAt is a request ID of a time.
func idAt(at time.Time) string {
	id := uuid.Must(uuid.NewV7())
	ms := at.UnixMilli()
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	return id.String()
}

func someRecord(random *rand.Rand, team, key string, at time.Time) latchkey.Record {
	r := latchkey.Record{
		RequestID: idAt(at), Time: at, Node: "node-1", TeamID: team, CredentialID: key, Auth: latchkey.MethodBearer,
		Outcome: latchkey.OutcomeAccepted, Reason: latchkey.ReasonOK, Method: "GET", Host: "api.example.com", Path: "/v1/contacts",
		Status: 200, BytesOut: 4210, DurationUS: int64(800 + random.IntN(9000)), ClientIP: "203.0.113.24", UserAgent: "billing-worker/2.4",
	}
	switch random.IntN(12) {
	case 0:
		r.Outcome, r.Reason, r.Status, r.Auth = latchkey.OutcomeDenied, latchkey.ReasonBadSignature, 401, latchkey.MethodJWT
		r.Diagnosis = "The token is signed with the API Secret Key alone."
		r.Path, r.ClientIP = "/v1/contact/4711", "2001:db8::17"
	case 1:
		r.Outcome, r.Status = latchkey.OutcomeError, 502
	case 2:
		r.Method, r.Path, r.Status = "POST", "/v1/contact", 201
	}
	return r
}

// unreadableID is the request that furnish leaves which was no HTTP.
const unreadableID = "0198c5e2-7d3a-7b61-9f0e-3c1d5a8b2e47"

// unreadable is the record of what could not be read as HTTP.
func unreadable(id string, at time.Time) latchkey.Record {
	return latchkey.Record{
		RequestID: id, Time: at, Node: "node-1", Outcome: latchkey.OutcomeError, Reason: latchkey.Reason(latchkey.CodeInvalidRequest),
		Diagnosis: "The request could not be read as HTTP/1, and was answered before its credential was looked at.",
		Status:    http.StatusBadRequest, ClientIP: "203.0.113.24",
	}
}

// scenes are all the pages, as the visitor with the role sees them.
func scenes(h *house, requestID string) []scene {
	return []scene{
		{"integrations", latchkey.RoleAdmin, "/settings/integrations?range=7d"},
		{"roll", latchkey.RoleAdmin, "/settings/integrations/roll"},
		{"retire", latchkey.RoleAdmin, "/settings/integrations/retire"},
		{"revoke", latchkey.RoleAdmin, "/settings/integrations/revoke?id=" + h.made.SecretID},
		{"requests", latchkey.RoleAdmin, "/requests?since=7d"},
		{"request", latchkey.RoleAdmin, "/requests/" + requestID},
		{"missing", latchkey.RoleAdmin, "/requests/" + uuid.Nil.String()},
		{"members", latchkey.RoleAdmin, "/settings/members"},
		{"audit", latchkey.RoleAdmin, "/settings/audit"},
		{"account", latchkey.RoleAdmin, "/settings/account"},
		{"nothing", latchkey.RoleAdmin, "/no/such/page"},
		{"member", latchkey.RoleMember, "/settings/integrations"},
		{"support", latchkey.RoleSupport, "/requests?since=7d"},
		{"support-request", latchkey.RoleSupport, "/requests/" + requestID},
		{"support-unreadable", latchkey.RoleSupport, "/requests/" + unreadableID},
		{"login", "", "/login"},
		{"setup", "", ""},
	}
}

type scene struct {
	name string
	role latchkey.Role
	path string
}

// walk goes through all scenes in all looks.
func walk(b *browser, h *house, at func(name string, l look)) {
	b.t.Helper()
	id := h.furnish()
	_, _, err := h.keyring.RenameTeam(b.t.Context(), h.made.Team.ID, "Acme", latchkey.System)
	check(b.t, err)
	h.console.Lacking = func(context.Context, time.Time, time.Time) ([]string, error) {
		return []string{
			"Some may yet come: node-2.a-machine-with-a-long-name.example.com has handed in nothing since 2026-05-01T12:00:00Z.",
			"Some may be missing: between 2026-05-01T11:58:00Z and 2026-05-01T11:59:00Z, 1204 records were not kept by node-1.",
		}, nil
	}
	h.addUser("ada@example.com", latchkey.RoleAdmin, h.made.Team.ID)
	h.addUser("max@example.com", latchkey.RoleMember, h.made.Team.ID)
	h.addUser("sam@latchkey.example", latchkey.RoleSupport, "")
	link, err := h.console.SetupLink(b.t.Context())
	check(b.t, err)
	who := map[latchkey.Role]string{latchkey.RoleAdmin: "ada@example.com", latchkey.RoleMember: "max@example.com", latchkey.RoleSupport: "sam@latchkey.example"}
	logged := latchkey.Role("")
	for _, s := range scenes(h, id) {
		if s.role != logged {
			if logged != "" {
				b.logout()
			}
			if s.role != "" {
				b.login(who[s.role])
			}
			logged = s.role
		}
		if s.name == "setup" {
			s.path = link
		}
		for _, l := range looks {
			b.look(l)
			b.open(s.path)
			at(s.name, l)
		}
	}
}

// axe returns what axe-core, as it comes from npm, finds wrong with the page.
func (b *browser) axe(where string) {
	b.t.Helper()
	source := axeSource(b.t)
	if !evaluate[bool](b, "typeof axe === 'object'") {
		evaluate[chromedp.Void](b, source)
	}
	found := evaluate[[]struct {
		ID, Help string
		Nodes    []struct{ HTML, FailureSummary string }
	}](b, `axe.run(document, {resultTypes: ["violations"]}).then(r => r.violations)`, chromedp.EvalAwaitPromise)
	for _, v := range found {
		for _, n := range v.Nodes[:min(3, len(v.Nodes))] {
			b.t.Errorf("%s: axe finds %s: %s\n%s\n%s", where, v.ID, v.Help, n.HTML, n.FailureSummary)
		}
	}
}

const axeFile = "testdata/npm/node_modules/axe-core/axe.min.js"

// axeSource reads axe-core, or skips the test where it is not installed.
func axeSource(t *testing.T) string {
	t.Helper()
	source, err := os.ReadFile(axeFile)
	if errors.Is(err, fs.ErrNotExist) && os.Getenv("CI") != "true" {
		t.Skip("axe-core is missing: scripts/setup installs it")
	}
	check(t, err)
	return string(source) + "; undefined"
}

// TestPagesAreForEverybody looks at every page in every look: axe-core finds
// nothing, the page fits the window, and nothing moves while it loads.
func TestPagesAreForEverybody(t *testing.T) {
	t.Parallel()
	axeSource(t)
	b := chromium(t)
	h := newHouse(t)
	b.origin = h.open()
	walk(b, h, func(name string, l look) {
		where := name + "-" + l.name
		if evaluate[bool](b, `document.documentElement.scrollWidth > innerWidth`) {
			t.Errorf("%s is wider than a window of %d px", where, l.width)
		}
		shift := evaluate[float64](b, `new Promise(done => {
			let sum = 0;
			new PerformanceObserver(list => list.getEntries().forEach(e => { sum += e.value; })).observe({type: "layout-shift", buffered: true});
			setTimeout(() => done(sum), 30);
		})`, chromedp.EvalAwaitPromise)
		// On a machine under load a page is painted in parts, and moves a little:
		// the bound is what Core Web Vitals call good.
		if shift > 0.1 {
			t.Errorf("%s moves while it loads: layout shift %f", where, shift)
		}
		if l.name != "narrow" {
			b.axe(where)
		}
		if l.name == "light" || name == "integrations" {
			shoot(b, where) // last: it changes the size of the window
		}
	})
}
