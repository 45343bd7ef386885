package console

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// milliseconds writes a duration with no more digits than say something.
func milliseconds(d time.Duration) string { return microseconds(d.Microseconds()) }

func microseconds(us int64) string {
	ms := float64(us) / 1000
	digits := 0
	switch {
	case ms < 10:
		digits = 2
	case ms < 100:
		digits = 1
	}
	return strconv.FormatFloat(ms, 'f', digits, 64) + " ms"
}

func choose(list []choice, value string) {
	for i := range list {
		list[i].Chosen = list[i].Value == value
	}
}

func sortChoices(list []choice) {
	slices.SortFunc(list, func(a, b choice) int {
		return cmp.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name))
	})
}
