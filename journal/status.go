package journal

import "time"

// A Status is how a journal stands, for those who watch it.
type Status struct {
	Waiting int64     // bytes of the segments: what the store does not have yet, and what is about to be deleted
	Live    int       // responses that have begun and not ended
	NotKept int64     // records that could not be kept, since the journal was opened
	Synced  time.Time // when all that was written was on disk; zero: not yet

	// What fails at the moment. Responses leave all the same, but for Stalled
	// and Writing with Config.Strict.
	Stalled bool // the disk hangs
	Writing bool // records cannot be written
	Syncing bool // what is written is not on disk
	Moving  bool // the store does not take records
}

// Status returns how the journal stands.
func (j *Journal) Status() Status {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := Status{
		Waiting: j.held(), Live: len(j.live), NotKept: j.gaps.lost, Synced: j.synced,
		Writing: j.failing.write, Syncing: j.failing.sync, Moving: j.failing.move,
	}
	select {
	case <-j.stalled:
		s.Stalled = true
	default:
	}
	return s
}
