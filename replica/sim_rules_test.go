//go:build !mutant

package replica_test

// planted is empty: the database and the clocks of the simulation are right.
func planted() string { return "" }
