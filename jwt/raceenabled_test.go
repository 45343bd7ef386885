//go:build race

package jwt_test

// raceEnabled says that the race detector is on: it slows everything down, and
// makes a sync.Pool drop what it is given at random.
const raceEnabled = true
