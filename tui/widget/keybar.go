package widget

import "strings"

// Hint is a key and what it does.
type Hint struct{ Key, Label string }

// KeyBar draws as many hints as fit, in their order, and keeps the last one
// (the way to all the others) in any case.
func KeyBar(t Theme, hints []Hint, w int) string {
	if len(hints) == 0 {
		return ""
	}
	draw := func(h Hint) string { return t.Paint(Accent, h.Key) + " " + t.Paint(Dim, h.Label) }
	last := draw(hints[len(hints)-1])
	room := w - Width(last) - 3
	var b strings.Builder
	used := 0
	for _, h := range hints[:len(hints)-1] {
		s := draw(h)
		n := Width(s) + 3
		if used+n > room {
			break
		}
		b.WriteString(s + "   ")
		used += n
	}
	return Cut(b.String()+last, w)
}
