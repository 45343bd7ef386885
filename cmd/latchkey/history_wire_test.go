package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"regexp"
	"sync"
	"time"
)

// What a node says to PostgreSQL, as far as histories go by it.
var (
	sqlBegin    = regexp.MustCompile(`(?i)^\s*(begin|start\s+transaction)\b`)
	sqlCommit   = regexp.MustCompile(`(?i)^\s*commit\b`)
	sqlRollback = regexp.MustCompile(`(?i)^\s*rollback\b`)
	// A change of credentials writes some; a renewal only reads them.
	sqlChange = regexp.MustCompile(`(?is)\b(insert\s+into|update)\s+(meta|changes|credentials?)\b`)
	// Who waits for the nodes asks for all registrations.
	sqlList = regexp.MustCompile(`(?is)^\s*select\b.*\bfrom\s+registrations?\b.*\border\s+by\b`)
)

// A conversation is what is known of one connection: PostgreSQL's protocol,
// version 3.
type conversation struct {
	mu         sync.Mutex
	statements map[string]string // prepared, by name
	portals    map[string]string
	changing   bool          // this transaction has written a change of credentials
	next       point         // what the next answer that is complete stands for
	asked      int           // questions that end in a ReadyForQuery
	told       int           // how many of them were answered; the first is the greeting
	expected   map[int]point // by number of the question
}

// readNode cuts what the node sends into messages.
func (c *wireConn) readNode(out chan<- parcel) {
	r := bufio.NewReaderSize(c.node, 64<<10)
	length, err := r.Peek(4) // the first message has no type
	if err != nil {
		return
	}
	first := make([]byte, binary.BigEndian.Uint32(length))
	if _, err := io.ReadFull(r, first); err != nil || !c.send(out, parcel{bytes: first}) {
		return
	}
	c.talk.statements, c.talk.portals = map[string]string{}, map[string]string{}
	c.pump(r, out, func(kind byte, body []byte) (before, after point) {
		before, after, sql := c.talk.node(kind, body)
		if sql != "" {
			c.wire.messages.Add(1)
			if watch := c.wire.watch.Load(); watch != nil {
				(*watch)(sql)
			}
		}
		return before, after
	})
}

// readDatabase cuts what PostgreSQL sends into messages.
func (c *wireConn) readDatabase(out chan<- parcel) {
	c.pump(bufio.NewReaderSize(c.db, 64<<10), out, c.talk.database)
}

// pump sends messages on: alone if they stand for a point, else as many as there are.
func (c *wireConn) pump(r *bufio.Reader, out chan<- parcel, read func(kind byte, body []byte) (before, after point)) {
	var heap []byte
	for {
		var head [5]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			c.send(out, parcel{bytes: heap})
			return
		}
		size := int(binary.BigEndian.Uint32(head[1:])) - 4
		if size < 0 || size > 64<<20 {
			return
		}
		body := make([]byte, size)
		if _, err := io.ReadFull(r, body); err != nil {
			return
		}
		before, after := read(head[0], body)
		if before != nowhere || after != nowhere {
			if !c.send(out, parcel{bytes: heap}) {
				return
			}
			heap = append(append([]byte(nil), head[:]...), body...)
			if !c.send(out, parcel{bytes: heap, before: before, after: after}) {
				return
			}
			heap = nil
			continue
		}
		heap = append(append(heap, head[:]...), body...)
		if r.Buffered() == 0 {
			if !c.send(out, parcel{bytes: heap}) {
				return
			}
			heap = nil
		}
	}
}

func (c *wireConn) send(out chan<- parcel, p parcel) bool {
	if len(p.bytes) == 0 {
		return true
	}
	p.came = time.Now()
	select {
	case out <- p:
		return true
	case <-c.ctx.Done():
		return false
	}
}

// node reads one message of the node's: where it stands, and what statement it
// runs, if any.
func (t *conversation) node(kind byte, body []byte) (before, after point, sql string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch kind {
	case 'Q': // query
		sql, _ = cutString(body)
		before, after = t.run(sql)
		t.question()
	case 'P': // parse
		name, rest := cutString(body)
		t.statements[name], _ = cutString(rest)
	case 'B': // bind
		portal, rest := cutString(body)
		name, _ := cutString(rest)
		t.portals[portal] = t.statements[name]
	case 'E': // execute
		portal, _ := cutString(body)
		sql = t.portals[portal]
		before, after = t.run(sql)
	case 'S': // sync
		t.question()
	}
	return before, after, sql
}

// run follows one statement.
func (t *conversation) run(sql string) (before, after point) {
	switch {
	case sqlBegin.MatchString(sql), sqlRollback.MatchString(sql):
		t.changing = false
	case sqlCommit.MatchString(sql) && t.changing:
		t.changing, t.next = false, committed
		return commit, inCommit
	case sqlChange.MatchString(sql) && !t.changing:
		t.changing = true
		return between, nowhere
	case sqlList.MatchString(sql):
		t.next = listed
		return listing, nowhere
	}
	return nowhere, nowhere
}

// question counts what is answered by a ReadyForQuery.
func (t *conversation) question() {
	t.asked++
	if t.next != nowhere {
		if t.expected == nil {
			t.expected = map[int]point{}
		}
		t.expected[t.asked], t.next = t.next, nowhere
	}
}

// database reads one message of the database's.
func (t *conversation) database(kind byte, _ []byte) (before, after point) {
	if kind != 'Z' { // ReadyForQuery
		return nowhere, nowhere
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	at := t.expected[t.told]
	delete(t.expected, t.told)
	t.told++
	switch at {
	case committed:
		return committed, answered
	case listed:
		return nowhere, listed
	}
	return nowhere, nowhere
}

// cutString cuts the string that ends with a zero off.
func cutString(b []byte) (s string, rest []byte) {
	head, rest, _ := bytes.Cut(b, []byte{0})
	return string(head), rest
}
