package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// lockWait is how long a second process waits for the data directory.
const lockWait = 2 * time.Second

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
	entries, err := os.ReadDir(dir)
	if err == nil && len(entries) == 0 { // and it stays so: not even a lock is left there
		return noStore(dir)
	}
	return nil
}

func noStore(dir string) error {
	return fmt.Errorf("there is no store in the data directory %s (name another with --data, or make it with: latchkey serve)", dir)
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
