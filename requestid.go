package latchkey

import (
	"strings"

	"github.com/google/uuid"
)

// maxPasted is the longest text that is read for a request ID, in bytes.
const maxPasted = 300

// ParseRequestID reads a request ID as people paste it: in any case, among
// spaces, quotes and stops, broken over lines, after the name of its header or
// of its field in a JSON answer. It returns the ID as records have it, or an
// [*InvalidError].
func ParseRequestID(pasted string) (string, error) {
	invalid := &InvalidError{Field: "request ID", Problem: "is not one of ours: they look like 0198c5e2-7d3a-7b61-9f0e-3c1d5a8b2e47"}
	if len(pasted) > maxPasted {
		return "", invalid
	}
	const around = "\"'`,;:."
	text := strings.Trim(strings.Join(strings.Fields(pasted), ""), around)
	if name, value, ok := strings.Cut(text, ":"); ok {
		switch strings.ToLower(strings.Trim(name, around)) {
		case "x-request-id", "request_id":
			text = strings.Trim(value, around)
		}
	}
	id, err := uuid.Parse(text)
	if err != nil {
		return "", invalid
	}
	return id.String(), nil
}
