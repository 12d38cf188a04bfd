package tui

import (
	"fmt"

	tea "charm.land/bubbletea/v2"

	"belay/tui/widget"
)

// header says what this is, and how far it has come.
func (iv *interview) header() []string {
	what := "a plan from what servers show"
	switch {
	case iv.written:
		what = oneLine(iv.a.file())
	case iv.a.From != "" && iv.a.To != "":
		what = oneLine(iv.a.From) + " → " + oneLine(iv.a.To)
	case iv.a.From != "" && iv.far > 0:
		what = oneLine(iv.a.From) + ", where it stays"
	}
	left := iv.th.Paint(widget.Calm, " belay init ") + " " + iv.th.Paint(widget.Strong, what)
	note := "nothing is changed on any server"
	if iv.w < 80 {
		note = "no server is changed"
	}
	var stops []widget.Stop
	for i, p := range iv.pages {
		q := p.about()
		if !q.wanted(iv) {
			continue
		}
		state := "pending"
		switch {
		case i == iv.at:
			state = "running"
		case i < iv.at || i < iv.far && q.name != "look":
			state = "passed"
		}
		stops = append(stops, widget.Stop{Name: q.name, State: state})
	}
	return []string{
		widget.Spread(left, iv.th.Paint(widget.Dim, note)+" ", iv.w),
		" " + widget.Rail(iv.th, stops, iv.w-2),
	}
}

// counted says on the rule which question this is.
func (iv *interview) counted() string {
	n, all := 0, 0
	for i, p := range iv.pages {
		if q := p.about(); q.said != nil && q.wanted(iv) {
			all++
			if i == iv.at {
				n = all
			}
		}
	}
	if n == 0 {
		return ""
	}
	return iv.th.Paint(widget.Dim, fmt.Sprintf("question %d of %d", n, all))
}

// footer is a line across, what to do now, and the keys that work.
func (iv *interview) footer() []string {
	text, role := iv.todo()
	mark := "  "
	if role == widget.Warn {
		mark = iv.th.Paint(role, "◆ ")
	}
	line := mark + iv.th.Paint(role, widget.Cut(text, iv.w-2))
	if iv.said != "" {
		line = "  " + iv.th.Paint(widget.Accent, widget.Cut(oneLine(iv.said), iv.w-2))
	}
	over := iv.look != nil && iv.look.over()
	off := map[action]bool{"copy": true, "hold": true, "as-root": iv.a.Sudo || iv.rootAlready(), "recheck": !over, "login": !over,
		"no-root": !over || !iv.a.Sudo, "without": !over || !iv.spared(), "back": iv.top == nil && (iv.first() || over && iv.place() == inLooking)}
	return []string{widget.Rule(iv.th, "", "", iv.w), line, "  " + widget.KeyBar(iv.th, hints(iv.place(), off), iv.w-2)}
}

// first tells whether there is no question before this one.
func (iv *interview) first() bool {
	for _, p := range iv.pages[:iv.at] {
		if p.about().wanted(iv) {
			return false
		}
	}
	return true
}

// todo is what to do now.
func (iv *interview) todo() (string, widget.Role) {
	switch iv.place() {
	case inTyping:
		return "Type, then enter. Nothing is written before the end.", widget.Text
	case inChoice:
		switch iv.page().about().name {
		case "answers":
			return "Enter changes the row's answer, or goes on. Nothing is written yet.", widget.Text
		case "again":
			return "Choose a row, then enter: nothing is contacted before.", widget.Text
		}
		return "Choose a row, then enter.", widget.Text
	case inLooking:
		if iv.look != nil && iv.look.over() {
			return "Not everything was reached: choose by letter how to go on.", widget.Warn
		}
		return "Nothing to do: belay looks, and changes nothing. A minute at most.", widget.Dim
	case inFound:
		return "Space chooses what goes along; enter goes on.", widget.Text
	case inFilter:
		return "Type what its name, path or port has in it; then enter.", widget.Text
	case inPreview:
		return "Read it. ctrl-y writes it to " + oneLine(iv.a.file()) + "; enter does not.", widget.Warn
	case inWritten:
		return "The plan is written. q leaves.", widget.Strong
	case inPrompt:
		if p, ok := iv.top.(*promptOver); ok && p.x.p.Type != "" {
			return "Type " + oneLine(p.x.p.Type) + ", then ctrl-y; or esc twice to refuse.", widget.Warn
		}
		return "Type the answer, then enter; or esc twice to refuse.", widget.Warn
	case inForm:
		return "Type its name, then ctrl-y; esc names another file.", widget.Warn
	case inLeaving:
		return "Choose by letter.", widget.Warn
	}
	return "esc goes back.", widget.Dim
}

// helpOver is all the keys, in front of a page.
type helpOver struct {
	x     *help
	under overlay
}

func (o *helpOver) title() string { return o.x.title() }
func (o *helpOver) place() place  { return inHelp }
func (o *helpOver) press(iv *interview, do action, msg tea.Msg) tea.Cmd {
	if o.x.key(do, msg) {
		iv.top = o.under
	}
	return nil
}
func (o *helpOver) view(iv *interview, w, h int) ([]string, point) { return o.x.draw(iv.th, w, h) }

// readOver is text to read, in front of a page.
type readOver struct {
	name   string
	lines  func(w int) []string
	scroll int
}

func (o *readOver) title() string { return o.name }
func (o *readOver) place() place  { return inDetail }
func (o *readOver) press(iv *interview, do action, _ tea.Msg) tea.Cmd {
	switch do {
	case "back":
		iv.top = nil
	case "", "copy":
	default:
		o.scroll = moved(do, o.scroll, 1<<20, 10)
	}
	return nil
}
func (o *readOver) view(iv *interview, w, h int) ([]string, point) {
	return scrolled(iv.th, o.lines(w), &o.scroll, w, h), rowAt(1)
}

// leaving asks whether to go.
type leaving struct{ under overlay }

func (*leaving) title() string { return "leave?" }
func (*leaving) place() place  { return inLeaving }
func (l *leaving) press(iv *interview, do action, _ tea.Msg) tea.Cmd {
	switch do {
	case "leave":
		return iv.end()
	case "forget":
		iv.forget = true
		return iv.end()
	case "back":
		iv.top = l.under
	}
	return nil
}

func (l *leaving) view(iv *interview, w, _ int) ([]string, point) {
	kept := "No plan is written. Your answers are kept on this machine: the next belay init goes on here."
	if iv.a.From == "" || iv.unkept {
		kept = "No plan is written, and nothing is kept."
	}
	return append([]string{""}, widget.Pairs(iv.th, []widget.Pair{
		{Label: "l  leave", Value: kept, Max: 3},
		{Label: "f  forget", Value: "Leaves, too, and keeps nothing of it.", Max: 3},
		{Label: "esc  stay", Value: "Nothing happens."},
	}, min(w, 100))...), nowhere
}
