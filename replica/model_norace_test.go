//go:build !race

package replica_test

// modelRace says that the model runs ten times slower.
const modelRace = false
