//go:build !linux

package replica

import "time"

var start = time.Now()

// Boot is Go's monotonic clock, which may stand while the machine is suspended;
// the wall clock, which does not, then ends the lease.
func (System) Boot() time.Duration { return time.Since(start) }
