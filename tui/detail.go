package tui

import (
	"strings"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"belay/tui/widget"
)

// detail is a dialog of text to read: everything about one row.
type detail struct {
	name   string
	at     place // "" is inDetail
	lines  func(sc *scene, w int) []string
	scroll int
	seen   []string // as last drawn, for copying
}

func (d *detail) place() place {
	if d.at != "" {
		return d.at
	}
	return inDetail
}

func (d *detail) title() string { return d.name }

func (d *detail) press(m *model, do action, _ tea.Msg) tea.Cmd {
	switch do {
	case "back":
		m.close()
	case "copy":
		return m.copyOut(ansi.Strip(strings.Join(d.seen, "\n")))
	case "help":
		m.explain()
	case "all-keys":
		m.push(newHelp(m.under().place()))
	case "":
	default:
		d.scroll = moved(do, d.scroll, 1<<20, 10)
	}
	return nil
}

func (d *detail) view(sc *scene, w, h int) ([]string, point) {
	d.seen = d.lines(sc, w)
	return scrolled(sc.th, d.seen, &d.scroll, w, h), rowAt(1)
}

// scrolled shows h of lines and says how many more there are.
func scrolled(th widget.Theme, lines []string, from *int, w, h int) []string {
	*from = max(0, min(*from, len(lines)-h+1))
	if len(lines) <= h {
		*from = 0
		return lines
	}
	part := lines[*from:min(len(lines), *from+h-1)]
	rest := len(lines) - *from - len(part)
	more := th.Paint(widget.Dim, "  the end")
	if rest > 0 {
		more = th.Paint(widget.Accent, "  ▼ "+plural(rest, "more line"))
	}
	return append(append([]string{}, part...), widget.Cut(more, w))
}

// details opens the card of whatever the cursor is on.
func (m *model) details() {
	sc := &m.sc
	switch s := m.screen().(type) {
	case *stepsScreen:
		if len(sc.steps) > 0 {
			st := sc.steps[s.cursor]
			m.top = &detail{name: oneLine(st.Title), lines: func(sc *scene, w int) []string { return sc.detail(st, w) }}
		}
	case *rollbackScreen:
		if l := sc.backList(); len(l) > 0 {
			st := l[s.cursor]
			m.top = &detail{name: oneLine(st.Title), lines: func(sc *scene, w int) []string { return sc.detail(st, w) }}
		}
	case *signoffScreen:
		if l := sc.plan.Signoff; len(l) > 0 {
			it := l[s.cursor]
			m.top = &detail{name: "sign-off item", lines: func(sc *scene, w int) []string { return sc.itemCard(it, w) }}
		}
	case *assessScreen:
		if fs := sc.findings(); len(fs) > 0 {
			f := fs[s.cursor]
			m.top = &detail{name: "finding", lines: func(sc *scene, w int) []string {
				out := findingCard(sc, f, w)
				return append(append(out, ""), widget.Wrap("    "+strings.ReplaceAll(clean(f.Detail), "\n", "\n    "), w)...)
			}}
		}
	case *soakScreen:
		if ids := sc.probes(); len(ids) > 0 {
			id := ids[s.cursor]
			m.top = &detail{name: sc.probeTitle(id), lines: func(sc *scene, w int) []string {
				t := sc.st.Soak.Probes[id]
				return widget.Pairs(sc.th, drop([]widget.Pair{
					{Label: "good", Value: widget.Thousands(int64(t.Good))}, {Label: "bad", Value: widget.Thousands(int64(t.Bad))},
					{Label: "unknown", Value: widget.Thousands(int64(t.Unknown))}, {Label: "over", Value: clean(t.Over), Role: widget.Fail, Max: 10},
					{Label: "old server", Value: sc.oldWords(id), Max: 4}, {Label: "last answer", Value: clean(t.Last), Max: 40}}), w)
			}}
		}
	default:
		m.top = &detail{name: "the plan", lines: func(sc *scene, w int) []string {
			return append(widget.Pairs(sc.th, drop([]widget.Pair{{Label: "plan", Value: oneLine(sc.plan.Name)}, {Label: "about", Value: clean(sc.plan.About), Max: 10},
				{Label: "file", Value: clean(sc.plan.Path)}, {Label: "hash", Value: sc.plan.Hash, Max: 2}, {Label: "run", Value: clean(sc.dir), Max: 2}}), w), "")
		}}
	}
}
