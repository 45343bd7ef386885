package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"latchkey"
	"latchkey/journal"
	"latchkey/replica"
)

// firstTeam is the team that a new store begins with.
const firstTeam = "default"

// nodeConfig says which data directory to open, and how.
type nodeConfig struct {
	Data      string // the data directory
	Database  database
	Keyset    string // the keyset file; "" means keyset.json in Data
	KeyPrefix string // of new API keys; "" means latchkey.DefaultKeyPrefix
	Node      string // this node's name; "" means the host's
	Leeway    time.Duration
	Create    bool           // make what is missing; else a missing store is an error
	Command   bool           // a command alone, and no server
	By        latchkey.Actor // who makes it
	Logger    *slog.Logger

	Address string        // where others reach its API; may be empty
	Lease   time.Duration // 0 means latchkey.DefaultLease
	StaleOK time.Duration

	Strict       bool  // answer only what is recorded on disk
	JournalBytes int64 // what may wait for the store; 0 means the journal's default
}

func (c *nodeConfig) keysetPath() string {
	if c.Keyset != "" {
		return c.Keyset
	}
	return filepath.Join(c.Data, "keyset.json")
}

// where says for people where the credentials are.
func (c *nodeConfig) where() string {
	if c.Database.URL != "" {
		return "the database " + c.Database.String()
	}
	return c.Data
}

func socketPath(data string) string { return filepath.Join(data, "latchkey.sock") }

// A node is an open store and all that works on it, for a server or for one
// command. It holds the data directory's lock until it is closed, if it was
// given one.
type node struct {
	name      string
	address   string   // where others reach its API; may be empty
	database  database // that it shares with others
	keyring   *latchkey.Keyring
	records   latchkey.RecordReader
	journal   *journal.Journal   // nil in a command that works on a cluster's database
	strict    bool               // no response leaves before its record is on disk
	diagnoser *journal.Diagnoser // in front of the journal
	recorder  latchkey.Recorder  // takes the records of responses
	replica   *replica.Replica
	store     store
	leases    sharedStore // nil: one process owns the data
	lock      *os.File
	first     *latchkey.NewTeam // set if this process made the store
	serves    bool              // it answers requests
	joined    atomic.Bool       // it has had a lease on a database that is shared, or knows why it has none
	judges    atomic.Bool       // overlaps that came due while nobody ran have ended, or cannot be

	overlaps *latchkey.Overlaps // those being ended

	running sync.WaitGroup // the replica's upkeep
	stop    context.CancelFunc
}

// openNode opens everything: keyset, store, memory, journal. A server's node on a
// database that is shared is to join the others then: until it has, it answers
// "unavailable". The lock of the data directory is the node's from then on, and is
// given free if there is an error.
func openNode(ctx context.Context, lock *os.File, c nodeConfig) (_ *node, err error) {
	n := &node{lock: lock}
	defer func() {
		if err != nil {
			_ = n.Close()
		}
	}()
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	c.KeyPrefix = cmp.Or(c.KeyPrefix, latchkey.DefaultKeyPrefix)
	if err := latchkey.ValidKeyPrefix(c.KeyPrefix); err != nil {
		return nil, usageError("--key-prefix: %v", err)
	}
	if c.Node == "" {
		if c.Node, err = os.Hostname(); err != nil {
			return nil, fmt.Errorf("find this node's name (give one with --node): %w", err)
		}
	}
	n.name, n.address, n.database, n.serves = c.Node, c.Address, c.Database, !c.Command
	sealer, err := n.openStore(ctx, &c)
	if err != nil {
		return nil, err
	}
	clock, now := clocks()
	n.replica = &replica.Replica{
		Store: n.store, Sealer: sealer, Node: c.Node, Logger: c.Logger, Clock: clock,
		Leases: n.leases, Address: c.Address, Version: version(), Lease: c.Lease, StaleOK: c.StaleOK, HistoryFile: historyPath(c.Data),
		Witness: witness(lock),
	}
	n.keyring = &latchkey.Keyring{
		Store: n.store, Audit: n.store, Replica: n.replica, Sealer: sealer, Prefix: c.KeyPrefix, Leeway: c.Leeway, Now: now,
	}
	n.overlaps = &latchkey.Overlaps{Keyring: n.keyring}
	if c.Command && n.leases != nil {
		// It answers no request: it needs no memory, no lease and no journal.
		n.records = journal.Reader{Store: n.store, HandIns: n.leases}
		return n, nil
	}
	if n.leases == nil {
		if err := n.load(ctx, &c); err != nil {
			return nil, err
		}
	}
	return n, n.openJournal(ctx, &c)
}

// load loads the credentials, where one process owns them, and ends overlaps that
// came due while nobody ran: nothing is served before.
func (n *node) load(ctx context.Context, c *nodeConfig) error {
	if err := n.replica.Join(ctx); err != nil {
		return err
	}
	if !c.Command {
		n.keepUp(ctx)
	}
	n.judges.Store(true)
	return n.keyring.EndOverlaps(ctx)
}

// join loads the credentials of a database that is shared, and takes the node's
// place among the others. The node answers meanwhile.
func (n *node) join(ctx context.Context, logger *slog.Logger) error {
	if n.leases == nil {
		return nil
	}
	if err := n.replica.Join(ctx); err != nil {
		return err
	}
	n.keepUp(ctx)
	if n.replica.Status().Alarm == nil {
		if err := n.endDue(ctx); err != nil {
			logger.Warn("overlaps that came due while nobody ran are not all ended yet; keys are refused by this node's clock meanwhile", "error", err)
		}
	}
	n.judges.Store(true)
	n.joined.Store(true)
	return nil
}

// endDue ends overlaps that came due while nobody ran, and returns when this node goes
// by it. Other nodes may be gone: it waits for none.
func (n *node) endDue(ctx context.Context) error {
	if err := n.overlaps.End(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, endDueTime)
	defer cancel()
	for n.overlaps.Busy() {
		if !wait(ctx, endDuePace) {
			return ctx.Err()
		}
	}
	now, err := n.store.Changes(ctx, math.MaxInt64)
	if err != nil {
		return err
	}
	for n.replica.Status().Revision < now.Revision {
		if !wait(ctx, endDuePace) {
			return ctx.Err()
		}
	}
	return nil
}

const (
	// endDueTime is how long the first verdict waits for overlaps that came due.
	endDueTime = 3 * time.Second
	endDuePace = 2 * time.Millisecond
)

// authenticate is the keyring's, once old keys whose overlap came due while nobody ran
// are dead.
func (n *node) authenticate(ctx context.Context, fields []string) (latchkey.Principal, error) {
	if !n.judges.Load() {
		return latchkey.Principal{}, &latchkey.Unavailable{Reason: latchkey.ReasonLeaseOver, RetryAfter: time.Second}
	}
	return n.keyring.Authenticate(ctx, fields)
}

// keepUp keeps memory and lease up to date. It goes on when the listeners have
// ended, until Close: the last verdicts need a lease.
func (n *node) keepUp(ctx context.Context) {
	var run context.Context
	run, n.stop = context.WithCancel(context.WithoutCancel(ctx))
	n.running.Go(func() { n.replica.Run(run) })
}

func (n *node) openJournal(ctx context.Context, c *nodeConfig) (err error) {
	n.strict = c.Strict
	n.journal, err = journal.Open(ctx, journal.Config{
		Dir: filepath.Join(c.Data, "journal"), Store: n.store, HandIns: n.leases, Node: c.Node, Strict: c.Strict, MaxBytes: c.JournalBytes, Logger: c.Logger,
	})
	if err != nil {
		return err
	}
	n.diagnoser = journal.NewDiagnoser(n.journal, n.keyring.Fingerprint, func(ctx context.Context, fields []string) latchkey.Explanation {
		return n.keyring.Explain(ctx, latchkey.Question{Fields: fields})
	})
	n.records, n.recorder = n.journal, n.diagnoser
	return nil
}

// openStore opens keyset and store. Only the process that makes the store's
// schema may make a keyset: a store whose keyset is missing is refused.
func (n *node) openStore(ctx context.Context, c *nodeConfig) (*latchkey.Sealer, error) {
	var (
		sealer  *latchkey.Sealer
		genesis func(time.Time) (latchkey.Genesis, error)
		err     error
	)
	if c.Create {
		genesis = func(now time.Time) (latchkey.Genesis, error) {
			var err error
			sealer, err = latchkey.OpenKeyset(c.keysetPath())
			if errors.Is(err, fs.ErrNotExist) {
				sealer, err = latchkey.CreateKeyset(c.keysetPath())
			}
			if err != nil {
				return latchkey.Genesis{}, err
			}
			return n.genesis(sealer, c, now)
		}
	}
	if c.Database.URL == "" {
		n.store, err = openSQLite(ctx, c, genesis)
	} else {
		n.store, n.leases, err = openPostgres(ctx, c, genesis)
	}
	if err != nil {
		return nil, err
	}
	if n.store.Created() {
		return sealer, nil
	}
	n.first = nil
	if sealer, err = latchkey.OpenKeyset(c.keysetPath()); err != nil {
		return nil, c.noKeyset(err)
	}
	probe, err := n.store.Probe(ctx)
	if err != nil {
		return nil, err
	}
	if err := sealer.CheckProbe(probe); err != nil {
		return nil, fmt.Errorf("%s does not fit the store in %s: %w", c.keysetPath(), c.where(), err)
	}
	return sealer, nil
}

// noKeyset says what to do about a keyset that could not be opened.
func (c *nodeConfig) noKeyset(err error) error {
	switch {
	case !errors.Is(err, fs.ErrNotExist):
		return err
	case c.Database.URL != "":
		return fmt.Errorf("the keyset %s is missing, and the credentials in %s cannot be opened without it: all nodes share the file that the first one made; copy it, and name it with --keyset", c.keysetPath(), c.where())
	}
	return fmt.Errorf("the keyset %s is missing, and the credentials in %s cannot be opened without it: restore it, or name it with --keyset", c.keysetPath(), c.where())
}

// genesis is what a new store begins with.
func (n *node) genesis(sealer *latchkey.Sealer, c *nodeConfig, now time.Time) (latchkey.Genesis, error) {
	holding, made, err := latchkey.NewHolding(sealer, c.KeyPrefix, firstTeam, c.By, now)
	if err != nil {
		return latchkey.Genesis{}, err
	}
	probe, err := sealer.Probe()
	if err != nil {
		return latchkey.Genesis{}, fmt.Errorf("seal the keyset probe: %w", err)
	}
	n.first = &made
	return latchkey.Genesis{Probe: probe, Holding: holding}, nil
}

// Close is called after the last verdict. It takes the node out of its cluster,
// writes the records that wait, and gives the data directory free.
func (n *node) Close() error {
	var errs []error
	if n.diagnoser != nil {
		n.diagnoser.Close()
	}
	if n.stop != nil {
		n.stop()
		n.running.Wait()
	}
	if n.replica != nil {
		errs = append(errs, n.replica.Close())
	}
	if n.journal != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := n.journal.Close(ctx); err != nil {
			errs = append(errs, errors.New(err.Error())) // not wrapped: no change has an unknown outcome
		}
	}
	if n.store != nil {
		errs = append(errs, n.store.Close())
	}
	if n.lock != nil {
		errs = append(errs, n.lock.Close())
	}
	return errors.Join(errs...)
}
