package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"latchkey"
	"latchkey/sqlite"
)

// A store is what a node needs of a database.
type store interface {
	latchkey.CredentialStore
	latchkey.RecordStore
	latchkey.RecordKeeper
	latchkey.ContactStore
	latchkey.AuditStore
	latchkey.UserStore
	latchkey.SessionStore
	latchkey.UsageStore
	latchkey.TallyReader

	Created() bool // this process made the schema
	Close() error
}

// A sharedStore is what the nodes of a cluster share besides.
type sharedStore interface {
	latchkey.LeaseStore
	latchkey.HandInStore
}

// openSQLite opens the store in a data directory that this process has locked.
func openSQLite(ctx context.Context, c *nodeConfig, genesis func(time.Time) (latchkey.Genesis, error)) (store, error) {
	if member, err := exists(historyPath(c.Data)); err != nil {
		return nil, fmt.Errorf("open the data directory: %w", err)
	} else if member {
		return nil, fmt.Errorf("the data directory %s is that of a node of a cluster: name its database (--database, or LATCHKEY_DATABASE)", c.Data)
	}
	if made, err := exists(filepath.Join(c.Data, "latchkey.db")); err == nil && !made && !c.Create {
		return nil, noStore(c.Data)
	}
	s, err := sqlite.Open(ctx, sqlite.Config{Dir: c.Data, Genesis: genesis, Logger: c.Logger})
	if err != nil {
		return nil, err // and no nil pointer in the interface
	}
	return s, nil
}

// exists reports whether there is a file.
func exists(path string) (bool, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// historyPath is the file in which a node of a cluster remembers how far the
// database had come.
func historyPath(data string) string { return filepath.Join(data, "history") }

// ownsNoStore refuses the data directory of a server that has a store of its
// own: the records that wait in its journal are not the cluster's.
func (c *nodeConfig) ownsNoStore() error {
	own, err := exists(filepath.Join(c.Data, "latchkey.db"))
	if err != nil {
		return fmt.Errorf("open the data directory: %w", err)
	}
	if own && !c.Command {
		return fmt.Errorf("the data directory %s holds a store of its own (latchkey.db): name another with --data", c.Data)
	}
	return nil
}
