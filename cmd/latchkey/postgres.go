package main

import (
	"context"
	"errors"
	"time"

	"latchkey"
)

func openPostgres(context.Context, *nodeConfig, func(time.Time) (latchkey.Genesis, error)) (store, latchkey.LeaseStore, error) {
	return nil, nil, errors.New("package postgres is not there yet")
}
