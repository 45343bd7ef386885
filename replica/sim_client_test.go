package replica_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"latchkey"
)

// A credential is one that clients know.
type credential struct {
	id     string
	team   string
	value  string          // of an API key
	secret latchkey.Secret // of an API secret
}

// learn adds a credential to what clients use. w.mu is held.
func (w *world) learn(team string, c *credential) {
	c.team = team
	w.known = append(w.known, c)
	w.byID[c.id] = c
}

// field is an Authorization field with the credential.
func (c *credential) field(random *rand.Rand) string {
	switch {
	case c.value == "":
		return "Bearer " + latchkey.SignToken(c.id, c.secret, time.Now()).Reveal()
	case random.IntN(4) == 0:
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(c.value+":"))
	}
	return "Bearer " + c.value
}

type operationKey struct{}

// An operation is a change as its client saw it.
type operation struct {
	what     string
	node     *node
	began    int64
	returned int64 // 0: it did not, or nobody knows what became of it
	at       time.Time
	took     time.Duration
	settled  latchkey.Settlement
	err      error
	calm     bool // no fault touched it
	effects  []*effect
}

// An effect is what an operation did in the database.
type effect struct {
	entry
	op       *operation
	revision latchkey.Revision
	at       int64 // when some database server had it first
}

// committed is called by each server that runs a commit. w.mu is held.
func (w *world) committed(op *operation, revision latchkey.Revision, e entry) {
	if op == nil {
		return
	}
	for _, f := range op.effects {
		if f.id == e.id {
			return
		}
	}
	f := &effect{entry: e, op: op, revision: revision, at: w.tick()}
	op.effects = append(op.effects, f)
	for _, id := range e.until {
		// An old primary may show a second overlap later: the first one counts.
		if w.overlapped[id] == 0 {
			w.overlapped[id] = f.at
		}
	}
	if w.ambush > 0 && w.ambusher.Float64() < w.ambush {
		w.stats.fault("cut off just as a change commits")
		partition.happen(w, w.nodes[w.ambusher.IntN(len(w.nodes))], w.ambusher)
	}
}

// An outcome is a verdict's.
type outcome int

const (
	accepted outcome = iota
	denied
	unavailable
	inconclusive // the token's time was judged by a clock that was set
)

func (o outcome) String() string {
	return [...]string{"accepted", "denied", "unavailable", "inconclusive"}[o]
}

// A verdict is one as its client saw it.
type verdict struct {
	node         *node
	credential   *credential
	began, ended int64
	from, until  time.Time
	outcome      outcome
	err          error
	calm         bool      // no fault touched it, nor the second before it
	cutSince     time.Time // the node could not reach the database from then until the end; zero: it could
}

// A weather is what troubles a node and the database at a moment.
type weather struct {
	calm     bool
	since    time.Time
	cutSince time.Time
}

// weather is called with w.mu held.
func (n *node) weather() weather {
	w := n.w
	g := weather{calm: n.troubled == 0 && w.dbTroubled == 0 && !w.alarmed(), since: n.calmSince, cutSince: n.cutSince}
	if w.dbCalm.After(g.since) {
		g.since = w.dbCalm
	}
	if g.cutSince.IsZero() || !w.downSince.IsZero() && w.downSince.Before(g.cutSince) {
		g.cutSince = w.downSince
	}
	return g
}

// alarmed reports whether nodes may rightly say that the database has another
// history. w.mu is held.
func (w *world) alarmed() bool {
	for _, r := range w.rifts {
		if r.open {
			return true
		}
	}
	return false
}

// verify asks a node whether a credential holds, as a request that arrives now.
func (w *world) verify(n *node, c *credential) {
	w.mu.Lock()
	p := n.process
	if p == nil || !p.joined || c == nil {
		w.mu.Unlock()
		return // the connection is refused
	}
	before := n.weather()
	v := &verdict{node: n, credential: c, began: w.tick(), from: time.Now()}
	field := c.field(n.random)
	w.mu.Unlock()

	if p.pass() != nil {
		return
	}
	principal, err := p.keyring.Authenticate(p.ctx, []string{field})
	if p.pass() != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if p.ctx.Err() != nil || w.over {
		return
	}
	after := n.weather()
	v.ended, v.until, v.err = w.tick(), time.Now(), err
	v.calm = before.calm && after == before && v.from.Sub(before.since) >= w.grace()
	if before.cutSince.Equal(after.cutSince) {
		v.cutSince = before.cutSince
	}
	v.outcome = judge(err)
	if err == nil && (principal.CredentialID != c.id || principal.TeamID != c.team) {
		w.fail("a verdict on %s of %s names %s of %s", c.id, c.team, principal.CredentialID, principal.TeamID)
	}
	w.stats.outcomes[v.outcome]++
	w.verdicts = append(w.verdicts, v)
}

// grace is how long after a fault a node may still be unable to tell.
func (w *world) grace() time.Duration {
	if w.healthy {
		return 0
	}
	return time.Second
}

func judge(err error) outcome {
	var denial *latchkey.Denial
	var cannot *latchkey.Unavailable
	switch {
	case err == nil:
		return accepted
	case errors.As(err, &cannot):
		return unavailable
	case errors.As(err, &denial) && (denial.Reason == latchkey.ReasonExpired || denial.Reason == latchkey.ReasonNotYetValid):
		return inconclusive
	}
	return denied
}

// verifyLater asks in a request of its own.
func (w *world) verifyLater(n *node, c *credential) {
	w.running.Go(func() { w.verify(n, c) })
}

// probe asks all nodes at once for what a change has ended and begun, and
// perhaps once more.
func (w *world) probe(op *operation, random *rand.Rand) {
	w.mu.Lock()
	var ask []*credential
	for _, f := range op.effects {
		for _, id := range append(f.ended, f.begun...) {
			if c := w.byID[id]; c != nil {
				ask = append(ask, c)
			}
		}
	}
	nodes := w.nodes
	again := time.Duration(random.Int64N(int64(nodes[0].lease / 2)))
	w.mu.Unlock()
	for _, n := range nodes {
		for _, c := range ask {
			w.verifyLater(n, c)
		}
	}
	if len(nodes) > 7 || len(ask) == 0 || random.IntN(2) == 0 {
		return
	}
	w.running.Go(func() {
		time.Sleep(again)
		for _, n := range nodes {
			w.verifyLater(n, ask[0])
		}
	})
}

// operate makes a change at a node, and records it.
func (p *process) operate(what string, do func(ctx context.Context) (latchkey.Settlement, error)) *operation {
	n, w := p.n, p.n.w
	op := &operation{what: what, node: n, at: time.Now()}
	w.mu.Lock()
	before := n.weather()
	op.began = w.tick()
	w.operations = append(w.operations, op)
	w.mu.Unlock()
	settled, err := do(context.WithValue(p.ctx, operationKey{}, op))
	w.mu.Lock()
	defer w.mu.Unlock()
	op.settled, op.err, op.took = settled, err, time.Since(op.at)
	if p.ctx.Err() != nil {
		op.err = errDead
		return op
	}
	after := n.weather()
	op.calm = before.calm && after == before && op.at.Sub(before.since) >= w.grace()
	if err == nil {
		op.returned = w.tick()
		w.stats.changes += len(op.effects)
	} else {
		w.stats.failed++
	}
	return op
}

func (p *process) endOverlaps(ctx context.Context) error {
	return p.operate("end overlaps", func(with context.Context) (latchkey.Settlement, error) {
		return latchkey.Settlement{}, p.keyring.EndOverlaps(with)
	}).err
}

// pick returns one of the credentials that clients know: mostly a late one.
func (w *world) pick(random *rand.Rand) *credential {
	if random.IntN(3) > 0 {
		return w.known[max(0, len(w.known)-1-random.IntN(6))]
	}
	return w.known[random.IntN(len(w.known))]
}

// changeSomething makes a random change at a node.
func (w *world) changeSomething(n *node, random *rand.Rand) {
	w.mu.Lock()
	p := n.process
	if p == nil || !p.joined {
		w.mu.Unlock()
		return
	}
	c := w.pick(random)
	team, kind, teams := c.team, random.IntN(100), len(w.byID)
	w.mu.Unlock()
	if p.pass() != nil {
		return
	}
	var op *operation
	switch {
	case kind < 60:
		op = w.roll(p, team, 0)
	case kind < 68 && w.overlaps:
		op = w.roll(p, team, time.Duration(random.Int64N(int64(2*time.Second))))
	case kind < 72 && w.overlaps:
		op = p.operate("retire", func(ctx context.Context) (latchkey.Settlement, error) {
			_, s, err := p.keyring.RetireKey(ctx, team, tester)
			return s, err
		})
	case kind < 80:
		op = w.createSecret(p, team)
	case kind < 90 && c.value == "":
		op = p.operate("revoke", func(ctx context.Context) (latchkey.Settlement, error) {
			_, s, err := p.keyring.RevokeSecret(ctx, c.id, tester)
			return s, err
		})
	case kind < 96:
		op = p.operate("disable", func(ctx context.Context) (latchkey.Settlement, error) {
			_, s, err := p.keyring.DisableTeam(ctx, team, tester)
			return s, err
		})
		w.probe(op, random)
		op = p.operate("enable", func(ctx context.Context) (latchkey.Settlement, error) {
			_, s, err := p.keyring.EnableTeam(ctx, team, tester)
			return s, err
		})
	case teams < 12:
		op = w.createTeam(p, fmt.Sprintf("team %d", random.Uint32()))
	default:
		op = w.roll(p, team, 0)
	}
	w.probe(op, random)
}

func (w *world) roll(p *process, team string, overlap time.Duration) *operation {
	what := "roll"
	if overlap > 0 {
		what = "roll with an overlap"
	}
	var view latchkey.KeyView
	op := p.operate(what, func(ctx context.Context) (s latchkey.Settlement, err error) {
		view, s, err = p.keyring.RollKey(ctx, team, overlap, tester)
		if err == nil {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.learn(team, &credential{id: view.KeyID, value: view.APIKey.Reveal()})
		}
		return s, err
	})
	return op
}

func (w *world) createSecret(p *process, team string) *operation {
	return p.operate("create a secret", func(ctx context.Context) (latchkey.Settlement, error) {
		id, key, s, err := p.keyring.CreateSecret(ctx, team, tester)
		if err == nil {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.learn(team, &credential{id: id, secret: key})
		}
		return s, err
	})
}

func (w *world) createTeam(p *process, name string) *operation {
	return p.operate("create a team", func(ctx context.Context) (latchkey.Settlement, error) {
		made, s, err := p.keyring.CreateTeam(ctx, name, tester)
		if err == nil {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.byTeam(made)
		}
		return s, err
	})
}

// byTeam learns what a new team holds: the ID of its key is in the database.
func (w *world) byTeam(made latchkey.NewTeam) {
	for id, c := range w.primary.seen.credentials {
		if c.TeamID == made.Team.ID && c.Kind == latchkey.KindAPIKey {
			w.learn(made.Team.ID, &credential{id: id, value: made.APIKey.Reveal()})
		}
	}
	w.learn(made.Team.ID, &credential{id: made.SecretID, secret: made.SecretKey})
}
