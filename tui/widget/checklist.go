package widget

import "fmt"

// Item is one line of a checklist.
type Item struct {
	Text  string
	State string // a word that has a mark: passed, pending, failed …
	Note  string // evidence and age, or who signed and when
	Role  Role   // of the note
}

// PageItems is how many items of a checklist stand on a page at most: as many
// as there are digits to choose one by.
const PageItems = 9

// ListPage says which items of a checklist are in view, and on which page.
type ListPage struct{ First, Last, N, Of int }

// Checklist draws the page of items that the cursor is on. Long texts are
// wrapped; where a page has no room, a note stands beside its text. at is the
// line of the cursor, or -1.
func Checklist(t Theme, items []Item, cursor, w, h int) (lines []string, at int, page ListPage) {
	at = -1
	short := false
	var blocks [][]string
	for {
		blocks = blocks[:0]
		for i, it := range items {
			blocks = append(blocks, it.lines(t, i == cursor, w, short))
		}
		if short || len(items) == 0 || height(blocks[:min(len(blocks), PageItems)]) <= h {
			break
		}
		short = true
	}
	pages := paged(blocks, h)
	for n, p := range pages {
		if cursor >= p.Last && n < len(pages)-1 {
			continue
		}
		page = ListPage{p.First, p.Last, n + 1, len(pages)}
		for i := p.First; i < p.Last; i++ {
			if i == cursor {
				at = len(lines)
			}
			for k, l := range blocks[i] {
				if k == 0 {
					l = numbered(t, l, i-p.First+1, i == cursor)
				}
				lines = append(lines, Cut(l, w))
			}
		}
		break
	}
	return lines[:min(len(lines), max(h, 1))], at, page
}

func numbered(t Theme, rest string, n int, on bool) string {
	if on {
		return t.Paint(Accent, "▌") + t.Paint(Accent, fmt.Sprint(n)) + " " + rest
	}
	return " " + t.Paint(Dim, fmt.Sprint(n)) + " " + rest
}

func height(blocks [][]string) (n int) {
	for _, b := range blocks {
		n += len(b)
	}
	return n
}

// paged parts blocks into pages that are h lines high at most, and never empty.
func paged(blocks [][]string, h int) []ListPage {
	var all []ListPage
	for from := 0; from < len(blocks); {
		to, used := from+1, len(blocks[from])
		for to < len(blocks) && to-from < PageItems && used+len(blocks[to]) <= h {
			used += len(blocks[to])
			to++
		}
		all = append(all, ListPage{First: from, Last: to})
		from = to
	}
	return all
}

// lines is an item but for its number: the first line lacks three cells.
func (it Item) lines(t Theme, on bool, w int, short bool) []string {
	role, bar := Text, "  "
	if on {
		role, bar = Strong, t.Paint(Accent, "▌ ")
	}
	text := Wrap(it.Text, w-6)
	if len(text) == 0 {
		text = []string{""}
	}
	if short && len(text) == 1 && Width(it.Text)+Width(it.Note)+8 <= w {
		return []string{t.Mark(it.State) + " " + t.Paint(role, it.Text) + "  " + t.Paint(it.Role, it.Note)}
	}
	out := []string{t.Mark(it.State) + " " + t.Paint(role, text[0])}
	for _, l := range text[1:] {
		out = append(out, bar+"   "+t.Paint(role, l))
	}
	notes := Wrap(it.Note, w-6)
	if len(notes) > 3 {
		notes = append(notes[:2:2], Cut(notes[2]+" …", w-6))
	}
	for _, l := range notes {
		out = append(out, bar+"   "+t.Paint(it.Role, l))
	}
	return out
}
