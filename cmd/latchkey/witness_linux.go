package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// ownInodes are the file systems on which no two files have one device and one
// inode while both are there, whatever is copied or taken as a snapshot. (Others
// give a snapshot the numbers of its original, or have those of another machine.)
var ownInodes = []int64{unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.TMPFS_MAGIC}

// witness names a lock as no other is named while anybody holds it: by the run of
// the kernel that keeps it, the device and the inode. It is empty where that is not
// certain.
func witness(lock *os.File) string {
	if lock == nil {
		return ""
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	var system unix.Statfs_t
	if err := unix.Fstatfs(int(lock.Fd()), &system); err != nil || !slices.Contains(ownInodes, int64(system.Type)) {
		return ""
	}
	var file unix.Stat_t
	if err := unix.Fstat(int(lock.Fd()), &file); err != nil {
		return ""
	}
	return fmt.Sprintf("%s %d %d", strings.TrimSpace(string(boot)), file.Dev, file.Ino)
}
