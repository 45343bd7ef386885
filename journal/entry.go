package journal

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"time"

	"github.com/google/uuid"

	"latchkey"
)

// An entry is a header of 8 bytes and a payload, padded to a multiple of 8: the
// CRC-32C of the segment's salt and all that follows (4 bytes), the kind (1),
// and the payload's length (3), little-endian. Without the salt, which nobody
// outside knows, a caller could send a path that looks like an entry.
const (
	entryHeader = 8
	entryAlign  = 8
	// maxText is far above what a door records of a request. It bounds an
	// entry to less than what is read at a time.
	maxText = 64 << 10
)

// The kinds of entries. Both hold a whole record, so that each stands for itself.
const (
	kindBegin byte = 1 // the response is about to leave
	kindEnd   byte = 2 // it has ended
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var errDamaged = errors.New("damaged entry")

// appendEntry appends the entry of a record, without its checksum.
func appendEntry(b []byte, kind byte, id uuid.UUID, r *latchkey.Record) []byte {
	start := len(b)
	b = append(b, 0, 0, 0, 0, kind, 0, 0, 0)
	b = append(b, id[:]...)
	b = binary.AppendVarint(b, r.Time.UnixMicro())
	for _, n := range [4]int64{int64(r.Status), r.BytesIn, r.BytesOut, r.DurationUS} {
		b = binary.AppendVarint(b, n)
	}
	for _, s := range textsOf(r) {
		n := min(len(*s), maxText)
		b = binary.AppendUvarint(b, uint64(n))
		b = append(b, (*s)[:n]...)
	}
	length := len(b) - start - entryHeader
	b[start+5], b[start+6], b[start+7] = byte(length), byte(length>>8), byte(length>>16)
	for len(b)%entryAlign != start%entryAlign {
		b = append(b, 0)
	}
	return b
}

// textsOf are the texts of a record, in the order of an entry.
func textsOf(r *latchkey.Record) [14]*string {
	return [14]*string{
		&r.Node, &r.TeamID, &r.CredentialID, (*string)(&r.Auth), (*string)(&r.Outcome), (*string)(&r.Reason), &r.Diagnosis,
		&r.Method, &r.Host, &r.Path, &r.ClientIP, &r.UserAgent, &r.ClientRequestID, &r.TraceID,
	}
}

// seal writes the checksum of a whole entry.
func seal(entry []byte, salt uint32) {
	binary.LittleEndian.PutUint32(entry, crc32.Update(salt, castagnoli, entry[4:]))
}

// An entry is what was found in a segment.
type entry struct {
	kind    byte
	id      uuid.UUID
	payload []byte // of the segment's buffer
	size    int    // of the whole, with its padding
}

// readEntry reads the entry at the beginning of b.
func readEntry(b []byte, salt uint32) (entry, error) {
	if len(b) < entryHeader {
		return entry{}, errDamaged
	}
	kind, length := b[4], int(b[5])|int(b[6])<<8|int(b[7])<<16
	size := (entryHeader + length + entryAlign - 1) / entryAlign * entryAlign
	if kind != kindBegin && kind != kindEnd || length < 16 || size > len(b) ||
		crc32.Update(salt, castagnoli, b[4:size]) != binary.LittleEndian.Uint32(b) {
		return entry{}, errDamaged
	}
	e := entry{kind: kind, payload: b[entryHeader : entryHeader+length], size: size}
	copy(e.id[:], e.payload)
	return e, nil
}

// A layout says where the parts of a record are in the payload of its entry.
type layout struct {
	numbers [5]int64   // as appendEntry writes them
	texts   [14]extent // in the order of textsOf
}

// An extent is a part of a payload, from an offset to another.
type extent struct{ from, to int }

// The places of texts that are looked at without decoding a record.
const (
	textCredentialID = 2
	textOutcome      = 4
)

// layout finds the parts of the record, and copies nothing.
func (e *entry) layout() (l layout, err error) {
	at := 16
	for i := range l.numbers {
		n, size := binary.Varint(e.payload[at:])
		if size <= 0 {
			return l, errDamaged
		}
		l.numbers[i] = n
		at += size
	}
	for i := range l.texts {
		n, size := binary.Uvarint(e.payload[at:])
		if size <= 0 || n > uint64(len(e.payload)-at-size) {
			return l, errDamaged
		}
		at += size
		l.texts[i] = extent{at, at + int(n)}
		at += int(n)
	}
	return l, nil
}

// text returns one of the texts.
func (e *entry) text(x extent) []byte { return e.payload[x.from:x.to] }

// record decodes the record of an entry.
func (e *entry) record() (r latchkey.Record, err error) {
	l, err := e.layout()
	if err != nil {
		return r, err
	}
	r.RequestID = e.id.String()
	r.Time = time.UnixMicro(l.numbers[0]).UTC()
	r.Status, r.BytesIn, r.BytesOut, r.DurationUS = int(l.numbers[1]), l.numbers[2], l.numbers[3], l.numbers[4]
	all := string(e.payload) // of which the texts are parts: one allocation for fourteen
	for i, s := range textsOf(&r) {
		*s = all[l.texts[i].from:l.texts[i].to]
	}
	return r, nil
}

// entries walks through the entries of b, which begins at an entry, and calls
// each with its offset. What is damaged is stepped over; it returns how many
// bytes that were, the zeros behind the last entry aside, and where that ended.
func entries(b []byte, salt uint32, each func(offset int, e *entry) error) (end, damaged int, err error) {
	var e entry // the same one each time: there are millions
	for at := 0; at+entryHeader <= len(b); {
		if e, err = readEntry(b[at:], salt); err != nil {
			at += entryAlign
			continue
		}
		damaged += at - end
		if err := each(at, &e); err != nil {
			return end, damaged, err
		}
		at += e.size
		end = at
	}
	return end, damaged + nonZero(b[end:]), nil
}

// nonZero returns the length of b without the zeros at its end.
func nonZero(b []byte) int {
	for len(b) >= 8 && binary.LittleEndian.Uint64(b[len(b)-8:]) == 0 {
		b = b[:len(b)-8]
	}
	for len(b) > 0 && b[len(b)-1] == 0 {
		b = b[:len(b)-1]
	}
	return len(b)
}
