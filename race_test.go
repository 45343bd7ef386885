//go:build race

package latchkey_test

const raceEnabled = true
