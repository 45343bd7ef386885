package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"latchkey"
	"latchkey/postgres"
)

// openPostgres opens the database that nodes share.
func openPostgres(ctx context.Context, c *nodeConfig, genesis func(time.Time) (latchkey.Genesis, error)) (store, sharedStore, error) {
	if err := c.ownsNoStore(); err != nil {
		return nil, nil, err
	}
	s, err := postgres.Open(ctx, postgres.Config{
		URL: c.Database.URL, Insecure: c.Database.Insecure, Genesis: genesis, Lease: c.Lease, Node: c.Node, Logger: c.Logger,
	})
	if errors.Is(err, postgres.ErrNoStore) {
		err = fmt.Errorf("there is no store in %s: the first node makes it (latchkey serve)", c.where())
	}
	if err != nil {
		return nil, nil, err
	}
	return s, s, nil
}
