package widget

import "strings"

// Stop is one stage on the rail.
type Stop struct {
	Name  string
	State string // passed, running, waiting for you, failed or pending
	Note  string // "7/11"
}

// Rail draws the stages in one line: mark, name and note each. When they do
// not fit, what lies far from the stage that runs loses its name first.
func Rail(t Theme, stops []Stop, w int) string {
	now := 0
	for i, s := range stops {
		if s.State != "pending" {
			now = i
		}
	}
	for far := len(stops); far >= 0; far-- {
		var parts []string
		for i, s := range stops {
			parts = append(parts, s.draw(t, max(i-now, now-i) > far))
		}
		if line := strings.Join(parts, "  "); Width(line) <= w || far == 0 {
			return Cut(line, w)
		}
	}
	return ""
}

func (s Stop) draw(t Theme, short bool) string {
	m := MarkOf(s.State)
	if short {
		return t.Paint(m.Role, m.Glyph)
	}
	role := Strong
	if s.State == "pending" || s.State == "passed" {
		role = Dim
	}
	out := t.Paint(m.Role, m.Glyph) + " " + t.Paint(role, s.Name)
	if s.Note != "" {
		out += " " + t.Paint(m.Role, s.Note)
	}
	return out
}
