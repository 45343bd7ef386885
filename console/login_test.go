package console

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"latchkey"
)

// TestUnknownAndWrongLookTheSame is H05, but for the time: both compute one hash.
func TestUnknownAndWrongLookTheSame(t *testing.T) {
	h := newHouse(t)
	h.addUser("ada@example.com", latchkey.RoleAdmin, h.made.Team.ID)
	invited := h.addUser("new@example.com", latchkey.RoleMember, h.made.Team.ID)
	_, err := h.store.UpdateUser(t.Context(), invited.ID, func(u *latchkey.User) error { u.Password = ""; return nil })
	check(t, err)
	answers := map[string]string{}
	for _, email := range []string{"ada@example.com", "nobody@example.com", "new@example.com", "no address"} {
		w := h.agent().post("/login", "email", email, "password", "not the password")
		w.Header().Del("Date")
		answers[fmt.Sprint(w.Code, w.Header(), text(w))] = email
		if w.Code != http.StatusForbidden || w.Header().Get("Set-Cookie") != "" {
			t.Errorf("%s: %d", email, w.Code)
		}
	}
	if !strings.Contains(h.site.hasher.decoy, "$m=19456,t=3,p=1$") || hashMemory != 19456 || hashPasses != 3 {
		t.Error("an unknown address must cost what a new password costs")
	}
	if len(answers) != 1 {
		t.Errorf("%d different answers tell who has an account", len(answers))
	}
	if w := h.agent().post("/login", "email", "new@example.com", "password", ""); w.Code != http.StatusForbidden {
		t.Errorf("one who was invited logs in without a password: %d", w.Code)
	}
	ok, err := h.site.hasher.verify(t.Context(), "", strings.Repeat("x", 20))
	if ok || err != nil {
		t.Errorf("a user without a hash: %t, %v", ok, err)
	}
}

// TestPasswords is H06.
func TestPasswords(t *testing.T) {
	h := newHouse(t)
	h.site.hasher.memory = 64 // what is tested here does not depend on the cost
	long := strings.Repeat("a", 72)
	for name, c := range map[string]struct {
		set, typed string
		want       bool
	}{
		"as it was set":           {long, long, true},
		"73 bytes for 72":         {long, long + "a", false},
		"72 bytes for 73":         {long + "a", long, false},
		"other 73rd byte":         {long + "a", long + "b", false},
		"a NUL inside":            {"correct\x00horse battery", "correct\x00horse battery", true},
		"cut off at a NUL":        {"correct\x00horse battery", "correct\x00other battery", false},
		"composed, decomposed":    {"caf\u00e9 caf\u00e9 caf\u00e9", "cafe\u0301 cafe\u0301 cafe\u0301", true},
		"decomposed, composed":    {"cafe\u0301 cafe\u0301 cafe\u0301", "caf\u00e9 caf\u00e9 caf\u00e9", true},
		"other case":              {"Correct horse battery", "correct horse battery", false},
		"1 KiB":                   {strings.Repeat("b", 1024), strings.Repeat("b", 1024), true},
		"over 1 KiB is not typed": {strings.Repeat("b", 1024), strings.Repeat("b", 1025), false},
	} {
		hash, err := h.site.hasher.hash(t.Context(), c.set)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !strings.HasPrefix(hash, "$argon2id$v=19$m=") {
			t.Errorf("%s: the hash is not argon2id in PHC form", name)
		}
		if got, err := h.site.hasher.verify(t.Context(), hash, c.typed); got != c.want || err != nil {
			t.Errorf("%s: %t (%v), not %t", name, got, err, c.want)
		}
	}
	for name, bad := range map[string]string{
		"empty": "", "1 byte": "x", "11 characters": "elevenchars", "11 characters, more bytes": "ééééééééééé",
		"11 characters, decomposed": strings.Repeat("e\u0301", 11), "over 1 KiB": strings.Repeat("x", 1025),
		"1 MiB": strings.Repeat("x", 1<<20), "not UTF-8": "\xff\xfe\xfd aaaaaaaaaaaa",
	} {
		var invalid *latchkey.InvalidError
		if _, err := h.site.hasher.hash(t.Context(), bad); !errors.As(err, &invalid) || (bad != "" && strings.Contains(err.Error(), bad)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestHashesAreBounded is H07: no more at a time than there are cores, a short
// queue, and the rest is told at once.
func TestHashesAreBounded(t *testing.T) {
	h := newHasher()
	cores := runtime.GOMAXPROCS(0)
	var (
		running, most, busy atomic.Int64
		all                 sync.WaitGroup
		release             = make(chan struct{})
	)
	for range cores * 20 {
		all.Go(func() {
			if err := h.enter(context.Background()); err != nil {
				busy.Add(1)
				return
			}
			defer h.leave()
			now := running.Add(1)
			for {
				seen := most.Load()
				if now <= seen || most.CompareAndSwap(seen, now) {
					break
				}
			}
			<-release
			running.Add(-1)
		})
	}
	refused := int64(cores*20 - cores*(1+hashQueue))
	for deadline := time.Now().Add(10 * time.Second); busy.Load() < refused && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	close(release)
	all.Wait()
	if most.Load() > int64(cores) {
		t.Errorf("%d hashes ran at a time, on %d cores", most.Load(), cores)
	}
	if busy.Load() != refused {
		t.Errorf("%d were told that we are busy, not %d", busy.Load(), refused)
	}
	if err := h.enter(context.Background()); err != nil {
		t.Errorf("the queue did not empty: %v", err)
	}
}

// TestThrottle is H04, on a clock of its own.
func TestThrottle(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	source := func(n int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}) }
	// tries counts who gets through of n tries, a millisecond apart.
	tries := func(th *throttle, n int, account func(int) string, from func(int) netip.Addr) (through int) {
		for i := range n {
			if th.take(claimant{account: account(i), source: from(i)}, start.Add(time.Duration(i)*time.Millisecond)) == 0 {
				through++
			}
		}
		return through
	}
	one := func(int) string { return "ada@example.com" }
	many := func(i int) string { return fmt.Sprintf("user%d@example.com", i) }
	attacker := func(int) netip.Addr { return source(1) }
	cases := []struct {
		name    string
		account func(int) string
		from    func(int) netip.Addr
		most    int
	}{
		{"one account, one source", one, attacker, 6},
		{"many accounts, one source", many, attacker, 24},
		{"one account, all of a /64", one, func(i int) netip.Addr {
			a := netip.MustParseAddr("2001:db8::").As16()
			a[14], a[15] = byte(i>>8), byte(i)
			return netip.AddrFrom16(a)
		}, 6},
		{"one account, few sources", one, func(i int) netip.Addr { return source(i % 40) }, 24 + 40},
	}
	for _, c := range cases {
		var th throttle
		if got := tries(&th, 10_000, c.account, c.from); got > c.most || got == 0 {
			t.Errorf("%s: %d of 10,000 tries in 10 s got through, more than %d", c.name, got, c.most)
		}
		// Whoever is not the attacker is not locked out: at once from elsewhere, and
		// after a minute of quiet from there.
		if wait := th.take(claimant{account: "ada@example.com", source: source(999)}, start.Add(10*time.Second)); wait > 0 {
			t.Errorf("%s: another source has to wait %s", c.name, wait)
		}
		if wait := th.take(claimant{account: "ada@example.com", source: c.from(0)}, start.Add(71*time.Second)); wait > 0 {
			t.Errorf("%s: the source itself has to wait %s, a minute later", c.name, wait)
		}
	}
}

// TestNobodyIsLockedOutForLong: however an attacker goes on, a wait is at most a
// minute, and a refused try does not make it longer.
func TestNobodyIsLockedOutForLong(t *testing.T) {
	var th throttle
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	random := rand.New(rand.NewPCG(7, 7))
	victim := netip.MustParseAddr("192.0.2.1")
	for range 20 {
		for range 500 {
			now = now.Add(time.Duration(random.IntN(20)) * time.Millisecond)
			th.take(claimant{account: "ada@example.com", source: netip.AddrFrom4([4]byte{10, 0, byte(random.IntN(4)), byte(random.IntN(256))})}, now)
		}
		wait := th.take(claimant{account: "ada@example.com", source: victim}, now)
		if wait > time.Minute {
			t.Fatalf("the victim has to wait %s", wait)
		}
		now = now.Add(time.Minute)
	}
	if len(th.buckets) > maxBuckets {
		t.Errorf("%d buckets are kept", len(th.buckets))
	}
}

func TestThrottleForgets(t *testing.T) {
	var th throttle
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range 3 * maxBuckets / 2 {
		th.take(claimant{account: fmt.Sprint(i), source: netip.AddrFrom4([4]byte{byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)})}, now)
	}
	if len(th.buckets) > maxBuckets+3 {
		t.Errorf("%d buckets are kept, more than %d", len(th.buckets), maxBuckets)
	}
}

// TestLoginIsThrottled is H04 through the form: variants of the name are the
// same account, and a header does not make another source.
func TestLoginIsThrottled(t *testing.T) {
	h := newHouse(t)
	h.addUser("ada@example.com", latchkey.RoleAdmin, h.made.Team.ID)
	names := []string{"ada@example.com", "ADA@example.com", " ada@example.com", "Ada@Example.Com ", "\tada@EXAMPLE.com"}
	codes := map[int]int{}
	for i := range 12 {
		r := request("/login", "email", names[i%len(names)], "password", "wrong password "+fmt.Sprint(i))
		r.Header.Set("X-Forwarded-For", fmt.Sprintf("198.51.100.%d", i))
		r.Header.Set("Forwarded", fmt.Sprintf("for=198.51.100.%d", i))
		w := h.agent().do(r)
		codes[w.Code]++
		if w.Code == http.StatusTooManyRequests && w.Header().Get("Retry-After") == "" {
			t.Error("429 without Retry-After")
		}
	}
	if codes[http.StatusForbidden] != 5 || codes[http.StatusTooManyRequests] != 7 {
		t.Errorf("12 wrong passwords: %v, not 5 × 403 and 7 × 429", codes)
	}
	right := func(source string) int {
		a := h.agent()
		a.source = source
		return a.post("/login", "email", "ada@example.com", "password", password).Code
	}
	if got := right("127.0.0.1:1"); got != http.StatusTooManyRequests {
		t.Errorf("the source that tried too often gets %d", got)
	}
	if got := right("192.0.2.44:1"); got != http.StatusSeeOther {
		t.Errorf("the right password from elsewhere gets %d", got)
	}
	h.pass(time.Minute)
	if got := right("127.0.0.1:1"); got != http.StatusSeeOther {
		t.Errorf("a minute later the right password gets %d", got)
	}
}

// TestRightPasswordsAreNotCounted: a busy team behind one address logs in freely.
func TestRightPasswordsAreNotCounted(t *testing.T) {
	h := newHouse(t)
	h.addUser("ada@example.com", latchkey.RoleAdmin, h.made.Team.ID)
	for range 25 {
		h.agent().login("ada@example.com")
	}
}

// TestSetupHasOneWinner is H22.
func TestSetupHasOneWinner(t *testing.T) {
	h := newHouse(t)
	h.site.hasher.memory = 64
	link, err := h.console.SetupLink(t.Context())
	check(t, err)
	_, token, _ := strings.Cut(link, "token=")
	var (
		all   sync.WaitGroup
		mu    sync.Mutex
		codes = map[int]int{}
	)
	for i := range 6 {
		all.Go(func() {
			w := h.agent().post("/setup", "token", token, "team", "Acme", "email", fmt.Sprintf("a%d@example.com", i), "new", password)
			for w.Code == http.StatusTooManyRequests { // of the hashes, not of the link
				time.Sleep(50 * time.Millisecond)
				w = h.agent().post("/setup", "token", token, "team", "Acme", "email", fmt.Sprintf("a%d@example.com", i), "new", password)
			}
			mu.Lock()
			defer mu.Unlock()
			codes[w.Code]++
		})
	}
	all.Wait()
	if codes[http.StatusSeeOther] != 1 || codes[http.StatusNotFound] != 5 {
		t.Errorf("six at once: %v", codes)
	}
	users, err := h.store.Users(t.Context(), h.made.Team.ID)
	check(t, err)
	if len(users) != 1 || users[0].Role != latchkey.RoleAdmin {
		t.Errorf("there are %d users", len(users))
	}
	if w := h.agent().get("/setup?token=" + token); w.Code != http.StatusNotFound {
		t.Errorf("the used link: %d", w.Code)
	}
	for _, bad := range []string{"", "x", strings.Repeat("0", 40)} {
		if w := h.agent().post("/setup", "token", bad, "team", "Acme", "email", "b@example.com", "new", password); w.Code != http.StatusNotFound {
			t.Errorf("a link that never was: %d", w.Code)
		}
	}
}

// TestSetupSaysWhatIsWrong, and leaves the link good.
func TestSetupSaysWhatIsWrong(t *testing.T) {
	h := newHouse(t)
	_, _, err := h.keyring.CreateTeam(t.Context(), "Taken", latchkey.System)
	check(t, err)
	link, err := h.console.SetupLink(t.Context())
	check(t, err)
	_, token, _ := strings.Cut(link, "token=")
	for want, fields := range map[string][]string{
		"has fewer than 12 characters":        {"Acme", "a@example.com", "short"},
		"This is not an e-mail address.":      {"Acme", "nothing", password},
		"Another team has this name already.": {"taken", "a@example.com", password},
		"The team&#39;s name is empty.":       {"", "a@example.com", password},
		"name is longer than 64 characters":   {strings.Repeat("x", 65), "a@example.com", password},
	} {
		w := h.agent().post("/setup", "token", token, "team", fields[0], "email", fields[1], "new", fields[2])
		if page := text(w); w.Code != http.StatusUnprocessableEntity || !strings.Contains(page, want) {
			t.Errorf("%v: %d, and the page does not say %q", fields, w.Code, want)
		}
	}
	if w := h.agent().post("/setup", "token", token, "team", "Acme", "email", "a@example.com", "new", password); w.Code != http.StatusSeeOther {
		t.Errorf("after mistakes the link is dead: %d", w.Code)
	}
	team, err := h.store.Holding(t.Context(), "Acme")
	if err != nil || team.Team.ID != h.made.Team.ID {
		t.Errorf("the first team was not renamed: %v", err)
	}
}

// A deafAudit takes no events.
type deafAudit struct{ latchkey.AuditStore }

func (deafAudit) AppendEvents(context.Context, ...latchkey.Event) error {
	return errors.New("the disk is full")
}

// TestNoLoginWithoutEvent: whoever cannot be written into the audit does not get in.
func TestNoLoginWithoutEvent(t *testing.T) {
	h := newHouse(t)
	h.admin()
	b := h.agent()
	h.keyring.Audit = deafAudit{h.store}
	if w := b.post("/login", "email", "ada@example.com", "password", password); w.Code != http.StatusInternalServerError || strings.Contains(text(w), "ada@") {
		t.Errorf("a login that is not in the audit: %d", w.Code)
	}
	h.keyring.Audit = h.store
	if w := b.get("/settings/integrations"); w.Code != http.StatusSeeOther {
		t.Errorf("after it, the page gives %d: the visitor must have no session", w.Code)
	}
}
