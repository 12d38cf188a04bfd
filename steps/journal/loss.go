package journal

import (
	"fmt"
	"strings"
	"time"
)

// Losses is the Data of Losing: what going back would lose of a step's stores.
type Losses struct {
	At  time.Time `json:"at"`
	Of  []Loss    `json:"of,omitempty"`
	Err string    `json:"err,omitempty"` // why nobody knows
}

// Loss is what one store would lose, as it was recorded; see steps.Loss.
type Loss struct {
	Store  string `json:"store"`
	Count  int64  `json:"count"` // -1: something, and nobody knows how much
	About  bool   `json:"about,omitempty"`
	Unit   string `json:"unit,omitempty"`
	Since  string `json:"since,omitempty"`
	Detail string `json:"detail,omitempty"`
	Synced string `json:"synced,omitempty"`
	Kept   string `json:"kept,omitempty"`

	AtLeast bool `json:"at_least,omitempty"`
}

// Nothing tells whether it is known that nothing would be lost.
func (l Loss) Nothing() bool { return l.Count == 0 && !l.About && !l.AtLeast }

// Words say what was written, and what becomes of it on the way back.
func (l Loss) Words() string {
	var b strings.Builder
	switch {
	case l.Nothing():
		return strings.TrimSpace("nothing was written " + l.Since)
	case l.Count == 0 && l.AtLeast:
		b.WriteString("whether something was written is not known: nothing was seen to be")
	case l.Count == 0:
		b.WriteString("nothing was seen to be written")
	case l.Count < 0:
		b.WriteString("something was written, nobody knows how much")
	default:
		if l.AtLeast {
			b.WriteString("at least ")
		}
		if l.About {
			b.WriteString("about ")
		}
		b.WriteString(Amount(l.Count, l.Unit) + " written")
	}
	if l.Since != "" {
		b.WriteString(" " + l.Since)
	}
	if l.Detail != "" {
		b.WriteString(" (" + l.Detail + ")")
	}
	if l.Synced != "" {
		b.WriteString("; " + l.Synced)
	} else {
		b.WriteString("; nothing syncs it back")
	}
	if l.Kept != "" {
		b.WriteString("; " + l.Kept)
	}
	return b.String()
}

// Amount is n of a unit in words: a plural noun, or "B" for bytes.
func Amount(n int64, unit string) string {
	if unit == "B" {
		div, i := float64(1), 0
		for names := []string{"B", "KiB", "MiB", "GiB", "TiB"}; i < len(names)-1 && float64(n)/div >= 1024; i++ {
			div *= 1024
		}
		if i == 0 {
			return fmt.Sprintf("%d B", n)
		}
		return strings.TrimSuffix(fmt.Sprintf("%.1f", float64(n)/div), ".0") + []string{" B", " KiB", " MiB", " GiB", " TiB"}[i]
	}
	if n == 1 {
		unit = strings.TrimSuffix(unit, "s")
	}
	digits := fmt.Sprint(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits + " " + unit
}
