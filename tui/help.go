package tui

import (
	"strings"

	tea "charm.land/bubbletea/v2"

	"belay/tui/widget"
)

// askHelp opens the keys in front of a dialog, which stays as it is.
func (m *model) askHelp() {
	from := m.place()
	m.under, m.top = m.top, newHelp(from)
}

// help lists all keys; what is typed filters them.
type help struct {
	from   place // where it was opened: those keys come first
	form   form
	scroll int
}

func newHelp(from place) *help {
	h := &help{from: from}
	f := newField("filter", "Filter")
	f.optional = true
	h.form.add(f)
	h.form.focus(0)
	return h
}

func (x *help) place() place  { return inHelp }
func (x *help) title() string { return "all keys" }

func (x *help) press(m *model, do action, msg tea.Msg) tea.Cmd {
	switch do {
	case "back":
		m.close()
	case "down", "up":
		x.scroll = moved(do, x.scroll, 1000, 10)
	case "":
		x.scroll = 0
		x.form.update(msg)
		return nil
	}
	return nil
}

func (x *help) view(sc *scene, w, h int) ([]string, point) {
	fields, at := x.form.lines(sc.th, min(w, 50))
	want := strings.ToLower(x.form.value("filter"))
	var out []string
	order := append([]place{x.from}, places...)
	for i, p := range order {
		if i > 0 && p == x.from {
			continue
		}
		head := false
		for _, b := range bindings {
			if b.in != p || !strings.Contains(strings.ToLower(b.name()+" "+b.help+" "+string(p)), want) {
				continue
			}
			if !head {
				out, head = append(out, "", "  "+sc.th.Paint(widget.Strong, string(p))), true
			}
			out = append(out, widget.Cut("    "+sc.th.Paint(widget.Accent, widget.Fit(b.name(), 12))+b.help, w))
		}
	}
	if len(out) == 0 {
		out = []string{"", "  No key does that."}
	}
	return append(fields, scrolled(sc, out, &x.scroll, w, h-len(fields))...), at
}
