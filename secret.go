package latchkey

import (
	"fmt"
	"io"
	"log/slog"
)

// A Secret is a credential's value. It prints as "[secret]" whatever the verb,
// the logger or the encoder; only [Secret.Reveal] gives the value out, so that
// every place where a value leaves can be found by that name.
type Secret struct{ value string }

const redacted = "[secret]"

// NewSecret wraps a value.
func NewSecret(value string) Secret { return Secret{value} }

// Reveal returns the value itself.
func (s Secret) Reveal() string { return s.value }

// IsZero reports whether there is no value.
func (s Secret) IsZero() bool { return s.value == "" }

// String returns "[secret]".
func (Secret) String() string { return redacted }

// Format writes "[secret]" for every verb, %#v and %x included.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue returns "[secret]" to log/slog.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns "[secret]", to encoding/json too.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
