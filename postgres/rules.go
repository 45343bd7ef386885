//go:build !mutant

package postgres

// leftOut reports whether this program was built to break a rule, to show that
// the tests find it: never, but with the tag mutant.
func leftOut(string) bool { return false }
