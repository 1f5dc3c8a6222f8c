package config

import (
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
)

const redacted = "REDACTED"

// Secret is a token or a password. Every way to print or encode it says REDACTED; only Reveal tells.
type Secret struct {
	// A pointer, because package fmt prints unexported fields of other structs without asking their methods.
	value *string
}

// NewSecret returns the Secret that reveals s.
func NewSecret(s string) Secret { return Secret{&s} }

// Reveal returns the secret itself; it belongs into a header and nowhere else.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// IsZero reports whether there is nothing to reveal.
func (s Secret) IsZero() bool { return s.Reveal() == "" }

// Equal reports whether both reveal the same, in a time that does not depend on where they differ.
func (s Secret) Equal(t Secret) bool {
	return subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(t.Reveal())) == 1
}

func (s Secret) String() string   { return redacted }
func (s Secret) GoString() string { return redacted }

// Format prints REDACTED for every verb and flag.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue is what slog prints.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON encodes "REDACTED".
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// MarshalText encodes REDACTED.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalYAML encodes REDACTED.
func (s Secret) MarshalYAML() (any, error) { return redacted, nil }
