package replica_test

import "fmt"

// This model of the lease protocol is explored state by state. Time is
// discrete and relative: ages that no longer matter stand still, and revisions
// are renumbered by their order, so that a world without failover is explored
// for any time and any number of renewals, crashes and changes.
//
// It allows more than can happen. Any step may be put off for ever, or never
// come; a registration of a dead process need not be waited for; a COMMIT that
// an old primary holds back is visible there at once.
const modelNodes, modelRollers = 3, 2

// A modelRule can be left out of a world, to see that it is needed.
type modelRule uint32

// The nine rules of the design, and those that this model added.
const (
	ruleT0 modelRule = 1 << iota
	ruleAckAfter
	ruleRegFirst
	ruleRowCheck
	ruleIncarnation
	ruleReapSeen
	ruleWait
	ruleOneSnapshot
	ruleDurableLease

	ruleMargin       // the roll waits longer than a lease, for clocks that drift
	ruleReapMargin   // and so does the reaper
	ruleWaitFrom     // the wait counts from the commit, not from when it was sent
	ruleLeaveLast    // a node deregisters after its last verdict
	ruleStaleReap    // a registration with a bound of stale answers is reaped only after it
	ruleHistory      // a renewal presents what was applied, and is refused by another history
	ruleAckHistory   // so is an acknowledgement
	ruleKnownFile    // what was applied is known after a restart
	ruleApplyDurable // changes are applied only after the COMMIT was confirmed
	ruleListHistory  // registrations are listed where the change is in the history
	ruleLastLook     // a roll returns after a last look there
	ruleRenewalID    // a renewal is known by a random ID, not by a count
	ruleOneBase      // an answer counts only if it begins where memory stands, or ends there
	ruleFreshList    // whom a change waits for is who is on the list now, of a timeline that is marked
	ruleGhost        // a promoted database waits for the registrations that it may have lost

	ruleFence // an assumption: asynchronous, the old primary is dead when its standby is promoted
)

// A failover is what can happen to the database.
type modelFailover uint8

const (
	noFailover      modelFailover = iota
	syncFailover                  // the standby has all that was confirmed; the old primary lives on
	laggingFailover               // the standby may lack what was confirmed; the old primary is dead
)

// A modelWorld is what is explored.
type modelWorld struct {
	name     string
	nodes    int
	lease    [modelNodes]uint8 // in ticks
	stale    [modelNodes]uint8 // --stale-ok
	rollers  int
	drift    uint8 // by how much a node's lease may outlast its length
	margin   uint8 // what rollers and reapers add
	failover modelFailover
	commits  uint8 // with a failover, at most so many changes in each database
	bulk     bool  // memory may be filled before the registration
	early    bool  // a change may be in the log, and at the standby, before it is visible at the primary
	overlap  bool  // another renewal may be sent before the answer to the last has come
	off      modelRule
}

func (w *modelWorld) on(r modelRule) bool { return w.off&r == 0 }

// counts says whether renewals are counted, or told apart by random IDs.
func (w *modelWorld) counts() bool { return w.off&(ruleIncarnation|ruleRenewalID) != 0 }

// A modelPos is a place in a history: the revision times two, plus one if the
// promoted standby made it. 0 is nothing.
type modelPos uint8

func (p modelPos) rev() uint8 { return uint8(p >> 1) }

type modelPhase uint8

const (
	nodeDown    modelPhase = iota // not registered, maybe dead: then its memory is empty
	nodeReg                       // registered, not confirmed
	nodeIdle                      // registered
	nodeSent                      // a renewal is on its way
	nodeGot                       // its answer is on its way
	nodeEarly                     // without regfirst: it has read, and registers later
	nodeLeaving                   // without leavelast: it has deregistered, and answers
)

const (
	rollIdle      modelPhase = iota
	rollSent                 // without waitfrom: the clock runs before the commit
	rollCommitted            // not confirmed
	rollConfirmed
	rollWaiting
	rollWritten // in the log, and not visible yet
)

// A modelAnswer is on its way beside that of a renewal that was sent later.
type modelAnswer struct {
	on      bool
	age     uint8
	durable bool
	got     modelPos
	asked   modelPos // what the renewal presented
}

type modelNode struct {
	phase   modelPhase
	age     uint8    // since the renewal was sent
	db      uint8    // that executed it, or the registration
	durable bool     // what it executed is in the standby, too
	asked   modelPos // what the renewal presented
	got     modelPos // what the answer brings
	mem     modelPos // memory holds all changes up to here
	claim   modelPos // and says so; another only without onesnapshot
	known   modelPos // on disk
	knew    modelPos // what it ever answered from; for the invariant
	left    uint8    // ticks that it may answer, the last [modelWorld.stale] of them stale
	msg     modelPos // an acknowledgement on its way
	late    modelAnswer
	excused modelPos // changes up to here that did not say "not confirmed" of it
}

type modelRow struct {
	present bool
	applied uint8 // a bare revision, as in the database
	count   uint8 // of renewals, if they are counted
}

type modelDB struct {
	cur  modelPos
	rows [modelNodes]modelRow
}

type modelRoller struct {
	phase   modelPhase
	age     uint8 // since the commit
	rv      modelPos
	durable bool
	pending uint8 // a bit for each node
}

// A modelWatch is a reaper's: one for each node stands for any number.
type modelWatch struct {
	on    bool
	age   uint8
	match [2]bool // the row there has not been renewed since
	count uint8   // what it saw, if renewals are counted
}

type modelState struct {
	db       [2]modelDB // the primary, its standby
	node     [modelNodes]modelNode
	roller   [modelRollers]modelRoller
	watch    [modelNodes]modelWatch
	same     [modelNodes]bool // both databases have the same renewal of it
	promoted bool
	fork     uint8 // the last revision that both have
	ghost    modelGhost
	accepted bool
	lost     bool     // a change was returned that the database had lost
	done     [2]uint8 // the last revision that was returned, of each history
}

// A modelStep is what happened, to whom, at which database.
type modelStep struct {
	verb    string
	who, db int8 // -1: does not matter
}

func (s modelStep) String() string {
	text := s.verb
	if s.who >= 0 {
		text = fmt.Sprintf("%s%d%s", text[:1], s.who, text[1:])
	}
	if s.db >= 0 {
		text += [2]string{" at the primary", " at the standby"}[s.db]
	}
	return text
}

// A modelGhost is a registration that the promoted database adds, for those
// that it may have lost. Nobody renews it.
type modelGhost struct {
	phase uint8 // 0: not there yet, 1: there, 2: reaped
	seen  uint8 // by a reaper, so many ticks ago, plus one; 0: not seen
}

// start is a database with one change, and nobody there.
func (w *modelWorld) start() modelState {
	var s modelState
	s.db[0].cur = 2
	if w.failover != noFailover {
		s.db[1].cur, s.fork = 2, 1
	}
	for i := range w.nodes {
		s.same[i] = true
	}
	return s
}

// inHistory says whether a database has a change.
func (s *modelState) inHistory(d int, p modelPos) bool {
	switch {
	case p == 0:
		return true
	case p&1 == 1:
		return d == 1 && p <= s.db[1].cur
	case d == 0:
		return p <= s.db[0].cur
	default:
		return p.rev() <= s.fork
	}
}

// holds says whether memory holds a change.
func (s *modelState) holds(mem, p modelPos) bool {
	switch {
	case p == 0:
		return true
	case mem&1 == p&1:
		return mem >= p
	default:
		return mem&1 == 1 && p.rev() <= s.fork
	}
}

// longest is for how long any lease must be waited for.
func (w *modelWorld) longest() uint8 {
	var most uint8
	for i := range w.nodes {
		most = max(most, w.lease[i]+w.stale[i])
	}
	return most + max(w.drift, w.margin)
}

// rollWait is how long a roll waits for a node.
func (w *modelWorld) rollWait(i int) uint8 {
	if !w.on(ruleMargin) {
		return w.lease[i]
	}
	return w.lease[i] + w.margin
}

// reapWait is how long a registration must stand still to be reaped.
func (w *modelWorld) reapWait(i int) uint8 {
	wait := w.lease[i]
	if w.on(ruleStaleReap) {
		wait += w.stale[i]
	}
	if w.on(ruleReapMargin) {
		wait += w.margin
	}
	return wait
}

// broken says which promise a state breaks, or nothing.
func (w *modelWorld) broken(s *modelState) string {
	if s.lost {
		return "a change returned that the database had lost"
	}
	for i := range w.nodes {
		n := &s.node[i]
		if n.left == 0 {
			continue
		}
		if n.left <= w.stale[i] {
			if !s.holds(n.mem, n.excused) {
				return fmt.Sprintf("n%d answers without a change that returned and did not name it", i)
			}
			continue
		}
		before := s.done[0]
		if s.promoted {
			before = min(before, s.fork) // the rest is lost
		}
		if !s.holds(n.mem, modelPos(before<<1)) || s.done[1] > 0 && !s.holds(n.mem, modelPos(s.done[1]<<1|1)) {
			return fmt.Sprintf("n%d answers without a change that returned", i)
		}
		if w.failover == laggingFailover && !s.holds(n.mem, n.knew) {
			return fmt.Sprintf("n%d has gone back behind what it answered from", i)
		}
		if w.failover == syncFailover && w.on(ruleDurableLease) && !s.inHistory(1, n.mem) {
			return fmt.Sprintf("n%d answers from a change that may never have been made", i)
		}
	}
	return ""
}
