package tui

import (
	tea "charm.land/bubbletea/v2"

	"belay/steps/journal"
	"belay/tui/widget"
)

// cutoverScreen is what stands before the switch: what will run, in order, and
// how each step is undone. The host's name is typed in its question.
type cutoverScreen struct{ scroll int }

func (s *cutoverScreen) name() string  { return "cutover" }
func (s *cutoverScreen) place() place  { return inList }
func (s *cutoverScreen) settle(*model) {}
func (s *cutoverScreen) press(_ *model, do action, _ string) tea.Cmd {
	s.scroll = moved(do, s.scroll, 1000, 10)
	return nil
}

func (s *cutoverScreen) view(m *model, w, h int) ([]string, point) {
	sc := &m.sc
	state := "pending"
	if !sc.st.Reached[journal.Cutover].IsZero() {
		state = "running"
	}
	if !sc.st.Done[journal.Cutover].IsZero() {
		state = "passed"
	}
	if sc.question(journal.AskCutover) != nil {
		state = "waiting for you"
	}
	lines := []string{widget.Rule(sc.th, widget.Focused+"cutover", sc.th.MarkWord(state), w), ""}
	if state == "waiting for you" || state == "pending" && sc.st.Stage == journal.Signoff {
		lines = append(append(lines, widget.Pairs(sc.th, sc.readiness(), w)...), "")
	}
	list := willRun(sc, journal.Cutover, w, 1000)
	s.scroll = max(0, min(s.scroll, len(list)-(h-len(lines))))
	return append(lines, list[s.scroll:]...), nowhere
}
