package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"

	"latchkey"
	"latchkey/admin"
)

const (
	// exportPage is how many records an export asks for at a time. An answer
	// of them is bounded, and so is the memory.
	exportPage = 500
	// progressEvery is how often the bar is drawn.
	progressEvery = 100 * time.Millisecond
	progressWidth = 30
)

type requestExport struct {
	requestFilter
}

// Validate refuses what selects nothing, before anything is opened.
func (c *requestExport) Validate() error { return c.requestFilter.check() }

// Run writes a line for each record. Records that come while it runs are left
// out: an export has an end.
func (c *requestExport) Run(s *session) error {
	now := time.Now()
	filter := c.filter(now)
	filter.Limit = exportPage
	if filter.Until == nil {
		filter.Until = &now
	}
	bar := &progress{from: filter.Since, until: *filter.Until}
	if isTerminal(s.stderr) && !isTerminal(s.stdout) { // where records are shown, the bar would be drawn over them
		bar.w = s.stderr
	}
	out := bufio.NewWriterSize(s.stdout, 64<<10)
	var missing []string
	err := s.call(func(ctx context.Context, api *admin.Client) error {
		for {
			page, err := api.Requests(ctx, filter)
			if err != nil {
				return c.hint(err)
			}
			for _, why := range page.Missing {
				if !slices.Contains(missing, why) {
					missing = append(missing, why)
				}
			}
			for i := range page.Requests {
				if err := writeLine(out, &page.Requests[i]); err != nil {
					return fmt.Errorf("write the export: %w", err)
				}
			}
			if n := len(page.Requests); n > 0 {
				filter.Before = page.Requests[n-1].RequestID
				bar.step(n, page.Requests[n-1].Time)
			}
			if len(page.Requests) < exportPage {
				return nil
			}
		}
	})
	if flushErr := out.Flush(); err == nil && flushErr != nil {
		err = fmt.Errorf("write the export: %w", flushErr)
	}
	bar.done()
	for _, why := range missing {
		s.warn("%s", why)
	}
	return err
}

func isTerminal(w io.Writer) bool {
	f, is := w.(*os.File)
	return is && term.IsTerminal(int(f.Fd()))
}

// writeLine writes a record as one line. What a terminal could take for a
// command is escaped, as in [writeJSON].
func writeLine(w io.Writer, r *latchkey.Record) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	var line strings.Builder
	escapeJSON(&line, string(text))
	line.WriteByte('\n')
	_, err = io.WriteString(w, line.String())
	return err
}

// A progress is a bar on a terminal: how much of the time has been written.
type progress struct {
	w     io.Writer  // nil: there is no terminal
	from  *time.Time // nil: nobody knows how far it goes back
	until time.Time
	count int
	drawn time.Time
}

// step counts n more records, the last of them of a time.
func (p *progress) step(n int, at time.Time) {
	p.count += n
	if p.w == nil || time.Since(p.drawn) < progressEvery {
		return
	}
	p.drawn = time.Now()
	if p.from == nil || !p.until.After(*p.from) {
		fmt.Fprintf(p.w, "\r\x1b[K%d records, back to %s", p.count, at.UTC().Format(time.DateTime))
		return
	}
	share := min(1, max(0, float64(p.until.Sub(at))/float64(p.until.Sub(*p.from))))
	full := int(share * progressWidth)
	fmt.Fprintf(p.w, "\r\x1b[K[%s%s] %3.0f %%  %d records", strings.Repeat("=", full), strings.Repeat(" ", progressWidth-full), 100*share, p.count)
}

// done takes the bar away, and says how many there were.
func (p *progress) done() {
	if p.w != nil {
		fmt.Fprintf(p.w, "\r\x1b[K%d records\n", p.count)
	}
}
