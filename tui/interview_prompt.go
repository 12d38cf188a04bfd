package tui

import (
	tea "charm.land/bubbletea/v2"

	"belay/steps/run"
)

// ask opens the dialog of a secret or host key, and closes it when nobody
// wants to know any more.
func (iv *interview) ask(p *run.Prompt) {
	o, open := iv.top.(*promptOver)
	switch {
	case open && (p == nil || p.ID != o.x.p.ID):
		iv.top, iv.dirty = nil, true
	case !open && p != nil && iv.top == nil:
		iv.top, iv.dirty = &promptOver{newPrompt(p)}, true
	}
}

// promptOver asks for what is never written down.
type promptOver struct{ x *prompt }

func (o *promptOver) title() string { return o.x.title() }
func (o *promptOver) place() place  { return inPrompt }
func (o *promptOver) press(iv *interview, do action, msg tea.Msg) tea.Cmd {
	text, ok, done := o.x.key(do, msg)
	if !done {
		return nil
	}
	iv.look.answered(o.x.p)
	iv.top = nil
	o.x.p.Reply(text, ok)
	return nil
}
func (o *promptOver) view(iv *interview, w, _ int) ([]string, point) { return o.x.draw(iv.th, w) }
