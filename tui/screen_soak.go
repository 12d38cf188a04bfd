package tui

import (
	"fmt"
	"sort"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"belay/steps/journal"
	"belay/tui/widget"
)

// soakScreen is the watch after cutover: every probe, and what it comes to.
type soakScreen struct{ cursor int }

func (s *soakScreen) name() string { return "soak" }
func (s *soakScreen) place() place { return inList }
func (s *soakScreen) settle(m *model) {
	s.cursor = max(0, min(s.cursor, len(m.sc.probes())-1))
}

func (s *soakScreen) press(m *model, do action, _ string) tea.Cmd {
	s.cursor = moved(do, s.cursor, len(m.sc.probes()), 5)
	return nil
}

// probes are the ids of the plan's probes, then any that only the journal has.
func (sc *scene) probes() []string {
	var ids, extra []string
	seen := map[string]bool{}
	if sc.plan.Soak != nil {
		for _, p := range sc.plan.Soak.Watch {
			ids, seen[p.ID] = append(ids, p.ID), true
		}
	}
	for id := range sc.st.Soak.Probes {
		if !seen[id] {
			extra = append(extra, id)
		}
	}
	sort.Strings(extra)
	return append(ids, extra...)
}

// title is the plan's name for a probe.
func (sc *scene) probeTitle(id string) string {
	if sc.plan.Soak != nil {
		for _, p := range sc.plan.Soak.Watch {
			if p.ID == id && p.Title != "" {
				return oneLine(p.Title)
			}
		}
	}
	return clean(id)
}

// health judges one probe against the plan's limits, in a word that has a mark.
func (sc *scene) health(t journal.Tally) string {
	switch n := t.Good + t.Bad; {
	case n == 0:
		return "pending"
	case sc.overLimit(t) != "":
		return "failed"
	case len(t.Recent) > 0 && t.Recent[len(t.Recent)-1] < 0:
		return "warn"
	}
	return "passed"
}

// overLimit says which limit a probe exceeds; "" for none. Without a limit in
// the plan, failing more often than not is one.
func (sc *scene) overLimit(t journal.Tally) string {
	rate := errorRate(t)
	if sc.plan.Soak == nil || sc.plan.Soak.RollbackWhen == nil {
		if rate > 0.5 {
			return "fails more often than not"
		}
		return ""
	}
	lim := sc.plan.Soak.RollbackWhen
	switch p95 := time.Duration(t.P95 * float64(time.Millisecond)); {
	case lim.ErrorRate > 0 && rate > lim.ErrorRate:
		return fmt.Sprintf("errors %s, limit %s", percent(rate), percent(lim.ErrorRate))
	case lim.Latency > 0 && p95 > lim.Latency:
		return fmt.Sprintf("p95 %.0f ms, limit %d ms", t.P95, lim.Latency.Milliseconds())
	}
	return ""
}

func errorRate(t journal.Tally) float64 {
	if t.Good+t.Bad == 0 {
		return 0
	}
	return float64(t.Bad) / float64(t.Good+t.Bad)
}

func percent(f float64) string {
	if f > 0 && f < 0.1 {
		return fmt.Sprintf("%.1f%%", f*100)
	}
	return fmt.Sprintf("%.0f%%", f*100)
}

// soakTable is a line a probe: latency as a curve and in figures, good and bad,
// error rate. The names come first: the curve takes what they leave.
func soakTable(sc *scene, cursor, w, h int) ([]string, int) {
	median, title := 6, 5
	if w < 100 {
		median = widget.Hidden // left to the details
	}
	for _, id := range sc.probes() {
		title = max(title, widget.Width(sc.probeTitle(id)))
	}
	rest := w - 38 // lead, mark, figures and what stands between
	if median > 0 {
		rest -= median + 2
	}
	spark := max(8, min(40, rest-title))
	tb := widget.Table{Cursor: cursor, Cols: []widget.Col{{Width: 1}, {Title: "probe", Grow: true},
		{Title: "latency", Width: spark}, {Title: "p50 ms", Width: median, Right: true}, {Title: "p95 ms", Width: 6, Right: true},
		{Title: "good", Width: 6, Right: true}, {Title: "bad", Width: 5, Right: true}, {Title: "errors", Width: 6, Right: true}}}
	for _, id := range sc.probes() {
		t := sc.st.Soak.Probes[id]
		word := sc.health(t)
		mk, badRole, errRole := widget.MarkOf(word), widget.Text, widget.Text
		if t.Bad > 0 {
			badRole = widget.Warn
		}
		if word == "failed" {
			errRole = widget.Fail
		}
		tb.Rows = append(tb.Rows, []widget.Cell{{Text: mk.Glyph, Role: mk.Role}, {Text: sc.probeTitle(id)},
			{Text: widget.Spark(sc.th, t.Recent, spark)}, {Text: fmt.Sprintf("%.0f", t.P50)}, {Text: fmt.Sprintf("%.0f", t.P95)},
			{Text: widget.Thousands(int64(t.Good))}, {Text: widget.Thousands(int64(t.Bad)), Role: badRole}, {Text: percent(errorRate(t)), Role: errRole}})
	}
	if len(tb.Rows) == 0 {
		return []string{"  " + sc.th.Paint(widget.Dim, "This plan watches nothing.")}, -1
	}
	return tb.Lines(sc.th, w, h)
}

// verdict says in a sentence how the watch is going.
func (sc *scene) verdict() (string, widget.Role) {
	switch v := sc.st.Soak.Verdict; v {
	case "healthy":
		return "healthy: " + clean(sc.st.Soak.Why), widget.OK
	case "":
	default:
		return v + ": " + clean(sc.st.Soak.Why), widget.MarkOf(v).Role
	}
	if over := sc.trouble(); over != "" {
		return "over a limit: " + over, widget.Fail
	}
	answered := 0
	for _, t := range sc.st.Soak.Probes {
		answered += t.Good + t.Bad
	}
	if answered == 0 {
		return "nothing is known yet: no probe has answered", widget.Dim
	}
	return "so far within all limits", widget.OK
}

// trouble names the first probe that is over a limit, and the limit; "" for none.
func (sc *scene) trouble() string {
	for _, id := range sc.probes() {
		if over := sc.overLimit(sc.st.Soak.Probes[id]); over != "" {
			return sc.probeTitle(id) + ", " + over
		}
	}
	return ""
}

func (s *soakScreen) view(m *model, w, h int) ([]string, point) {
	sc := &m.sc
	soak := sc.st.Soak
	lines := []string{widget.Rule(sc.th, widget.Focused+"soak", "", w), ""}
	text, role := sc.verdict()
	pairs := []widget.Pair{{Label: "verdict", Value: text, Role: role, Max: 2}}
	if sc.plan.Soak != nil && sc.plan.Soak.RollbackWhen != nil {
		lim := sc.plan.Soak.RollbackWhen
		said := ""
		if lim.ErrorRate > 0 {
			said = "errors above " + percent(lim.ErrorRate)
		}
		if lim.Latency > 0 {
			said = join(said, fmt.Sprintf("p95 above %d ms", lim.Latency.Milliseconds()))
		}
		pairs = append(pairs, widget.Pair{Label: "limits", Value: said + " for " + widget.Span(lim.For) + ": belay proposes to roll back", Max: 2})
	}
	pairs = append(pairs, widget.Pair{Label: "time", Value: soakTime(sc)})
	pairs = append(pairs, sc.failedAside()...)
	lines = append(lines, widget.Pairs(sc.th, pairs, w)...)
	if !soak.Begun.IsZero() && soak.Until.After(soak.Begun) {
		lines = append(lines, "           "+widget.Bar(sc.th, int64(sc.now.Sub(soak.Begun)), int64(soak.Until.Sub(soak.Begun)), min(48, w-14)))
	}
	lines = append(lines, "")
	room := min(len(sc.probes())+1, h-len(lines)-2)
	rows, at := soakTable(sc, s.cursor, w, room)
	if at >= 0 {
		at += len(lines)
	}
	lines = append(append(lines, rows...), "")
	if ids := sc.probes(); len(ids) > 0 {
		if last := sc.st.Soak.Probes[ids[s.cursor]].Last; last != "" {
			lines = append(lines, widget.Pairs(sc.th, []widget.Pair{{Label: "last answer", Value: oneLine(last), Max: 3}}, w)...)
		}
	}
	return append(lines, sc.soakCost(w, h-len(lines))...), rowAt(at)
}

// failedAside are the steps that may fail and did: the run went on without
// them, and whoever watches should know.
func (sc *scene) failedAside() []widget.Pair {
	var out []widget.Pair
	for _, s := range sc.steps {
		if st := sc.st.Step(s.ID); s.Optional && st.Status == journal.FailedStatus {
			first, _, _ := strings.Cut(st.Err, "\n")
			out = append(out, widget.Pair{Label: "failed", Value: oneLine(s.Title) + " (optional, so the run went on): " + oneLine(first), Role: widget.Warn, Max: 2})
		}
	}
	return out
}

// soakCost says how long going back takes and what it loses, as far as there
// is room; the rollback screen has all of it.
func (sc *scene) soakCost(w, room int) []string {
	cost := widget.Pairs(sc.th, append(sc.backNow(), sc.losses()...), w)
	if len(cost)+1 > room {
		short := append(sc.backNow(), sc.losses()...)
		for i := range short {
			short[i].Max = 1
		}
		cost = widget.Pairs(sc.th, short, w)
	}
	if len(cost) == 0 || room < 3 {
		return nil
	}
	cost = append([]string{""}, cost...)
	if len(cost) > room {
		more := plural(len(cost)-room+1, "more line")
		cost = append(cost[:room-1:room-1], widget.Cut("  "+sc.th.Paint(widget.Dim, "… "+more+": see the rollback screen (])"), w))
	}
	return cost
}

func join(a, b string) string {
	if a == "" {
		return b
	}
	return a + " or " + b
}

func soakTime(sc *scene) string {
	s := sc.st.Soak
	switch {
	case s.Begun.IsZero():
		return "has not begun"
	case sc.now.Before(s.Until):
		return widget.Rough(s.Until.Sub(sc.now)) + " left, until " + s.Until.In(sc.now.Location()).Format("15:04:05")
	}
	return "the watch is over"
}
