package tui

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"belay/steps/journal"
	"belay/steps/plan"
	"belay/steps/soak"
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

// overLimit says which limit a probe exceeds, and for how long; "" for none.
// Without a limit in the plan, failing more often than not is one.
func (sc *scene) overLimit(t journal.Tally) string {
	if t.Over != "" {
		return clean(t.Over)
	}
	if (sc.plan.Soak == nil || len(sc.plan.Soak.RollbackWhen) == 0) && t.ErrorRate() > 0.5 {
		return "fails more often than not"
	}
	return ""
}

func percent(f float64) string { return soak.Percent(f) }

// measure writes what a probe measured, without its unit where that is ms.
func measure(v float64, unit string) string {
	switch {
	case v == 0:
		return "–"
	case unit != "" || v < 0.95:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

// soakTable is a line a probe: latency as a curve and in figures, good and bad,
// error rate. The names come first: the curve takes what they leave.
func soakTable(sc *scene, cursor, w, h int) ([]string, int) {
	median, was, title := 6, widget.Hidden, 5
	if w < 100 {
		median = widget.Hidden // left to the details
	}
	if len(sc.st.Soak.Baseline) > 0 {
		was = 7
	}
	for _, id := range sc.probes() {
		title = max(title, widget.Width(sc.probeTitle(id)))
	}
	rest := w - 38 // lead, mark, figures and what stands between
	for _, more := range []int{median, was} {
		if more > 0 {
			rest -= more + 2
		}
	}
	spark := max(8, min(40, rest-title))
	tb := widget.Table{Cursor: cursor, Cols: []widget.Col{{Width: 1}, {Title: "probe", Grow: true},
		{Title: "latency", Width: spark}, {Title: "p50 ms", Width: median, Right: true}, {Title: "p95 ms", Width: 6, Right: true}, {Title: "old p95", Width: was, Right: true},
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
			{Text: widget.Spark(sc.th, t.Recent, spark)}, {Text: measure(t.P50, t.Unit)}, {Text: measure(t.P95, t.Unit)},
			{Text: measure(sc.st.Soak.Baseline[id].P95, t.Unit), Role: widget.Dim},
			{Text: widget.Thousands(int64(t.Good))}, {Text: widget.Thousands(int64(t.Bad)), Role: badRole}, {Text: percent(t.ErrorRate()), Role: errRole}})
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
	now := sc.st.Soak
	lines := []string{widget.Rule(sc.th, widget.Focused+"soak", "", w), ""}
	text, role := sc.verdict()
	pairs := []widget.Pair{{Label: "verdict", Value: text, Role: role, Max: 2}}
	pairs = append(pairs, sc.standing()...)
	pairs = append(pairs, sc.limits(h)...)
	pairs = append(pairs, sc.failedAside()...)
	pairs = append(pairs, widget.Pair{Label: "time", Value: soakTime(sc)}) // last: its bar follows
	lines = append(lines, widget.Pairs(sc.th, pairs, w)...)
	if !now.Begun.IsZero() && now.Until.After(now.Begun) {
		lines = append(lines, "           "+widget.Bar(sc.th, int64(sc.now.Sub(now.Begun)), int64(now.Until.Sub(now.Begun)), min(48, w-14)))
	}
	lines = append(lines, "")
	room := min(len(sc.probes())+1, h-len(lines)-2)
	rows, at := soakTable(sc, s.cursor, w, room)
	if at >= 0 {
		at += len(lines)
	}
	lines = append(append(lines, rows...), "")
	if ids := sc.probes(); len(ids) > 0 {
		lines = append(lines, widget.Pairs(sc.th, sc.probeNow(ids[s.cursor], h), w)...)
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

// limits says what is too much, a line each; fewer where there is little room.
func (sc *scene) limits(room int) []widget.Pair {
	if sc.plan.Soak == nil {
		return nil
	}
	var out []widget.Pair
	all := slices.Clone(sc.plan.Soak.RollbackWhen)
	byItself := func(t plan.Trigger) int {
		if t.Then == plan.Automatic {
			return 0
		}
		return 1
	}
	// What nobody is asked about must not be among those left out.
	slices.SortStableFunc(all, func(a, b plan.Trigger) int { return cmp.Compare(byItself(a), byItself(b)) })
	for _, t := range all {
		said := ""
		if t.ErrorRate > 0 {
			said = "errors above " + percent(t.ErrorRate)
		}
		if t.Latency > 0 {
			said = join(said, fmt.Sprintf("p95 above %d ms", t.Latency.Milliseconds()))
		}
		if t.SlowerThan > 0 {
			said = join(said, fmt.Sprintf("slower than %gx the old server", t.SlowerThan))
		}
		if t.MoreErrors > 0 {
			said = join(said, percent(t.MoreErrors)+" more errors than there")
		}
		then := ": belay proposes to roll back"
		switch {
		case t.Then == plan.Tell:
			then = ": it is noted, and nothing more"
		case t.Then == plan.Automatic && sc.st.Soak.Manual == nil:
			then = ": belay rolls back by itself, " + widget.Span(t.Countdown) + " after saying so"
		}
		out = append(out, widget.Pair{Label: "limits", Value: said + " for " + widget.Span(t.For) + then, Max: 2})
	}
	if most := max(1, (room-12)/4); len(out) > most {
		more := plural(len(out)-most, "more limit")
		out = out[:most]
		out[most-1].Value += " (and " + more + ")"
	}
	if m := sc.st.Soak.Manual; m != nil {
		out = append(out, widget.Pair{Label: "by hand", Value: oneLine(m.By.Who()) + " stopped a countdown at " + m.Time.In(sc.now.Location()).Format("15:04:05") + ": belay only asks from now on", Role: widget.Warn})
	}
	return out
}

// probeNow is what the chosen probe saw last, and what the old server was like.
func (sc *scene) probeNow(id string, room int) []widget.Pair {
	var out []widget.Pair
	if last := sc.st.Soak.Probes[id].Last; last != "" {
		out = append(out, widget.Pair{Label: "last answer", Value: oneLine(last), Max: 3})
	}
	if old := sc.oldWords(id); old != "" && room > 14 {
		out = append(out, widget.Pair{Label: "old server", Value: old, Role: widget.Dim, Max: 2})
	}
	return out
}

// oldWords say what a probe's baseline is; "" where the plan wants none.
func (sc *scene) oldWords(id string) string {
	t, measured := sc.st.Soak.Baseline[id]
	if !measured {
		if sc.plan.Soak != nil {
			for _, p := range sc.plan.Soak.Watch {
				if p.ID == id && p.Old != nil {
					return "not measured: there is nothing to compare with"
				}
			}
		}
		return ""
	}
	unit := t.Unit
	if unit == "" {
		unit = "ms"
	}
	text := fmt.Sprintf("p50 %s, p95 %s %s, ", measure(t.P50, t.Unit), measure(t.P95, t.Unit), unit)
	if t.P50 == 0 {
		text = ""
	}
	return text + fmt.Sprintf("%s errors in %s answers before the cutover", percent(t.ErrorRate()), widget.Thousands(int64(t.Good+t.Bad)))
}

// measuring says that the gate of the cutover waits for what the old server is
// like; "" otherwise.
func (sc *scene) measuring() string {
	if sc.st.Stage != journal.Cutover || sc.plan.Soak == nil || len(sc.st.Questions) > 0 || len(sc.running()) > 0 {
		return ""
	}
	for _, p := range sc.plan.Soak.Watch {
		t := sc.st.Soak.Baseline[p.ID]
		if p.Old != nil && !soak.Measured(t) && !sc.cutting() {
			return fmt.Sprintf("belay asks the old server first, to compare with: %s, %d of %d good answers", sc.probeTitle(p.ID), t.Good, soak.Enough)
		}
	}
	return ""
}

// cutting tells whether the cutover has begun.
func (sc *scene) cutting() bool {
	for _, s := range sc.plan.Steps() {
		if s.Stage == journal.Cutover && sc.st.Step(s.ID).Status != journal.Pending {
			return true
		}
	}
	return !sc.st.Reached[journal.Soak].IsZero()
}

// counting says how a countdown stands; "" while there is none.
func (sc *scene) counting() string {
	c := sc.st.Soak.Countdown
	if c == nil || sc.live.Ended {
		return ""
	}
	stops := "press h to stop it"
	if sc.readOnly() != "" {
		stops = "p takes the pen, then h stops it"
	}
	if left := c.Until.Sub(sc.now); left > 0 {
		return fmt.Sprintf("belay ROLLS BACK by itself in %d s: %s.", int((left+time.Second-1)/time.Second), stops)
	}
	return "belay ROLLS BACK by itself as soon as it has seen once more that the limit is passed: " + stops + "."
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
	case s.Verdict == "" && sc.now.Sub(s.Until) > 5*time.Second && !sc.live.Ended:
		return "it is over by the clock; belay looks once more, because nobody looked on for a while"
	}
	return "the watch is over"
}
