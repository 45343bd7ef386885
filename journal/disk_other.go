//go:build !linux

package journal

import (
	"os"
	"time"
)

func allocate(f *os.File, size int64) error { return fill(f, size) }

type dataSynced struct{ *os.File }

// born would return when a file was made.
func born(string) time.Time { return time.Unix(0, 0).UTC() }
