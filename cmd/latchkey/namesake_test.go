package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"latchkey"
	"latchkey/replica"
)

// TestTwins holds which registrations of one name are another living node's.
func TestTwins(t *testing.T) {
	const lease = 600 * time.Millisecond
	for _, c := range []struct {
		rule    string
		renewal func(look int) string // "": the registration is gone
		before  int64                 // renewals at the first look
		node    string
		refused bool
		watched bool // after 20 looks, 100 ms apart
	}{
		{"one that renews lives", func(look int) string { return strings.Repeat("x", 1+look/2) }, 5, "n", true, true},
		{"one that does not is dead", func(int) string { return "x" }, 5, "n", false, false},
		{"what was sent before a kill, and comes late, is no life", func(look int) string { return "x"[:1] + strings.Repeat("y", min(look, 2)) }, 5, "n", false, false},
		{"one that is gone is gone", func(look int) string { return "x"[min(look, 1):] }, 5, "n", false, false},
		{"one that is starting finds this one", func(look int) string { return strings.Repeat("x", 1+look) }, 0, "n", false, false},
		{"one of another name is none", func(look int) string { return strings.Repeat("x", 1+look) }, 5, "m", false, false},
	} {
		n := &node{name: "n", replica: &replica.Replica{Lease: lease}}
		at := time.Now()
		var (
			twins map[string]*twin
			err   error
		)
		for look := 0; look < 20 && err == nil; look++ {
			var list []latchkey.Registration
			if r := c.renewal(look); r != "" {
				list = append(list, latchkey.Registration{ID: "other", Node: c.node, Address: "http://n.example", Lease: lease, Renewal: r, Renewals: c.before + int64(look)})
			}
			if twins == nil {
				twins = n.twins(list)
			}
			_, err = n.seeTwins(twins, list, at)
			at = at.Add(lease / 6)
		}
		var found *namesakeError
		if errors.As(err, &found) != c.refused || c.refused && !strings.Contains(err.Error(), "http://n.example") {
			t.Errorf("%s: %v", c.rule, err)
		}
		if (len(twins) > 0) != c.watched {
			t.Errorf("%s: it is watched: %v", c.rule, twins)
		}
	}
}
