package tui

import (
	"fmt"
	"strings"

	tea "charm.land/bubbletea/v2"

	"belay/steps/journal"
	"belay/steps/plan"
	"belay/tui/widget"
)

// stepsScreen is where most of a run is spent: the steps, the card of the
// chosen one, and the log.
type stepsScreen struct {
	cursor  int
	roam    bool // the reader has moved; else the cursor goes with the run
	logged  bool // the log has the focus
	zoom    bool
	logRows int // rows that the last layout gave the log
	logCols int
}

func (s *stepsScreen) name() string { return "steps" }
func (s *stepsScreen) place() place { return inSteps }

// settle lets the cursor go with the run and keeps it inside the plan.
func (s *stepsScreen) settle(m *model) {
	if !s.roam {
		s.cursor = m.sc.current()
	}
	s.cursor = max(0, min(s.cursor, len(m.sc.steps)-1))
	id := ""
	if len(m.sc.steps) > 0 {
		id = m.sc.steps[s.cursor].ID
	}
	m.logs.show(m.s, &m.sc, id, m.logs.host)
	w, h := m.body()
	s.measure(&m.sc, w, h)
	m.logs.pane.Resize(s.logCols, s.logRows)
}

func (s *stepsScreen) press(m *model, do action, key string) tea.Cmd {
	if cmd, ok := m.logs.press(m, do, key); ok {
		return cmd
	}
	switch do {
	case "focus":
		s.logged = !s.logged
	case "zoom":
		s.zoom = !s.zoom
	case "all-steps":
		m.logs.all = !m.logs.all
	case "back":
		s.roam, s.zoom, s.logged, m.logs.all = false, false, false, false
	default:
		if s.logged || s.zoom {
			m.logs.move(do)
			return nil
		}
		s.cursor, s.roam = moved(do, s.cursor, len(m.sc.steps), 5), true
	}
	return nil
}

// moved is where an action takes a cursor among n rows.
func moved(do action, at, n, page int) int {
	switch do {
	case "down":
		at++
	case "up":
		at--
	case "page-down":
		at += page
	case "page-up":
		at -= page
	case "first":
		at = 0
	case "last":
		at = n - 1
	}
	return max(0, min(at, n-1))
}

// wide is from where on steps and log stand side by side: a log beside
// something cannot be scrolled by the terminal and costs ten times the bytes.
const wide = 120

// listCols is the width of the steps beside the log: what the longest title
// needs, as long as the log keeps the better half.
func (sc *scene) listCols(w int) int {
	return min(max(44, sc.titleW+sc.hostW+sc.timeW+9), w*46/100)
}

// measure shares the room: rows for list and card, the rest for the log.
func (s *stepsScreen) measure(sc *scene, w, h int) (list, card int) {
	switch {
	case s.zoom:
		s.logCols, s.logRows = w, h-1
		return 0, 0
	case w >= wide:
		s.logCols = w - sc.listCols(w) - 3
		card = min(len(s.card(sc, s.logCols)), s.cardRows(sc, max(5, h/3), h))
		s.logRows = h - card - 2
		return h, card
	}
	list = min(max(3, min(5, h/4)), max(1, len(sc.steps)))
	if h >= 30 {
		list = min(h/4, len(sc.steps))
	}
	card = min(len(s.card(sc, w)), s.cardRows(sc, max(3, h/3), h-list))
	s.logCols, s.logRows = w, max(1, h-list-card-3)
	return list, card
}

func (s *stepsScreen) view(m *model, w, h int) ([]string, point) {
	sc := &m.sc
	list, card := s.measure(sc, w, h)
	if s.zoom {
		return m.logs.lines(sc, w, h, true)
	}
	if w >= wide {
		return s.beside(m, w, h, card)
	}
	rows, at := s.list(sc, w, list, false)
	lines := append([]string{s.rule(sc, w)}, rows...)
	lines = append(lines, s.cardRule(sc, w))
	lines = append(lines, widget.Fill(s.card(sc, w), card)...)
	cur := rowAt(at + 1)
	logLines, logAt := m.logs.lines(sc, w, h-len(lines), s.logged)
	if logAt != nowhere {
		cur = point{logAt.x, logAt.y + len(lines)}
	}
	return append(lines, logLines...), cur
}

// cardRows is the most rows that a card gets: more for somebody who is guided,
// as long as four are left to the log.
func (s *stepsScreen) cardRows(sc *scene, most, h int) int {
	if sc.opt.Guide {
		return max(most, h-7)
	}
	return most
}

// beside is the layout from 120 columns on.
func (s *stepsScreen) beside(m *model, w, h, card int) ([]string, point) {
	sc := &m.sc
	lw := sc.listCols(w)
	rows, at := s.list(sc, lw, h-1, true)
	left := append([]string{s.rule(sc, lw)}, rows...)
	right := append([]string{s.cardRule(sc, s.logCols)}, widget.Fill(s.card(sc, s.logCols), card)...)
	cur := rowAt(at + 1)
	logLines, logAt := m.logs.lines(sc, s.logCols, h-len(right), s.logged)
	if logAt != nowhere {
		cur = point{logAt.x + lw + 3, logAt.y + len(right)}
	}
	return widget.Beside(sc.th, left, append(right, logLines...), lw, s.logCols), cur
}

func (s *stepsScreen) rule(sc *scene, w int) string {
	stage := sc.st.Stage
	if len(sc.steps) > 0 {
		stage = sc.steps[s.cursor].Stage
	}
	done, all := sc.count(stage)
	title := "steps"
	if !s.logged {
		title = widget.Focused + "steps"
	}
	note := sc.th.Paint(widget.Dim, fmt.Sprintf("%s %d of %d", stage, done, all))
	ends, _, _ := strings.Cut(sc.ends(), ", ")
	wider := []string{sc.th.Paint(widget.Text, ends), sc.th.Paint(widget.Text, ends) + " · " + note, sc.th.Paint(widget.Text, sc.ends()) + " · " + note}
	for _, more := range wider {
		if ends != "" && widget.Width(title)+widget.Width(more)+9 < w {
			note = more
		}
	}
	return widget.Rule(sc.th, title, note, w)
}

// list draws the steps; with room, a line names each stage.
func (s *stepsScreen) list(sc *scene, w, h int, heads bool) (lines []string, at int) {
	tb := widget.Table{Cursor: -1, NoHead: true, Cols: []widget.Col{
		{Width: 1}, {Grow: true}, {Width: sc.hostW}, {Width: sc.timeW, Right: true}}}
	if len(sc.steps) == 0 {
		return []string{sc.th.Paint(widget.Dim, "  This plan has no steps.")}, 0
	}
	rows, cursor := s.layout(sc, heads)
	from := widget.From(cursor, len(rows), h)
	tb.Cursor = cursor - from
	for _, i := range rows[from:min(len(rows), from+h)] { // only what is seen: plans have thousands of steps
		switch {
		case i == gap:
			tb.Rows = append(tb.Rows, []widget.Cell{{}, {}, {}, {}})
		case i < 0:
			tb.Rows = append(tb.Rows, []widget.Cell{{}, {Text: strings.ToUpper(string(sc.steps[head0-i].Stage)), Role: widget.Dim}, {}, {}})
		default:
			tb.Rows = append(tb.Rows, sc.stepRow(sc.steps[i], sc.lane(sc.steps[i])))
		}
	}
	lines, at = tb.Lines(sc.th, w, h)
	return widget.Fill(lines, h), at
}

// Rows of the list that are not steps: an empty one, and the head of a stage,
// counted down from head0 by the index of its first step.
const gap, head0 = -1, -2

// layout gives the rows of the list by step index, and where the cursor is.
func (s *stepsScreen) layout(sc *scene, heads bool) (rows []int, cursor int) {
	var stage journal.Stage
	for i, st := range sc.steps {
		if heads && st.Stage != stage {
			if i > 0 {
				rows = append(rows, gap)
			}
			rows = append(rows, head0-i)
			stage = st.Stage
		}
		if i == s.cursor {
			cursor = len(rows)
		}
		rows = append(rows, i)
	}
	return rows, cursor
}

// hostCols is how wide the column of hosts has to be.
func hostCols(steps []*plan.Step) int {
	n := 4
	for _, s := range steps {
		n = max(n, len(where(s)))
	}
	return min(n, 12)
}

// lanesOf tells for each step of a `together` which lane it stands in.
func lanesOf(p *plan.Plan) map[string]string {
	out := map[string]string{}
	mark := func(groups []plan.Group) {
		for _, g := range groups {
			for i, l := range g.Lanes {
				for _, s := range l.Steps {
					if len(g.Lanes) > 1 {
						out[s.ID] = fmt.Sprintf("│%d ", i+1)
					}
				}
			}
		}
	}
	for _, stage := range journal.Stages {
		mark(p.Groups(stage))
	}
	for _, w := range p.Ways {
		mark(w.Before)
		mark(w.After)
	}
	return out
}

func (sc *scene) stepRow(s *plan.Step, lane string) []widget.Cell {
	word := string(sc.status(s.ID))
	mark := widget.MarkOf(word)
	role := widget.Text
	switch word {
	case "pending", "skipped", "undone", "passed":
		role = widget.Dim
	}
	if word == "passed" {
		role = widget.Text
	}
	timeRole := widget.Dim
	switch word {
	case "running", "undoing":
		timeRole = widget.Accent
	case "failed", "unknown", "undo failed", "waiting for you":
		timeRole = mark.Role
	}
	return []widget.Cell{{Text: mark.Glyph, Role: mark.Role}, {Text: lane + oneLine(s.Title), Role: role},
		{Text: where(s), Role: widget.Dim}, {Text: sc.tookWord(s.ID), Role: timeRole}}
}

// tookWord is how long a step took, or the word that matters more.
func (sc *scene) tookWord(id string) string {
	switch word := string(sc.status(id)); word {
	case "waiting for you":
		return "YOU"
	case "failed", "unknown", "undo failed", "skipped", "undone":
		return word
	}
	if d := sc.took(id); d > 0 {
		return widget.Span(d)
	}
	return ""
}
