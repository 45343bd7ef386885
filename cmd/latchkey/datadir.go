package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"latchkey"
	"latchkey/journal"
	"latchkey/replica"
	"latchkey/sqlite"
)

// lockWait is how long a second process waits for the data directory.
const lockWait = 2 * time.Second

// firstTeam is the team that a new store begins with.
const firstTeam = "default"

// nodeConfig says which data directory to open, and how.
type nodeConfig struct {
	Data      string // the data directory
	Keyset    string // the keyset file; "" means keyset.json in Data
	KeyPrefix string // of new API keys; "" means latchkey.DefaultKeyPrefix
	Node      string // this node's name; "" means the host's
	Leeway    time.Duration
	Create    bool           // make what is missing; else a missing store is an error
	By        latchkey.Actor // who makes it
	Logger    *slog.Logger

	Strict       bool  // answer only what is recorded on disk
	JournalBytes int64 // what may wait for the store; 0 means the journal's default
}

func (c *nodeConfig) keysetPath() string {
	if c.Keyset != "" {
		return c.Keyset
	}
	return filepath.Join(c.Data, "keyset.json")
}

func socketPath(data string) string { return filepath.Join(data, "latchkey.sock") }

// A node is an open data directory and all that works on it, for a server or
// for one command. It holds the directory's lock until it is closed.
type node struct {
	name      string
	keyring   *latchkey.Keyring
	records   latchkey.RecordReader
	journal   *journal.Journal
	diagnoser *journal.Diagnoser // in front of the journal
	replica   *replica.Replica
	store     *sqlite.Store
	lock      *os.File
	first     *latchkey.NewTeam // set if this process made the store
}

// openNode opens everything in a data directory whose lock is held: keyset,
// store, memory, journal. Ends of overlaps that came due while nobody ran are
// applied before it returns. The lock is the node's from then on, and is given
// free if there is an error.
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
	n.name = c.Node
	sealer, err := n.openStore(ctx, &c)
	if err != nil {
		return nil, err
	}
	n.replica = &replica.Replica{Store: n.store, Sealer: sealer, Node: c.Node, Logger: c.Logger}
	n.keyring = &latchkey.Keyring{
		Store: n.store, Audit: n.store, Replica: n.replica, Sealer: sealer, Prefix: c.KeyPrefix, Leeway: c.Leeway,
	}
	if _, err := n.replica.Settle(ctx, 0); err != nil {
		return nil, fmt.Errorf("load the credentials: %w", err)
	}
	if err := n.keyring.EndOverlaps(ctx); err != nil {
		return nil, err
	}
	n.journal, err = journal.Open(ctx, journal.Config{
		Dir: filepath.Join(c.Data, "journal"), Store: n.store, Node: c.Node, Strict: c.Strict, MaxBytes: c.JournalBytes, Logger: c.Logger,
	})
	if err != nil {
		return nil, err
	}
	n.diagnoser = journal.NewDiagnoser(n.journal, func(ctx context.Context, fields []string) latchkey.Explanation {
		return n.keyring.Explain(ctx, latchkey.Question{Fields: fields})
	})
	n.records = n.journal
	return n, nil
}

// openStore opens keyset and store. Only the process that makes the store's
// schema may make a keyset: a store whose keyset is missing is refused.
func (n *node) openStore(ctx context.Context, c *nodeConfig) (*latchkey.Sealer, error) {
	var sealer *latchkey.Sealer
	config := sqlite.Config{Dir: c.Data}
	if c.Create {
		config.Genesis = func(now time.Time) (latchkey.Genesis, error) {
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
	var err error
	if n.store, err = sqlite.Open(ctx, config); err != nil {
		return nil, err
	}
	if n.store.Created() {
		return sealer, nil
	}
	n.first = nil
	if sealer, err = latchkey.OpenKeyset(c.keysetPath()); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("the keyset %s is missing, and the credentials in %s cannot be opened without it: restore it, or name it with --keyset", c.keysetPath(), c.Data)
		}
		return nil, err
	}
	probe, err := n.store.Probe(ctx)
	if err != nil {
		return nil, err
	}
	if err := sealer.CheckProbe(probe); err != nil {
		return nil, fmt.Errorf("%s does not fit the store in %s: %w", c.keysetPath(), c.Data, err)
	}
	return sealer, nil
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

// Close writes the records that wait, and gives the data directory free.
func (n *node) Close() error {
	var errs []error
	if n.diagnoser != nil {
		n.diagnoser.Close()
	}
	if n.replica != nil {
		n.replica.Close()
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
	errs = append(errs, n.lock.Close())
	return errors.Join(errs...)
}

// claimDir takes the data directory for this process, after making it if create
// is set.
func claimDir(ctx context.Context, dir string, create bool) (*os.File, error) {
	if err := prepareDir(dir, create); err != nil {
		return nil, err
	}
	return lockDir(ctx, dir)
}

// prepareDir makes the data directory, or says that there is none.
func prepareDir(dir string, create bool) error {
	if create {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("make the data directory: %w", err)
		}
		return nil
	}
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no data directory %s (name another with --data, or make it with: latchkey serve)", dir)
	}
	if err == nil && !info.IsDir() {
		err = errors.New("it is not a directory")
	}
	if err != nil {
		return fmt.Errorf("open the data directory %s: %w", dir, err)
	}
	return nil
}

// lockDir takes the data directory for this process alone. The kernel gives the
// lock free when the process ends, however it ends.
func lockDir(ctx context.Context, dir string) (*os.File, error) {
	path := filepath.Join(dir, "latchkey.lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the data directory: %w", err)
	}
	deadline := time.Now().Add(lockWait)
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) || time.Now().After(deadline) || ctx.Err() != nil {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	_ = f.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, fmt.Errorf("another latchkey process uses the data directory %s", dir)
	}
	return nil, fmt.Errorf("lock the data directory: %w", err)
}
