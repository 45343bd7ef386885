package replica_test

// next calls emit for each state that can follow s. What it passes is not yet
// in canonical form.
func (w *modelWorld) next(s *modelState, emit func(modelStep, *modelState)) {
	w.tick(s, emit)
	if w.failover != noFailover {
		w.failOver(s, emit)
		w.ghostSteps(s, emit)
	}
	for i := range w.nodes {
		w.nodeSteps(s, i, emit)
		w.reaperSteps(s, i, emit)
	}
	for j := range w.rollers {
		w.rollerSteps(s, j, emit)
	}
}

// reachable lists the databases that take a statement.
func (w *modelWorld) reachable(s *modelState) []int8 {
	switch {
	case !s.promoted:
		return []int8{0}
	case w.failover == laggingFailover && w.on(ruleFence):
		return []int8{1}
	default:
		return []int8{0, 1}
	}
}

// confirmable says whether the COMMIT of what ran at a database can be
// confirmed: a synchronous standby must have it.
func (w *modelWorld) confirmable(durable bool) bool {
	return durable || w.failover != syncFailover
}

func (w *modelWorld) tick(s *modelState, emit func(modelStep, *modelState)) {
	n := *s
	longest := w.longest()
	for i := range w.nodes {
		node := &n.node[i]
		node.left -= min(node.left, 1)
		if node.phase == nodeSent || node.phase == nodeGot || node.phase == nodeEarly {
			node.age = min(node.age+1, w.lease[i]+w.stale[i]+w.drift)
		}
		if node.late.on {
			node.late.age = min(node.late.age+1, w.lease[i]+w.stale[i]+w.drift)
		}
		if n.watch[i].on {
			n.watch[i].age = min(n.watch[i].age+1, w.reapWait(i))
		}
	}
	for j := range w.rollers {
		if r := &n.roller[j]; r.phase != rollIdle && r.phase != rollWritten {
			r.age = min(r.age+1, longest)
		}
	}
	if n.ghost.seen > 0 {
		n.ghost.seen = min(n.ghost.seen+1, longest+1)
	}
	emit(modelStep{"tick", -1, -1}, &n)
}

// failOver is what happens to the database itself.
func (w *modelWorld) failOver(s *modelState, emit func(modelStep, *modelState)) {
	if s.promoted {
		if w.failover == laggingFailover && !s.accepted {
			n := *s
			n.accepted = true
			emit(modelStep{"a person accepts the history", -1, 1}, &n)
		}
		return
	}
	n := *s
	n.db[1], n.fork = n.db[0], n.db[0].cur.rev()
	for i := range w.nodes {
		n.same[i] = true
		n.watch[i].match[1] = n.watch[i].match[0]
		n.node[i].durable = n.node[i].phase == nodeReg || n.node[i].phase == nodeGot
		n.node[i].late.durable = n.node[i].late.on
	}
	for j := range w.rollers {
		n.roller[j].durable = n.roller[j].phase >= rollCommitted
		if n.roller[j].phase == rollWritten {
			n.db[1].cur, n.fork = n.roller[j].rv, n.roller[j].rv.rev()
		}
	}
	emit(modelStep{"the standby catches up", -1, -1}, &n)

	n = *s
	n.promoted = true
	emit(modelStep{"the standby is promoted", -1, -1}, &n)
}

// wrote says that a transaction was made at a database. The first one after a
// promotion adds the ghost.
func (w *modelWorld) wrote(n *modelState, d int8) {
	if w.failover == laggingFailover && w.on(ruleGhost) && d == 1 && n.ghost.phase == 0 {
		n.ghost.phase = 1
	}
}

func (w *modelWorld) ghostSteps(s *modelState, emit func(modelStep, *modelState)) {
	if s.ghost.phase == 0 && s.promoted && w.failover == laggingFailover && w.on(ruleGhost) && w.on(ruleFreshList) {
		n := *s
		n.ghost.phase = 1
		emit(modelStep{"a list marks the timeline", -1, 1}, &n)
	}
	if s.ghost.phase != 1 {
		return
	}
	n := *s
	n.ghost.seen = 1
	emit(modelStep{"a reaper sees the ghost", -1, 1}, &n)
	if s.ghost.seen > w.longest() {
		n.ghost = modelGhost{phase: 2}
		emit(modelStep{"the ghost is reaped", -1, 1}, &n)
	}
}

// renewed says that a registration was written at a database: what a reaper
// saw of it is no longer so.
func (w *modelWorld) renewed(n *modelState, i int, d int8) {
	n.same[i] = w.failover == noFailover
	if w.counts() {
		return
	}
	n.watch[i].match[d] = false
	if n.watch[i].match == [2]bool{} {
		n.watch[i] = modelWatch{}
	}
}

// remove takes a registration away.
func (w *modelWorld) remove(n *modelState, i int, d int8) {
	n.db[d].rows[i] = modelRow{}
	w.renewed(n, i, d)
}

func (w *modelWorld) reaperSteps(s *modelState, i int, emit func(modelStep, *modelState)) {
	who := int8(i)
	for _, d := range w.reachable(s) {
		row, watch := s.db[d].rows[i], s.watch[i]
		if !row.present {
			continue
		}
		n := *s
		n.watch[i] = modelWatch{on: true, count: row.count}
		if !w.counts() {
			n.watch[i].match[d] = true
			n.watch[i].match[1-d] = s.same[i] && w.failover != noFailover
		}
		emit(modelStep{"n: a reaper sees its registration", who, d}, &n)

		same := watch.match[d]
		if w.counts() {
			same = row.count == watch.count
		}
		if watch.on && same && watch.age >= w.reapWait(i) {
			n := *s
			n.watch[i] = modelWatch{}
			w.remove(&n, i, d)
			emit(modelStep{"n: its registration is reaped", who, d}, &n)
		}
	}
}

func (w *modelWorld) rollerSteps(s *modelState, j int, emit func(modelStep, *modelState)) {
	who, r := int8(j), s.roller[j]
	if r.phase != rollIdle && (r.phase != rollWritten || s.promoted) {
		n := *s
		n.roller[j] = modelRoller{}
		emit(modelStep{"r dies, or gives up", who, -1}, &n)
	}
	switch r.phase {
	case rollIdle, rollSent:
		w.change(s, j, emit)
	case rollWritten:
		if !s.promoted {
			n := *s
			n.db[0].cur, n.roller[j].phase = r.rv, rollCommitted
			emit(modelStep{"r commits it: it is visible", who, 0}, &n)
		}
	case rollCommitted:
		if w.confirmable(r.durable) {
			n := *s
			n.roller[j].phase = rollConfirmed
			emit(modelStep{"r hears that it is committed", who, -1}, &n)
		}
	case rollConfirmed:
		for _, d := range w.reachable(s) {
			if w.on(ruleListHistory) && !s.inHistory(int(d), r.rv) {
				continue
			}
			n := *s
			n.roller[j].phase = rollWaiting
			for i, row := range s.db[d].rows[:w.nodes] {
				if row.present && row.applied < r.rv.rev() {
					n.roller[j].pending |= 1 << i
				}
			}
			if d == 1 && s.ghost.phase == 1 {
				n.roller[j].pending |= 1 << w.nodes
			}
			emit(modelStep{"r lists the registrations", who, d}, &n)
		}
	case rollWaiting:
		w.waiting(s, j, emit)
	}
}

// change is the commit of a roll.
func (w *modelWorld) change(s *modelState, j int, emit func(modelStep, *modelState)) {
	who, r := int8(j), s.roller[j]
	if r.phase == rollIdle && !w.on(ruleWaitFrom) {
		n := *s
		n.roller[j] = modelRoller{phase: rollSent}
		emit(modelStep{"r sends a change", who, -1}, &n)
		return
	}
	for _, d := range w.reachable(s) {
		n := *s
		cur := modelPos(s.db[d].cur.rev()+1)<<1 | modelPos(d)
		if w.failover != noFailover && cur.rev() > w.commits+[2]uint8{1, s.fork}[d] {
			continue
		}
		if w.early && d == 0 {
			if s.roller[0].phase == rollWritten || s.roller[1].phase == rollWritten {
				continue // it holds the counter's row
			}
			n.roller[j] = modelRoller{phase: rollWritten, rv: cur}
			emit(modelStep{"r writes a change into the log", who, d}, &n)
			continue
		}
		n.db[d].cur = cur
		w.wrote(&n, d)
		n.roller[j] = modelRoller{phase: rollCommitted, age: r.age, rv: cur, durable: d == 1}
		if w.failover == noFailover {
			n.roller[j].phase = rollConfirmed
		}
		emit(modelStep{"r commits a change", who, d}, &n)
	}
}

// waiting is what a roll does once it knows whom to wait for.
func (w *modelWorld) waiting(s *modelState, j int, emit func(modelStep, *modelState)) {
	who, r := int8(j), s.roller[j]
	for _, d := range w.reachable(s) {
		has := s.inHistory(int(d), r.rv)
		if !has && w.on(ruleListHistory) && w.on(ruleLastLook) {
			continue
		}
		over := true
		if r.pending&(1<<w.nodes) != 0 {
			over = r.age >= w.longest()
			if d == 1 && s.ghost.phase == 2 {
				n := *s
				n.roller[j].pending &^= 1 << w.nodes
				emit(modelStep{"r sees that the ghost is gone", who, d}, &n)
			}
		}
		for i := range w.nodes {
			if r.pending&(1<<i) == 0 {
				continue
			}
			over = over && r.age >= w.rollWait(i)
			if !has && w.on(ruleListHistory) {
				continue
			}
			if row := s.db[d].rows[i]; !row.present || row.applied >= r.rv.rev() {
				n := *s
				n.roller[j].pending &^= 1 << i
				emit(modelStep{"r sees that a node has confirmed, or is gone,", who, d}, &n)
			}
			if !w.on(ruleReapSeen) && s.db[d].rows[i].present && r.age >= w.rollWait(i) {
				n := *s
				w.remove(&n, i, d)
				emit(modelStep{"r reaps a node that did not confirm", who, d}, &n)
			}
		}
		if over && w.on(ruleFreshList) {
			over = w.nobodyLeft(s, r, d)
		}
		if over || !w.on(ruleWait) {
			w.returns(s, j, d, emit)
		}
	}
}

// nobodyLeft says whether a list as it is now has nobody to be waited for.
func (w *modelWorld) nobodyLeft(s *modelState, r modelRoller, d int8) bool {
	for i, row := range s.db[d].rows[:w.nodes] {
		if row.present && row.applied < r.rv.rev() && r.age < w.rollWait(i) {
			return false
		}
	}
	if w.failover != laggingFailover || d == 0 || !w.on(ruleGhost) {
		return true
	}
	return s.ghost.phase == 2 || s.ghost.phase == 1 && r.age >= w.longest()
}

// returns is the end of a roll, after a last look at a database.
func (w *modelWorld) returns(s *modelState, j int, d int8, emit func(modelStep, *modelState)) {
	n, r := *s, s.roller[j]
	n.lost = w.failover == laggingFailover && s.promoted && !s.inHistory(1, r.rv)
	n.done[r.rv&1] = max(n.done[r.rv&1], r.rv.rev())
	for i := range w.nodes {
		if r.pending&(1<<i) == 0 && w.stale[i] > 0 {
			n.node[i].excused = max(n.node[i].excused, r.rv)
		}
	}
	n.roller[j] = modelRoller{}
	emit(modelStep{"r returns", int8(j), d}, &n)
}
