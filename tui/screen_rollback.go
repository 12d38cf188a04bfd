package tui

import (
	"fmt"
	"slices"
	"strings"

	tea "charm.land/bubbletea/v2"

	"belay/steps/journal"
	"belay/steps/plan"
	"belay/tui/widget"
)

// rollbackScreen is the way back: the list before it starts, then how far it
// is, and what could not be undone yet.
type rollbackScreen struct {
	cursor int
	roam   bool // the reader has moved; else the cursor goes with the run
}

func (s *rollbackScreen) name() string { return "rollback" }
func (s *rollbackScreen) place() place { return inList }
func (s *rollbackScreen) settle(m *model) {
	list := m.sc.backList()
	if !s.roam && m.sc.st.Rollback != nil {
		s.cursor = m.sc.undoingNow(list)
	}
	s.cursor = max(0, min(s.cursor, len(list)-1))
}

// undoingNow is the row of a rollback that matters most: one that asks, else
// one that is being undone, else the first that is still to come.
func (sc *scene) undoingNow(list []*plan.Step) int {
	next, runs := len(list)-1, false
	for i, s := range slices.Backward(list) {
		switch status := sc.status(s.ID); {
		case status == journal.WaitingYou:
			return i
		case sc.beingDone(s):
			next, runs = i, true
		case sc.behind(s) || runs:
		default:
			next = i
		}
	}
	return next
}

// beingDone: it is undone now, or is a way's own step and runs now.
func (sc *scene) beingDone(s *plan.Step) bool {
	status := sc.status(s.ID)
	return status == "undoing" || s.Stage == journal.GoingBack && status == journal.Running
}

// behind: nothing is left to do about it on the way back.
func (sc *scene) behind(s *plan.Step) bool {
	switch sc.status(s.ID) {
	case journal.Undone, journal.UndoFailedSt:
		return true
	case journal.PassedStatus, journal.Skipped:
		return s.Stage == journal.GoingBack
	}
	return false
}

func (s *rollbackScreen) press(m *model, do action, _ string) tea.Cmd {
	if s.roam = do != "back"; !s.roam {
		s.settle(m)
		return nil
	}
	s.cursor = moved(do, s.cursor, len(m.sc.backList()), 5)
	return nil
}

// undoable are the steps that a rollback is about, last first: all that have
// begun and were not skipped.
func (sc *scene) undoable() []*plan.Step {
	var out []*plan.Step
	for _, s := range slices.Backward(sc.steps) {
		switch st := sc.st.Step(s.ID); {
		case s.Stage == journal.GoingBack:
		case st.Undoing, st.Status == journal.Undone, st.Status == journal.UndoFailedSt:
			out = append(out, s)
		case st.Status == journal.Pending, st.Status == journal.Skipped, st.Already:
		default:
			out = append(out, s)
		}
	}
	return out
}

func (s *rollbackScreen) view(m *model, w, h int) ([]string, point) {
	sc := &m.sc
	list := sc.backList()
	note := sc.th.Paint(widget.Dim, "has not begun")
	if sc.st.Rollback != nil {
		note = sc.undone(sc.undoable())
	}
	lines := append([]string{widget.Rule(sc.th, widget.Focused+"rollback", note, w)}, sc.backHead(w, h)...)
	if len(list) == 0 {
		return append(lines, "  No step has changed anything: there is nothing to undo."), nowhere
	}
	debts := debtLines(sc, w)
	tb := widget.Table{Cursor: s.cursor, NoHead: true, Cols: []widget.Col{{Width: 1}, {Grow: true, Ends: true}, {Width: sc.hostW}, {Grow: true}, {Width: 7, Right: true}}}
	for _, st := range list {
		tb.Rows = append(tb.Rows, sc.undoRow(st))
	}
	rows, at := tb.Lines(sc.th, w, h-len(lines)-len(debts))
	at += len(lines)
	lines = append(lines, rows...)
	return append(lines, debts...), rowAt(at)
}

// backHead says who asked for the rollback and which way is taken, or which
// ways there are.
func (sc *scene) backHead(w, h int) []string {
	r, short := sc.st.Rollback, h < shortRoom+10
	lost := sc.lossLines(w, false)
	if len(lost)+len(sc.backList())+6 > h {
		lost = sc.lossLines(w, short)
	}
	if r == nil {
		lines := append(sc.wayLines(sc.plan.WaysFrom(sc.st), w, short), lost...)
		lines = lines[:min(len(lines), max(0, h-10))]
		if len(lines) > 0 {
			lines = append(lines, "")
		} else if n := len(sc.plan.Ways); n > 0 {
			lines = append(lines, "  "+sc.th.Paint(widget.Dim, "The plan has "+plural(n, "way")+" back that "+map[bool]string{true: "is", false: "are"}[n == 1]+" offered later on; now a rollback just undoes."))
		}
		return append(lines, "  "+sc.th.Paint(widget.Dim, "A rollback would undo these steps, last first:"), "")
	}
	pairs := []widget.Pair{{Label: "asked by", Value: oneLine(r.By.Name) + " (" + oneLine(r.By.Login) + "): " + oneLine(r.Reason), Max: 2}}
	if way := sc.plan.Way(sc.st.Way); way != nil {
		text := way.Name
		if way.About != "" {
			text += ": " + oneLine(way.About)
		}
		pairs = append(pairs, widget.Pair{Label: "way", Value: text, Max: 2})
	}
	return append(append(widget.Pairs(sc.th, pairs, w), lost...), "")
}

// undone counts what has been taken back; what has no way back is counted apart.
func (sc *scene) undone(list []*plan.Step) string {
	done, stay := 0, 0
	for _, s := range list {
		if _, back := undo(s); sc.st.Step(s.ID).Status == journal.Undone {
			done++
		} else if !back {
			stay++
		}
	}
	said, mark := fmt.Sprintf("%d of %d undone", done, len(list)-stay), widget.MarkOf("rolling back")
	if stay > 0 {
		said += fmt.Sprintf(", %d cannot be", stay)
	}
	if sc.st.Status == journal.RolledBack {
		mark = widget.MarkOf("rolled back")
	}
	return sc.th.Paint(mark.Role, mark.Glyph+" "+said)
}

func (sc *scene) undoRow(st *plan.Step) []widget.Cell {
	word := string(sc.status(st.ID))
	mk, role, time := widget.MarkOf(word), widget.Text, ""
	if word == "passed" { // done forward, not undone yet
		mk = widget.MarkOf("pending")
	}
	if d := sc.took(st.ID); d > 0 && sc.st.Step(st.ID).Undoing {
		time = widget.Span(d)
	}
	text, back := undo(st)
	if st.Stage == journal.GoingBack {
		return sc.wayRow(st, word)
	}
	if !back {
		role = widget.Loud
		if word == "passed" && sc.st.Rollback != nil { // nobody waits for it
			mk, text = widget.MarkOf("skipped"), "NO WAY BACK: it stays"
		}
	}
	if word == "undo failed" {
		text, role = clean(sc.st.Step(st.ID).Err), widget.Fail
		if text == "" {
			text = "undo failed"
		}
	}
	if role == widget.Text {
		role = widget.Dim
	}
	return []widget.Cell{{Text: mk.Glyph, Role: mk.Role}, {Text: oneLine(st.Title)}, {Text: where(st), Role: widget.Dim},
		{Text: text, Role: role}, {Text: time, Role: widget.Dim}}
}

// wayRow is a way's own step among what is undone.
func (sc *scene) wayRow(st *plan.Step, word string) []widget.Cell {
	mk, text, role, time := widget.MarkOf(word), sc.wayWord(st), widget.Dim, ""
	if word == "skipped" {
		text += ": skipped"
	}
	if d := sc.took(st.ID); d > 0 {
		time = widget.Span(d)
	}
	return []widget.Cell{{Text: mk.Glyph, Role: mk.Role}, {Text: oneLine(st.Title)}, {Text: where(st), Role: widget.Dim},
		{Text: text, Role: role}, {Text: time, Role: widget.Dim}}
}

// debtLines lists what could not be undone yet; never dropped, never scrolled
// away.
func debtLines(sc *scene, w int) []string {
	if len(sc.st.Debts) == 0 {
		return nil
	}
	out := []string{"", "  " + sc.th.Paint(widget.Fail, "✗ "+plural(len(sc.st.Debts), "debt")) + ": what could not be undone yet"}
	for _, d := range sc.st.Debts {
		title := d.Step
		if s := sc.plan.Step(d.Step); s != nil {
			title = s.Title
		}
		on := ""
		if d.Host != "" {
			on = " on " + oneLine(d.Host)
		}
		out = append(out, widget.Cut("    "+oneLine(title)+on+": "+oneLine(d.Why), w))
	}
	return out
}

// named finds the step that an item of the engine's list is about: it begins
// with the step's title.
func (sc *scene) named(item string) *plan.Step {
	for _, s := range sc.steps {
		if strings.HasPrefix(item, s.Title) {
			return s
		}
	}
	return nil
}

// rollbackList is the list before a rollback starts, as the engine gives it,
// or else as the state has it.
func rollbackList(sc *scene, items []string, w int) []string {
	out := []string{"  " + sc.th.Paint(widget.Dim, "Undone in this order:")}
	if len(items) > 0 {
		for i, it := range items {
			title := it
			role, tail := widget.Text, ""
			if s := sc.named(it); s != nil {
				text, back := undo(s)
				tail = "  " + sc.th.Paint(widget.Dim, text)
				if !back {
					tail = "  " + sc.th.Paint(widget.Loud, text)
				}
			}
			out = append(out, widget.Cut(fmt.Sprintf("  %2d  %s%s", i+1, sc.th.Paint(role, oneLine(title)), tail), w))
		}
		return out
	}
	for i, s := range sc.undoable() {
		text, back := undo(s)
		role := widget.Dim
		if !back {
			role = widget.Loud
		}
		out = append(out, widget.Cut(fmt.Sprintf("  %2d  %s  %s", i+1, oneLine(s.Title), sc.th.Paint(role, text)), w))
	}
	return out
}
