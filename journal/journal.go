// Package journal takes records from responses to the store, without loss.
//
// A record is in a segment, a file of the data directory, before the first byte
// of its response leaves: from then on no end of the process takes it away, and
// it is found by its ID. Segments are synced to disk every half second, or
// before each response where that was asked for ([Config.Strict]). From there
// records are moved to the store in batches, beside the requests; a store that
// is slow or down holds no request up, and what it has not taken is found in
// the segments. What a disk does not take is counted as a gap.
package journal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/google/uuid"

	"latchkey"
)

const (
	// moveEvery is how long an ended record waits for others at most.
	moveEvery = 250 * time.Millisecond
	// maxBatch is how many records are moved in one transaction.
	maxBatch = 2000
	// syncEvery is what a power cut can take at most: half of the second that
	// is promised.
	syncEvery = 500 * time.Millisecond
	// stallTime is how long a response waits for a disk that hangs. It is long,
	// because a processor that is busy must not look like one.
	stallTime = 2 * time.Second
	// stalledTime is the same from then on, until the disk has answered within
	// that time: one that hangs again and again holds nobody up for long.
	stalledTime = 250 * time.Millisecond
	// strictTime is the same where it must not leave without its record.
	strictTime = 2 * time.Second
	// retryEvery is how long after a failure the disk is asked again.
	retryEvery = 100 * time.Millisecond
	// maxPending bounds what waits for a disk that hangs, in bytes.
	maxPending = 4 << 20
	// maxDirect is how many ended records wait in memory because their end
	// found no place in a segment.
	maxDirect = 10_000
	// DefaultMaxBytes is the default of Config.MaxBytes.
	DefaultMaxBytes = 256 << 20
)

// NeverEnded is the diagnosis of a response whose node stopped before it ended.
const NeverEnded = "The node stopped before the response ended."

// A Store is where a journal moves records to.
type Store interface {
	latchkey.RecordStore
	latchkey.RecordKeeper
	latchkey.UsageStore
}

// A Config says where a journal is, and where it moves records to. Dir and Store
// must be set.
type Config struct {
	Dir   string // the directory of the segments; it is made if need be
	Store Store
	Node  string // the name of this node, for gaps

	// Strict makes Begin return only when the record is on disk, and an error
	// when that cannot be.
	Strict bool

	// MaxBytes bounds what waits for the store. Beyond it, records are not
	// kept, and counted. 0 means [DefaultMaxBytes].
	MaxBytes    int64
	SegmentSize int64        // 0 means [DefaultSegmentSize]
	Logger      *slog.Logger // nil means slog.Default()

	// HandIns is what the nodes of a cluster share beside the store; nil: this
	// node is alone with it.
	HandIns latchkey.HandInStore

	create func(path string, size int64) (file, error) // nil means create
	open   func(path string) (file, error)             // nil means openFile
}

// A Journal is a [latchkey.Recorder], a [latchkey.RecordReader] and a
// [latchkey.UsageReader]. Make it with [Open]; it is safe for concurrent use.
type Journal struct {
	config  Config
	store   Store
	callers *Callers
	logger  *slog.Logger

	making sync.Mutex // held while a segment is made; taken before mu
	naming sync.Mutex // held while names are synced; likewise

	mu       sync.Mutex
	live     map[uuid.UUID]*live  // records whose end is in no segment yet
	segments []*segment           // oldest first; the last is the current one, if not sealed
	spare    *segment             // the next one
	direct   []latchkey.Record    // ended records that found no place
	used     map[string]time.Time // when credentials were last accepted, unless the store knows
	gaps     *gaps
	handIn   *handIn       // nil without Config.HandIns
	pending  *batch        // what the writer takes next
	writing  *batch        // what the writer is at
	bytes    []byte        // of a batch that is done, for the one after next
	items    []item        // likewise
	since    time.Time     // since when
	stalled  chan struct{} // closed while the writer hangs
	patience time.Duration // with the writer: stallTime or stalledTime
	moved    int64         // offset in the oldest segment behind which nothing was moved
	reserved int64         // bytes kept free for the ends of live records
	retryAt  time.Time     // no segment is made before
	next     uint64        // sequence of the next segment
	closed   bool
	unnamed  bool // the names of new segments are not yet synced

	synced  time.Time                                // what was written before was on disk then
	failing struct{ write, sync, move, handIn bool } // what was said in the log; of mu

	wakeWriter, wakeMover, wakeKeeper chan struct{}
	stop                              chan struct{} // for mover and keeper
	moving                            context.Context
	giveUp                            context.CancelFunc // ends moving, when Close has no more time
	finish                            chan struct{}      // for the writer, after them
	movers, writers                   sync.WaitGroup
}

// A live record has begun, and its end is in no segment.
type live struct {
	record latchkey.Record
	begun  time.Time // by Go's monotonic clock; zero where no other node asks
	home   *segment  // where it begins; nil until that is written
	ended  bool
	lost   bool  // its beginning could not be written
	room   int64 // reserved for its end
}

// Open takes in the segments that an earlier process left behind, and returns a
// journal in front of the store. What is in them is found at once, and moved to
// the store from then on.
func Open(ctx context.Context, c Config) (*Journal, error) {
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.create == nil {
		c.create = create
	}
	if c.open == nil {
		c.open = openFile
	}
	c.MaxBytes = cmp.Or(c.MaxBytes, DefaultMaxBytes)
	c.SegmentSize = cmp.Or(c.SegmentSize, DefaultSegmentSize)
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the journal: %w", err)
	}
	j := &Journal{
		config: c, store: c.Store, logger: c.Logger,
		live: make(map[uuid.UUID]*live), used: make(map[string]time.Time),
		pending: newBatch(), stalled: make(chan struct{}), patience: stallTime, moved: segmentHeader,
		wakeWriter: make(chan struct{}, 1), wakeMover: make(chan struct{}, 1), wakeKeeper: make(chan struct{}, 1),
		stop: make(chan struct{}), finish: make(chan struct{}),
	}
	j.moving, j.giveUp = context.WithCancel(context.WithoutCancel(ctx))
	if c.HandIns != nil {
		j.handIn = &handIn{done: time.Now(), id: j.identify()}
	}
	var err error
	if j.gaps, err = openGaps(filepath.Join(c.Dir, "gaps"), c.Node, c.create); err != nil {
		j.logger.Error("gaps in the records are counted in memory only", "error", err)
	}
	orphans, err := j.takeIn()
	if err != nil {
		return nil, errors.Join(err, j.closeFiles())
	}
	if j.handIn != nil {
		j.join(ctx)
	}
	j.callers = NewCallers(c.Store, c.Logger)
	j.writers.Go(j.runWriter)
	for _, r := range orphans { // before the mover hands in that they go on
		j.End(r)
	}
	j.movers.Go(j.runMover)
	j.movers.Go(j.runKeeper)
	j.movers.Go(j.runWatch)
	j.movers.Go(j.runForgetter)
	return j, nil
}

// Begin takes a record whose response is about to leave. Its error, with
// Config.Strict only, says that the record is not on disk.
func (j *Journal) Begin(r latchkey.Record) error {
	j.callers.Count(&r)
	id, err := uuid.Parse(r.RequestID)
	if err != nil {
		return fmt.Errorf("begin a record: %w", err) // a fault of ours
	}
	l := &live{record: r}
	j.mu.Lock()
	j.noteUse(&r)
	var b *batch
	if !r.Refusal() || !j.crowded() {
		b = j.enqueue(kindBegin, id, l)
	}
	kept := b != nil
	if kept {
		if j.handIn != nil {
			l.begun = time.Now()
		}
		j.live[id] = l
	} else {
		b = j.refuse(&r)
	}
	stalled := j.stalled
	j.mu.Unlock()
	wake(j.wakeWriter)
	switch {
	case j.config.Strict && !kept:
		return errPending
	case j.config.Strict:
		return j.awaitStrict(b, l)
	}
	select {
	case <-b.done:
	case <-stalled: // it is kept as soon as the disk goes on
	}
	return nil
}

var (
	errPending = errors.New("the journal's disk does not keep up")
	errUnsaved = errors.New("the record could not be written to the journal")
)

// refuse counts a record that is not kept. The count is in the batch that it
// returns: a kill must not take it either. j.mu is held.
func (j *Journal) refuse(r *latchkey.Record) *batch {
	from, to := span(r)
	j.gaps.lose(1, from, to)
	if j.closed { // nobody writes
		b := newBatch()
		close(b.done)
		return b
	}
	j.pending.gaps = true
	return j.pending
}

func (j *Journal) awaitStrict(b *batch, l *live) error {
	patience := time.NewTimer(strictTime)
	defer patience.Stop()
	select {
	case <-b.done:
	case <-patience.C:
		return errPending
	}
	if l.lost {
		return errUnsaved
	}
	return nil
}

// End takes the same record, whole.
func (j *Journal) End(r latchkey.Record) {
	id, err := uuid.Parse(r.RequestID)
	if err != nil {
		return
	}
	j.mu.Lock()
	l := j.live[id]
	if l == nil || l.ended {
		j.mu.Unlock()
		return // its beginning could not be kept, and was counted
	}
	l.record, l.ended = r, true
	if j.enqueue(kindEnd, id, l) == nil {
		j.unplaced(id, l)
	}
	j.mu.Unlock()
	wake(j.wakeWriter)
}

// unplaced takes an ended record to the store past the segments. j.mu is held.
func (j *Journal) unplaced(id uuid.UUID, l *live) {
	j.settle(id, l)
	if len(j.direct) < maxDirect {
		j.direct = append(j.direct, l.record)
		return
	}
	from, to := span(&l.record)
	j.gaps.lose(1, from, to)
}

// settle forgets a live record. j.mu is held.
func (j *Journal) settle(id uuid.UUID, l *live) {
	delete(j.live, id)
	j.reserved -= l.room
	l.room = 0
	if l.home != nil {
		l.home.open--
		l.home = nil
	}
}

// crowded reports whether what waits for the store is half of what may: from
// there on what strangers can make is not kept. j.mu is held.
func (j *Journal) crowded() bool { return j.held() > j.config.MaxBytes/2 }

// enqueue gives an entry to the writer; nil if too much waits for it. j.mu is
// held.
func (j *Journal) enqueue(kind byte, id uuid.UUID, l *live) *batch {
	b := j.pending
	if len(b.bytes) > maxPending || j.closed {
		return nil
	}
	b.add(kind, id, l)
	return b
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
