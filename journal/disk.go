package journal

import (
	"os"
)

// fill writes zeros, where the file system has no other way to allocate.
func fill(f *os.File, size int64) error {
	zeros := make([]byte, 1<<20)
	for at := int64(0); at < size; at += int64(len(zeros)) {
		if _, err := f.WriteAt(zeros[:min(int64(len(zeros)), size-at)], at); err != nil {
			return err
		}
	}
	return nil
}

// syncDir makes the names in a directory durable.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// asideSuffix is what the names of files have that were set aside.
const asideSuffix = ".damaged"

// setAside renames a file that cannot be used, so that nothing is lost.
func setAside(path string) error { return os.Rename(path, path+asideSuffix) }
