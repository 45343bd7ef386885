package postgres

import (
	"testing"

	"latchkey"
	"latchkey/storetest"
)

func TestHandIns(t *testing.T) {
	storetest.HandIns(t, func(t *testing.T) (a, b latchkey.HandInStore) {
		t.Parallel()
		return twoNodes(t)
	})
}
