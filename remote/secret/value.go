package secret

import (
	"fmt"
	"log/slog"
)

// Mask is what stands in place of a secret wherever one would be shown.
const Mask = "[secret]"

// Value is a secret. The zero Value is empty. The text sits behind a func,
// because fmt prints unexported string fields without asking any method.
type Value struct{ reveal func() string }

// New wraps text in a Value.
func New(text string) Value { return Value{func() string { return text }} }

// Reveal returns the text itself. Each call is a place to review.
func (v Value) Reveal() string {
	if v.reveal == nil {
		return ""
	}
	return v.reveal()
}

// IsZero tells whether the value holds no text.
func (v Value) IsZero() bool { return v.Reveal() == "" }

func (v Value) String() string               { return Mask }
func (v Value) GoString() string             { return Mask }
func (v Value) Format(f fmt.State, _ rune)   { fmt.Fprint(f, Mask) }
func (v Value) MarshalText() ([]byte, error) { return []byte(Mask), nil }
func (v Value) LogValue() slog.Value         { return slog.StringValue(Mask) }

// Ref is a plan field that names a secret: {secret: pg_password}.
type Ref struct {
	Name string `yaml:"secret" doc:"name of a secret declared under secrets"`
}
