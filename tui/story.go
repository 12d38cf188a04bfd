package tui

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"belay/steps/estimate"
	"belay/steps/journal"
	"belay/steps/plan"
	"belay/tui/widget"
)

// story is the text of a question: what happened, what was and was not
// changed, and what each kind of question has to show besides.
func (a *ask) story(sc *scene, w int) []string {
	out := []string{widget.Cut("  "+sc.th.Paint(widget.Strong, oneLine((a.q.Title))), w), ""}
	short := a.room < shortRoom
	if ways := sc.offeredWays(a.q); a.q.Kind == journal.AskRollback && len(ways) > 0 {
		out = append(append(out, sc.wayLines(ways, w, short)...), "")
	}
	if now := sc.standing(); a.q.Kind == journal.AskSoak && len(now) > 0 {
		out = append(append(out, widget.Pairs(sc.th, now, w)...), "")
	}
	switch a.q.Kind {
	case journal.AskRollback, journal.AskSoak, journal.AskClose:
		if lost := sc.lossLines(w, short); len(lost) > 0 {
			out = append(append(out, lost...), "")
		}
	}
	if a.q.Text != "" {
		for _, l := range widget.Wrap(clean(a.q.Text), w-4) {
			out = append(out, "  "+l)
		}
		out = append(out, "")
	}
	switch a.q.Kind {
	case journal.AskFailed, journal.AskUnknown:
		out = append(out, a.failure(sc, w)...)
	case journal.AskManual:
		out = append(out, a.manual(sc, w)...)
	case journal.AskLastSafe:
		out = append(append(out, widget.Pairs(sc.th, sc.onOrBack(), w)...), "")
		for _, it := range a.q.Items {
			out = append(out, widget.Cut("  · "+oneLine(it), w))
		}
	case journal.AskCutover:
		out = append(append(out, widget.Pairs(sc.th, sc.readiness(), w)...), "")
		out = append(out, willRun(sc, journal.Cutover, w, a.room-len(out))...)
	case journal.AskClose:
		out = append(out, closing(sc, w)...)
	case journal.AskSoak:
		if back := sc.backNow(); len(back) > 0 && !strings.Contains(a.q.Text, "Going back:") {
			out = append(append(out, widget.Pairs(sc.th, back, w)...), "")
		}
		lines, _ := soakTable(sc, -1, w, len(sc.st.Soak.Probes)+1)
		out = append(out, lines...)
	case journal.AskRollback:
		out = append(out, rollbackList(sc, a.q.Items, w)...)
	case journal.AskFindings, journal.AskSignoff:
		out = append(out, a.about(sc, w)...)
	default:
		for _, it := range a.q.Items {
			out = append(out, widget.Cut("  · "+oneLine(it), w))
		}
	}
	for len(out) > 0 && out[len(out)-1] == "" {
		out = out[:len(out)-1]
	}
	return out
}

// failure shows what the hints say, the end of the log, and the step.
func (a *ask) failure(sc *scene, w int) []string {
	s, st := sc.plan.Step(a.q.Step), sc.st.Step(a.q.Step)
	var pairs []widget.Pair
	if s != nil {
		for _, h := range hintsFor(s, a.tail) {
			if h.Cause != "" && strings.Contains(a.q.Text, h.Cause) {
				continue // the engine has said so already
			}
			pairs = append(pairs,
				widget.Pair{Label: "likely", Value: oneLine(h.Cause), Role: widget.Warn, Max: 2},
				widget.Pair{Label: "do", Value: oneLine(h.Fix), Max: 2})
		}
	}
	if what, _, _ := strings.Cut(st.Err, "\n"); what != "" && len(pairs) == 0 && !strings.Contains(a.q.Text, what) {
		pairs = append(pairs, widget.Pair{Label: "error", Value: clean(st.Err), Role: widget.Fail, Max: 3})
	}
	out := widget.Pairs(sc.th, pairs, w)
	if len(a.q.Items) > 0 {
		out = append(out, "  "+sc.th.Paint(widget.Strong, "To mend it, the plan would:"))
		for _, it := range a.q.Items {
			for i, l := range widget.Wrap(oneLine(it), w-6) {
				out = append(out, "  "+map[bool]string{true: "· ", false: "  "}[i == 0]+l)
			}
		}
	}
	if tail := a.unsaid(); len(tail) > 0 {
		tail = tail[max(0, len(tail)-max(2, a.room-14)):]
		for i, l := range tail {
			most := 1
			if i == len(tail)-1 { // the last word is what people come for
				most = 3
			}
			for _, part := range firsts(widget.Chop(l, w-6), most) {
				out = append(out, "  "+sc.th.Paint(widget.Dim, "│ ")+part)
			}
		}
	}
	if s == nil {
		return out
	}
	text, back := undo(s)
	role := widget.Text
	if !back {
		role = widget.Loud
	}
	said := fmt.Sprintf("%s%s, attempt %d", s.Kind.Name, onWhere(s), max(st.Attempt, 1))
	if d := sc.took(s.ID); d > 0 {
		said += ", after " + widget.Span(d)
	}
	return append(out, widget.Pairs(sc.th, []widget.Pair{
		{Label: "undo", Value: text, Role: role}, {Label: "step", Value: said, Role: widget.Dim}}, w)...)
}

// unsaid is the end of the log without what the question's text has told.
func (a *ask) unsaid() []string {
	return slices.DeleteFunc(slices.Clone(a.tail), func(l string) bool {
		l = strings.TrimSpace(strings.TrimPrefix(l, "-- failed: "))
		return l == "" || strings.Contains(a.q.Text, l)
	})
}

// firsts keeps the first n of lines.
func firsts(lines []string, n int) []string { return lines[:min(n, len(lines))] }

// hintsFor returns the hints of a step that match a line of its log.
func hintsFor(s *plan.Step, tail []string) []plan.Hint {
	var out []plan.Hint
	for _, h := range s.AllHints() {
		re, err := regexp.Compile(h.Match)
		if err != nil {
			continue // the plan's reader has refused such a hint already
		}
		for _, l := range tail {
			if re.MatchString(l) {
				out = append(out, h)
				break
			}
		}
	}
	return out
}

func (a *ask) manual(sc *scene, w int) []string {
	s := sc.plan.Step(a.q.Step)
	if s == nil {
		return nil
	}
	if sc.st.Step(s.ID).Undoing { // all that is said of the step is of the way forward
		return nil
	}
	var pairs []widget.Pair
	if at := where(s); at != "" {
		pairs = append(pairs, widget.Pair{Label: "where", Value: at})
	}
	if s.Why != "" {
		pairs = append(pairs, widget.Pair{Label: "why", Value: clean(s.Why), Max: 3})
	}
	if s.Expect != "" {
		pairs = append(pairs, widget.Pair{Label: "expect", Value: clean(s.Expect), Max: 2})
	}
	return widget.Pairs(sc.th, pairs, w)
}

// about shows the finding or the checklist item that an answer would be about;
// when the answer is about all of them, how they stand.
func (a *ask) about(sc *scene, w int) []string {
	choice := ""
	if a.chosen >= 0 {
		choice = a.q.Options[a.chosen].Choice
	}
	if choice == "go" || a.q.Kind == journal.AskFindings && !sc.acceptable(a.item) {
		return a.whole(sc, w)
	}
	for _, f := range sc.st.Findings {
		if f.ID == a.item {
			return findingCard(sc, f, w)
		}
	}
	for _, it := range sc.plan.Signoff {
		if it.ID == a.item {
			c := sc.checkItem(it)
			var out []string
			for i, l := range widget.Wrap(c.Text, max(w-4, 1)) {
				mark := "  " + sc.th.Mark(c.State) + " "
				if i > 0 {
					mark = "    "
				}
				out = append(out, mark+sc.th.Paint(widget.Strong, l))
			}
			return append(out, widget.Cut("    "+sc.th.Paint(c.Role, c.Note), w))
		}
	}
	var out []string
	for _, it := range a.q.Items {
		out = append(out, widget.Cut("  · "+oneLine(it), w))
	}
	return out
}

// whole is how all findings, or the whole checklist, stand.
func (a *ask) whole(sc *scene, w int) []string {
	if a.q.Kind == journal.AskFindings {
		return []string{"  " + sc.tallies(sc.findings())}
	}
	var out []string
	for _, it := range sc.plan.Signoff {
		c := sc.checkItem(it)
		out = append(out, widget.Cut("  "+sc.th.Mark(c.State)+" "+c.Text+"  "+sc.th.Paint(widget.Dim, c.Note), w))
	}
	return out
}

// willRun lists the steps of a stage in their order, and how each is undone; on
// one line each when room is short.
func willRun(sc *scene, stage journal.Stage, w, room int) []string {
	out := []string{widget.Cut("  "+sc.th.Paint(widget.Dim, "What will run, in this order"+sc.ahead(stage)+":"), w)}
	if _, all := sc.count(stage); 2*all+1 > room {
		tb := widget.Table{Cursor: -1, NoHead: true, Cols: []widget.Col{{Right: true}, {Grow: true}, {Width: sc.hostW}, {Grow: true}}}
		for _, s := range sc.steps {
			if s.Stage != stage {
				continue
			}
			text, back := undo(s)
			role := widget.Dim
			if !back {
				role = widget.Loud
			}
			tb.Rows = append(tb.Rows, []widget.Cell{{Text: fmt.Sprint(len(tb.Rows) + 1)}, {Text: oneLine(s.Title), Role: widget.Strong}, {Text: where(s), Role: widget.Dim}, {Text: text, Role: role}})
		}
		rows, _ := tb.Lines(sc.th, w, len(tb.Rows))
		return append(out, rows...)
	}
	n := 0
	for _, s := range sc.steps {
		if s.Stage != stage {
			continue
		}
		n++
		text, back := undo(s)
		text, role := "undo: "+text, widget.Dim
		if !back {
			text, role = "NO WAY BACK", widget.Loud
		}
		out = append(out,
			widget.Cut(fmt.Sprintf("  %2d  %s", n, sc.th.Paint(widget.Strong, oneLine(s.Title))+sc.th.Paint(widget.Dim, " "+onWhere(s))), w),
			widget.Cut("      "+sc.th.Paint(role, text), w))
	}
	if n == 0 {
		return []string{"  " + sc.th.Paint(widget.Dim, "This plan has no steps there.")}
	}
	return out
}

// ahead is how long what is left of a stage takes, as earlier runs tell.
func (sc *scene) ahead(stage journal.Stage) string {
	t := sc.opt.Estimates.Ahead(sc.plan, stage, sc.st)
	if !t.Told() {
		return ""
	}
	text := " (" + t.About(widget.Span)
	if ends := sc.endsAt(sc.forecast(stage)); ends != "" && sc.question(journal.AskCutover) != nil {
		text += "; begun now it " + ends
	}
	return text + ")"
}

// onOrBack is what going on and what going back come to.
func (sc *scene) onOrBack() []widget.Pair {
	on := "nobody knows how long what is left of the cutover takes"
	if f := sc.forecast(journal.Cutover); f.Told() {
		on = "what is left of the cutover takes " + f.About(widget.Span) + "; it " + sc.endsAt(f)
	}
	pairs := []widget.Pair{{Label: "go on", Value: on, Max: 3}}
	for _, way := range sc.plan.WaysFrom(sc.st) {
		pairs = append(pairs, widget.Pair{Label: way.Name, Value: sc.opt.Estimates.Way(sc.plan, sc.st, way).Words(widget.Span), Max: 2})
	}
	if len(pairs) == 1 {
		pairs = append(pairs, widget.Pair{Label: "go back", Value: sc.opt.Estimates.Way(sc.plan, sc.st, nil).Words(widget.Span), Max: 2})
	}
	if w := sc.plan.Window; w != nil {
		pairs = append(pairs, widget.Pair{Label: "window", Value: "ends at " + w.End().In(sc.now.Location()).Format("15:04:05"), Max: 1})
	}
	return pairs
}

// before is how long a step took in earlier runs, and undoing it.
func (sc *scene) before(id string) string {
	say := func(what string, t estimate.Took) string {
		if t.Runs == 0 {
			return ""
		}
		text := what + widget.Span(t.Median)
		if t.Runs > 1 {
			text += fmt.Sprintf(" (%d runs, at worst %s)", t.Runs, widget.Span(t.Worst))
		}
		return text
	}
	took, back := say("took ", sc.opt.Estimates.Forward[id]), say("undone in ", sc.opt.Estimates.Back[id])
	if took != "" && back != "" {
		return took + ", " + back
	}
	return took + back
}

// closing says what closing costs: the way back.
func closing(sc *scene, w int) []string {
	out := []string{"  " + sc.th.Paint(widget.Loud, " POINT OF NO RETURN ") + "  Going back after this loses what users wrote.", ""}
	return append(out, willRun(sc, journal.Close, w, 1000)...)
}
