package tui

import (
	"strings"

	tea "charm.land/bubbletea/v2"

	"belay/tui/widget"
)

// field is one line that somebody types into.
type field struct {
	id       string // reason, text, name or type
	label    string
	want     string // what must be typed, exactly; "" for free text
	optional bool
	hidden   bool
	in       *line
}

// form is the fields of one answer.
type form struct {
	fields []field
	at     int
}

func newField(id, label string) field {
	return field{id: id, label: label, in: &line{}}
}

func (f *form) add(fd field) { f.fields = append(f.fields, fd) }

// focus moves to field i, around the ends.
func (f *form) focus(i int) {
	if len(f.fields) == 0 {
		return
	}
	f.at = (i + len(f.fields)) % len(f.fields)
}

// empty is the first field that nobody has filled in; 0 when there is none.
func (f *form) empty() int {
	for i, fd := range f.fields {
		if strings.TrimSpace(fd.in.Value()) == "" {
			return i
		}
	}
	return 0
}

// lacks tells whether there is such a field, and nothing in it.
func (f *form) lacks(id string) bool {
	for _, fd := range f.fields {
		if fd.id == id {
			return strings.TrimSpace(fd.in.Value()) == ""
		}
	}
	return false
}

// update gives a key or a paste to the focused field.
func (f *form) update(msg tea.Msg) {
	if len(f.fields) == 0 {
		return
	}
	if p, ok := msg.(tea.PasteMsg); ok {
		p.Content = widget.CleanLine(strings.TrimRight(p.Content, "\r\n"))
		if f.fields[f.at].hidden { // a secret is taken as it is
			p.Content = strings.TrimRight(msg.(tea.PasteMsg).Content, "\r\n")
		}
		msg = p
	}
	f.fields[f.at].in.update(msg)
}

// value is what stands in a field; "" when there is no such field.
func (f *form) value(id string) string {
	for _, fd := range f.fields {
		if fd.id == id {
			return strings.TrimSpace(fd.in.Value())
		}
	}
	return ""
}

// problem says what keeps the form from being sent; "" when nothing does. It
// puts the focus there.
func (f *form) problem() string {
	for i, fd := range f.fields {
		v := strings.TrimSpace(fd.in.Value())
		switch {
		case fd.want != "" && v != fd.want:
			f.focus(i)
			return "“" + fd.want + "” has to be typed exactly; nothing was sent"
		case v == "" && !fd.optional:
			f.focus(i)
			return strings.ToLower(fd.label) + " is missing; nothing was sent"
		}
	}
	return ""
}

// lines draws the fields and says where the cursor is.
func (f *form) lines(th widget.Theme, w int) (out []string, at point) {
	at = nowhere
	label := 0
	for _, fd := range f.fields {
		label = max(label, widget.Width(fd.label))
	}
	for i := range f.fields {
		fd := &f.fields[i]
		lead, role := "  ", widget.Dim
		if i == f.at {
			lead, role = th.Paint(widget.Accent, "▌ "), widget.Strong
		}
		note := ""
		if fd.want != "" {
			_, state, say := widget.Typed(fd.want, fd.in.Value())
			note = "  " + th.Mark(state) + " " + th.Paint(widget.Dim, say)
		}
		room := max(8, w-label-6-widget.Width(note))
		if fd.want != "" {
			room = min(room, max(16, len(fd.want)+4))
		}
		text, x := fd.in.view(room)
		if fd.hidden {
			x, text = 0, th.Paint(widget.Dim, "(what you type is not shown)")
		}
		head := lead + th.Paint(role, widget.Fit(fd.label, label)) + "  "
		if i == f.at {
			at = point{label + 4 + x, len(out)}
		}
		out = append(out, widget.Cut(head+underlined(th, text, room)+note, w))
	}
	return out, at
}

// underlined shows where typing goes even when nothing has been typed.
func underlined(th widget.Theme, text string, w int) string {
	text = strings.TrimRight(text, " ")
	if n := w - widget.Width(text); n > 0 {
		return text + th.Paint(widget.Dim, strings.Repeat("_", n))
	}
	return text
}
