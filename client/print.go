package client

import (
	"fmt"
	"io"
	"log/slog"
)

const redacted = "[secret]"

// String returns "[secret]".
func (Transport) String() string { return redacted }

// GoString returns "[secret]".
func (Transport) GoString() string { return redacted }

// Format writes "[secret]", whatever the verb. Its receiver is a value, so that a
// Transport that is printed by mistake, and not a pointer to it, is covered too.
func (Transport) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue returns "[secret]" to log/slog.
func (Transport) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns "[secret]", to encoding/json too.
func (Transport) MarshalText() ([]byte, error) { return []byte(redacted), nil }
