package tui

import (
	"strconv"
	"time"

	tea "charm.land/bubbletea/v2"

	"belay/steps/run"
	"belay/tui/widget"
)

// logView is the log under (or beside) the steps: which one, and where in it.
type logView struct {
	pane   widget.LogPane
	step   string // shown now; "" is the whole run
	host   string // "" is all hosts, merged
	all    bool   // the whole run, not the chosen step
	open   bool   // a source has been chosen once
	gen    int    // counts searches, so that an old one is dropped
	typing bool   // the query is being typed
	form   form
	seek   string // what a running search looks for, for the footer
}

// source lets the pane read a run's log.
type source struct {
	log run.Log
	tag func(run.Line) string
}

func (s source) Len() int { return s.log.Len() }

func (s source) Lines(from, n int) []widget.Line {
	ls := s.log.Lines(from, n)
	out := make([]widget.Line, len(ls))
	for i, l := range ls {
		out[i] = widget.Line{Time: l.Time, Text: l.Text}
		if s.tag != nil {
			out[i].Tag = s.tag(l)
		}
	}
	return out
}

// show opens the log of a step on a host, unless it is shown already.
func (v *logView) show(s run.Session, sc *scene, step, host string) {
	if v.all {
		step = ""
	}
	if v.open && v.step == step && v.host == host {
		return
	}
	v.open, v.step, v.host = true, step, host
	wrap, times, query := v.pane.Wrap, v.pane.Times, v.pane.Query
	src := source{log: s.Log(step, host)}
	v.pane.Tag = 0
	if host == "" && len(sc.plan.Hosts) > 1 || step == "" {
		for _, h := range sc.plan.Hosts {
			v.pane.Tag = min(14, max(v.pane.Tag, len(h.Name)))
		}
		src.tag = func(l run.Line) string { return l.Host }
		if step == "" {
			v.pane.Tag = min(24, v.pane.Tag+13)
			src.tag = func(l run.Line) string { return widget.Cut(l.Step, 12) + " " + l.Host }
		}
	}
	v.pane.Show(src)
	v.pane.Wrap, v.pane.Times, v.pane.Query = wrap, times, query
	v.gen++
}

// title names the log.
func (v *logView) title(sc *scene) string {
	t := "log"
	if v.step == "" {
		t = "log of the whole run"
	}
	switch {
	case v.host != "":
		t += " · " + v.host
	case len(sc.plan.Hosts) > 1:
		t += " · all hosts"
	}
	if v.pane.Query != "" {
		t += " · /" + v.pane.Query
	}
	return t
}

// press handles the actions of a log; ok is false for those that are not its own.
func (v *logView) press(m *model, do action, key string) (cmd tea.Cmd, ok bool) {
	p := &v.pane
	switch do {
	case "follow":
		p.ToggleFollow()
	case "wrap":
		p.Wrap, p.X = !p.Wrap, 0
	case "times":
		p.Times = !p.Times
	case "left":
		p.Sideways(-16)
	case "right":
		p.Sideways(16)
	case "host":
		n, _ := strconv.Atoi(key)
		if n > len(m.sc.plan.Hosts) {
			m.toast("this plan has " + plural(len(m.sc.plan.Hosts), "host"))
			return nil, true
		}
		v.show(m.s, &m.sc, v.step, m.sc.plan.Hosts[n-1].Name)
	case "all-hosts":
		v.show(m.s, &m.sc, v.step, "")
	case "search":
		v.typing, v.form = true, form{}
		v.form.add(newField("query", "Search"))
		v.form.focus(0)
	case "next-hit", "prev-hit":
		if p.Query == "" {
			m.toast("nothing is searched for; press / first")
			return nil, true
		}
		return v.search(widget.Contains(p.Query), "“"+p.Query+"”", do == "prev-hit"), true
	case "next-failure", "prev-failure":
		return v.search(widget.Failure, "a line that tells of trouble", do == "prev-failure"), true
	default:
		return nil, false
	}
	p.Refresh()
	return nil, true
}

// move scrolls.
func (v *logView) move(do action) bool {
	switch p := &v.pane; do {
	case "down":
		p.Scroll(1)
	case "up":
		p.Scroll(-1)
	case "page-down":
		p.Page(1)
	case "page-up":
		p.Page(-1)
	case "first":
		p.Start()
	case "last":
		p.End()
	default:
		return false
	}
	v.pane.Refresh()
	return true
}

// found is the outcome of a search in the background.
type found struct {
	gen   int
	line  int // -1: none
	what  string
	round bool // it went round the end of the log
}

// search looks for the next line that matches, in chunks, off the loop.
func (v *logView) search(match widget.Match, what string, back bool) tea.Cmd {
	v.gen++
	v.seek = what
	gen, src, last := v.gen, v.pane.Source, v.pane.Len()-1
	from, other := v.pane.Top(), 0
	switch mark := v.pane.Mark(); {
	case mark >= 0 && back:
		from = mark - 1
	case mark >= 0:
		from = mark + 1
	case back:
		from = last
	}
	if back {
		other = last
	}
	return func() tea.Msg {
		line := through(src, match, from, back)
		if line >= 0 {
			return found{gen, line, what, false}
		}
		return found{gen, through(src, match, other, back), what, true}
	}
}

// through searches to the end of the log, in chunks. A minute is far more than
// a million lines take; it ends a search whose file system has gone.
func through(src widget.Source, match widget.Match, from int, back bool) int {
	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
		line, next := widget.Find(src, match, from, 1<<17, back)
		if line >= 0 || next < 0 {
			return line
		}
		from = next
	}
	return -1
}

// arrived shows what a search came to.
func (v *logView) arrived(m *model, f found) {
	if f.gen != v.gen {
		return
	}
	v.seek = ""
	switch {
	case f.line < 0:
		m.toast(f.what + " is not in this log")
		return
	case f.round:
		m.toast("went round the end of the log")
	}
	v.pane.GoTo(f.line)
	v.pane.Refresh()
}

// type1 is a key while the query is typed.
func (v *logView) typed(do action, msg tea.Msg) tea.Cmd {
	switch do {
	case "find":
		v.typing = false
		v.pane.Query = v.form.value("query")
		v.pane.Refresh()
		if v.pane.Query == "" {
			return nil
		}
		// Who follows the end looks for the newest hit.
		return v.search(widget.Contains(v.pane.Query), "“"+v.pane.Query+"”", v.pane.Follow)
	case "back":
		v.typing = false
		return nil
	}
	v.form.update(msg)
	return nil
}

// lines draws a rule with the title and the pane under it.
func (v *logView) lines(sc *scene, w, h int, focus bool) ([]string, point) {
	th := sc.th
	title, at := v.title(sc), nowhere
	if focus {
		title = widget.Focused + title
	}
	note := v.pane.Position(th)
	if v.seek != "" {
		note = th.Paint(widget.Accent, "looking for "+v.seek+" …")
	}
	out := []string{widget.Rule(th, title, note, w)}
	body, hit := v.pane.Lines(th)
	if len(body) == 0 {
		body = []string{th.Paint(widget.Dim, "  This step has not written anything yet.")}
	}
	if focus {
		at = rowAt(1)
		if hit >= 0 {
			at = rowAt(1 + hit)
		}
	}
	if v.typing {
		fields, cur := v.form.lines(th, w)
		body = append(widget.Fill(body, h-2), fields...)
		at = point{cur.x, len(body)}
	}
	return append(out, body...), at
}
