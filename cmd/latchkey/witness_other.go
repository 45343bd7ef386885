//go:build !linux

package main

import "os"

// witness is empty: nothing here says which run of the kernel this is.
func witness(*os.File) string { return "" }
