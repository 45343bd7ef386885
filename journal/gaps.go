package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"time"

	"github.com/google/uuid"

	"latchkey"
)

const (
	gapSlots = 64
	gapSize  = 48 // bytes of a slot: from, to, count, open, CRC-32C
)

// gaps are what could not be kept, until the store has it. They have a file of
// their own that is allocated when there is room: a full disk takes what is
// written over it. The Journal's mu guards them.
type gaps struct {
	node  string
	file  file // nil: in memory only
	slots [gapSlots]gapSlot
	dirty uint64 // the slots that are not yet in the file, a bit each
	lost  int64  // how many records in all, since this process began
}

type gapSlot struct {
	gap   latchkey.Gap // Count 0: the slot is free
	open  bool         // the last record could not be kept
	given latchkey.Gap // what the store has of it while it is open
	known bool         // it was sent to the store under its From, which must not change
}

// openGaps reads the gaps that a process left behind. One that was open when it
// was killed counts at most so many: some of them may never have been answered.
func openGaps(path, node string, create func(string, int64) (file, error)) (*gaps, error) {
	g := &gaps{node: node}
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return g, fmt.Errorf("read the gaps: %w", err)
	}
	if len(old) == gapSlots*gapSize {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return g, fmt.Errorf("open the gaps: %w", err)
		}
		g.file = dataSynced{f}
		for i := range g.slots {
			g.slots[i] = g.decode(old[i*gapSize : (i+1)*gapSize])
		}
		return g, nil
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return g, fmt.Errorf("make the gaps: %w", err)
	}
	f, err := create(path, gapSlots*gapSize)
	if err != nil {
		return g, fmt.Errorf("make the gaps: %w", err)
	}
	g.file = f
	return g, nil
}

// lose counts n records that could not be kept, of times between from and to.
func (g *gaps) lose(n int64, from, to time.Time) {
	slot := -1
	for i := range g.slots {
		s := &g.slots[i]
		if s.open && s.known && from.Before(s.gap.From) {
			s.open = false // the store knows it by its From
			g.dirty |= 1 << i
			continue
		}
		if s.open {
			slot = i
			break
		}
		if s.gap.Count == 0 && slot < 0 {
			slot = i
		}
	}
	if slot < 0 {
		slot = gapSlots - 1 // there are too many: the last grows
	}
	s := &g.slots[slot]
	if s.gap.Count == 0 {
		s.gap = latchkey.Gap{Node: g.node, From: from, To: to}
	}
	s.open = true
	s.gap.Count += n
	g.lost += n
	if from.Before(s.gap.From) {
		s.gap.From = from
	}
	if to.After(s.gap.To) {
		s.gap.To = to
	}
	g.dirty |= 1 << slot
}

// note counts n records that are lost, of times between from and to, as a gap
// of its own that has ended.
func (g *gaps) note(n int64, from, to time.Time, atMost bool) {
	slot := gapSlots - 1 // if there are too many, the last grows
	for i := range g.slots {
		if g.slots[i].gap.Count == 0 {
			slot = i
			break
		}
	}
	s := &g.slots[slot]
	if s.gap.Count == 0 {
		s.gap = latchkey.Gap{Node: g.node, From: from.UTC(), To: to.UTC()}
	}
	s.gap.Count += n
	g.lost += n
	s.gap.AtMost = s.gap.AtMost || atMost
	if from.Before(s.gap.From) {
		s.gap.From = from.UTC()
	}
	if to.After(s.gap.To) {
		s.gap.To = to.UTC()
	}
	g.dirty |= 1 << slot
}

// end says that records are kept again.
func (g *gaps) end() {
	for i := range g.slots {
		if g.slots[i].open {
			g.slots[i].open = false
			g.dirty |= 1 << i
		}
	}
}

// closed returns the gaps that have ended.
func (g *gaps) closed() (list []latchkey.Gap) {
	for i := range g.slots {
		if s := &g.slots[i]; s.gap.Count > 0 && !s.open {
			list = append(list, s.gap)
		}
	}
	return list
}

// news returns the gaps that have not ended and are not in the store as they are.
func (g *gaps) news() (list []latchkey.Gap) {
	for i := range g.slots {
		if s := &g.slots[i]; s.open && s.gap != s.given {
			list = append(list, s.gap)
		}
	}
	return list
}

// give notes that a gap is on its way to the store, which may have it from then
// on, also if that seems to fail.
func (g *gaps) give(gap latchkey.Gap) {
	if s := g.slot(gap.From); s != nil {
		s.known = true
	}
}

// gave notes what the store has of a gap.
func (g *gaps) gave(gap latchkey.Gap) {
	if s := g.slot(gap.From); s != nil {
		s.given = gap
	}
}

// slot returns the slot of the open gap that begins at a time; nil if there is none.
func (g *gaps) slot(from time.Time) *gapSlot {
	for i := range g.slots {
		if s := &g.slots[i]; s.open && s.gap.From.Equal(from) {
			return s
		}
	}
	return nil
}

// span returns the time of a record: that in it, and that in its ID, by which
// it is looked up. A clock that was set tells them apart.
func span(r *latchkey.Record) (from, to time.Time) {
	from, to = r.Time, r.Time
	if id, err := uuid.Parse(r.RequestID); err == nil && id.Version() == 7 {
		// IDs know milliseconds, but gaps that begin in the same one are two.
		at := timeOf(id).Add(time.Duration(r.Time.Nanosecond()) % time.Millisecond)
		to = latest(to, at)
		if at.Before(from) {
			from = at
		}
	}
	return from, to
}

// forget frees the slot of a gap that the store has.
func (g *gaps) forget(gap latchkey.Gap) {
	for i := range g.slots {
		if s := &g.slots[i]; s.gap == gap && !s.open {
			*s = gapSlot{}
			g.dirty |= 1 << i
		}
	}
}

// changes returns what must be written, by its offset in the file.
func (g *gaps) changes() map[int64][gapSize]byte {
	if g.dirty == 0 || g.file == nil {
		return nil
	}
	changes := make(map[int64][gapSize]byte)
	for i := range g.slots {
		if g.dirty&(1<<i) != 0 {
			changes[int64(i*gapSize)] = g.encode(&g.slots[i])
		}
	}
	g.dirty = 0
	return changes
}

func (g *gaps) encode(s *gapSlot) (b [gapSize]byte) {
	if s.gap.Count == 0 {
		return b
	}
	binary.LittleEndian.PutUint64(b[0:], uint64(s.gap.From.UnixMicro()))
	binary.LittleEndian.PutUint64(b[8:], uint64(s.gap.To.UnixMicro()))
	binary.LittleEndian.PutUint64(b[16:], uint64(s.gap.Count))
	if s.open {
		b[24] = 1
	}
	if s.gap.AtMost {
		b[25] = 1
	}
	binary.LittleEndian.PutUint32(b[44:], crc32.Checksum(b[:44], castagnoli))
	return b
}

func (g *gaps) decode(b []byte) gapSlot {
	count := int64(binary.LittleEndian.Uint64(b[16:]))
	if count <= 0 || crc32.Checksum(b[:44], castagnoli) != binary.LittleEndian.Uint32(b[44:]) {
		return gapSlot{}
	}
	return gapSlot{gap: latchkey.Gap{
		Node: g.node, Count: count, AtMost: b[24] == 1 || b[25] == 1,
		From: time.UnixMicro(int64(binary.LittleEndian.Uint64(b[0:]))).UTC(),
		To:   time.UnixMicro(int64(binary.LittleEndian.Uint64(b[8:]))).UTC(),
	}}
}

// touching returns the gaps that touch the time between two moments.
func (g *gaps) touching(from, to time.Time) (list []latchkey.Gap) {
	for i := range g.slots {
		gap := g.slots[i].gap
		if gap.Count > 0 && !gap.To.Before(from) && !gap.From.After(to) {
			list = append(list, gap)
		}
	}
	return list
}

func (g *gaps) close() error {
	if g.file == nil {
		return nil
	}
	return errors.Join(g.file.Sync(), g.file.Close())
}
