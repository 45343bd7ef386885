package replica_test

import (
	"context"
	"errors"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"time"

	"latchkey"
	"latchkey/replica"
)

var errDead = errors.New("this process was killed")

// A node is a process of the simulation: the real replica and keyring, over a
// connection, a clock and a scheduler that fail as they are told to.
type node struct {
	w       *world
	name    string
	index   int
	lease   time.Duration
	staleOK time.Duration
	history string // its file
	witness string // of its processes; "": a killed one leaves its registration to the reapers
	random  *rand.Rand
	seed    uint64
	kinds   map[string]*rand.Rand // see of

	// The process, one after the other; nil: it does not run.
	process *process
	closing bool

	server *server
	former *server       // an old primary that some connections of the node are still open to; nil: there is none
	cut    [2]bool       // what it sends, and what it is sent, does not arrive
	held   [2][]func()   // what is sent again when that is over
	loss   float64       // of each message
	delay  time.Duration // of each message, at most
	nohint bool          // hints are lost

	pausedUntil time.Time
	pauseChance float64       // that it is paused at any point
	pauseLength time.Duration // at most
	turns       time.Duration // it counts those who wait for the end of a pause

	drift     float64       // of CLOCK_BOOTTIME
	bootBase  time.Duration // at the beginning of the simulation
	suspended time.Duration // how long CLOCK_MONOTONIC stood still
	wallAhead time.Duration

	troubled  int       // by how many faults
	calmSince time.Time // when the last ended
	cutSince  time.Time // zero: it can reach the database
}

// A process is one run of a node.
type process struct {
	n       *node
	replica *replica.Replica
	keyring *latchkey.Keyring
	ctx     context.Context // ends when it is killed
	kill    context.CancelFunc
	stop    context.CancelFunc // of its loops, for a clean end
	joined  bool
	leased  time.Time // when the renewal that gave the last lease was sent, and under which registration
	under   string
	ended   chan struct{} // its loops have returned
}

// pass is where a process may be paused. Its error is that it was killed.
func (p *process) pass() error {
	n, w := p.n, p.n.w
	w.mu.Lock()
	if n.pauseChance > 0 && n.random.Float64() < n.pauseChance && !time.Now().Before(n.pausedUntil) && n.process == p {
		n.pause(1 + time.Duration(n.random.Int64N(int64(n.pauseLength))))
	}
	turn := time.Duration(0)
	for {
		rest := time.Until(n.pausedUntil)
		if rest > 0 && turn == 0 {
			// All go on at once, but always in the same order.
			n.turns++
			turn = n.turns
		}
		w.mu.Unlock()
		switch {
		case p.ctx.Err() != nil:
			return errDead
		case rest+turn <= 0:
			return nil
		}
		select {
		case <-p.ctx.Done():
		case <-time.After(rest + turn):
		}
		w.mu.Lock()
		if time.Until(n.pausedUntil)+turn <= 0 {
			turn = 0
		}
	}
}

// pause stops all that the node does; its clocks go on.
func (n *node) pause(d time.Duration) {
	n.w.stats.fault("pause")
	until := time.Now().Add(d)
	if until.After(n.pausedUntil) {
		n.pausedUntil = until
	}
	n.trouble()
	n.w.after(d, n.calm)
}

// trouble and calm enclose a fault of this node.
func (n *node) trouble() { n.troubled++ }

func (n *node) calm() {
	n.troubled--
	n.calmSince = time.Now()
}

// Boot is CLOCK_BOOTTIME, read before or after a pause.
func (p *process) Boot() time.Duration {
	before, late := p.n.clocks()
	boot := before.boot
	if p.pass() == nil && late {
		now, _ := p.n.clocks()
		boot = now.boot
	}
	return boot
}

// Wall is the time of day, likewise.
func (p *process) Wall() time.Time {
	before, late := p.n.clocks()
	wall := before.wall
	if p.pass() == nil && late {
		now, _ := p.n.clocks()
		wall = now.wall
	}
	return wall
}

type clocks struct {
	boot time.Duration
	wall time.Time
}

func (n *node) clocks() (r clocks, late bool) {
	n.w.mu.Lock()
	defer n.w.mu.Unlock()
	elapsed := time.Since(n.w.began)
	r.wall = time.Now().Round(0).Add(n.wallAhead)
	r.boot = n.bootBase + elapsed + time.Duration(float64(elapsed)*n.drift)
	if n.w.leftOut("monotonic") {
		r.boot -= n.suspended
	}
	return r, n.pauseChance > 0 && n.random.IntN(2) == 0
}

// The two ways of a message.
const (
	out = iota
	back
)

// A trip is what becomes of a call's two messages.
type trip struct {
	delay [2]time.Duration
	lost  [2]bool
	hold  bool          // TCP sends again what a partition swallowed
	late  time.Duration // by how much its end is noticed late, so that no two things happen at one moment
}

// of is the source of what becomes of a kind of message. Each kind has its own,
// because what begins at the same moment may do so in any order.
func (n *node) of(kind string) *rand.Rand {
	random := n.kinds[kind]
	if random == nil {
		h := fnv.New64a()
		_, _ = h.Write([]byte(kind))
		random = rand.New(rand.NewPCG(n.seed, h.Sum64()))
		n.kinds[kind] = random
	}
	return random
}

// trip draws what becomes of a message and its answer.
func (n *node) trip(kind string) (t trip) {
	random := n.of(kind)
	for way := range t.delay {
		t.delay[way] = span(random, n.delay)
		t.lost[way] = n.loss > 0 && random.Float64() < n.loss
	}
	t.hold = random.IntN(2) == 0
	t.late = 1 + time.Duration(random.IntN(20_000))
	return t
}

// span is a random time up to d; short ones are as likely as long ones.
func (n *node) span(d time.Duration) time.Duration { return span(n.random, d) }

func span(random *rand.Rand, d time.Duration) time.Duration {
	const least = 20 * time.Microsecond
	top := least << random.IntN(20)
	return 1 + time.Duration(random.Int64N(int64(min(max(d, least), top))))
}

// travel delivers a message.
func (n *node) travel(t trip, way int, deliver func()) {
	n.w.after(t.delay[way], func() {
		switch {
		case t.lost[way]:
			n.w.stats.fault("message lost")
		case n.cut[way] && t.hold:
			n.held[way] = append(n.held[way], deliver)
		case n.cut[way]:
		default:
			deliver()
		}
	})
}

// An answer is what a call brought.
type answer[T any] struct {
	value T
	err   error
}

// errLost: nobody can say what became of a call.
var errLost = errors.New("connection lost")

// call is one round trip to the database.
func call[T any](ctx context.Context, p *process, what string, do func(v *server, reply func(T, error))) (T, error) {
	var none T
	if err := p.pass(); err != nil {
		return none, err
	}
	n, w := p.n, p.n.w
	answers := make(chan answer[T], 1)
	w.mu.Lock()
	v, t := n.connection(ctx, what), n.trip(what)
	epoch := v.epoch
	n.travel(t, out, func() {
		if v.down || v.epoch != epoch {
			n.travel(t, back, func() { answers <- answer[T]{err: errDown} })
			return
		}
		w.trace("%s %s arrives at %s", n.name, what, v.name)
		do(v, func(value T, err error) {
			w.trace("%s %s is answered by %s: %+v %v", n.name, what, v.name, value, err)
			n.travel(t, back, func() {
				if v.epoch != epoch {
					err = errLost
				}
				answers <- answer[T]{value, err}
			})
		})
	})
	w.mu.Unlock()
	timeout := time.NewTimer(w.connectionTimeout)
	defer timeout.Stop()
	var a answer[T]
	select {
	case a = <-answers:
	case <-timeout.C:
		a.err = errLost
		time.Sleep(t.late)
	case <-ctx.Done():
		a.err = errors.Join(errLost, ctx.Err())
		time.Sleep(t.late)
	case <-p.ctx.Done():
		return none, errDead
	}
	if err := p.pass(); err != nil {
		return none, err
	}
	if a.err != nil {
		return none, a.err
	}
	return a.value, nil
}

type serverKey struct{}

// connection picks one of the pool. A transaction keeps to one.
func (n *node) connection(ctx context.Context, kind string) *server {
	if v, ok := ctx.Value(serverKey{}).(*server); ok {
		return v
	}
	if n.former != nil && !n.former.down && n.of(kind).IntN(3) == 0 {
		return n.former
	}
	return n.server
}

// transaction makes all calls with the context go to one server.
func (p *process) transaction(ctx context.Context) context.Context {
	p.n.w.mu.Lock()
	defer p.n.w.mu.Unlock()
	return context.WithValue(ctx, serverKey{}, p.n.connection(ctx, "transaction"))
}

// change calls for a commit: where the answer is lost, so is the outcome.
func change[T any](ctx context.Context, p *process, what string, do func(v *server, reply func(T, error))) (T, error) {
	value, err := call(ctx, p, what, do)
	if errors.Is(err, errLost) || errors.Is(err, errWarned) || errors.Is(err, errDead) {
		err = errors.Join(latchkey.ErrOutcomeUnknown, err)
	}
	return value, err
}

// read calls for what a transaction sees.
func read[T any](ctx context.Context, p *process, what string, do func(s *state, v *server) (T, error)) (T, error) {
	return call(ctx, p, what, func(v *server, reply func(T, error)) { reply(do(v.seen, v)) })
}

// Holding implements [latchkey.CredentialStore].
func (p *process) Holding(ctx context.Context, team string) (latchkey.Holding, error) {
	return read(ctx, p, "Holding", func(s *state, _ *server) (latchkey.Holding, error) {
		t, ok := s.team(team)
		if !ok {
			return latchkey.Holding{}, latchkey.NotFound("team", team)
		}
		return s.holding(t), nil
	})
}

// CreateTeam implements [latchkey.CredentialStore].
func (p *process) CreateTeam(ctx context.Context, build func(time.Time) (latchkey.Holding, error)) (latchkey.Holding, latchkey.Change, error) {
	ctx = p.transaction(ctx)
	now, err := read(ctx, p, "CreateTeam", func(_ *state, v *server) (time.Time, error) { return v.now(), nil })
	if err != nil {
		return latchkey.Holding{}, latchkey.Change{}, err
	}
	h, err := build(now)
	if err != nil {
		return latchkey.Holding{}, latchkey.Change{}, err
	}
	c, err := p.commit(ctx, h, 0)
	return h, c, err
}

// UpdateTeam implements [latchkey.CredentialStore], without a lock: a change
// that came between makes it begin again.
func (p *process) UpdateTeam(ctx context.Context, teamID string, edit func(time.Time, *latchkey.Holding) error) (latchkey.Holding, latchkey.Change, error) {
	type before struct {
		h   latchkey.Holding
		now time.Time
	}
	ctx = p.transaction(ctx)
	for {
		b, err := read(ctx, p, "UpdateTeam", func(s *state, v *server) (before, error) {
			t, ok := s.team(teamID)
			if !ok {
				return before{}, latchkey.NotFound("team", teamID)
			}
			return before{s.holding(t), v.now()}, nil
		})
		if err != nil {
			return latchkey.Holding{}, latchkey.Change{}, err
		}
		if err := edit(b.now, &b.h); err != nil {
			return latchkey.Holding{}, latchkey.Change{}, err
		}
		c, err := p.commit(ctx, b.h, b.h.Team.Revision)
		if errors.Is(err, errRetry) {
			continue
		}
		b.h.Credentials = slices.DeleteFunc(b.h.Credentials, func(c latchkey.Credential) bool { return !c.Live() })
		return b.h, c, err
	}
}

func (p *process) commit(ctx context.Context, h latchkey.Holding, seen latchkey.Revision) (latchkey.Change, error) {
	op, _ := ctx.Value(operationKey{}).(*operation)
	h.Credentials = slices.Clone(h.Credentials)
	p.n.w.mu.Lock()
	id := p.n.w.newID(p.n.random)
	p.n.w.mu.Unlock()
	return change(ctx, p, "commit", func(v *server, reply func(latchkey.Change, error)) { v.update(h, seen, op, id, reply) })
}

// Teams implements [latchkey.CredentialStore].
func (p *process) Teams(ctx context.Context) ([]latchkey.Team, error) {
	return read(ctx, p, "Teams", func(s *state, _ *server) ([]latchkey.Team, error) { return s.changes(0).Teams, nil })
}

// Credential implements [latchkey.CredentialStore].
func (p *process) Credential(ctx context.Context, id string) (latchkey.Credential, error) {
	return read(ctx, p, "Credential", func(s *state, _ *server) (latchkey.Credential, error) {
		c, ok := s.credentials[id]
		if !ok {
			return c, latchkey.ErrNotFound
		}
		return c, nil
	})
}

// Changes implements [latchkey.CredentialStore].
func (p *process) Changes(ctx context.Context, after latchkey.Revision) (latchkey.Changes, error) {
	return read(ctx, p, "Changes", func(s *state, _ *server) (latchkey.Changes, error) { return s.changes(after), nil })
}

// DueOverlaps implements [latchkey.CredentialStore].
func (p *process) DueOverlaps(ctx context.Context) ([]string, error) {
	return read(ctx, p, "DueOverlaps", func(s *state, v *server) ([]string, error) { return s.due(v.now()), nil })
}

// PurgeTombstones implements [latchkey.CredentialStore]; nothing is that old here.
func (p *process) PurgeTombstones(context.Context, time.Duration) (int, error) { return 0, nil }

// Probe implements [latchkey.CredentialStore].
func (p *process) Probe(context.Context) ([]byte, error) { return nil, nil }

// Register implements [latchkey.LeaseStore].
func (p *process) Register(ctx context.Context, g latchkey.Registration) error {
	_, err := p.write(ctx, "Register", func(s *state, v *server) (any, error) {
		g.Renewed = time.Time{}
		return nil, s.register(g)
	})
	return err
}

// write is a durable commit of something that is no change.
func (p *process) write(ctx context.Context, what string, run func(s *state, v *server) (any, error)) (any, error) {
	return call(ctx, p, what, func(v *server, reply func(any, error)) {
		v.write(&commit{durable: true, reply: reply, run: func(s *state) (any, error) { return run(s, v) }})
	})
}

// Renew implements [latchkey.LeaseStore].
func (p *process) Renew(ctx context.Context, r latchkey.Renewal) (latchkey.Renewed, error) {
	n, w := p.n, p.n.w
	sent := time.Now()
	renewed, err := call(ctx, p, "Renew", func(v *server, reply func(latchkey.Renewed, error)) {
		now, from := v.now(), v.seen
		if v.standby != nil && w.leftOut("standbyread") {
			from = v.standby.seen
		}
		// The snapshot is taken now; the commit is confirmed later.
		if _, ok := v.seen.registrations[r.ID]; !ok {
			reply(latchkey.Renewed{}, latchkey.ErrNotRegistered)
			return
		}
		if err := v.seen.check(r); err != nil {
			reply(latchkey.Renewed{}, err)
			return
		}
		renewed := latchkey.Renewed{Changes: from.changes(r.Applied.Revision), Acceptances: slices.Clone(from.acceptances)}
		renewal := w.newID(n.random)
		write := func() {
			if w.leftOut("onesnapshot") {
				at := v.seen.position()
				renewed.Changes.Revision, renewed.Changes.ChangeID = at.Revision, at.ChangeID
			}
			v.write(&commit{durable: true, lease: true,
				run:   func(s *state) (any, error) { return nil, s.acknowledge(r.ID, r.Applied, renewal, now) },
				reply: func(_ any, err error) { reply(renewed, err) },
			})
		}
		if w.leftOut("onesnapshot") {
			w.after(w.span(5*time.Millisecond), write) // two statements, each with its own snapshot
			return
		}
		write()
	})
	if err == nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		if r.ID != p.under || sent.After(p.leased) {
			p.leased, p.under = sent, r.ID
		}
	}
	return renewed, err
}

// Acknowledge implements [latchkey.LeaseStore].
func (p *process) Acknowledge(ctx context.Context, id string, applied latchkey.Position) error {
	_, err := call(ctx, p, "Acknowledge", func(v *server, reply func(any, error)) {
		v.write(&commit{reply: reply, run: func(s *state) (any, error) {
			return nil, s.acknowledge(id, applied, "", time.Time{})
		}})
	})
	return err
}

// Deregister implements [latchkey.LeaseStore].
func (p *process) Deregister(ctx context.Context, id string) error {
	_, err := p.write(ctx, "Deregister", func(s *state, _ *server) (any, error) {
		delete(s.registrations, id)
		return nil, nil
	})
	return err
}

// Registrations implements [latchkey.LeaseStore].
func (p *process) Registrations(ctx context.Context, has ...latchkey.Position) ([]latchkey.Registration, error) {
	list, err := read(ctx, p, "Registrations", func(s *state, _ *server) ([]latchkey.Registration, error) { return s.list(), s.hasAll(has...) })
	if errors.Is(err, errDead) {
		return nil, nil // so that what waits in a killed process ends soon, unseen
	}
	return list, err
}

// Reap implements [latchkey.LeaseStore].
func (p *process) Reap(ctx context.Context, id, renewal string) error {
	_, err := p.write(ctx, "Reap", func(s *state, v *server) (any, error) { return nil, s.reap(id, renewal) })
	if err == nil {
		p.n.w.reaped(id)
	}
	return err
}

// AcceptHistory implements [latchkey.LeaseStore].
func (p *process) AcceptHistory(ctx context.Context, _ latchkey.Actor) error {
	p.n.w.mu.Lock()
	id := p.n.w.newID(p.n.random)
	p.n.w.mu.Unlock()
	_, err := p.write(ctx, "AcceptHistory", func(s *state, _ *server) (any, error) {
		s.acceptances = append(slices.Clip(s.acceptances), id)
		return nil, nil
	})
	return err
}

// Listen implements [latchkey.LeaseStore]. A connection that died silently hears
// nothing more.
func (p *process) Listen(ctx context.Context, hint func(latchkey.Revision)) error {
	n, w := p.n, p.n.w
	hints, broken := make(chan latchkey.Revision, 8), make(chan latchkey.Revision, 1)
	signal := func(c chan latchkey.Revision, revision latchkey.Revision) {
		select {
		case c <- revision:
		default:
		}
	}
	l := &listener{
		hint: func(revision latchkey.Revision) {
			if t := n.trip("hint"); !n.nohint {
				n.travel(t, back, func() { signal(hints, revision) })
			}
		},
		broken: func() { n.travel(n.trip("broken"), back, func() { signal(broken, 0) }) },
	}
	v, err := call(ctx, p, "Listen", func(v *server, reply func(*server, error)) {
		v.listeners[l] = true
		reply(v, nil)
	})
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if v != nil {
			delete(v.listeners, l)
		}
	}()
	signal(hints, 0)
	for err == nil {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.ctx.Done():
			return errDead
		case <-broken:
			return errDown
		case revision := <-hints:
			if err = p.pass(); err == nil {
				hint(revision)
			}
		}
	}
	return err
}
