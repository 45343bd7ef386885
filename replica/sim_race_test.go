//go:build race

package replica_test

// schedules is how many are played: the race detector takes five times as long
// for each.
const schedules = 2_000

// shuffled: the race detector lets goroutines run in an order of its own.
const shuffled = true
