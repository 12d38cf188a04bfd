package widget

import "strings"

// Cell is one field of a table.
type Cell struct {
	Text string
	Role Role
}

// Hidden is the Width of a column that is left out.
const Hidden = -1

// Col is one column. Width 0 takes what its longest cell needs; columns that
// Grow share what is left over: none gets more than its longest cell needs as
// long as another is short of room.
type Col struct {
	Title string
	Width int
	Max   int // of a natural width; 0: no limit
	Grow  bool
	Right bool
	Ends  bool // what is too long is shortened in its middle
}

// Table is rows under a head.
type Table struct {
	Cols   []Col
	Rows   [][]Cell
	Cursor int // row that has the focus; -1: none
	NoHead bool
}

// Lines draws the table in w by h and returns the line that the cursor is on,
// or -1.
func (tb Table) Lines(t Theme, w, h int) (lines []string, at int) {
	widths := tb.widths(w - 2)
	at = -1
	if !tb.NoHead {
		cells := make([]Cell, len(tb.Cols))
		for i, c := range tb.Cols {
			cells[i] = Cell{c.Title, Dim}
		}
		lines = append(lines, Cut("  "+tb.row(t, cells, widths, false), w))
	}
	room := h - len(lines)
	from := From(max(tb.Cursor, 0), len(tb.Rows), room)
	for i := from; i < len(tb.Rows) && i < from+room; i++ {
		lead := "  "
		if i == tb.Cursor {
			lead, at = t.Paint(Accent, "▌ "), len(lines)
		}
		lines = append(lines, Cut(lead+tb.row(t, tb.Rows[i], widths, i == tb.Cursor), w))
	}
	return lines, at
}

func (tb Table) row(t Theme, cells []Cell, widths []int, focus bool) string {
	var b strings.Builder
	for i, c := range cells {
		if i >= len(widths) || widths[i] <= 0 {
			continue
		}
		if b.Len() > 0 {
			b.WriteString("  ")
		}
		if tb.Cols[i].Ends {
			c.Text = CutMiddle(c.Text, widths[i])
		}
		s := Fit(c.Text, widths[i])
		if tb.Cols[i].Right {
			s = FitRight(c.Text, widths[i])
		}
		role := c.Role
		if focus && (role == Text || role == Dim && tb.Cols[i].Grow) {
			role = Strong
		}
		b.WriteString(t.Paint(role, s))
	}
	return b.String()
}

// widths shares w among the columns: fixed and natural ones first, the rest to
// those that grow, equally.
func (tb Table) widths(w int) []int {
	ws := make([]int, len(tb.Cols))
	left, growing := w+2, 0
	for i, c := range tb.Cols {
		if c.Width == Hidden {
			continue
		}
		left -= 2
		if c.Grow {
			growing++
			continue
		}
		ws[i] = c.Width
		if c.Width == 0 {
			ws[i] = tb.longest(i)
			if c.Max > 0 {
				ws[i] = min(ws[i], c.Max)
			}
		}
		left -= ws[i]
	}
	tb.grow(ws, left, growing)
	return ws
}

// grow shares left among the n columns that grow.
func (tb Table) grow(ws []int, left, n int) {
	shared := map[int]bool{}
	for again := n > 1; again; { // what needs less than its share gives the rest away
		again = false
		for i, c := range tb.Cols {
			if need := tb.longest(i); c.Grow && !shared[i] && n > 1 && need <= left/n {
				ws[i], shared[i], again = need, true, true
				left, n = left-need, n-1
			}
		}
	}
	for i, c := range tb.Cols {
		if c.Grow && !shared[i] {
			ws[i] = max(0, left/max(n, 1))
			left, n = left-ws[i], n-1
		}
	}
}

// longest is how many cells column i needs.
func (tb Table) longest(i int) int {
	n := Width(tb.Cols[i].Title)
	for _, r := range tb.Rows {
		if i < len(r) {
			n = max(n, Width(r[i].Text))
		}
	}
	return n
}
