package journal

import (
	"fmt"
	"time"
)

// runWatch looks after the writer, until Close. It asks nothing of the disk, so
// that it goes on when that hangs.
func (j *Journal) runWatch() {
	look := time.NewTicker(stalledTime / 5)
	defer look.Stop()
	for {
		select {
		case <-j.stop:
			return
		case <-look.C:
			j.lookAfterWriter()
		}
	}
}

// runKeeper syncs what was written, and keeps a segment ready, until Close.
func (j *Journal) runKeeper() {
	sync := time.NewTicker(syncEvery)
	defer sync.Stop()
	for {
		select {
		case <-j.stop:
			return
		case <-j.wakeKeeper:
			j.mu.Lock()
			_ = j.makeSpare() // the writer will say so if it is missing
			j.mu.Unlock()
		case <-sync.C:
			j.syncSegments()
		}
	}
}

// lookAfterWriter lets go those who wait for a disk that hangs.
func (j *Journal) lookAfterWriter() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.writing == nil || time.Since(j.since) < j.patience {
		return
	}
	select {
	case <-j.stalled:
	default:
		if j.patience == stallTime {
			j.logger.Error("the journal's disk hangs; responses do not wait for it", "strict", j.config.Strict)
		}
		j.patience = stalledTime
		close(j.stalled)
	}
}

// syncSegments makes what was written durable.
func (j *Journal) syncSegments() {
	began := time.Now()
	j.mu.Lock()
	var dirty, unsafe []*segment
	for _, s := range j.segments {
		if s.dirty {
			s.dirty = false
			s.use.RLock()
			dirty = append(dirty, s)
		}
	}
	j.mu.Unlock()
	failed := j.syncNames()
	for _, s := range dirty {
		if err := s.sync(); err != nil {
			failed = fmt.Errorf("sync %s: %w", s.path, err)
			unsafe = append(unsafe, s)
		}
		s.use.RUnlock()
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, s := range unsafe {
		// What is in it is safe when it is in the store. What comes goes
		// elsewhere; but not each time, on a disk that fails for long.
		s.dirty, s.unsyncable = true, !j.failing.sync
	}
	if failed == nil && (len(dirty) > 0 || !j.failing.sync) {
		j.synced = began
	}
	if len(dirty) == 0 {
		return
	}
	switch {
	case failed != nil && !j.failing.sync:
		j.logger.Error("the journal is not on disk: a power cut would take records", "error", failed)
	case failed == nil && j.failing.sync:
		j.logger.Info("the journal is synced again")
	}
	j.failing.sync = failed != nil
}

// syncNames makes the names of new segments durable.
func (j *Journal) syncNames() error {
	j.naming.Lock()
	defer j.naming.Unlock()
	j.mu.Lock()
	unnamed := j.unnamed
	j.unnamed = false
	j.mu.Unlock()
	if !unnamed {
		return nil
	}
	err := syncDir(j.config.Dir)
	if err != nil {
		j.mu.Lock()
		j.unnamed = true
		j.mu.Unlock()
	}
	return err
}
