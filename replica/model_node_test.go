package replica_test

// nodeSteps is what a node does, and what becomes of what it sent.
func (w *modelWorld) nodeSteps(s *modelState, i int, emit func(modelStep, *modelState)) {
	who, node := int8(i), s.node[i]
	w.crash(s, i, emit)
	if node.msg != 0 {
		w.acknowledge(s, i, emit)
	}
	if node.late.on {
		w.lateAnswer(s, i, emit)
	}
	switch node.phase {
	case nodeDown:
		w.joining(s, i, emit)
	case nodeReg:
		n := *s
		n.node[i].durable, n.node[i].db = false, 0
		if w.confirmable(node.durable) {
			n.node[i].phase = nodeIdle
			emit(modelStep{"n hears that it is registered", who, -1}, &n)
		}
		n.node[i].phase = nodeDown
		emit(modelStep{"n does not hear that it is registered", who, -1}, &n)
	case nodeIdle:
		n := *s
		n.node[i].phase, n.node[i].age, n.node[i].asked = nodeSent, 0, node.claim
		emit(modelStep{"n sends a renewal", who, -1}, &n)
		if !w.on(ruleLeaveLast) && node.left > 0 {
			for _, d := range w.reachable(s) {
				n := *s
				n.node[i].phase = nodeLeaving
				w.remove(&n, i, d)
				emit(modelStep{"n deregisters", who, d}, &n)
			}
		}
	case nodeSent:
		for _, d := range w.reachable(s) {
			w.renew(s, i, d, emit)
		}
		n := *s
		n.node[i].phase, n.node[i].age, n.node[i].asked = nodeIdle, 0, 0
		if node.msg == 0 {
			n.node[i].msg = node.asked // it may still arrive
		}
		emit(modelStep{"n gives its renewal up", who, -1}, &n)
	case nodeGot:
		w.answer(s, i, emit)
	case nodeEarly:
		for _, d := range w.reachable(s) {
			n := *s
			n.node[i] = modelNode{phase: nodeIdle, mem: node.got, claim: node.got, excused: node.excused, left: w.lease[i] + w.drift - node.age}
			n.db[d].rows[i] = modelRow{present: true, applied: node.got.rev()}
			w.renewed(&n, i, d)
			emit(modelStep{"n registers, and has a lease", who, d}, &n)
		}
	}
}

// crash is the end of a process, whatever ended it.
func (w *modelWorld) crash(s *modelState, i int, emit func(modelStep, *modelState)) {
	node := s.node[i]
	if node.phase == nodeDown && node.mem == 0 {
		return
	}
	n := *s
	n.node[i] = modelNode{msg: node.msg, excused: node.excused}
	if w.failover != noFailover {
		n.node[i].knew = node.knew
		if w.on(ruleKnownFile) {
			n.node[i].known = node.known
		}
	}
	emit(modelStep{"n crashes, or leaves", int8(i), -1}, &n)
}

// joining is what a node does without a registration.
func (w *modelWorld) joining(s *modelState, i int, emit func(modelStep, *modelState)) {
	who, node := int8(i), s.node[i]
	for _, d := range w.reachable(s) {
		if s.db[d].rows[i].present && node.mem == 0 {
			n := *s
			w.remove(&n, i, d)
			emit(modelStep{"n: its farewell arrives", who, d}, &n)
		}
		if w.bulk && node.mem == 0 {
			n := *s
			n.node[i].mem, n.node[i].claim = s.db[d].cur, s.db[d].cur
			emit(modelStep{"n loads everything", who, d}, &n)
		}
		if !w.on(ruleRegFirst) {
			n := *s
			n.node[i] = modelNode{phase: nodeEarly, got: s.db[d].cur, excused: node.excused}
			emit(modelStep{"n loads everything, for a lease", who, d}, &n)
			continue
		}
		n := *s
		w.register(&n, i, d)
		emit(modelStep{"n registers", who, d}, &n)
	}
}

// register writes a registration. A process that died is waited for no longer:
// it answers nothing.
func (w *modelWorld) register(n *modelState, i int, d int8) {
	w.wrote(n, d)
	node := &n.node[i]
	node.phase, node.db, node.durable = nodeReg, uint8(d), d == 1
	if w.failover == noFailover {
		node.phase, node.durable, node.db = nodeIdle, false, 0
	}
	row := &n.db[d].rows[i]
	if !w.on(ruleIncarnation) {
		row.present, row.count = true, 0 // applied is as it was
		w.renewed(n, i, d)
		return
	}
	*row = modelRow{present: true}
	n.db[1-d].rows[i] = modelRow{}
	node.msg = 0
	if w.stale[i] > 0 {
		node.excused = modelPos(n.done[0] << 1)
	}
	for j := range w.rollers {
		n.roller[j].pending &^= 1 << i
	}
	n.watch[i].match = [2]bool{}
	w.renewed(n, i, d)
}

// renew is a renewal that arrives at a database.
func (w *modelWorld) renew(s *modelState, i int, d int8, emit func(modelStep, *modelState)) {
	who, node := int8(i), s.node[i]
	row, asked := s.db[d].rows[i], node.asked
	if !row.present && w.on(ruleRowCheck) {
		n := *s
		m := &n.node[i]
		m.phase, m.age, m.left, m.asked, m.late = nodeDown, 0, 0, 0, modelAnswer{}
		emit(modelStep{"n: its renewal finds no registration", who, d}, &n)
		return
	}
	if w.counts() && row.count == modelMaxCount {
		return
	}
	if w.on(ruleHistory) && !(s.inHistory(int(d), asked) && s.inHistory(int(d), node.known)) {
		n := *s
		m := &n.node[i]
		m.phase, m.age, m.left, m.asked = nodeIdle, 0, 0, 0
		verb := "n: its renewal finds another history"
		if s.accepted {
			m.mem, m.claim, m.known, m.knew, m.late = 0, 0, 0, 0, modelAnswer{}
			verb += ", which was accepted"
		}
		emit(modelStep{verb, who, d}, &n)
		return
	}
	n := *s
	w.wrote(&n, d)
	if row.present {
		r := &n.db[d].rows[i]
		r.applied = max(r.applied, asked.rev())
		if !w.on(ruleAckAfter) {
			r.applied = s.db[d].cur.rev()
		}
		if w.counts() {
			r.count++
		}
		w.renewed(&n, i, d)
	}
	m := &n.node[i]
	m.phase, m.db, m.durable, m.got = nodeGot, uint8(d), d == 1, s.db[d].cur
	if w.failover == noFailover {
		m.durable = false
	}
	if !s.inHistory(int(d), asked) {
		m.got = asked // "what changed after" a revision that is another here: nothing
	}
	emit(modelStep{"n: its renewal is executed", who, d}, &n)
}

// modelMaxCount bounds the counted renewals of a registration.
const modelMaxCount = 5

// answer is the answer to a renewal, or its loss.
func (w *modelWorld) answer(s *modelState, i int, emit func(modelStep, *modelState)) {
	who, node := int8(i), s.node[i]
	idle := *s
	m := &idle.node[i]
	m.phase, m.age, m.db, m.durable, m.asked, m.got = nodeIdle, 0, 0, false, 0, 0
	emit(modelStep{"n does not get the answer", who, -1}, &idle)

	if w.overlap && !node.late.on {
		n := idle
		n.node[i].phase, n.node[i].asked = nodeSent, node.claim
		n.node[i].late = modelAnswer{on: true, age: node.age, durable: node.durable, got: node.got, asked: node.asked}
		emit(modelStep{"n sends another renewal", who, -1}, &n)
	}
	if w.confirmable(node.durable) || !w.on(ruleDurableLease) {
		if !w.follows(node, node.asked, node.got) {
			return
		}
		w.apply(idle, i, node, node.got, emit)
		if cur := s.db[node.db].cur; !w.on(ruleOneSnapshot) && cur != node.got {
			w.apply(idle, i, node, cur, emit)
		}
	} else if !w.on(ruleApplyDurable) {
		n := idle
		n.node[i].mem, n.node[i].claim, n.node[i].known = node.got, node.got, node.got
		emit(modelStep{"n applies what was not confirmed", who, -1}, &n)
	}
}

// lateAnswer is the answer to a renewal after which another was sent, or its
// loss.
func (w *modelWorld) lateAnswer(s *modelState, i int, emit func(modelStep, *modelState)) {
	node, late := s.node[i], s.node[i].late
	n := *s
	n.node[i].late = modelAnswer{}
	emit(modelStep{"n does not get the earlier answer", int8(i), -1}, &n)
	if w.confirmable(late.durable) && w.follows(node, late.asked, late.got) {
		was := node
		was.got, was.age = late.got, late.age
		w.apply(n, i, was, late.got, emit)
	}
}

// follows says whether an answer counts. Another may have been faster.
func (w *modelWorld) follows(node modelNode, asked, got modelPos) bool {
	if w.overlap && w.on(ruleOneBase) && asked != node.mem && got != node.mem {
		return false
	}
	return !w.overlap || got.rev() >= node.mem.rev()
}

// apply puts what a renewal brought into memory, and moves the lease.
func (w *modelWorld) apply(n modelState, i int, was modelNode, claim modelPos, emit func(modelStep, *modelState)) {
	m := &n.node[i]
	m.mem, m.claim = was.got, claim
	if w.failover != noFailover {
		m.known, m.knew = claim, max(m.knew, was.got)
	}
	full := w.lease[i] + w.stale[i] + w.drift
	if w.on(ruleT0) {
		m.left = max(m.left, full-min(full, was.age))
	} else {
		m.left = full
	}
	if claim == was.claim {
		emit(modelStep{"n moves its lease", int8(i), -1}, &n)
		return
	}
	if was.msg != 0 {
		emit(modelStep{"n applies changes, and moves its lease", int8(i), -1}, &n)
	}
	n.node[i].msg = claim
	emit(modelStep{"n applies changes, moves its lease, and acknowledges", int8(i), -1}, &n)
}

// acknowledge is what becomes of an acknowledgement on its way.
func (w *modelWorld) acknowledge(s *modelState, i int, emit func(modelStep, *modelState)) {
	who, node := int8(i), s.node[i]
	lost := *s
	lost.node[i].msg = 0
	emit(modelStep{"n: its acknowledgement is lost", who, -1}, &lost)
	for _, d := range w.reachable(s) {
		row := s.db[d].rows[i]
		if !row.present || row.applied >= node.msg.rev() || w.on(ruleAckHistory) && !s.inHistory(int(d), node.msg) {
			continue
		}
		n := lost
		n.db[d].rows[i].applied = node.msg.rev()
		emit(modelStep{"n: its acknowledgement arrives", who, d}, &n)
	}
}
