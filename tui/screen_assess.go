package tui

import (
	"fmt"
	"strings"

	tea "charm.land/bubbletea/v2"

	"belay/steps/journal"
	"belay/tui/widget"
)

// assessScreen is the table of findings, what is worst first.
type assessScreen struct{ cursor int }

func (s *assessScreen) name() string { return "assessment" }
func (s *assessScreen) place() place { return inAssess }

// badness orders findings; one that was accepted stands between warn and pass.
var badness = map[string]int{"block": 0, "unknown": 1, "warn": 2, "accepted": 3, "pass": 4}

// findings are those of the state, worst first, otherwise in their order.
func (sc *scene) findings() []journal.Finding {
	var out []journal.Finding
	for rank := 0; rank <= 4; rank++ {
		for _, f := range sc.st.Findings {
			if badness[sc.level(f)] == rank {
				out = append(out, f)
			}
		}
	}
	return out
}

// level is the finding's level as people see it now.
func (sc *scene) level(f journal.Finding) string {
	if _, ok := sc.st.Accepted[f.ID]; ok && f.Level != "pass" && f.Level != "block" {
		return "accepted"
	}
	if _, ok := badness[f.Level]; !ok {
		return "unknown"
	}
	return f.Level
}

func (s *assessScreen) settle(m *model) {
	s.cursor = max(0, min(s.cursor, len(m.sc.st.Findings)-1))
}

func (s *assessScreen) press(m *model, do action, _ string) tea.Cmd {
	switch do {
	case "recheck":
		m.toast("asked to check again")
		return m.request("recheck", "")
	case "accept":
		q := m.sc.question(journal.AskFindings)
		f := m.sc.findings()
		switch {
		case q == nil:
			m.toast("nothing is asked about findings now")
		case len(f) == 0 || !m.sc.acceptable(f[s.cursor].ID):
			m.toast("only a warning or an unknown can be accepted")
		default:
			a := m.open(*q, f[s.cursor].ID)
			for i, o := range q.Options {
				if o.Choice == "accept" {
					a.choose(&m.sc, i)
				}
			}
		}
	case "back":
	default:
		s.cursor = moved(do, s.cursor, len(m.sc.st.Findings), 5)
	}
	return nil
}

// item is the finding that the cursor is on.
func (s *assessScreen) item(sc *scene) string {
	if f := sc.findings(); s.cursor < len(f) {
		return f[s.cursor].ID
	}
	return ""
}

func (s *assessScreen) view(m *model, w, h int) ([]string, point) {
	sc := &m.sc
	fs := sc.findings()
	note := ""
	switch {
	case sc.live.Assessing:
		note = sc.th.Paint(widget.Accent, "▸ looking at "+plural(len(sc.plan.Hosts), "host"))
	case !sc.st.AssessedAt.IsZero():
		note = sc.th.Paint(widget.Dim, "checked "+widget.Ago(sc.now.Sub(sc.st.AssessedAt)))
	}
	lines := []string{widget.Rule(sc.th, widget.Focused+"assessment", note, w), "  " + sc.tallies(fs), ""}
	if len(fs) == 0 {
		return append(lines, "  Nothing has been found out yet; belay only reads, it changes nothing."), nowhere
	}
	tb := widget.Table{Cursor: s.cursor, Cols: []widget.Col{{Title: "level", Width: 10}, {Title: "host", Max: 14}, {Title: "check", Max: 12 + max(0, w-80)/4}, {Title: "finding", Grow: true}}}
	for _, f := range fs {
		level := sc.level(f)
		mk, role := widget.MarkOf(level), widget.Text
		if level == "pass" || level == "accepted" {
			role = widget.Dim
		}
		host := f.Host
		if host == "" {
			host = "all"
		}
		tb.Rows = append(tb.Rows, []widget.Cell{{Text: mk.Glyph + " " + level, Role: mk.Role},
			{Text: clean(host), Role: widget.Dim}, {Text: clean(f.Check), Role: widget.Dim}, {Text: oneLine(f.Text), Role: role}})
	}
	card := findingCard(sc, fs[s.cursor], w)
	card = widget.Fill(card, min(len(card), max(4, h/3)))
	rows, at := tb.Lines(sc.th, w, h-len(lines)-len(card)-1)
	rows = widget.Fill(rows, h-len(lines)-len(card)-1)
	at += len(lines)
	lines = append(append(lines, rows...), widget.Rule(sc.th, "finding", sc.th.Paint(widget.Dim, fmt.Sprintf("%d of %d", s.cursor+1, len(fs))), w))
	return append(lines, card...), rowAt(at)
}

// tallies counts the findings by level, in words.
func (sc *scene) tallies(fs []journal.Finding) string {
	n := map[string]int{}
	for _, f := range fs {
		n[sc.level(f)]++
	}
	out := ""
	for _, l := range []string{"block", "unknown", "warn", "accepted", "pass"} {
		if n[l] > 0 {
			mk := widget.MarkOf(l)
			out += sc.th.Paint(mk.Role, fmt.Sprintf("%s %d %s", mk.Glyph, n[l], l)) + "   "
		}
	}
	return out
}

// acceptable tells whether the finding is one that a person may accept.
func (sc *scene) acceptable(id string) bool {
	for _, f := range sc.st.Findings {
		if f.ID == id {
			return sc.level(f) == "warn" || sc.level(f) == "unknown"
		}
	}
	return false
}

// inTheWay says which findings keep the run from going on; "" for none.
func (sc *scene) inTheWay() string {
	n := map[string]int{}
	for _, f := range sc.st.Findings {
		n[sc.level(f)]++
	}
	var parts []string
	if n["block"] > 0 {
		parts = append(parts, plural(n["block"], "block")+" to mend")
	}
	if open := n["unknown"] + n["warn"]; open > 0 {
		parts = append(parts, fmt.Sprintf("%d to mend or accept", open))
	}
	if len(parts) == 0 {
		return ""
	}
	return "not yet: " + strings.Join(parts, ", ")
}

// findingCard is one finding with what to do about it and its evidence.
func findingCard(sc *scene, f journal.Finding, w int) []string {
	level := sc.level(f)
	on := clean(f.Host) // which of many alike
	if on != "" {
		on += ": "
	}
	pairs := []widget.Pair{
		{Label: widget.MarkOf(level).Glyph + " " + level, Value: on + oneLine(f.Text), Role: widget.Strong, Max: 3},
		{Label: "do", Value: clean(f.Fix), Max: 3},
		{Label: "seen", Value: clean(f.Detail), Role: widget.Dim, Max: 6},
	}
	if a, ok := sc.st.Accepted[f.ID]; ok {
		pairs = append(pairs, widget.Pair{Label: "accepted", Value: fmt.Sprintf("by %s: %s", oneLine(a.By.Name), oneLine(a.Reason)), Max: 2})
	}
	return widget.Pairs(sc.th, drop(pairs), w)
}
