package replica_test

import "math/bits"

// A modelCode is a state in few bits; two states are one if their codes are.
type modelCode [3]uint64

func (c modelCode) hash() uint64 {
	h := uint64(0x9e3779b97f4a7c15)
	for _, word := range c {
		hi, lo := bits.Mul64(h^word, 0xd6e8feb86659fd93)
		h = hi ^ lo ^ word>>7
	}
	return h ^ h>>29
}

// modelBits writes fields into a code, or reads them from it.
type modelBits struct {
	code    modelCode
	at      uint
	reading bool
}

func codeField[T ~uint8](b *modelBits, field *T, width uint) {
	word, shift := b.at/64, b.at%64
	if shift+width > 64 { // no field lies across two words
		word, shift, b.at = word+1, 0, (word+1)*64
	}
	if b.reading {
		*field = T(b.code[word] >> shift & (1<<width - 1))
	} else {
		if uint64(*field)>>width != 0 {
			panic("a field of the model is too large for its place")
		}
		b.code[word] |= uint64(*field) << shift
	}
	b.at += width
}

func (b *modelBits) flag(field *bool) {
	var v uint8
	if *field {
		v = 1
	}
	codeField(b, &v, 1)
	*field = v == 1
}

// fields passes over all fields that can be another than zero in this world.
func (w *modelWorld) fields(s *modelState, b *modelBits) {
	databases := 1
	if w.failover != noFailover {
		databases = 2
		b.flag(&s.promoted)
		b.flag(&s.accepted)
		codeField(b, &s.fork, 3)
		b.flag(&s.lost)
		codeField(b, &s.ghost.phase, 2)
		codeField(b, &s.ghost.seen, 3)
		codeField(b, &s.done[1], 3)
	}
	codeField(b, &s.done[0], 3)
	for d := range databases {
		codeField(b, &s.db[d].cur, 4)
	}
	for j := range w.rollers {
		r := &s.roller[j]
		codeField(b, &r.phase, 3)
		codeField(b, &r.age, 3)
		codeField(b, &r.rv, 4)
		codeField(b, &r.pending, uint(w.nodes)+1)
		if w.failover != noFailover {
			b.flag(&r.durable)
		}
	}
	for i := range w.nodes {
		w.nodeFields(s, i, b)
	}
}

func (w *modelWorld) nodeFields(s *modelState, i int, b *modelBits) {
	n, watch := &s.node[i], &s.watch[i]
	w.rowFields(&s.db[0].rows[i], b)
	codeField(b, &n.phase, 3)
	codeField(b, &n.age, 3)
	codeField(b, &n.got, 4)
	codeField(b, &n.mem, 4)
	codeField(b, &n.left, 3)
	codeField(b, &n.msg, 4)
	b.flag(&watch.on)
	codeField(b, &watch.age, 3)
	if w.on(ruleOneSnapshot) {
		n.claim = n.mem
	} else {
		codeField(b, &n.claim, 4)
	}
	if w.counts() {
		codeField(b, &watch.count, 3)
	} else {
		b.flag(&watch.match[0])
	}
	if w.stale[i] > 0 {
		codeField(b, &n.excused, 4)
	}
	if w.overlap {
		b.flag(&n.late.on)
		codeField(b, &n.late.age, 3)
		b.flag(&n.late.durable)
		codeField(b, &n.late.got, 4)
		codeField(b, &n.late.asked, 4)
		codeField(b, &n.asked, 4)
	} else if n.phase == nodeSent || n.phase == nodeGot {
		n.asked = n.claim
	}
	if w.failover != noFailover {
		w.rowFields(&s.db[1].rows[i], b)
		codeField(b, &n.db, 1)
		b.flag(&n.durable)
		codeField(b, &n.known, 4)
		codeField(b, &n.knew, 4)
		b.flag(&watch.match[1])
		b.flag(&s.same[i])
	} else {
		s.same[i] = true
	}
}

func (w *modelWorld) rowFields(row *modelRow, b *modelBits) {
	b.flag(&row.present)
	codeField(b, &row.applied, 3)
	if w.counts() {
		codeField(b, &row.count, 3)
	}
}

func (w *modelWorld) pack(s *modelState) modelCode {
	var b modelBits
	w.fields(s, &b)
	return b.code
}

func (w *modelWorld) unpack(c modelCode) modelState {
	var s modelState
	b := modelBits{code: c, reading: true}
	w.fields(&s, &b)
	return s
}

// canonical brings a state into the form that stands for all that behave alike:
// rollers are in order, and without a failover revisions are renumbered. Only
// comparisons with what was returned, with what is being rolled, with what
// excuses and with the newest revision are ever made, now or later.
func (w *modelWorld) canonical(s *modelState) {
	for i := range w.nodes {
		w.forget(s, i)
	}
	for j := range w.rollers {
		if r := &s.roller[j]; r.phase == rollCommitted && w.neverConfirmed(s, r.durable) {
			*r = modelRoller{}
		}
	}
	if w.failover == noFailover {
		w.renumber(s)
	}
	for end := w.nodes - 1; end > 0; end-- {
		for i := range end {
			if w.alike(i, i+1) && w.nodeKey(s, i) > w.nodeKey(s, i+1) {
				s.swap(i, i+1)
			}
		}
	}
	if a, b := &s.roller[0], &s.roller[1]; w.rollers == 2 && b.less(a) {
		*a, *b = *b, *a
	}
}

// neverConfirmed says whether what ran at a database is known to be there alone.
func (w *modelWorld) neverConfirmed(s *modelState, durable bool) bool {
	return w.failover == syncFailover && s.promoted && !durable && w.on(ruleDurableLease) && w.on(ruleApplyDurable)
}

// forget drops what can have no effect any more.
func (w *modelWorld) forget(s *modelState, i int) {
	n, first, second := &s.node[i], &s.db[0].rows[i], &s.db[1].rows[i]
	if w.neverConfirmed(s, n.durable) {
		switch n.phase {
		case nodeGot:
			n.phase, n.age, n.db, n.asked, n.got = nodeIdle, 0, 0, 0, 0
		case nodeReg:
			n.phase, n.db = nodeDown, 0
		}
	}
	if n.late.on && w.neverConfirmed(s, n.late.durable) {
		n.late = modelAnswer{}
	}
	if w.counts() {
		return
	}
	// A dead process answers nothing: its row may go at any time, and its next one is another.
	if n.phase == nodeDown && n.mem == 0 {
		n.msg, s.watch[i] = 0, modelWatch{}
	}
	idle := func(row *modelRow) bool { return !row.present || row.applied >= n.msg.rev() }
	if idle(first) && (idle(second) || w.failover == noFailover) {
		n.msg = 0
	}
	if w.failover == noFailover {
		return
	}
	watch := &s.watch[i]
	watch.match[0] = watch.match[0] && first.present
	watch.match[1] = watch.match[1] && second.present
	if watch.match == [2]bool{} {
		*watch = modelWatch{}
	}
	s.same[i] = s.same[i] && first.present && second.present
}

// alike says whether two nodes differ in nothing but their number.
func (w *modelWorld) alike(i, k int) bool {
	return w.lease[i] == w.lease[k] && w.stale[i] == w.stale[k]
}

// nodeKey is all that is known of a node, but for whether a roll waits for it.
func (w *modelWorld) nodeKey(s *modelState, i int) uint64 {
	var b modelBits
	w.nodeFields(s, i, &b)
	return b.code[0] ^ b.code[1]*0x9e3779b97f4a7c15
}

func (s *modelState) swap(i, k int) {
	s.node[i], s.node[k] = s.node[k], s.node[i]
	s.watch[i], s.watch[k] = s.watch[k], s.watch[i]
	s.same[i], s.same[k] = s.same[k], s.same[i]
	for d := range s.db {
		rows := &s.db[d].rows
		rows[i], rows[k] = rows[k], rows[i]
	}
	for j := range s.roller {
		p := &s.roller[j].pending
		*p = *p&^(1<<i|1<<k) | *p>>i&1<<k | *p>>k&1<<i
	}
}

func (r *modelRoller) less(o *modelRoller) bool {
	key := func(r *modelRoller) uint32 {
		k := uint32(r.phase)<<16 | uint32(r.age)<<12 | uint32(r.rv)<<8 | uint32(r.pending)<<1
		if r.durable {
			k++
		}
		return k
	}
	return key(r) < key(o)
}

func (w *modelWorld) renumber(s *modelState) {
	// A revision is a bit; its new number is how many that matter are not above it.
	matter := uint32(1)<<s.done[0] | 1<<s.db[0].cur.rev()
	for j := range w.rollers {
		matter |= 1 << s.roller[j].rv.rev()
	}
	for i := range w.nodes {
		if w.stale[i] > 0 {
			matter |= 1 << s.node[i].excused.rev()
		}
	}
	matter &^= 1 // 0 is nothing, and stays it
	number := func(rev uint8) uint8 { return uint8(bits.OnesCount32(matter & (2<<rev - 1))) }
	place := func(p *modelPos) { *p = modelPos(number(p.rev()) << 1) }

	s.done[0] = number(s.done[0])
	place(&s.db[0].cur)
	for j := range w.rollers {
		place(&s.roller[j].rv)
	}
	for i := range w.nodes {
		n, row := &s.node[i], &s.db[0].rows[i]
		row.applied = number(row.applied)
		place(&n.got)
		place(&n.mem)
		place(&n.claim)
		place(&n.msg)
		place(&n.late.got)
		place(&n.late.asked)
		place(&n.asked)
		place(&n.excused)
	}
}
