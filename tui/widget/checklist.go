package widget

// Item is one line of a checklist.
type Item struct {
	Text  string
	State string // a word that has a mark: passed, pending, failed …
	Note  string // second line: evidence and age, or who signed and when
	Role  Role   // of the note
}

// Checklist draws items of two lines each and returns the line that the cursor
// is on, or -1.
func Checklist(t Theme, items []Item, cursor, w, h int) (lines []string, at int) {
	at = -1
	room := max(1, h/2)
	from := From(max(cursor, 0), len(items), room)
	for i := from; i < len(items) && i < from+room; i++ {
		it, lead, role := items[i], "  ", Text
		if i == cursor {
			lead, role, at = t.Paint(Accent, "▌ "), Strong, len(lines)
		}
		lines = append(lines,
			Cut(lead+t.Mark(it.State)+" "+t.Paint(role, it.Text), w),
			Cut(lead+"  "+t.Paint(it.Role, it.Note), w))
	}
	return lines, at
}
