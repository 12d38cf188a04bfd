package tui

import (
	"fmt"
	"path/filepath"
	"strings"

	tea "charm.land/bubbletea/v2"

	"belay/steps/journal"
	"belay/tui/widget"
)

// reportScreen is what a run has come to, and where everything lies.
type reportScreen struct{ scroll int }

func (s *reportScreen) name() string  { return "report" }
func (s *reportScreen) place() place  { return inList }
func (s *reportScreen) settle(*model) {}
func (s *reportScreen) press(_ *model, do action, _ string) tea.Cmd {
	s.scroll = moved(do, s.scroll, 10000, 10)
	return nil
}

// outcome says how the run stands, in a sentence.
func (sc *scene) outcome() string {
	switch st := sc.st; {
	case st.Status == journal.Closed:
		return "Closed. The migration is done; there is nothing left to do."
	case st.Status == journal.RolledBack && len(st.Debts) > 0:
		return fmt.Sprintf("Rolled back, except for %s. Resume to try them again.", plural(len(st.Debts), "debt"))
	case st.Status == journal.RolledBack && len(sc.stays()) > 0:
		return "Rolled back. These have no way back and stay as they are: " + strings.Join(sc.stays(), ", ") + ". Everything else was undone."
	case st.Status == journal.RolledBack:
		return "Rolled back. Every finished step was undone."
	case st.Status == journal.NoGo:
		return "No-go. Nothing was cut over; the old service was not touched by cutover."
	case st.Status == journal.Stopped:
		return "Stopped, as somebody asked. Every step that was begun is finished or recorded; resume goes on from here."
	case sc.live.Ended && sc.live.Err != nil:
		return "Ended: " + clean(sc.live.Err.Error())
	case sc.live.Ended:
		return "Ended. Resume goes on from here."
	}
	return "Still on its way: " + string(sc.st.Status) + "."
}

// stays are the titles of the steps that a rollback could not take back,
// because they have no way back.
func (sc *scene) stays() []string {
	var out []string
	for _, s := range sc.steps {
		st := sc.st.Step(s.ID)
		if st.Status == journal.PassedStatus && !st.Already && s.Stage != journal.GoingBack {
			out = append(out, "“"+oneLine(s.Title)+"”")
		}
	}
	return out
}

// ended is what became of a step. One that failed, and was undone as far as it
// had come, did not only get undone.
func (sc *scene) ended(id string) string {
	word, st := string(sc.status(id)), sc.st.Step(id)
	if st.Failed && (st.Status == journal.Undone || st.Status == journal.UndoFailedSt) {
		return "failed, " + word
	}
	return word
}

func (s *reportScreen) view(m *model, w, h int) ([]string, point) {
	sc := &m.sc
	st := sc.st
	began := st.Begun.In(sc.now.Location())
	pairs := []widget.Pair{
		{Label: "outcome", Value: sc.outcome(), Role: widget.Strong, Max: 4},
		{Label: "began", Value: began.Format("2006-01-02 15:04:05") + " by " + oneLine(st.By.Name+" "+st.By.Login)},
		{Label: "took", Value: widget.Span(st.Last.Sub(st.Begun))},
		{Label: "resume", Value: sc.opt.Resume, Role: widget.Accent, Max: 3},
		{Label: "run", Value: clean(sc.dir), Max: 3},
		{Label: "report", Value: "belay report " + clean(filepath.Base(sc.dir)), Max: 3},
	}
	if st.Over() {
		pairs = append(pairs[:3], pairs[4:]...)
	}
	if sc.live.Err != nil {
		pairs = append(pairs, widget.Pair{Label: "why", Value: clean(sc.live.Err.Error()), Role: widget.Fail, Max: 4})
	}
	lines := []string{widget.Rule(sc.th, widget.Focused+"report", sc.th.MarkWord(string(st.Status)), w), ""}
	lines = append(lines, widget.Pairs(sc.th, drop(pairs), w)...)
	lines = append(append(lines, debtLines(sc, w)...), "")
	outcomeW := 12
	for _, p := range sc.steps {
		outcomeW = max(outcomeW, widget.Width(sc.ended(p.ID)))
	}
	tb := widget.Table{Cursor: -1, Cols: []widget.Col{{Width: 1}, {Title: "step", Grow: true, Ends: true}, {Title: "host", Width: sc.hostW}, {Title: "outcome", Width: outcomeW}, {Title: "took", Width: 7, Right: true}}}
	for _, p := range sc.steps {
		word := sc.ended(p.ID)
		mk, took := widget.MarkOf(string(sc.status(p.ID))), ""
		if word == string(journal.Pending) && sc.live.Ended && st.Over() {
			word = "not run"
		}
		if d := sc.took(p.ID); d > 0 {
			took = widget.Span(d)
		}
		tb.Rows = append(tb.Rows, []widget.Cell{{Text: mk.Glyph, Role: mk.Role}, {Text: oneLine(p.Title)}, {Text: where(p), Role: widget.Dim}, {Text: word, Role: mk.Role}, {Text: took, Role: widget.Dim}})
	}
	rows, _ := tb.Lines(sc.th, w, len(tb.Rows)+1)
	lines = append(lines, rows...)
	for i, n := range st.Notes {
		if i == 0 {
			lines = append(lines, "")
		}
		lines = append(lines, widget.Cut("  "+sc.th.Paint(widget.Dim, n.Time.In(sc.now.Location()).Format("15:04:05 "))+oneLine(n.Text), w))
	}
	s.scroll = max(0, min(s.scroll, len(lines)-h))
	return lines[s.scroll:], nowhere
}
