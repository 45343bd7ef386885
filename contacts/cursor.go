package contacts

import (
	"encoding/base64"
	"encoding/binary"

	"latchkey"
)

// A cursor says where a page ends: version 1 is the byte 1 and the ID of the
// page's last contact, 8 bytes big-endian, in base64url without padding. Nine
// bytes are twelve characters exactly, so that no cursor has a second spelling.
const (
	cursorVersion = 1
	cursorBytes   = 1 + 8
)

// formatCursor returns the cursor of the page after the contact with this ID.
func formatCursor(last int64) string {
	payload := binary.BigEndian.AppendUint64([]byte{cursorVersion}, uint64(last))
	return base64.RawURLEncoding.EncodeToString(payload)
}

// parseCursor returns the ID below which the next page begins. Anything that
// formatCursor does not make is an [*latchkey.InvalidError].
func parseCursor(s string) (int64, error) {
	bad := &latchkey.InvalidError{Field: "cursor", Problem: "is none of ours: send next_cursor as it came, or leave it out to begin at the newest"}
	// The length is checked first: the decoder would skip line breaks.
	if len(s) != base64.RawURLEncoding.EncodedLen(cursorBytes) {
		return 0, bad
	}
	payload, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(payload) != cursorBytes || payload[0] != cursorVersion {
		return 0, bad
	}
	last := int64(binary.BigEndian.Uint64(payload[1:]))
	if last < 1 {
		return 0, bad
	}
	return last, nil
}
