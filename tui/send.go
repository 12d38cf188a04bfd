package tui

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"belay/steps/journal"
	"belay/steps/run"
)

// patient is how long an answer or a request may be on its way.
const patient = 30 * time.Second

// answer sends an answer from the background.
func (m *model) answer(a journal.Answer, label string) tea.Cmd {
	s := m.s
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(context.Background(), patient)
		defer cancel()
		return answered{a.Question, label, s.Answer(ctx, a)}
	}
}

// answeredWith closes the dialog of an answer that arrived, or says in it what
// went wrong.
func (m *model) answeredWith(msg answered) {
	m.dirty = true
	a, ok := m.top.(*ask)
	if !ok || a.q.ID != msg.question {
		if msg.err != nil {
			m.toast("“" + msg.label + "” did not arrive: " + msg.err.Error())
		}
		return
	}
	if msg.err == nil {
		m.close()
		m.toast("answered: " + msg.label)
		m.look()
		return
	}
	var stale *run.StaleError
	a.failed(msg.err, errors.As(msg.err, &stale))
}

// holdCountdown stops a rollback that would begin by itself: one key, nothing to
// fill in, because it only keeps things as they are.
func (m *model) holdCountdown() tea.Cmd {
	if only := m.sc.readOnly(); only != "" {
		m.toast(only)
		return nil
	}
	by := m.o.Author
	by.Name = m.sc.name
	return m.answer(journal.Answer{Question: m.sc.st.Soak.Countdown.Question, Choice: "hold", By: by}, "stop the countdown")
}

// request asks the engine for something, from the background.
func (m *model) request(what, reason string) tea.Cmd {
	s, by := m.s, m.o.Author
	by.Name = m.sc.name
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(context.Background(), patient)
		defer cancel()
		if err := s.Request(ctx, run.Request{What: what, Reason: reason, By: by}); err != nil {
			return remark("the engine was not asked: " + err.Error())
		}
		return pull{}
	}
}

// copyView copies the log in view, or the details of the chosen row.
func (m *model) copyView() tea.Cmd {
	if s, ok := m.screen().(*stepsScreen); ok && (s.logged || s.zoom) {
		return m.copyOut(m.logs.pane.Text())
	}
	lines, _ := m.screen().view(m, m.w, 1000)
	if s, ok := m.screen().(*stepsScreen); ok && len(m.sc.steps) > 0 {
		lines = m.sc.detail(m.sc.steps[s.cursor], 100)
	}
	return m.copyOut(ansi.Strip(strings.Join(lines, "\n")))
}

// copyOut puts text on the clipboard (OSC 52, which terminals may ignore
// without a word) and into a file, which is named.
func (m *model) copyOut(text string) tea.Cmd {
	text = strings.TrimRight(text, " \n") + "\n"
	path := filepath.Join(m.sc.dir, "copy-"+m.o.Now().Format("150405")+".txt")
	n := strings.Count(text, "\n")
	return tea.Batch(tea.SetClipboard(text), func() tea.Msg {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return remark("copied to the clipboard only: " + err.Error())
		}
		return remark(fmt.Sprintf("copied %s to the clipboard and to %s", plural(n, "line"), path))
	})
}
