package tui

import (
	tea "charm.land/bubbletea/v2"

	"belay/steps/run"
	"belay/tui/widget"
)

// prompt asks for what is never written down: a passphrase, a password, an
// unknown host key.
type prompt struct {
	p       *run.Prompt
	form    form
	say     string
	refused bool // esc was pressed once
}

func newPrompt(p *run.Prompt) *prompt {
	label := "Answer"
	switch {
	case p.Type != "":
		label = "Type “" + oneLine(p.Type) + "”"
	case p.Hidden:
		label = "Secret"
	}
	f := newField("text", label)
	f.want, f.hidden = p.Type, p.Hidden
	x := &prompt{p: p}
	x.form.add(f)
	x.form.focus(0)
	return x
}

func (x *prompt) place() place  { return inPrompt }
func (x *prompt) title() string { return "belay waits for YOU" }

func (x *prompt) press(m *model, do action, msg tea.Msg) tea.Cmd {
	if do == "help" {
		m.explain()
		return nil
	}
	if text, ok, done := x.key(do, msg); done {
		return x.reply(m, text, ok)
	}
	return nil
}

// key takes a key; done says that text is the answer, or that there is none
// when ok is false.
func (x *prompt) key(do action, msg tea.Msg) (text string, ok, done bool) {
	if do != "back" {
		x.refused = false
	}
	switch do {
	case "enter":
		if x.p.Type != "" {
			x.say = "ctrl-y accepts; enter does not"
			return "", false, false
		}
		return x.send()
	case "send":
		return x.send()
	case "back":
		if !x.refused {
			x.refused, x.say = true, "press esc once more to refuse"
			return "", false, false
		}
		return "", false, true
	case "":
		x.say = ""
		x.form.update(msg)
	}
	return "", false, false
}

func (x *prompt) send() (text string, ok, done bool) {
	text = x.form.fields[0].in.Value() // a secret may end in a space
	if x.p.Type != "" {
		if x.say = x.form.problem(); x.say != "" {
			return "", false, false
		}
		text = x.form.value("text")
	}
	return text, true, true
}

func (x *prompt) reply(m *model, text string, ok bool) tea.Cmd {
	reply := x.p.Reply
	m.replied = x.p.ID
	m.close()
	return func() tea.Msg { reply(text, ok); return pull{} }
}

func (x *prompt) view(sc *scene, w, _ int) ([]string, point) { return x.draw(sc.th, w) }

func (x *prompt) draw(th widget.Theme, w int) ([]string, point) {
	lines := []string{widget.Cut("  "+th.Paint(widget.Strong, oneLine((x.p.Title))), w), ""}
	for _, l := range widget.Wrap(clean(x.p.Text), w-4) {
		lines = append(lines, "  "+l)
	}
	fields, at := x.form.lines(th, w)
	lines = append(lines, "")
	at.y += len(lines)
	lines = append(append(lines, fields...), "")
	say := "It is not written down anywhere."
	role := widget.Dim
	if x.p.Type != "" {
		say = "Compare the fingerprint with one that you got by another way."
	}
	if x.say != "" {
		say, role = x.say, widget.Warn
	}
	return append(lines, widget.Cut("  "+th.Paint(role, say), w)), at
}
