package widget

import (
	"fmt"
	"strings"
	"time"
)

// Source is a log that is read by line. It may grow at any time; lines that
// are there do not change.
type Source interface {
	Len() int
	// Lines returns up to n lines from the given one on.
	Lines(from, n int) []Line
}

// Line is one line of a log. Text is drawn after Clean.
type Line struct {
	Time time.Time
	Tag  string // where it comes from: a host, or step and host
	Text string
}

// LogPane shows a window of a Source, however long that is: only the rows in
// view are asked for and wrapped. Refresh looks at the source, Lines draws what
// Refresh saw; so drawing twice shows the same.
type LogPane struct {
	Source Source
	Follow bool   // stay at the end
	Wrap   bool   // else lines are cut, and X scrolls
	Times  bool   // show the time of each line
	Tag    int    // cells for the tag; 0: not shown
	Query  string // highlighted
	X      int    // first column in view when not wrapping

	w, h int
	top  int // line of the first row in view
	sub  int // which of its rows, when it is wrapped
	n    int // lines of the source, as last seen
	left int // n when following was given up
	hit  int // line that a search came to, plus 1
	rows []row
	drew drawn // what rows was made from
}

// drawn is all that rows depends on, besides lines that never change.
type drawn struct {
	n, w, h, top, sub, tag, x int
	follow, wrap, times       bool
}

type row struct {
	line int // index in the source
	sub  int // which row of that line
	lead string
	text string
}

// Resize sets the room that there is.
func (p *LogPane) Resize(w, h int) { p.w, p.h = max(w, 1), max(h, 1) }

// Show changes the source and starts at its end.
func (p *LogPane) Show(s Source) {
	p.Source, p.Follow, p.top, p.sub, p.n, p.hit, p.X, p.rows = s, true, 0, 0, 0, 0, 0, nil
}

// Len is the number of lines as last seen.
func (p *LogPane) Len() int { return p.n }

// Top is the first line in view.
func (p *LogPane) Top() int { return p.top }

// New is how many lines came since following was given up.
func (p *LogPane) New() int {
	if p.Follow {
		return 0
	}
	return max(0, p.n-p.left)
}

// Refresh looks at the source and tells whether what is in view has changed.
func (p *LogPane) Refresh() bool {
	if p.Source == nil {
		return false
	}
	was, news := p.rows, p.New()
	p.n = p.Source.Len()
	now := drawn{p.n, p.w, p.h, p.top, p.sub, p.Tag, p.X, p.Follow, p.Wrap, p.Times}
	if p.rows != nil && now == p.drew {
		return false
	}
	if p.Follow {
		p.rows = p.last(p.n)
	} else {
		p.top = max(0, min(p.top, p.n-1))
		p.rows = p.from(p.top, p.sub)
		if len(p.rows) < p.h { // the end is in view: fill the pane
			p.rows = p.last(p.n)
		}
	}
	if len(p.rows) > 0 {
		p.top, p.sub = p.rows[0].line, p.rows[0].sub
	}
	p.drew = drawn{p.n, p.w, p.h, p.top, p.sub, p.Tag, p.X, p.Follow, p.Wrap, p.Times}
	return news != p.New() || !same(was, p.rows)
}

func same(a, b []row) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// last returns the rows that end before line end.
func (p *LogPane) last(end int) []row {
	from := max(0, end-p.h)
	var rows []row
	for i, l := range p.Source.Lines(from, end-from) {
		rows = append(rows, p.wrapped(from+i, l)...)
	}
	return rows[max(0, len(rows)-p.h):]
}

// from returns the rows that begin with row sub of line top.
func (p *LogPane) from(top, sub int) []row {
	var rows []row
	for i, l := range p.Source.Lines(top, p.h+1) {
		part := p.wrapped(top+i, l)
		if i == 0 {
			part = part[min(sub, len(part)-1):]
		}
		rows = append(rows, part...)
		if len(rows) >= p.h {
			return rows[:p.h]
		}
	}
	return rows
}

// wrapped lays out one line.
func (p *LogPane) wrapped(i int, l Line) []row {
	lead := ""
	if p.Times && !l.Time.IsZero() {
		lead = l.Time.Format("15:04:05 ")
	}
	if p.Tag > 0 {
		lead += Fit(CleanLine(l.Tag), p.Tag) + " "
	}
	text := CleanLine(l.Text)
	room := max(1, p.w-1-Width(lead))
	if !p.Wrap {
		return []row{{i, 0, lead, cutFrom(text, p.X, room)}}
	}
	var rows []row
	for n, part := range Chop(text, room) {
		if n == 1 {
			lead = strings.Repeat(" ", Width(lead))
		}
		rows = append(rows, row{i, n, lead, part})
	}
	return rows
}

// Lines draws the pane and returns the line of the screen that a search hit is
// on, or -1.
func (p *LogPane) Lines(t Theme) (out []string, at int) {
	at = -1
	for _, r := range p.rows {
		gutter := " "
		if p.hit == r.line+1 {
			gutter = t.Paint(Accent, "▸")
			if at < 0 {
				at = len(out)
			}
		}
		out = append(out, gutter+t.Paint(Dim, r.lead)+highlight(t, r.text, p.Query))
	}
	return out, at
}

// Position says where the pane stands: "following", "▼ 312 new", "line 1,204 of 9,000".
func (p *LogPane) Position(t Theme) string {
	switch {
	case p.n == 0:
		return t.Paint(Dim, "empty so far")
	case p.Follow && p.n == 1:
		return t.Paint(Dim, "following · 1 line")
	case p.Follow:
		return t.Paint(Dim, "following · "+Thousands(int64(p.n))+" lines")
	}
	s := t.Paint(Dim, fmt.Sprintf("line %s of %s", Thousands(int64(p.top+1)), Thousands(int64(p.n))))
	if p.New() > 0 {
		s += "  " + t.Paint(Accent, "▼ "+Thousands(int64(p.New()))+" new")
	}
	return s
}

// Text is what is in view, without any drawing; for copying.
func (p *LogPane) Text() string {
	var b strings.Builder
	if len(p.rows) == 0 {
		return ""
	}
	from, to := p.rows[0].line, p.rows[len(p.rows)-1].line
	for _, l := range p.Source.Lines(from, to-from+1) {
		if !l.Time.IsZero() {
			b.WriteString(l.Time.Format("15:04:05 "))
		}
		if l.Tag != "" {
			b.WriteString(CleanLine(l.Tag) + " ")
		}
		b.WriteString(CleanLine(l.Text) + "\n")
	}
	return b.String()
}
