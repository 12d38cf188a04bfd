package tui

import (
	"belay/steps/journal"
	"belay/steps/run"
)

// intervene opens the dialog of what may be asked of the engine at any time.
// It looks and works like a question, because that is how people will meet it.
func (m *model) intervene() {
	if m.sc.live.Ended {
		m.toast("the run has ended; nothing can be asked of it here")
		return
	}
	if only := m.sc.readOnly(); only != "" {
		m.toast(only)
		return
	}
	q := journal.Question{Title: "Stop, end, or turn back?",
		Text: "Nothing is cut short unless you end the running commands. belay asks again before it undoes anything.",
		Options: []journal.Option{
			{Choice: run.WantStop, Label: "stop after the step that runs now"},
			{Choice: run.WantCancel, Label: "end the running commands now, then ask what next", Danger: true},
			{Choice: run.WantRollback, Label: "roll back: belay shows the list and asks again"},
		}}
	if m.sc.st.Rollback != nil {
		q.Title, q.Options = "Stop, or end what runs?", q.Options[:2]
		q.Text = "The way back goes on where it was, whenever the run is resumed. A step that is ended is asked about: it can be tried again or left out."
	}
	a := newAsk(q, "", nil)
	a.free = true
	m.top = a
}
