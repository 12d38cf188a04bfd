package tui

import (
	"fmt"
	"strings"

	tea "charm.land/bubbletea/v2"

	"belay/steps/journal"
	"belay/tui/widget"
)

// View draws the frame anew only when something has changed.
func (m *model) View() tea.View {
	if m.dirty || m.frame == "" {
		m.frame, m.cursor = m.draw()
		m.dirty = false
	}
	v := tea.NewView(m.frame)
	v.AltScreen = true
	v.WindowTitle = "belay: " + oneLine(m.sc.plan.Name)
	if m.sc.question() != nil && !m.sc.live.Ended {
		v.WindowTitle = "belay waits for you: " + oneLine(m.sc.plan.Name)
	}
	if m.mouse {
		v.MouseMode = tea.MouseModeCellMotion
	}
	if m.cursor.y >= 0 {
		v.Cursor = tea.NewCursor(m.cursor.x, m.cursor.y)
		v.Cursor.Blink = false
	}
	return v
}

// head and foot are the rows above and below a screen.
const head, foot = 2, 3

// body is the room for a screen.
func (m *model) body() (w, h int) {
	h = m.h - head - foot - m.guideRows()
	return m.w, max(h, 1)
}

func (m *model) guideRows() int {
	if m.o.Guide && m.h >= minH+4 {
		return 1
	}
	return 0
}

func (m *model) draw() (string, point) {
	if m.w == 0 || m.sc.st == nil {
		return "", nowhere
	}
	if m.w < minW || m.h < minH {
		return m.small(), nowhere
	}
	w, h := m.body()
	lines := m.sc.header(w)
	if m.guideRows() > 0 {
		lines = append(lines, "  "+m.sc.th.Paint(widget.Accent, widget.Cut(m.guide(), w-2)))
	}
	var body []string
	var at point
	if m.top != nil {
		title := m.top.title()
		if _, ok := m.top.(*ask); ok && m.sc.readOnly() != "" {
			title = "belay waits for whoever holds the pen"
		}
		rule := widget.Rule(m.sc.th, title, m.dialogNote(), w)
		body, at = m.top.view(&m.sc, w, h-1)
		body = append([]string{rule}, body...)
		if at.y >= 0 {
			at.y++
		}
	} else {
		body, at = m.screen().view(m, w, h)
	}
	if at.y >= 0 {
		at.y += len(lines)
	}
	lines = append(lines, widget.Fill(body, h)...)
	lines = append(lines, m.footer(w)...)
	for i, l := range lines {
		lines[i] = widget.Cut(strings.ReplaceAll(l, "\n", " "), w)
	}
	out := strings.Join(lines, "\n")
	if m.sc.th.ASCII {
		out = widget.ASCII(out)
	}
	return out, at
}

// dialogNote says on a dialog's rule what it is about.
func (m *model) dialogNote() string {
	switch d := m.top.(type) {
	case *ask:
		if d.free {
			return ""
		}
		return m.sc.th.Paint(widget.Warn, "◆ "+questionWord(d.q.Kind))
	case *prompt:
		return m.sc.th.Paint(widget.Warn, "◆ "+strings.ReplaceAll(d.p.Kind, "-", " "))
	}
	return ""
}

func questionWord(kind string) string {
	switch kind {
	case journal.AskFailed:
		return "a step failed"
	case journal.AskUnknown:
		return "a step is unknown"
	case journal.AskManual:
		return "a step for a person"
	case journal.AskSoak:
		return "soak verdict"
	case journal.AskLastSafe:
		return "last safe moment"
	}
	return kind
}

// small is the one line of a terminal that is too small; keys still work.
func (m *model) small() string {
	text, role := m.sc.next()
	if m.top != nil {
		text, role = m.inDialog()
		text = m.top.title() + ". " + text
	}
	lines := []string{m.sc.th.Paint(widget.Strong, widget.Cut(fmt.Sprintf("belay needs %d×%d, has %d×%d; keys work", minW, minH, m.w, m.h), m.w))}
	if m.h > 1 {
		for _, l := range widget.Wrap(text, m.w) {
			lines = append(lines, m.sc.th.Paint(role, l))
		}
	}
	out := strings.Join(widget.Fill(lines, m.h), "\n")
	if m.sc.th.ASCII {
		out = widget.ASCII(out)
	}
	return out
}

// guide explains the screen in a sentence, for somebody who is here for the
// first time.
func (m *model) guide() string {
	switch m.screen().name() {
	case "assessment":
		return "belay has only read so far. A block must be mended, a warning needs a word of reason."
	case "steps":
		return "The steps run by themselves; you are asked when a decision is yours."
	case "sign-off":
		return "People sign here, then somebody says go or no-go. Nothing is switched before that."
	case "cutover":
		return "The switch. Read what will run and how it is undone before you type the host's name."
	case "soak":
		if m.sc.st.Soak.Begun.IsZero() {
			return "After cutover the new service is watched here, while a rollback is still possible."
		}
		return "The new service is live and watched. A rollback is still possible."
	case "rollback":
		if m.sc.st.Rollback == nil {
			return "Nothing is being undone. This is what a rollback would take back, the last step first."
		}
		return "Every finished step is undone, the last one first."
	}
	return "How it went, and where everything lies."
}
