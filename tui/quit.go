package tui

import (
	tea "charm.land/bubbletea/v2"

	"belay/steps/run"
	"belay/tui/widget"
)

// quit asks what leaving means; a run that is over is just left.
type quit struct{}

func (quit) place() place  { return inQuit }
func (quit) title() string { return "leave?" }

func (quit) press(m *model, do action, _ tea.Msg) tea.Cmd {
	switch do {
	case "detach":
		m.left = ErrDetached
		return tea.Quit
	case "stop":
		m.close()
		m.toast("asked to stop after the step that runs now")
		return m.request(run.WantStop, "")
	case "help":
		m.explain()
	case "back":
		m.close()
	}
	return nil
}

func (quit) view(sc *scene, w, _ int) ([]string, point) {
	th := sc.th
	lines := []string{""}
	lines = append(lines, widget.Pairs(th, []widget.Pair{
		{Label: "d    detach", Value: clean(sc.opt.Detach), Max: 3},
		{Label: "", Value: "Come back with: " + clean(sc.opt.Resume), Role: widget.Accent, Max: 3},
		{Label: "s    stop", Value: "belay stops after the step that runs now. Nothing is undone; resume goes on from there.", Max: 3},
		{Label: "esc  stay", Value: "Nothing happens."},
	}, w)...)
	return lines, nowhere
}
