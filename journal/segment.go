package journal

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/google/uuid"

	"latchkey"
)

// DefaultSegmentSize is how large a segment is, in bytes.
const DefaultSegmentSize = 16 << 20

// segmentHeader is the length of a segment's beginning: magic, version, salt and
// CRC-32C of these, padded.
const segmentHeader = 64

const (
	segmentMagic   = "lkjournl"
	segmentVersion = 1
	segmentSuffix  = ".segment"
)

// A file is what a segment is written to, and read from.
type file interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Sync() error // the data, and the size
	Truncate(size int64) error
}

// create makes a file with room for size bytes: what was allocated can be
// written however full the disk gets.
func create(path string, size int64) (file, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := allocate(f, size); err != nil {
		return nil, errors.Join(fmt.Errorf("allocate %s: %w", path, err), f.Close(), os.Remove(path))
	}
	return dataSynced{f}, nil
}

// A segment is a file of entries that grows by appending within its size.
type segment struct {
	path     string
	sequence uint64
	salt     uint32
	size     int64

	use  sync.RWMutex // held by readers of the file, and to close it
	file file

	syncing sync.Mutex
	failed  error // of the first sync that failed; of syncing

	// What follows is the Journal's, under its mu.
	end        int64                // behind the last entry
	index      map[uuid.UUID]uint32 // where the records are that have ended
	open       int                  // records that begin here, and whose end is nowhere yet
	sealed     bool                 // nothing will be appended
	dirty      bool                 // not yet synced
	unsyncable bool                 // it cannot be synced: another is better

	damaged bool // records are lost of it: it is set aside when it is done
}

func segmentPath(dir string, sequence uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%016x", sequence)+segmentSuffix)
}

// newSegment makes a segment. The disk must hold its name before it counts.
func newSegment(dir string, sequence uint64, size int64, create func(string, int64) (file, error)) (*segment, error) {
	s := &segment{path: segmentPath(dir, sequence), sequence: sequence, size: size, end: segmentHeader, index: make(map[uuid.UUID]uint32)}
	var header [segmentHeader]byte
	copy(header[:], segmentMagic)
	header[8] = segmentVersion
	_, _ = rand.Read(header[12:16]) // never fails
	s.salt = binary.LittleEndian.Uint32(header[12:])
	binary.LittleEndian.PutUint32(header[16:], crc32.Checksum(header[:16], castagnoli))
	var err error
	if s.file, err = create(s.path, size); err != nil {
		return nil, fmt.Errorf("make a segment: %w", err)
	}
	if _, err := s.file.WriteAt(header[:], 0); err != nil {
		return nil, errors.Join(fmt.Errorf("make a segment: %w", err), s.remove())
	}
	return s, nil
}

// openFile opens what create made.
func openFile(path string) (file, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	return dataSynced{f}, nil
}

// openSegment opens a segment that a process left behind, to be read.
func openSegment(path string, open func(string) (file, error)) (*segment, error) {
	name := strings.TrimSuffix(filepath.Base(path), segmentSuffix)
	sequence, err := strconv.ParseUint(name, 16, 64)
	if err != nil {
		return nil, fmt.Errorf("%s is not the name of a segment", path)
	}
	f, err := open(path)
	if err != nil {
		return nil, err
	}
	s := &segment{path: path, sequence: sequence, file: f, index: make(map[uuid.UUID]uint32), sealed: true, dirty: true}
	info, err := os.Stat(path)
	if err == nil {
		s.size = info.Size()
		s.end = s.size
		err = s.readHeader()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open segment %s: %w", path, err), f.Close())
	}
	return s, nil
}

var errNoSegment = errors.New("it has no header of a segment")

func (s *segment) readHeader() error {
	var header [segmentHeader]byte
	if _, err := s.file.ReadAt(header[:], 0); errors.Is(err, io.EOF) {
		return errNoSegment
	} else if err != nil {
		return err
	}
	if string(header[:8]) != segmentMagic || crc32.Checksum(header[:16], castagnoli) != binary.LittleEndian.Uint32(header[16:]) {
		return errNoSegment
	}
	if header[8] != segmentVersion {
		return &versionError{header[8]}
	}
	s.salt = binary.LittleEndian.Uint32(header[12:])
	return nil
}

// read returns the bytes from an offset to another.
func (s *segment) read(from, to int64) ([]byte, error) {
	b := make([]byte, to-from)
	n, err := s.file.ReadAt(b, from)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read %s: %w", s.path, err)
	}
	return b[:n], nil
}

// recordAt reads the record of the entry at an offset. s.use is held.
func (s *segment) recordAt(offset, end int64) (latchkey.Record, error) {
	header, err := s.read(offset, min(offset+entryHeader, end))
	if err != nil {
		return latchkey.Record{}, err
	}
	if len(header) < entryHeader {
		return latchkey.Record{}, fmt.Errorf("%s, offset %d: %w", s.path, offset, errDamaged)
	}
	length := int64(header[5]) | int64(header[6])<<8 | int64(header[7])<<16
	b, err := s.read(offset, min(offset+entryHeader+length+entryAlign, end))
	if err != nil {
		return latchkey.Record{}, err
	}
	e, err := readEntry(b, s.salt)
	if err != nil {
		return latchkey.Record{}, fmt.Errorf("%s, offset %d: %w", s.path, offset, err)
	}
	return e.record()
}

// sync makes what was written durable. Where that fails once it fails for ever:
// the kernel may have forgotten what it could not write, and tells one caller.
func (s *segment) sync() error {
	s.syncing.Lock()
	defer s.syncing.Unlock()
	if s.failed == nil {
		s.failed = s.file.Sync()
	}
	return s.failed
}

// close closes the file once nobody reads it.
func (s *segment) close() error {
	s.use.Lock()
	defer s.use.Unlock()
	return s.file.Close()
}

// remove deletes the segment.
func (s *segment) remove() error {
	err := os.Remove(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(s.close(), err)
}

// setAside closes the segment and leaves it under another name, for people.
func (s *segment) setAside() error {
	return errors.Join(s.close(), setAside(s.path))
}

// segmentsIn returns the paths of the segments in a directory, oldest first.
func segmentsIn(dir string) ([]string, error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list the journal: %w", err)
	}
	var paths []string
	for _, f := range files {
		if strings.HasSuffix(f.Name(), segmentSuffix) {
			paths = append(paths, filepath.Join(dir, f.Name()))
		}
	}
	slices.Sort(paths)
	return paths, nil
}
