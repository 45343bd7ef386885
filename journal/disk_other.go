//go:build !linux

package journal

import "os"

func allocate(f *os.File, size int64) error { return fill(f, size) }

type dataSynced struct{ *os.File }
