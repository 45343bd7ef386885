package replica

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"latchkey"
)

// slotSize is the room of one state of a history file.
const slotSize = 16 << 10

// A history file keeps what this node has applied last, so that it notices
// after a restart if the database has another history by then. It has two
// slots, which are written in turn and in place: a torn write spoils the older
// state only, and a full disk none.
type history struct {
	file  *os.File // nil: nothing is kept
	sync  func(*os.File) error
	state historyState
}

type historyState struct {
	Sequence    uint64            `json:"sequence"`
	Position    latchkey.Position `json:"position"`
	Acceptances []string          `json:"acceptances"` // those that were known then

	Registration string `json:"registration,omitempty"` // this node's last: its ID
	Witness      string `json:"witness,omitempty"`      // see [Replica.Witness]
}

// open reads the file, after making it if need be.
func (h *history) open(path string) error {
	if h.sync == nil {
		h.sync = syncData
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return h.read(path)
	}
	// Under another name first, so that it is there with its whole room or not at all.
	fresh := path + ".new"
	f, err := os.OpenFile(fresh, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("make the history file: %w", err)
	}
	_, err = f.Write(make([]byte, 2*slotSize))
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = os.Rename(fresh, path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("make the history file %s: %w", path, errors.Join(err, f.Close()))
	}
	h.file = f
	return nil
}

func (h *history) read(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("open the history file: %w", err)
	}
	h.file = f
	room, err := io.ReadAll(io.LimitReader(f, 2*slotSize+1))
	if err != nil {
		return fmt.Errorf("read the history file %s: %w", path, err)
	}
	if len(room) != 2*slotSize {
		return fmt.Errorf("the history file %s is damaged: it is %d bytes long; what this node knew is lost with it: remove it once you know that the database was not restored from a backup", path, len(room))
	}
	blank := true
	for slot := range slices.Chunk(room, slotSize) {
		blank = blank && slices.Max(slot) == 0
		if state, ok := decodeSlot(slot); ok && state.Sequence > h.state.Sequence {
			h.state = state
		}
	}
	if h.state.Sequence == 0 && !blank {
		return fmt.Errorf("the history file %s is damaged; what this node knew is lost with it: remove it once you know that the database was not restored from a backup", path)
	}
	return nil
}

// move keeps a position on disk before it returns.
func (h *history) move(p latchkey.Position, acceptances []string) error {
	next := h.state
	next.Position, next.Acceptances = p, acceptances
	return h.write(next)
}

// write keeps a state on disk before it returns.
func (h *history) write(next historyState) error {
	next.Sequence = h.state.Sequence + 1
	if h.file != nil {
		slot, err := encodeSlot(next)
		if err != nil {
			return err
		}
		if _, err = h.file.WriteAt(slot, int64(next.Sequence%2)*slotSize); err == nil {
			err = h.sync(h.file)
		}
		if err != nil {
			return fmt.Errorf("keep what was applied: %w", err)
		}
	}
	h.state = next
	return nil
}

func (h *history) close() error {
	if h.file == nil {
		return nil
	}
	return h.file.Close()
}

// encodeSlot writes checksum, length and JSON; what follows is not read.
func encodeSlot(s historyState) ([]byte, error) {
	text, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	if len(text) > slotSize-8 {
		return nil, fmt.Errorf("the database's history was accepted too often to be kept (%d times)", len(s.Acceptances))
	}
	slot := make([]byte, 8, 8+len(text))
	slot = append(slot, text...)
	binary.BigEndian.PutUint32(slot[4:], uint32(len(text)))
	binary.BigEndian.PutUint32(slot, crc32.ChecksumIEEE(slot[4:]))
	return slot, nil
}

func decodeSlot(slot []byte) (s historyState, ok bool) {
	n := int(binary.BigEndian.Uint32(slot[4:]))
	if n == 0 || n > len(slot)-8 || binary.BigEndian.Uint32(slot) != crc32.ChecksumIEEE(slot[4:8+n]) {
		return s, false
	}
	err := json.Unmarshal(slot[8:8+n], &s)
	return s, err == nil
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// remember keeps a position, before the lease or an acknowledgement speaks of
// it. r.applying is held.
func (r *Replica) remember(p latchkey.Position, acceptances []string) error {
	known := r.history.state.Acceptances
	fresh := slices.DeleteFunc(slices.Clone(acceptances), func(id string) bool { return slices.Contains(known, id) })
	if len(fresh) == 0 && p == r.history.state.Position {
		return nil
	}
	known = append(slices.Clone(known), fresh...)
	if err := r.history.move(p, known); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.accepted = known
	return nil
}

// removeFormer removes the registration of whoever kept the history file before, if
// that one has ended for certain. It comes before everything is loaded, for which
// no change need wait; if it fails, it is tried again after the next registration.
func (r *Replica) removeFormer(ctx context.Context) {
	kept := r.history.state
	if r.Witness == "" || kept.Witness != r.Witness || kept.Registration == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, goodbye)
	defer cancel()
	if err := r.Leases.Deregister(ctx, kept.Registration); err != nil {
		r.orphans = append(r.orphans, orphan{kept.Registration, r.clock().Boot()})
	}
}

// claim keeps the ID of a registration, before it is added. Nothing but time is lost
// if it cannot.
func (r *Replica) claim(id string) {
	if r.Witness == "" {
		return
	}
	r.applying.Lock()
	defer r.applying.Unlock()
	next := r.history.state
	next.Registration, next.Witness = id, r.Witness
	if err := r.history.write(next); err != nil {
		r.logger().Warn("this node's registration is not kept on disk: should it be killed, changes wait for its lease once", "error", err)
	}
}

// acceptedSince reports whether the database's history was accepted by a person
// in a way that this node does not know of. r.mu is held.
func (r *Replica) acceptedSince(acceptances []string) bool {
	return slices.ContainsFunc(acceptances, func(id string) bool { return !slices.Contains(r.accepted, id) })
}
