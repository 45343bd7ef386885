package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"latchkey"
)

// The most that goes out in one transaction. It is one write to the socket: a
// process that is stopped amid it would leave the counter's row locked.
const (
	maxBatch = 64
	maxBytes = 12 << 10
)

// A change is one change of credentials, ready to be written.
type change struct {
	id     string
	teamID string
	steps  []step
	size   int // about how many bytes it is

	revision latchkey.Revision // once it is written
	err      error
	done     chan struct{} // closed when revision or err is there
}

// A step is one statement of a change.
type step struct {
	query   string
	args    []any
	explain func(error) error // why it failed
}

func (c *change) add(query string, explain func(error) error, args ...any) {
	c.steps = append(c.steps, step{query, args, explain})
	for _, arg := range args {
		switch v := arg.(type) {
		case string:
			c.size += len(v)
		case []byte:
			c.size += len(v)
		default:
			c.size += 8
		}
	}
	c.size += 32
}

// moveCounter comes before all else that a change writes: the lock of the row
// in meta makes changes wait for each other.
// It is made only by a program that keeps the nodes' protocol, for it ends by
// waiting for them.
var moveCounter = moveCounterIf(`, latchkey_keeps(protocol, ` + strconv.Itoa(protocol) + `)`)

func moveCounterIf(keeps string) string {
	return `
	WITH moved AS (
		UPDATE meta SET revision = revision + 1, change_id = $1 RETURNING revision, change_id` + keeps + `),
	noted AS (INSERT INTO changes (revision, change_id) SELECT revision, change_id FROM moved)
	SELECT revision FROM moved`
}

func newChange(teamID string) *change {
	c := &change{id: newChangeID(), teamID: teamID, done: make(chan struct{})}
	c.add(moveCounter, func(err error) error { return fault("move the revision", asProtocol(err)) }, c.id)
	return c
}

// made returns what the change was, once it is written.
func (c *change) made(at time.Time) latchkey.Change {
	return latchkey.Change{Revision: c.revision, ID: c.id, At: at}
}

// A queue holds the changes that wait to be written. One transaction is under
// way at a time; those that come meanwhile go out together in the next.
type queue struct {
	mu      sync.Mutex
	waiting []*change
	running bool
	workers sync.WaitGroup
}

func (q *queue) wait() { q.workers.Wait() }

// write writes a change, and returns when it is committed, or is not. A context
// that ends before it was sent undoes it; one that ends later changes nothing.
func (s *Store) write(ctx context.Context, c *change) error {
	if err := ctx.Err(); err != nil {
		return fault("before commit", err)
	}
	q := &s.queue
	q.mu.Lock()
	q.waiting = append(q.waiting, c)
	if !q.running {
		q.running = true
		q.workers.Go(s.drain)
	}
	q.mu.Unlock()
	select {
	case <-c.done:
	case <-ctx.Done():
		if q.withdraw(c) {
			return fault("before commit", ctx.Err())
		}
		<-c.done
	}
	return c.err
}

// withdraw takes a change back that was not sent.
func (q *queue) withdraw(c *change) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := slices.Index(q.waiting, c)
	if i < 0 {
		return false
	}
	q.waiting = slices.Delete(q.waiting, i, i+1)
	return true
}

// next takes what goes out together: never two changes of one team, of which
// the second could not have seen the first.
func (q *queue) next() (batch []*change) {
	q.mu.Lock()
	defer q.mu.Unlock()
	var size int
	teams := make(map[string]bool)
	q.waiting = slices.DeleteFunc(q.waiting, func(c *change) bool {
		fits := len(batch) == 0 || len(batch) < maxBatch && size+c.size <= maxBytes
		if !fits || teams[c.teamID] {
			return false
		}
		batch, size, teams[c.teamID] = append(batch, c), size+c.size, true
		return true
	})
	q.running = len(batch) > 0
	return batch
}

func (s *Store) drain() {
	for batch := s.queue.next(); len(batch) > 0; batch = s.queue.next() {
		s.send(batch)
	}
}

// send writes changes in one transaction. If one of them cannot be made, each is
// tried alone, so that one's conflict is not another's. What would hold up the
// next as well (a lock, a full disk, a dead server) fails them all: to wait for
// it 64 times would hold up those that come later for minutes.
func (s *Store) send(batch []*change) {
	ctx, cancel := context.WithTimeout(context.Background(), s.patience())
	defer cancel()
	conn, err := s.writer.Acquire(ctx)
	if err != nil {
		finish(batch, fault("connect to the database", err))
		return
	}
	known, single, err := s.commit(ctx, conn, batch)
	conn.Release()
	switch {
	case known && single && len(batch) > 1:
		for _, c := range batch {
			s.send([]*change{c})
		}
	case known:
		finish(batch, err)
	default:
		// The others need not wait for what becomes of these.
		s.queue.workers.Go(func() { finish(batch, s.resolve(batch, err)) })
	}
}

func finish(batch []*change, err error) {
	for _, c := range batch {
		c.err = err
		close(c.done)
	}
}

// commit sends a whole transaction at once, so that it never waits for us while
// it holds the counter's row. It is READ COMMITTED: each statement after the
// first sees all that was committed before the row's lock was had. known is
// whether err is certain: nothing was committed. single is whether it is the error
// of one of them.
func (s *Store) commit(ctx context.Context, conn *pgxpool.Conn, changes []*change) (known, single bool, err error) {
	b := new(pgx.Batch)
	b.Queue(`BEGIN ISOLATION LEVEL READ COMMITTED`)
	for _, c := range changes {
		for _, step := range c.steps {
			b.Queue(step.query, step.args...)
		}
	}
	b.Queue(`SELECT pg_notify('latchkey', revision::text) FROM meta`)
	b.Queue(`COMMIT`)
	single, err = readCommit(conn, conn.SendBatch(ctx, b), changes)
	if err == nil {
		return true, false, nil
	}
	// A connection that is usable has read to the end of what was sent: what
	// is not committed by now will not be. A warning is another matter.
	known = !conn.Conn().IsClosed() && !errors.Is(err, latchkey.ErrOutcomeUnknown)
	if known || refused(err) {
		if !conn.Conn().IsClosed() {
			_, _ = conn.Exec(ctx, `ROLLBACK`)
		}
		return true, single, err
	}
	return false, false, err
}

// ofOne reports whether an error is of the change itself, whatever goes on in
// the database: its premise is gone, or it is none that the tables take.
func ofOne(err error) bool {
	switch code := state(err); {
	case code == statePremise:
		return true
	case len(code) == 5:
		// The classes "data exception", "integrity constraint violation", and
		// "program limit exceeded".
		return slices.Contains([]string{"22", "23", "54"}, code[:2])
	}
	return false
}

// readCommit reads the answers to what commit sent. single is as commit's.
func readCommit(conn *pgxpool.Conn, answers pgx.BatchResults, changes []*change) (single bool, err error) {
	defer answers.Close() // what comes after the answer to COMMIT says nothing of it
	if _, err := answers.Exec(); err != nil {
		return false, fault("begin", err)
	}
	for _, c := range changes {
		for i, s := range c.steps {
			if i == 0 {
				err = answers.QueryRow().Scan(&c.revision)
			} else {
				_, err = answers.Exec()
			}
			if err != nil {
				return ofOne(err), s.explain(err)
			}
		}
	}
	if _, err := answers.Exec(); err != nil {
		return false, fault("notify", err)
	}
	takeWarning(conn.Conn())
	tag, err := answers.Exec()
	if err != nil {
		return false, fault("commit", err)
	}
	if warning := takeWarning(conn.Conn()); warning != "" {
		return false, fmt.Errorf("commit: %w: the database warned: %s", latchkey.ErrOutcomeUnknown, warning)
	}
	if tag.String() != "COMMIT" {
		return false, fmt.Errorf("commit: the database answered %s", tag)
	}
	return false, nil
}

// resolve finds out what became of changes whose commit was not answered. It
// says that they were made only after a further commit that was: until then
// they may be on one server alone.
func (s *Store) resolve(batch []*change, cause error) error {
	unknown := cause
	if !errors.Is(cause, latchkey.ErrOutcomeUnknown) {
		unknown = fmt.Errorf("%w: %w", latchkey.ErrOutcomeUnknown, cause)
		ctx, cancel := context.WithTimeout(context.Background(), s.patience())
		defer cancel()
		for pause := 10 * time.Millisecond; ; pause *= 2 {
			if found, err := s.find(ctx, batch); err == nil && found {
				return nil
			}
			select {
			case <-ctx.Done():
				return unknown
			case <-time.After(pause):
			}
		}
	}
	return unknown
}

// find reports whether changes were committed, for good. It looks and proves on
// one connection: what a former primary made alone can be seen there, and only a
// commit on that same server, after it, says that others have it, too.
func (s *Store) find(ctx context.Context, batch []*change) (bool, error) {
	conn, err := s.writer.Acquire(ctx)
	if err != nil {
		return false, err
	}
	defer conn.Release()
	var revision latchkey.Revision
	// They are all there, or none.
	err = conn.QueryRow(ctx, `SELECT revision FROM changes WHERE change_id = $1`, batch[0].id).Scan(&revision)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if _, err := durable(ctx, conn, `UPDATE proofs SET count = count + 1`); err != nil {
		return false, err
	}
	for i, c := range batch {
		c.revision = revision + latchkey.Revision(i)
	}
	return true, nil
}
