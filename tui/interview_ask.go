package tui

import (
	tea "charm.land/bubbletea/v2"

	"belay/tui/widget"
)

// question is what every page of an interview has.
type question struct {
	name  string // on the rail, and in the list of answers
	title func(iv *interview) string
	more  func(iv *interview) string
	such  []widget.Pair            // examples, under the text
	asked func(iv *interview) bool // nil: always
	said  func(a *Answers) string  // the answer in words; nil: there is none to give
}

func (q *question) about() *question { return q }

func (q *question) wanted(iv *interview) bool { return q.asked == nil || q.asked(iv) }

// explained is the text under the title.
func (q *question) explained(iv *interview, w int) []string {
	out := []string{""}
	if q.more != nil {
		for _, l := range widget.Wrap(q.more(iv), min(w, 100)-4) {
			out = append(out, "  "+iv.th.Paint(widget.Dim, l))
		}
		out = append(append(out, widget.Pairs(iv.th, q.such, min(w, 100))...), "")
	}
	return out
}

func always(text string) func(*interview) string { return func(*interview) string { return text } }

// blank is one thing that is typed.
type blank struct {
	label    string
	optional bool
	get      func(a *Answers) string
	set      func(a *Answers, text string) (problem string)
}

// typing asks for what is typed.
type typing struct {
	question
	blanks []blank
	form   form
	say    string
}

func (t *typing) place() place { return inTyping }

func (t *typing) enter(iv *interview) tea.Cmd {
	t.form, t.say = form{}, ""
	for _, b := range t.blanks {
		f := newField(b.label, b.label)
		f.optional = b.optional
		f.in.SetValue(b.get(&iv.a))
		t.form.add(f)
	}
	t.form.focus(0)
	return nil
}

func (t *typing) press(iv *interview, do action, msg tea.Msg) tea.Cmd {
	switch do {
	case "enter":
		if t.form.at+1 < len(t.form.fields) {
			t.form.focus(t.form.at + 1)
			return nil
		}
		if t.say = t.take(iv); t.say == "" {
			return iv.forward()
		}
	case "down":
		t.form.focus(t.form.at + 1)
	case "up":
		t.form.focus(t.form.at - 1)
	case "back":
		return iv.back()
	case "":
		t.say, iv.touched = "", true
		t.form.update(msg)
	}
	return nil
}

// take puts what was typed into the answers, unless something is wrong.
func (t *typing) take(iv *interview) (problem string) {
	a := iv.a
	for i, b := range t.blanks {
		v := t.form.value(b.label)
		switch {
		case v == "" && !b.optional:
			problem = "An answer is needed here."
		default:
			problem = b.set(&a, v)
		}
		if problem != "" {
			t.form.focus(i)
			return problem
		}
	}
	iv.a = a
	return ""
}

func (t *typing) view(iv *interview, w, h int) ([]string, point) {
	lines := t.explained(iv, w)
	fields, at := t.form.lines(iv.th, min(w, 100))
	at.y += len(lines)
	lines = append(append(lines, fields...), "")
	if t.say != "" {
		for _, l := range widget.Wrap(t.say, w-4) {
			lines = append(lines, "  "+iv.th.Paint(widget.Warn, l))
		}
	}
	return windowed(lines, at, h)
}

// choosing asks for one of several.
type choosing struct {
	question
	choices []choice
	get     func(a *Answers) string
	set     func(a *Answers, value string)
	cursor  int
}

type choice struct{ value, label, note string }

func (c *choosing) place() place { return inChoice }

func (c *choosing) enter(iv *interview) tea.Cmd {
	for i, o := range c.choices {
		if o.value == c.get(&iv.a) {
			c.cursor = i
		}
	}
	return nil
}

func (c *choosing) press(iv *interview, do action, _ tea.Msg) tea.Cmd {
	switch do {
	case "enter":
		c.set(&iv.a, c.choices[c.cursor].value)
		return iv.forward()
	case "back":
		return iv.back()
	default:
		c.cursor = moved(do, c.cursor, len(c.choices), 5)
	}
	return nil
}

func (c *choosing) view(iv *interview, w, h int) ([]string, point) {
	lines := c.explained(iv, w)
	at := nowhere
	for i, o := range c.choices {
		lead, role, mark := "  ", widget.Text, "( ) "
		if o.value == c.get(&iv.a) {
			mark = "(*) "
		}
		if i == c.cursor {
			lead, role, at = iv.th.Paint(widget.Accent, "▌ "), widget.Strong, rowAt(len(lines))
		}
		lines = append(lines, widget.Cut(lead+mark+iv.th.Paint(role, o.label), w))
		for _, l := range widget.Wrap(o.note, min(w, 100)-8) {
			lines = append(lines, "      "+iv.th.Paint(widget.Dim, l))
		}
	}
	return windowed(lines, at, h)
}
