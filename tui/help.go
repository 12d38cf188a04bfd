package tui

import (
	"strings"

	tea "charm.land/bubbletea/v2"

	"belay/steps/journal"
	"belay/tui/widget"
)

// explain opens the help page of what is in front: the screen, or the dialog,
// which stays as it is.
func (m *model) explain() {
	name, at := m.pageName(), m.place()
	var q *journal.Question
	var keys []string
	if a, ok := m.top.(*ask); ok {
		q, keys = &a.q, a.keys
	}
	onScreen := m.top == nil
	m.push(&detail{name: "help", at: inPage, lines: func(sc *scene, w int) []string {
		out := append(sc.pageText(name, q, keys, w), sc.pageKeys(at, w)...)
		if onScreen {
			out = append(out, sc.frameText(w)...)
		}
		return out
	}})
}

// frameText is what every screen has around it.
func (sc *scene) frameText(w int) []string { return sc.pageText("frame", nil, nil, w)[1:] }

// pageName is the name of the page that explains what is in front.
func (m *model) pageName() string {
	switch d := m.top.(type) {
	case *ask:
		if d.free {
			return "ask-turn"
		}
		return m.sc.askPage(d.q)
	case *prompt:
		return "ask-" + d.p.Kind
	case quit:
		return "leave"
	case *detail:
		return "details"
	}
	name := m.screen().name()
	if name == "cutover" && (m.sc.st.Status == journal.Held || m.sc.question(journal.AskCutover) != nil) {
		return "held"
	}
	return name
}

// askPage is the page of a question. On the way back a failed undo, and one by
// hand, are asked about under the same kinds as a step.
func (sc *scene) askPage(q journal.Question) string {
	st := sc.st.Step(q.Step)
	switch {
	case q.Kind == journal.AskFailed && (st.Undoing || st.Status == journal.UndoFailedSt):
		return "ask-undo-failed"
	case q.Kind == journal.AskManual && st.Undoing:
		return "ask-undo-by-hand"
	}
	return "ask-" + q.Kind
}

// help lists all keys; what is typed filters them.
type help struct {
	from   place // where it was opened: those keys come first
	form   form
	scroll int
}

func newHelp(from place) *help {
	h := &help{from: from}
	f := newField("filter", "Filter")
	f.optional = true
	h.form.add(f)
	h.form.focus(0)
	return h
}

func (x *help) place() place  { return inHelp }
func (x *help) title() string { return "all keys" }

func (x *help) press(m *model, do action, msg tea.Msg) tea.Cmd {
	if x.key(do, msg) {
		m.close()
	}
	return nil
}

// key takes a key; done closes the help.
func (x *help) key(do action, msg tea.Msg) (done bool) {
	switch do {
	case "down", "up":
		x.scroll = moved(do, x.scroll, 1000, 10)
	case "":
		x.scroll = 0
		x.form.update(msg)
	}
	return do == "back"
}

func (x *help) view(sc *scene, w, h int) ([]string, point) { return x.draw(sc.th, w, h) }

func (x *help) draw(th widget.Theme, w, h int) ([]string, point) {
	fields, at := x.form.lines(th, min(w, 50))
	want := strings.ToLower(x.form.value("filter"))
	var out []string
	order := append([]place{x.from}, places...)
	for i, p := range order {
		if i > 0 && p == x.from || p.interview() != x.from.interview() {
			continue
		}
		head := false
		for _, b := range bindings {
			if b.in != p || !strings.Contains(strings.ToLower(b.name()+" "+b.help+" "+string(p)), want) {
				continue
			}
			if !head {
				out, head = append(out, "", "  "+th.Paint(widget.Strong, string(p))), true
			}
			out = append(out, (&scene{th: th}).keyLines(b, w)...)
		}
	}
	if len(out) == 0 {
		out = []string{"", "  No key does that."}
	}
	return append(fields, scrolled(th, out, &x.scroll, w, h-len(fields))...), at
}
