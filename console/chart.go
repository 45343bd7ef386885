package console

import (
	"fmt"
	"time"

	"latchkey"
)

// A chart is requests over time, by outcome: bars for the eye, and the same as a
// table.
type chart struct {
	Range  string // "24h" or "7d"
	Words  string // what it shows, in a sentence
	Top    string // the highest bar
	Empty  bool
	Totals []chartTotal
	Bars   []chartBar
	Ticks  []string // at the left, the middle and the right
	Width  int      // of the drawing, in its own units; its height is chartHeight
}

type chartTotal struct{ Class, Name, Count string }

type chartBar struct {
	Label  string
	Parts  []chartPart
	Counts []string // as the outcomes of Totals
}

// A chartPart is one outcome's part of a bar.
type chartPart struct {
	Class         string
	X, Y          int
	Width, Height int
	Words         string
}

const (
	chartHeight = 160
	barWidth    = 20
	barGap      = 6
)

// outcomes in the order in which they are stacked, from the ground.
var outcomes = []struct {
	outcome latchkey.Outcome
	name    string
}{
	{latchkey.OutcomeAccepted, "Accepted"}, {latchkey.OutcomeDenied, "Denied"},
	{latchkey.OutcomeError, "Failed"}, {latchkey.OutcomeUnavailable, "Unavailable"},
}

// chart counts the team's requests.
func (v *visit) chart(of string) (chart, error) {
	step, bars, format := time.Hour, 24, "Mon 15:04"
	if of == "7d" {
		step, bars, format = 6*time.Hour, 28, "Mon 2 Jan 15:04"
	}
	last := v.now().UTC().Truncate(step)
	first := last.Add(-time.Duration(bars-1) * step)
	tallies, err := v.Tallies.Tallies(v.ctx(), v.user.TeamID, first)
	if err != nil {
		return chart{}, err
	}
	counts := make([][]int64, bars)
	for i := range counts {
		counts[i] = make([]int64, len(outcomes))
	}
	for _, t := range tallies {
		if bar := int(t.Hour.Sub(first) / step); bar >= 0 && bar < bars {
			counts[bar][outcomeIndex(t.Outcome)] += t.Count
		}
	}
	c := chart{Range: of, Width: bars * (barWidth + barGap)}
	c.draw(counts, func(bar int) string { return first.Add(time.Duration(bar)*step).Format(format) + " UTC" })
	c.Ticks = []string{first.Format(format), first.Add(time.Duration(bars/2) * step).Format(format), "now"}
	return c, nil
}

func outcomeIndex(o latchkey.Outcome) int {
	for i := range outcomes {
		if outcomes[i].outcome == o {
			return i
		}
	}
	return len(outcomes) - 1
}

// draw fills in bars and totals.
func (c *chart) draw(counts [][]int64, label func(int) string) {
	top, all := int64(0), int64(0)
	totals := make([]int64, len(outcomes))
	for _, bar := range counts {
		sum := int64(0)
		for i, n := range bar {
			sum += n
			totals[i] += n
		}
		top, all = max(top, sum), all+sum
	}
	c.Top, c.Empty = grouped(top), all == 0
	c.Words = fmt.Sprintf("%s in the last %s", count(all, "request"), map[string]string{"24h": "24 hours", "7d": "7 days"}[c.Range])
	for i, o := range outcomes {
		c.Totals = append(c.Totals, chartTotal{string(o.outcome), o.name, grouped(totals[i])})
	}
	for n, bar := range counts {
		b := chartBar{Label: label(n)}
		y := chartHeight
		for i, o := range outcomes {
			b.Counts = append(b.Counts, grouped(bar[i]))
			if bar[i] == 0 {
				continue
			}
			height := max(2, int(bar[i]*(chartHeight-4)/top)) // few among many must still be seen
			height = min(height, y)
			y -= height
			b.Parts = append(b.Parts, chartPart{
				Class: string(o.outcome), X: n*(barWidth+barGap) + barGap/2, Y: y, Width: barWidth, Height: height,
				Words: fmt.Sprintf("%s: %s %s", b.Label, grouped(bar[i]), o.name),
			})
		}
		c.Bars = append(c.Bars, b)
	}
}
