package main

import (
	"context"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"latchkey"
	"latchkey/admin"
	"latchkey/jwt"
)

// A deed is one operation on a team: a change, or a verdict on one of its
// credentials. Keys and secrets are numbered in the order in which they were known.
type deed struct {
	what    string // roll, secret, revoke, disable, enable, delete; key and token for verdicts
	number  int
	accepts bool
}

// A teamState is what one node holds of a team.
type teamState struct {
	key               int
	secrets           uint64 // those that are alive, a bit each
	disabled, deleted bool
}

// teamModel is one node's idea of a team, as register is of a key.
var teamModel = porcupine.Model{
	Init: func() any { return teamState{secrets: 1} },
	Step: func(state, input, _ any) (bool, any) {
		s, d := state.(teamState), input.(deed)
		calls := !s.disabled && !s.deleted
		switch d.what {
		case "key":
			return d.accepts == (calls && s.key == d.number), s
		case "token":
			return d.accepts == (calls && s.secrets>>d.number&1 == 1), s
		case "roll":
			s.key = d.number
		case "secret":
			s.secrets |= 1 << d.number
		case "revoke":
			s.secrets &^= 1 << d.number
		case "disable", "enable":
			s.disabled = d.what == "disable"
		case "delete":
			s.deleted = true
		}
		return true, s
	},
}

// teamHistory is what callers saw of one team.
type teamHistory struct {
	began time.Time
	name  string

	mu       sync.Mutex
	keys     []string
	tokens   []string
	changes  []porcupine.Operation
	verdicts [nodes][]porcupine.Operation
	refused  int // changes that were not made
}

// change makes one change, and notes it. What it returns is added to the
// credentials that callers ask with.
func (h *teamHistory) change(t *testing.T, d deed, make func(d *deed) error) error {
	call := time.Since(h.began)
	err := make(&d)
	ret := time.Since(h.began)
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case errors.Is(err, latchkey.ErrOutcomeUnknown):
		t.Errorf("nothing goes wrong, and nobody knows the outcome of %s: %v", d.what, err)
	case err != nil:
		h.refused++
	default:
		h.changes = append(h.changes, porcupine.Operation{ClientId: len(h.changes) + 1000, Input: d, Call: int64(call), Return: int64(ret)})
	}
	return err
}

// known adds a credential, and returns its number.
func (h *teamHistory) known(list *[]string, value string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	*list = append(*list, value)
	return len(*list) - 1
}

func (h *teamHistory) roll(ctx context.Context, t *testing.T, api *admin.Client) error {
	return h.change(t, deed{what: "roll"}, func(d *deed) error {
		key, _, err := api.RollKey(ctx, h.name, 0)
		if err == nil {
			d.number = h.known(&h.keys, key.APIKey)
		}
		return err
	})
}

// renewSecret makes a secret and revokes it.
func (h *teamHistory) renewSecret(ctx context.Context, t *testing.T, api *admin.Client, rest func()) error {
	var made admin.NewSecret
	var number int
	err := h.change(t, deed{what: "secret"}, func(d *deed) (err error) {
		if made, _, err = api.CreateSecret(ctx, h.name); err == nil {
			number = h.known(&h.tokens, jwt.Sign(made.ID, made.Key, time.Now()))
			d.number = number
		}
		return err
	})
	if err != nil {
		return err
	}
	rest()
	return h.change(t, deed{what: "revoke", number: number}, func(*deed) error {
		_, _, err := api.RevokeSecret(ctx, made.ID)
		return err
	})
}

func (h *teamHistory) able(ctx context.Context, t *testing.T, api *admin.Client, rest func()) error {
	err := h.change(t, deed{what: "disable"}, func(*deed) error { _, _, err := api.DisableTeam(ctx, h.name); return err })
	rest()
	return errors.Join(err, h.change(t, deed{what: "enable"}, func(*deed) error { _, _, err := api.EnableTeam(ctx, h.name); return err }))
}

// ask notes a node's verdicts on credentials of all ages, the last most often.
func (h *teamHistory) ask(t *testing.T, node int, url string, rnd *mathrand.Rand, ending func() bool) {
	client := &http.Client{Transport: &http.Transport{}, Timeout: patience}
	defer client.CloseIdleConnections()
	for last := false; !last; {
		last = ending()
		h.mu.Lock()
		keys, tokens := h.keys, h.tokens
		h.mu.Unlock()
		for what, list := range map[string][]string{"key": keys, "token": tokens} {
			number := max(0, len(list)-1-rnd.IntN(3))
			if is := (porcupine.Operation{}); askOnce(t, client, url, list[number], &is, h.began) {
				is.ClientId, is.Input = node, deed{what, number, is.Output.(bool)}
				h.mu.Lock()
				h.verdicts[node] = append(h.verdicts[node], is)
				h.mu.Unlock()
			}
		}
	}
}

// askOnce asks once; it is false if the node could not tell.
func askOnce(t *testing.T, client *http.Client, url, credential string, is *porcupine.Operation, began time.Time) bool {
	r, err := http.NewRequest(http.MethodGet, url+"/nothing-is-here", nil)
	if err != nil {
		t.Error(err)
		return false
	}
	r.Header.Set("Authorization", "Bearer "+credential)
	is.Call = int64(time.Since(began))
	answer, err := client.Do(r)
	if err != nil {
		t.Error(err)
		return false
	}
	is.Return = int64(time.Since(began))
	_ = answer.Body.Close()
	is.Output = answer.StatusCode == http.StatusNotFound // only the credential holds
	if answer.StatusCode != http.StatusNotFound && answer.StatusCode != http.StatusUnauthorized && answer.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a request is answered %d", answer.StatusCode)
	}
	return answer.StatusCode != http.StatusServiceUnavailable
}

// changesOfOneTeam holds that every kind of change at once, through all nodes, has
// an order that each node's verdicts follow, on keys and on tokens.
func changesOfOneTeam(t *testing.T, f *cluster) {
	var urls []string
	var apis []*admin.Client
	for i := range nodes {
		name := fmt.Sprintf("n%d", i+1)
		if i == 0 {
			name = "first"
		}
		urls, apis = append(urls, f.start(t, name).url), append(apis, f.api(name))
	}
	seed := historySeed(t)
	for round := range 4 {
		made, _, err := apis[0].CreateTeam(t.Context(), fmt.Sprintf("team%d", round))
		if err != nil {
			t.Fatal(err)
		}
		h := &teamHistory{began: time.Now(), name: made.Team.ID, keys: []string{made.APIKey}, tokens: []string{jwt.Sign(made.Secret.ID, made.Secret.Key, time.Now())}}
		h.play(t, urls, apis, seed+uint64(round))
		h.judge(t, seed)
	}
}

// play changes the team for half a second, and deletes it among other changes.
func (h *teamHistory) play(t *testing.T, urls []string, apis []*admin.Client, seed uint64) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var changing, asking sync.WaitGroup
	var gone atomic.Bool
	for i, api := range apis {
		rnd := mathrand.New(mathrand.NewPCG(seed, uint64(i)))
		asking.Go(func() { h.ask(t, i, urls[i], rnd, func() bool { return ctx.Err() != nil }) })
		for kind := range 3 {
			rnd := mathrand.New(mathrand.NewPCG(seed, uint64(10+3*i+kind)))
			rest := func() { time.Sleep(time.Duration(rnd.IntN(30)) * time.Millisecond) }
			changing.Go(func() {
				deeds := []func() error{
					func() error { return h.roll(t.Context(), t, api) },
					func() error { return h.renewSecret(t.Context(), t, api, rest) },
					func() error { return h.able(t.Context(), t, api, rest) },
				}
				for after := 0; after < 2; rest() { // and what follows the deletion
					if gone.Load() {
						after++
					}
					_ = deeds[kind]() // the team may be gone, or have too many secrets
				}
			})
		}
	}
	time.Sleep(500 * time.Millisecond)
	if err := h.change(t, deed{what: "delete"}, func(*deed) error { _, _, err := apis[int(seed)%nodes].DeleteTeam(t.Context(), h.name); return err }); err != nil {
		t.Errorf("delete among other changes: %v", err)
	}
	gone.Store(true)
	changing.Wait()
	cancel()
	asking.Wait()
}

// judge gives each node's history to porcupine, and then one that is wrong.
func (h *teamHistory) judge(t *testing.T, seed uint64) {
	for node, verdicts := range h.verdicts {
		accepts := 0
		for _, v := range verdicts {
			if v.Output.(bool) {
				accepts++
			}
		}
		all := append(append([]porcupine.Operation(nil), h.changes...), verdicts...)
		is := porcupine.CheckOperationsTimeout(teamModel, all, 10*time.Second)
		t.Logf("%s on node %d: %d changes (%d not made), %d verdicts (%d accepts): %s", h.name, node+1, len(h.changes), h.refused, len(verdicts), accepts, is)
		if is == porcupine.Illegal {
			t.Errorf("seed %d: what node %d answered has no order", seed, node+1)
		}
		end := time.Since(h.began)
		stale := porcupine.Operation{ClientId: node, Input: deed{"key", 0, true}, Call: int64(end), Return: int64(end + 1)}
		if is == porcupine.Ok && porcupine.CheckOperationsTimeout(teamModel, append(all, stale), 10*time.Second) == porcupine.Ok {
			t.Error("a key of a deleted team that is accepted is not found")
		}
	}
}
