//go:build mutant

package replica_test

import "os"

// planted is the bug that the database or the clocks of the simulation have:
// onesnapshot, durablelease and standbyread, which are the store's to hold, and
// monotonic, a clock that stands still while the machine is suspended.
func planted() string { return os.Getenv("LATCHKEY_MUTANT") }
