//go:build race

package replica_test

// modelRace says that the model runs ten times slower: smaller worlds do.
const modelRace = true
