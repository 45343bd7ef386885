//go:build !race

package replica_test

// schedules is how many are played.
const schedules = 20_000

const shuffled = false
