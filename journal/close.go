package journal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"latchkey"
)

// closeGrace is how long after its time Close waits for what was told to end.
const closeGrace = time.Second

// Close moves what can be moved to the store until ctx ends; the rest stays in
// the segments, for the next process. Responses that have not ended are recorded
// as such. It returns soon after ctx has ended, also when the disk or the store
// hangs: what was then under way is the next process's to take in.
func (j *Journal) Close(ctx context.Context) error {
	done := make(chan error, 1)
	go func() { done <- j.close(ctx) }()
	defer context.AfterFunc(ctx, j.giveUp)()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	grace := time.NewTimer(closeGrace)
	defer grace.Stop()
	select {
	case err := <-done:
		return err
	case <-grace.C:
		return fmt.Errorf("close the journal: its disk or the store hangs: %w", ctx.Err())
	}
}

func (j *Journal) close(ctx context.Context) error {
	j.endAll()
	close(j.stop)
	j.movers.Wait()
	j.mu.Lock()
	j.closed = true
	j.mu.Unlock()
	close(j.finish)
	j.writers.Wait()
	j.mu.Lock()
	j.gaps.end() // its count is exact
	j.mu.Unlock()
	callersErr := j.callers.Close(ctx)
	moveErr := j.moveAll(ctx)
	if moveErr == nil {
		moveErr = j.forgetHandIn(ctx)
	}
	j.mu.Lock()
	waiting := len(j.direct)
	j.mu.Unlock()
	if moveErr != nil {
		j.logger.Error("records stay in the journal until the next start", "error", moveErr)
	}
	if waiting > 0 {
		moveErr = fmt.Errorf("%d records were not written: %w", waiting, moveErr)
	} else {
		moveErr = nil // nothing is lost
	}
	return errors.Join(moveErr, callersErr, j.closeFiles())
}

// endAll ends the records of responses that have not ended.
func (j *Journal) endAll() {
	j.mu.Lock()
	var orphans []latchkey.Record
	for _, l := range j.live {
		if !l.ended {
			orphans = append(orphans, unended(l.record))
		}
	}
	j.mu.Unlock()
	for _, r := range orphans {
		j.End(r)
	}
}

// unended is the record of a response that never ended. A better diagnosis stays.
func unended(r latchkey.Record) latchkey.Record {
	r.Diagnosis = cmp.Or(r.Diagnosis, NeverEnded)
	return r
}

// closeFiles deletes the segments that hold nothing any more, and syncs the others.
func (j *Journal) closeFiles() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	var errs []error
	for i, s := range slices.Clone(j.segments) {
		if s.end == segmentHeader || i == 0 && j.moved >= s.end && s.open == 0 && len(j.segments) == 1 {
			errs = append(errs, s.remove())
			continue
		}
		errs = append(errs, s.sync(), s.close())
	}
	if j.spare != nil {
		errs = append(errs, j.spare.remove())
	}
	j.segments, j.spare = nil, nil
	for offset, slot := range j.gaps.changes() {
		if _, err := j.gaps.file.WriteAt(slot[:], offset); err != nil {
			errs = append(errs, fmt.Errorf("write the gaps: %w", err))
		}
	}
	return errors.Join(append(errs, j.gaps.close())...)
}
