package latchkey_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey"
	"latchkey/jwt"
	"latchkey/replica"
	"latchkey/sqlite"
)

var tester = latchkey.Actor{Name: "tester", Source: "test"}

// A ring is a keyring over a real store, with a clock of its own.
type ring struct {
	*latchkey.Keyring
	first latchkey.NewTeam
	store *sqlite.Store
	mu    sync.Mutex
	clock time.Time // it goes on by a microsecond each time that it is read, however long a test takes
}

func (r *ring) now() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clock = r.clock.Add(time.Microsecond)
	return r.clock
}

func (r *ring) wait(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clock = r.clock.Add(d)
}

func newRing(t testing.TB) *ring {
	t.Helper()
	dir := t.TempDir()
	sealer, err := latchkey.CreateKeyset(filepath.Join(dir, "keyset.json"))
	if err != nil {
		t.Fatal(err)
	}
	r := &ring{clock: time.Now()}
	r.store, err = sqlite.Open(t.Context(), sqlite.Config{Dir: dir, Now: r.now, Genesis: func(now time.Time) (latchkey.Genesis, error) {
		h, made, err := latchkey.NewHolding(sealer, latchkey.DefaultKeyPrefix, "first", tester, now)
		r.first = made
		return latchkey.Genesis{Probe: []byte("probe"), Holding: h}, err
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.store.Close() })
	memory := &replica.Replica{Store: r.store, Sealer: sealer, Node: "n1"}
	r.Keyring = &latchkey.Keyring{Store: r.store, Audit: r.store, Replica: memory, Sealer: sealer, Now: r.now}
	if _, err := memory.Settle(t.Context(), latchkey.Change{}); err != nil {
		t.Fatal(err)
	}
	return r
}

// verdict is the reason that a record would hold.
func (r *ring) verdict(t testing.TB, value string) latchkey.Reason {
	t.Helper()
	_, err := r.Authenticate(context.Background(), []string{"Bearer " + value})
	var denial *latchkey.Denial
	switch {
	case err == nil:
		return latchkey.ReasonOK
	case errors.As(err, &denial):
		return denial.Reason
	}
	t.Fatalf("neither yes nor no: %v", err)
	return ""
}

func (r *ring) want(t testing.TB, rule, value string, reason latchkey.Reason) {
	t.Helper()
	if got := r.verdict(t, value); got != reason {
		t.Errorf("%s: %s, must be %s", rule, got, reason)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestRollKey(t *testing.T) {
	r, ctx := newRing(t), t.Context()
	a := r.first.APIKey.Reveal()
	r.want(t, "the first key works", a, latchkey.ReasonOK)
	view, settled, err := r.RollKey(ctx, "first", 0, tester)
	must(t, err)
	b := view.APIKey.Reveal()
	r.want(t, "a rolled key is dead when the roll returns", a, latchkey.ReasonKeyRolled)
	r.want(t, "the new key works when the roll returns", b, latchkey.ReasonOK)
	if !slices.Equal(settled.Confirmed, []string{"n1"}) || len(settled.NotConfirmed) != 0 || settled.Took <= 0 {
		t.Errorf("settled by %v, not by %v, in %v: must be n1 alone", settled.Confirmed, settled.NotConfirmed, settled.Took)
	}
	shown, err := r.ShowKey(ctx, r.first.Team.ID, tester)
	must(t, err)
	if shown.APIKey != view.APIKey || !shown.RolledAt.Equal(view.RolledAt) || !shown.OldUntil.IsZero() || shown.RolledBy != "tester" {
		t.Error("the key that is shown is not the one that the roll made")
	}
}

func TestOverlap(t *testing.T) {
	r, ctx := newRing(t), t.Context()
	a := r.first.APIKey.Reveal()
	view, _, err := r.RollKey(ctx, "first", time.Hour, tester)
	must(t, err)
	b := view.APIKey.Reveal()
	r.want(t, "the old key lives on in an overlap", a, latchkey.ReasonOK)
	r.want(t, "the new key works in an overlap", b, latchkey.ReasonOK)
	if d := view.OldUntil.Sub(view.RolledAt); d != time.Hour {
		t.Errorf("the overlap is %v, must be an hour", d)
	}
	r.wait(time.Hour - time.Second)
	must(t, r.EndOverlaps(ctx))
	r.want(t, "the old key lives until the overlap is over", a, latchkey.ReasonOK)
	r.wait(2 * time.Second)
	must(t, r.EndOverlaps(ctx))
	r.want(t, "the old key is dead after the overlap", a, latchkey.ReasonKeyRolled)
	r.want(t, "the new key works after the overlap", b, latchkey.ReasonOK)
	must(t, r.EndOverlaps(ctx)) // nothing is due any more

	view, _, err = r.RollKey(ctx, "first", 24*time.Hour, tester)
	must(t, err)
	c := view.APIKey.Reveal()
	view, _, err = r.RollKey(ctx, "first", time.Hour, tester)
	must(t, err)
	d := view.APIKey.Reveal()
	r.want(t, "a roll ends an earlier overlap at once", b, latchkey.ReasonKeyRolled)
	r.want(t, "and begins its own", c, latchkey.ReasonOK)
	if _, _, err := r.RetireKeyFrom(ctx, "first", view.KeyID, tester); !errors.Is(err, latchkey.ErrConflict) {
		t.Errorf("retire of a key that is not the old one: %v, must be ErrConflict", err)
	}
	r.want(t, "it ends no other", c, latchkey.ReasonOK)
	_, _, err = r.RetireKey(ctx, "first", tester)
	must(t, err)
	r.want(t, "retire ends the overlap early", c, latchkey.ReasonKeyRolled)
	r.want(t, "retire leaves the current key", d, latchkey.ReasonOK)
	if _, _, err := r.RetireKey(ctx, "first", tester); !errors.Is(err, latchkey.ErrConflict) {
		t.Errorf("retire without an overlap: %v, must be ErrConflict", err)
	}
	for _, bad := range []time.Duration{-1, 24*time.Hour + 1} {
		var invalid *latchkey.InvalidError
		if _, _, err := r.RollKey(ctx, "first", bad, tester); !errors.As(err, &invalid) {
			t.Errorf("an overlap of %v: %v, must be an InvalidError", bad, err)
		}
	}
	r.want(t, "a roll that is refused changes nothing", d, latchkey.ReasonOK)
}

// TestOverlapEndsWithoutTheStore holds that an old key is refused a second after
// its overlap, though the store cannot record the end.
func TestOverlapEndsWithoutTheStore(t *testing.T) {
	r, ctx := newRing(t), t.Context()
	old := r.first.APIKey.Reveal()
	_, _, err := r.RollKey(ctx, "first", time.Hour, tester)
	must(t, err)
	r.wait(time.Hour + 500*time.Millisecond)
	r.want(t, "within a second of the end", old, latchkey.ReasonOK)
	r.wait(time.Second)
	r.want(t, "over a second after the end", old, latchkey.ReasonKeyRolled)
	if e := r.Explain(ctx, latchkey.Question{Text: old}); e.Reason != latchkey.ReasonKeyRolled {
		t.Errorf("Explain calls a key %s (%s) that is refused", e.Verdict, e.Reason)
	}
}

// shut is a replica that could not open the API secrets.
type shut struct{ latchkey.Replica }

func (s shut) APISecret(ctx context.Context, id []byte) (latchkey.Found, error) {
	found, err := s.Replica.APISecret(ctx, id)
	found.Key = nil
	return found, err
}

// TestSecretThatCannotBeOpened holds that a node which cannot open a live API
// secret says so, and does not blame the caller's signature.
func TestSecretThatCannotBeOpened(t *testing.T) {
	r, ctx := newRing(t), t.Context()
	token := jwt.Sign(r.first.SecretID, r.first.SecretKey.Reveal(), r.now())
	r.want(t, "before", token, latchkey.ReasonOK)
	r.Replica = shut{r.Replica}
	_, err := r.Authenticate(ctx, []string{"Bearer " + token})
	var cannot *latchkey.Unavailable
	if !errors.As(err, &cannot) || cannot.Reason != latchkey.ReasonStoreUnavailable {
		t.Errorf("a secret that cannot be opened: %v, must be unavailable", err)
	}
	r.want(t, "an unknown issuer", jwt.Sign("no such id", "no such key at all", r.now()), latchkey.ReasonSecretUnknown)
	_, _, err = r.RevokeSecret(ctx, r.first.SecretID, tester)
	must(t, err)
	r.want(t, "a dead secret needs no opening", token, latchkey.ReasonSecretRevoked)
}

func TestRedact(t *testing.T) {
	r := newRing(t)
	b64 := base64.RawURLEncoding.EncodeToString
	for _, header := range []string{`{"alg":"HS256"}`, `{ "alg":"HS256"}`, "{\n\"alg\":\"HS256\"}", ` {"alg":"HS256"}`} {
		token := b64([]byte(header)) + "." + b64([]byte(`{"iss":"x"}`)) + "." + b64(make([]byte, 32))
		if got := r.Redact("a " + token + "/b"); got != "a [secret]/b" {
			t.Errorf("a token with the header %q becomes %q", header, got)
		}
	}
	for _, plain := range []string{"api.example.com", "/v1/1.2.3/x", "Mozilla/5.0 (X11; Linux) a.b.c", "lk_", "", "..."} {
		if got := r.Redact(plain); got != plain {
			t.Errorf("%q becomes %q", plain, got)
		}
	}
	key := r.first.APIKey.Reveal()
	if got := r.Redact(key + "," + key[:20] + key); got != "[secret],"+key[:20]+"[secret]" {
		t.Error("a key is not masked, or more than it")
	}
}

func TestSecrets(t *testing.T) {
	r, ctx := newRing(t), t.Context()
	sign := func(id, key string) string { return jwt.Sign(id, key, r.now()) }
	first := sign(r.first.SecretID, r.first.SecretKey.Reveal())
	r.want(t, "the first secret signs", first, latchkey.ReasonOK)
	id, key, _, err := r.CreateSecret(ctx, "first", tester)
	must(t, err)
	second := sign(id, key.Reveal())
	r.want(t, "the second signs too", second, latchkey.ReasonOK)
	if _, _, _, err := r.CreateSecret(ctx, "first", tester); !errors.Is(err, latchkey.ErrConflict) {
		t.Errorf("a third secret: %v, must be ErrConflict", err)
	}
	if _, err := r.ImportSecret(ctx, "first", "imported", latchkey.NewSecret(strings.Repeat("k", 32)), tester); !errors.Is(err, latchkey.ErrConflict) {
		t.Errorf("a third secret by import: %v, must be ErrConflict", err)
	}
	_, _, err = r.RevokeSecret(ctx, r.first.SecretID, tester)
	must(t, err)
	r.want(t, "a revoked secret's token is dead at once", first, latchkey.ReasonSecretRevoked)
	r.want(t, "the other one's is not", second, latchkey.ReasonOK)
	if _, _, err := r.RevokeSecret(ctx, r.first.SecretID, tester); !errors.Is(err, latchkey.ErrConflict) {
		t.Errorf("revoked twice: %v, must be ErrConflict", err)
	}
	for _, taken := range []string{id, r.first.SecretID} { // alive, and dead
		if _, _, err := r.CreateSecretAs(ctx, "first", taken, tester); !errors.Is(err, latchkey.ErrConflict) {
			t.Errorf("a secret under an ID that is or was in use: %v, must be ErrConflict", err)
		}
	}
	var invalid *latchkey.InvalidError
	if _, _, err := r.CreateSecretAs(ctx, "first", "a|b", tester); !errors.As(err, &invalid) {
		t.Errorf("a secret under an ID that is none: %v", err)
	}
	third, _, err := r.CreateSecretAs(ctx, "first", "chosen", tester)
	must(t, err)
	r.want(t, "a secret under a chosen ID signs", sign("chosen", third.Reveal()), latchkey.ReasonOK)
	_, _, err = r.RevokeSecret(ctx, "chosen", tester)
	must(t, err)
	if _, _, err := r.RevokeSecret(ctx, "none", tester); !errors.Is(err, latchkey.ErrNotFound) {
		t.Errorf("an unknown secret is revoked: %v, must be ErrNotFound", err)
	}
	if view, err := r.ShowKey(ctx, "first", tester); err != nil {
		t.Error(err)
	} else if _, _, err := r.RevokeSecret(ctx, view.KeyID, tester); !errors.Is(err, latchkey.ErrNotFound) {
		t.Errorf("an API key is revoked as a secret: %v, must be ErrNotFound", err)
	}
	own := latchkey.NewSecret(strings.Repeat("k", 30) + "|!")
	_, err = r.ImportSecret(ctx, "first", "My-ID", own, tester)
	must(t, err)
	r.want(t, "an imported secret signs", sign("My-ID", own.Reveal()), latchkey.ReasonOK)
	r.want(t, "its ID has a case", sign("my-id", own.Reveal()), latchkey.ReasonSecretUnknown)
	shown, err := r.ShowSecret(ctx, "first", id, tester)
	must(t, err)
	if shown != key {
		t.Error("the secret that is shown is another")
	}
	if _, err := r.ShowSecret(ctx, "first", r.first.SecretID, tester); !errors.Is(err, latchkey.ErrNotFound) {
		t.Errorf("a revoked secret is shown: %v", err)
	}
}

func TestTeams(t *testing.T) {
	r, ctx := newRing(t), t.Context()
	made, _, err := r.CreateTeam(ctx, "second", tester)
	must(t, err)
	key, token := made.APIKey.Reveal(), jwt.Sign(made.SecretID, made.SecretKey.Reveal(), r.now())
	r.want(t, "a new team's key works when create returns", key, latchkey.ReasonOK)
	r.want(t, "and its secret", token, latchkey.ReasonOK)
	if _, _, err := r.CreateTeam(ctx, "SECOND", tester); !errors.Is(err, latchkey.ErrConflict) {
		t.Errorf("a name that is taken: %v, must be ErrConflict", err)
	}
	_, _, err = r.DisableTeam(ctx, "second", tester)
	must(t, err)
	r.want(t, "a disabled team's key", key, latchkey.ReasonTeamDisabled)
	r.want(t, "a disabled team's token", token, latchkey.ReasonTeamDisabled)
	_, _, err = r.EnableTeam(ctx, "second", tester)
	must(t, err)
	r.want(t, "an enabled team's key", key, latchkey.ReasonOK)
	_, _, err = r.RenameTeam(ctx, "second", "third", tester)
	must(t, err)
	imported := latchkey.NewSecret("an-imported-key-of-some-length")
	_, _, err = r.ImportKey(ctx, "third", imported, tester)
	must(t, err)
	r.want(t, "an imported key works", imported.Reveal(), latchkey.ReasonOK)
	r.want(t, "and ends the one before it", key, latchkey.ReasonKeyRolled)
	if _, _, err := r.ImportKey(ctx, "first", imported, tester); !errors.Is(err, latchkey.ErrConflict) {
		t.Errorf("another team's key is imported: %v, must be ErrConflict", err)
	}
	if _, _, err := r.ImportKey(ctx, "third", latchkey.NewSecret(key), tester); !errors.Is(err, latchkey.ErrConflict) {
		t.Errorf("a dead key comes back to life: %v, must be ErrConflict", err)
	}
	_, _, err = r.DeleteTeam(ctx, "third", tester)
	must(t, err)
	r.want(t, "a deleted team's key", imported.Reveal(), latchkey.ReasonTeamDisabled)
	r.want(t, "a deleted team's token", token, latchkey.ReasonTeamDisabled)
	if _, err := r.ShowKey(ctx, "third", tester); !errors.Is(err, latchkey.ErrNotFound) {
		t.Errorf("a deleted team is found: %v", err)
	}
	if _, _, err := r.CreateTeam(ctx, "third", tester); err != nil {
		t.Errorf("a deleted team's name is free again: %v", err)
	}
}

// TestPurgedIsForgotten: memory goes with the tombstone, without a restart, and
// whatever is alive stays.
func TestPurgedIsForgotten(t *testing.T) {
	r, ctx := newRing(t), t.Context()
	dead := r.first.APIKey.Reveal()
	view, _, err := r.RollKey(ctx, "first", 0, tester)
	must(t, err)
	gone, _, err := r.CreateTeam(ctx, "gone", tester)
	must(t, err)
	_, _, err = r.DeleteTeam(ctx, "gone", tester)
	must(t, err)
	r.want(t, "a dead key is known", dead, latchkey.ReasonKeyRolled)
	r.wait(time.Hour)
	n, err := r.store.PurgeTombstones(ctx, time.Minute)
	must(t, err)
	if n != 3 {
		t.Errorf("%d credentials are purged, want two keys and a secret", n)
	}
	late, _, err := r.CreateTeam(ctx, "late", tester)
	must(t, err)
	r.want(t, "its tombstone was purged", dead, latchkey.ReasonKeyUnknown)
	r.want(t, "its team was purged", gone.APIKey.Reveal(), latchkey.ReasonKeyUnknown)
	r.want(t, "what is alive stays", view.APIKey.Reveal(), latchkey.ReasonOK)
	r.want(t, "what came later is there", late.APIKey.Reveal(), latchkey.ReasonOK)
	_, _, err = r.RollKey(ctx, "late", 0, tester)
	must(t, err)
	r.want(t, "what died later is known", late.APIKey.Reveal(), latchkey.ReasonKeyRolled)
}

// TestEachChangeIsInTheAudit holds that a change and its event are one.
func TestEachChangeIsInTheAudit(t *testing.T) {
	r, ctx := newRing(t), t.Context()
	made, _, err := r.CreateTeam(ctx, "acme", tester)
	must(t, err)
	id := made.Team.ID
	_, _, err = r.RollKey(ctx, id, time.Hour, tester)
	must(t, err)
	_, _, err = r.RetireKey(ctx, id, tester)
	must(t, err)
	_, _, err = r.RollKey(ctx, id, time.Minute, tester)
	must(t, err)
	r.wait(time.Minute)
	must(t, r.EndOverlaps(ctx))
	_, _, err = r.ImportKey(ctx, id, latchkey.NewSecret("an-imported-key-of-some-length"), tester)
	must(t, err)
	_, err = r.ShowKey(ctx, id, tester)
	must(t, err)
	secret, _, _, err := r.CreateSecret(ctx, id, tester)
	must(t, err)
	_, err = r.ShowSecret(ctx, id, secret, tester)
	must(t, err)
	_, _, err = r.RevokeSecret(ctx, secret, tester)
	must(t, err)
	_, err = r.ImportSecret(ctx, id, "mine", latchkey.NewSecret(strings.Repeat("k", 32)), tester)
	must(t, err)
	_, _, err = r.DisableTeam(ctx, id, tester)
	must(t, err)
	_, _, err = r.EnableTeam(ctx, id, tester)
	must(t, err)
	_, _, err = r.RenameTeam(ctx, id, "other", tester)
	must(t, err)
	_, _, err = r.RenameTeam(ctx, id, "first", tester) // taken: no event
	if !errors.Is(err, latchkey.ErrConflict) {
		t.Fatal(err)
	}
	_, _, err = r.DeleteTeam(ctx, id, tester)
	must(t, err)

	events, err := r.store.Events(ctx, id, "", 100)
	must(t, err)
	var got []string
	for _, e := range slices.Backward(events) {
		got = append(got, string(e.Action))
		if e.Subject == "" || e.Time.IsZero() || e.Actor.Name == "" {
			t.Errorf("event %s does not say who, what and when", e.Action)
		}
	}
	want := "team.create key.roll key.retire key.roll key.overlap_end key.import key.reveal secret.create secret.reveal " +
		"secret.revoke secret.import team.disable team.enable team.rename team.delete"
	if strings.Join(got, " ") != want {
		t.Errorf("the audit has\n%s, must have\n%s", strings.Join(got, " "), want)
	}
}

// TestRollsAtOnce rolls one team's key from many sides: in the end one key is
// alive, and it is the one that the team shows.
func TestRollsAtOnce(t *testing.T) {
	r, ctx := newRing(t), t.Context()
	const n = 40
	keys := make([]string, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			view, _, err := r.RollKey(ctx, "first", 0, tester)
			if err != nil {
				t.Error(err)
				return
			}
			keys[i] = view.APIKey.Reveal()
		})
	}
	all.Wait()
	shown, err := r.ShowKey(ctx, "first", tester)
	must(t, err)
	alive := 0
	for _, key := range keys {
		if r.verdict(t, key) == latchkey.ReasonOK {
			alive++
			if key != shown.APIKey.Reveal() {
				t.Error("a key is alive that the team does not show")
			}
		}
	}
	if alive != 1 {
		t.Errorf("%d keys are alive after %d rolls at once, must be 1", alive, n)
	}
}

// TestNoStaleVerdict looks, beside a roller, whether a key is accepted by a
// look-up that began after the roll that ended it had returned.
func TestNoStaleVerdict(t *testing.T) {
	r, ctx := newRing(t), t.Context()
	var mu sync.Mutex
	live, dead := r.first.APIKey.Reveal(), ""
	stop := make(chan struct{})
	var watchers sync.WaitGroup
	var looks int
	for range 4 {
		watchers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				mu.Lock()
				ended := dead
				looks++
				mu.Unlock()
				if ended != "" && r.verdict(t, ended) == latchkey.ReasonOK {
					t.Error("a key was accepted after the roll that ended it had returned")
				}
			}
		})
	}
	for range 100 {
		view, _, err := r.RollKey(ctx, "first", 0, tester)
		must(t, err)
		mu.Lock()
		live, dead = view.APIKey.Reveal(), live
		mu.Unlock()
		r.want(t, "the new key works when the roll returns", view.APIKey.Reveal(), latchkey.ReasonOK)
	}
	close(stop)
	watchers.Wait()
	if looks < 100 {
		t.Errorf("only %d looks beside 100 rolls", looks)
	}
}

// failing is a store whose reading or committing fails on demand.
type failing struct {
	*sqlite.Store
	mu       sync.Mutex
	changes  error // of Changes
	outcome  error // of UpdateTeam, after it was done
	callsOut int   // database calls of any kind that a verdict could make
}

func (f *failing) Changes(ctx context.Context, after latchkey.Revision) (latchkey.Changes, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.callsOut++
	if f.changes != nil {
		return latchkey.Changes{}, f.changes
	}
	return f.Store.Changes(ctx, after)
}

func (f *failing) UpdateTeam(ctx context.Context, id string, edit func(time.Time, *latchkey.Holding) error) (latchkey.Holding, latchkey.Change, error) {
	h, c, err := f.Store.UpdateTeam(ctx, id, edit)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.outcome != nil {
		return latchkey.Holding{}, latchkey.Change{}, fmt.Errorf("commit: %w", f.outcome)
	}
	return h, c, err
}

func (f *failing) set(changes, outcome error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changes, f.outcome = changes, outcome
}

// TestStoreFails holds what becomes of a roll when the store fails in the
// middle: nothing dead is accepted, and an unknown outcome is called that.
func TestStoreFails(t *testing.T) {
	r, ctx := newRing(t), t.Context()
	f := &failing{Store: r.store}
	memory := &replica.Replica{Store: f, Sealer: r.Sealer, Node: "n1"}
	_, err := memory.Settle(ctx, latchkey.Change{})
	must(t, err)
	r.Store, r.Replica = f, memory
	old := r.first.APIKey.Reveal()

	before := f.callsOut
	for range 100 {
		r.want(t, "the first key works", old, latchkey.ReasonOK)
	}
	if f.callsOut != before {
		t.Error("a verdict makes a database call")
	}

	f.set(errors.New("disk on fire"), nil)
	if _, _, err := r.RollKey(ctx, "first", 0, tester); !errors.Is(err, latchkey.ErrOutcomeUnknown) {
		t.Errorf("a roll that nobody is known to follow: %v, must be ErrOutcomeUnknown", err)
	}
	var unavailable *latchkey.Unavailable
	if _, err := r.Authenticate(ctx, []string{"Bearer " + old}); !errors.As(err, &unavailable) {
		t.Errorf("a node that cannot read what changed answers %v, must be Unavailable", err)
	}
	f.set(nil, nil)
	running, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { memory.Run(running); close(done) }()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		_, err := r.Authenticate(ctx, []string{"Bearer " + old})
		if !errors.As(err, &unavailable) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the node does not answer again")
		}
	}
	stop()
	<-done
	r.want(t, "the roll was committed", old, latchkey.ReasonKeyRolled)

	f.set(nil, latchkey.ErrOutcomeUnknown)
	shown, err := r.ShowKey(ctx, "first", tester)
	must(t, err)
	if _, _, err := r.RollKey(ctx, "first", 0, tester); !errors.Is(err, latchkey.ErrOutcomeUnknown) {
		t.Errorf("a commit whose outcome is unknown: %v, must be ErrOutcomeUnknown", err)
	}
	r.want(t, "the node goes by what the store says", shown.APIKey.Reveal(), latchkey.ReasonKeyRolled)

	memory.Close()
	if _, err := r.Authenticate(ctx, []string{"Bearer " + old}); !errors.As(err, &unavailable) {
		t.Errorf("a closed node answers %v, must be Unavailable", err)
	}
}

// TestDenialsLookAlike holds that the caller cannot tell why a credential is
// invalid.
func TestDenialsLookAlike(t *testing.T) {
	r, ctx := newRing(t), t.Context()
	old := r.first.APIKey.Reveal()
	_, _, err := r.RollKey(ctx, "first", 0, tester)
	must(t, err)
	other, _, err := r.CreateTeam(ctx, "other", tester)
	must(t, err)
	_, _, err = r.DisableTeam(ctx, "other", tester)
	must(t, err)
	reasons := make(map[latchkey.Reason]bool)
	for _, value := range []string{
		latchkey.NewAPIKey("lk_").Reveal(), old, old[:20], other.APIKey.Reveal(), strings.Repeat("x", 40), strings.Repeat("x", 600),
		jwt.Sign("nobody", "secret", r.now()), jwt.Sign(r.first.SecretID, "wrong", r.now()),
		jwt.Sign(other.SecretID, other.SecretKey.Reveal(), r.now()),
	} {
		_, err := r.Authenticate(ctx, []string{"Bearer " + value})
		var d *latchkey.Denial
		if !errors.As(err, &d) {
			t.Fatalf("not a denial: %v", err)
		}
		reasons[d.Reason] = true
		if d.Code != latchkey.CodeInvalidCredentials || d.Detail != "" {
			t.Errorf("%s: code %s with a detail of %d bytes, must be invalid_credentials with none", d.Reason, d.Code, len(d.Detail))
		}
	}
	if len(reasons) < 6 {
		t.Errorf("only the reasons %v were met", reasons)
	}
}
