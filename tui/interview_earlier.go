package tui

import (
	"fmt"
	"time"

	tea "charm.land/bubbletea/v2"

	"belay/tui/widget"
)

// mostEarlier is how many earlier interviews are offered.
const mostEarlier = 5

// earlierPage offers to go on with an interview that ended before its end.
type earlierPage struct {
	question
	cursor int
}

func newEarlierPage() *earlierPage {
	return &earlierPage{question: question{
		name: "again", title: always("Go on where you stopped?"),
		more:  always("An interview ended before its plan was written. What was answered is kept on this machine; the servers are looked at anew."),
		asked: func(iv *interview) bool { return len(iv.earlier) > 0 },
	}}
}

func (p *earlierPage) place() place             { return inChoice }
func (p *earlierPage) enter(*interview) tea.Cmd { p.cursor = 0; return nil }

func (p *earlierPage) press(iv *interview, do action, _ tea.Msg) tea.Cmd {
	switch do {
	case "enter":
		if p.cursor < len(iv.earlier) {
			return iv.goOn(iv.earlier[p.cursor])
		}
		iv.earlier = nil
		return iv.show("servers")
	case "back":
		return iv.leave()
	default:
		p.cursor = moved(do, p.cursor, len(iv.earlier)+1, 5)
	}
	return nil
}

// says is an earlier interview in words.
func (k Kept) says(now time.Time) (what, when string) {
	what = oneLine(k.Answers.From) + ", where it stays"
	if k.Answers.To != "" {
		what = oneLine(k.Answers.From) + " → " + oneLine(k.Answers.To)
	}
	return what, fmt.Sprintf("It stopped %s, at “%s”.", widget.Ago(now.Sub(k.At)), oneLine(k.Page))
}

func (p *earlierPage) view(iv *interview, w, h int) ([]string, point) {
	th, lines, at := iv.th, p.explained(iv, w), nowhere
	row := func(i int, label, note string) {
		lead, role := "  ", widget.Text
		if i == p.cursor {
			lead, role, at = th.Paint(widget.Accent, "▌ "), widget.Strong, rowAt(len(lines))
		}
		lines = append(lines, widget.Cut(lead+th.Paint(role, label), w))
		for _, l := range widget.Wrap(note, min(w, 100)-8) {
			lines = append(lines, "      "+th.Paint(widget.Dim, l))
		}
	}
	for i, k := range iv.earlier {
		what, when := k.says(iv.o.Now())
		row(i, "Go on with "+what, when)
	}
	row(len(iv.earlier), "Begin anew", "What was kept of the same servers is replaced, that of others stays.")
	return windowed(lines, at, h)
}

// windowed shows the part of lines around the cursor.
func windowed(lines []string, at point, h int) ([]string, point) {
	if len(lines) <= h || at.y < h-1 && at.y < len(lines)/2 {
		return lines, at
	}
	from := widget.From(at.y, len(lines), h)
	at.y -= from
	return lines[from:min(len(lines), from+h)], at
}
