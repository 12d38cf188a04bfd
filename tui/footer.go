package tui

import (
	"fmt"
	"slices"
	"strings"

	"belay/steps/journal"
	"belay/steps/plan"
	"belay/tui/widget"
)

// next says in a sentence what happens and what is awaited from whom.
func (sc *scene) next() (string, widget.Role) {
	if sc.live.Ended && sc.live.Err != nil && !sc.st.Over() {
		return "The run has stopped, and can be taken up again. Press q to leave.", widget.Warn
	}
	if sc.live.Ended {
		return "The run is over: " + string(sc.st.Status) + ". Press q to leave.", widget.Strong
	}
	if text := sc.readOnly(); text != "" {
		if len(sc.st.Questions) > 0 {
			text += " A question waits."
		}
		return text, widget.Warn
	}
	if q := sc.question(); q != nil {
		more := ""
		if n := len(sc.st.Questions); n > 1 {
			more = fmt.Sprintf(" (and %d more)", n-1)
		}
		return "belay waits for YOU" + more + ": press enter to answer. " + oneLine(q.Title), widget.Warn
	}
	if sc.measuring() != "" {
		return "Nothing to do: " + sc.measuring() + ".", widget.Dim
	}
	if sc.live.Assessing {
		return "Nothing to do: belay is looking at " + plural(len(sc.plan.Hosts), "host") + " and changes nothing.", widget.Dim
	}
	running := sc.running()
	switch {
	case len(running) > 0:
		verb := "running"
		if sc.st.Rollback != nil && !sc.ownRuns() {
			verb = "undoing"
		}
		more := ""
		if len(running) > 1 {
			more = fmt.Sprintf(" and %d more", len(running)-1)
		}
		if _, role := sc.safe(); role == widget.Fail && sc.goesForward(journal.Cutover) && !sc.decided() {
			return "Too late to turn back in the window: you are asked before the next step.", widget.Warn
		}
		return fmt.Sprintf("Nothing to do: belay is %s “%s”%s; d: details.", verb, widget.Cut(clean(running[0]), 34), more), widget.Dim
	case sc.st.Status == journal.Soaking && sc.trouble() != "":
		return "Look here: " + firstOf(sc.trouble()) + ". x asks to roll back.", widget.Warn
	case sc.st.Status == journal.Soaking:
		return "Nothing to do: belay watches " + plural(len(sc.probes()), "probe") + ", " + soakTime(sc) + ".", widget.Dim
	case sc.st.Rollback != nil:
		return "Nothing to do: belay is rolling back.", widget.Dim
	}
	return "Nothing to do: belay is at work (" + string(sc.headStatus()) + ").", widget.Dim
}

// firstOf is what comes before the details of a limit.
func firstOf(s string) string {
	s, _, _ = strings.Cut(s, ";")
	return s
}

// ownRuns tells whether a way back does a step of its own now.
func (sc *scene) ownRuns() bool {
	return sc.shown != nil && slices.ContainsFunc(sc.shown.Steps(), func(s *plan.Step) bool { return sc.status(s.ID) == journal.Running })
}

// running are the titles of the steps that run now.
func (sc *scene) running() []string {
	var out []string
	for _, s := range sc.steps {
		if st := sc.status(s.ID); st == journal.Running || st == "undoing" {
			out = append(out, s.Title)
		}
	}
	return out
}

// footer is a line across, the next action, and the keys that work now.
func (m *model) footer(w int) []string {
	sc := &m.sc
	text, role := sc.next()
	if m.top != nil {
		text, role = m.inDialog()
	}
	if counts := sc.counting(); counts != "" {
		text, role = counts, widget.Warn
		if p := m.place(); p == inForm || p == inPrompt || p == inHelp {
			text = strings.Replace(text, "press h", "esc, then h,", 1)
		}
	}
	mark := "  "
	if role == widget.Warn {
		mark = sc.th.Paint(role, "◆ ")
	}
	line := mark + sc.th.Paint(role, widget.Cut(text, w-2))
	if m.said != "" {
		line = "  " + sc.th.Paint(widget.Accent, widget.Cut(clean(m.said), w-2))
	}
	return []string{widget.Rule(sc.th, "", m.tabs(), w), line, "  " + widget.KeyBar(sc.th, hints(m.place(), m.off()), w-2)}
}

// inDialog is the next action while a dialog is open.
func (m *model) inDialog() (string, widget.Role) {
	switch m.place() {
	case inAsk:
		if m.top.(*ask).stale {
			return "Nothing to do here: the question is closed.", widget.Dim
		}
		if m.sc.readOnly() != "" {
			return "You only read. p takes the pen; then choose by letter.", widget.Warn
		}
		return "Choose by letter. Nothing happens until ctrl-y is pressed after that.", widget.Warn
	case inForm:
		if len(m.top.(*ask).form.fields) == 0 {
			return "ctrl-y sends it. Enter sends nothing; esc goes back.", widget.Warn
		}
		return "Fill in what is asked, then ctrl-y. Enter sends nothing; esc goes back.", widget.Warn
	case inPrompt:
		if p := m.top.(*prompt).p; p.Type != "" {
			return "Type " + oneLine(p.Type) + ", then ctrl-y; or esc twice to refuse.", widget.Warn
		}
		return "Type the answer, then enter; or esc twice to refuse.", widget.Warn
	case inQuit:
		return "Choose by letter.", widget.Warn
	}
	if len(m.sc.st.Questions) > 0 && !m.sc.live.Ended {
		return "A question waits behind this: esc, then enter.", widget.Warn
	}
	return "esc goes back.", widget.Dim
}

// tabs says which screen this is among those that there are.
func (m *model) tabs() string {
	if m.top != nil {
		return ""
	}
	return m.sc.penWord() + m.sc.th.Paint(widget.Dim, fmt.Sprintf("screen %d of %d  [ ]", m.at+1, len(m.screens)))
}

// penWord says who may answer, where several people look on.
func (sc *scene) penWord() string {
	switch p := sc.pen; {
	case p == nil || p.Screens < 2 || sc.live.Ended:
		return ""
	case p.Mine:
		return sc.th.Paint(widget.Dim, fmt.Sprintf("%d screens, you hold the pen   ", p.Screens))
	default:
		return sc.th.Paint(widget.Warn, "read only") + sc.th.Paint(widget.Dim, fmt.Sprintf(", %d screens   ", p.Screens))
	}
}

// off are the actions that make no sense now; the footer leaves them out.
func (m *model) off() map[action]bool {
	off := map[action]bool{"answer": len(m.sc.st.Questions) == 0 || m.sc.live.Ended}
	off["hold"] = m.sc.counting() == "" || m.sc.readOnly() != ""
	off["intervene"] = m.sc.live.Ended || m.sc.readOnly() != ""
	off["recheck"] = m.sc.live.Ended
	if a, ok := m.screen().(*assessScreen); ok {
		fs := m.sc.findings()
		if m.sc.question(journal.AskFindings) == nil || len(fs) == 0 || !m.sc.acceptable(fs[a.cursor].ID) {
			off["accept"] = true
		}
	}
	if s, ok := m.screen().(*signoffScreen); ok && m.top == nil && s.page.Of < 2 {
		off["page-down"] = true
	}
	if a, ok := m.top.(*ask); ok && len(a.form.fields) < 2 {
		off["down"] = true
	}
	return off
}
