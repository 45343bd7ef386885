//go:build race

package replica_test

// schedules is how many are played: the race detector takes five times as long
// for each.
const schedules = 2_000
