package tui

import (
	"strings"

	"belay/steps/journal"
	"belay/steps/plan"
	"belay/tui/widget"
)

// wayLines shows ways back beside each other: what each does, what it loses,
// how long it takes by earlier runs, and what it does around the undo; not the
// last in short.
func (sc *scene) wayLines(ways []*plan.Way, w int, short bool) []string {
	var out []string
	for _, way := range ways {
		pairs := []widget.Pair{{Label: "loses", Value: clean(way.Loses), Role: widget.Warn, Max: 2}, sc.takes(way)}
		for _, part := range []struct {
			label string
			steps []*plan.Step
		}{{"before", way.StepsBefore()}, {"after", way.StepsAfter()}} {
			if titles := stepTitles(part.steps); titles != "" && !short {
				pairs = append(pairs, widget.Pair{Label: part.label, Value: titles, Max: 2})
			}
		}
		head := sc.th.Paint(widget.Strong, way.Name)
		if way.About != "" {
			head += "  " + oneLine(way.About)
		}
		out = append(out, widget.Cut("  "+head, w))
		pairs[0].Label = widget.Fit(pairs[0].Label, len("before"))
		for _, l := range widget.Pairs(sc.th, pairs, w-2) {
			out = append(out, "  "+l)
		}
	}
	return out
}

// takes is how long a way takes; a guess does not look like a measurement.
func (sc *scene) takes(way *plan.Way) widget.Pair {
	b := sc.opt.Estimates.Way(sc.plan, sc.st, way)
	p := widget.Pair{Label: "takes", Value: b.Words(widget.Span), Max: 2}
	if b.Unknown > 0 {
		p.Role = widget.Dim
	}
	return p
}

// backNow is how long the way back takes from here, on a line or one a way.
func (sc *scene) backNow() []widget.Pair {
	ways := sc.plan.WaysFrom(sc.st)
	if len(ways) == 0 {
		if b := sc.opt.Estimates.Way(sc.plan, sc.st, nil); b.Steps > 0 {
			p := sc.takes(nil)
			p.Label = "back"
			return []widget.Pair{p}
		}
		return nil
	}
	var out []widget.Pair
	for _, w := range ways {
		p := sc.takes(w)
		p.Label, p.Value, p.Max = "back", w.Name+": "+p.Value+"; loses "+lowerFirst(oneLine(w.Loses)), 2
		out = append(out, p)
	}
	return out
}

func lowerFirst(s string) string {
	if len(s) > 1 && s[0] >= 'A' && s[0] <= 'Z' && s[1] >= 'a' && s[1] <= 'z' {
		return strings.ToLower(s[:1]) + s[1:]
	}
	return s
}

func stepTitles(list []*plan.Step) string {
	var all []string
	for _, s := range list {
		all = append(all, oneLine(s.Title))
	}
	return strings.Join(all, " · ")
}

// offeredWays are the ways among the options of a question.
func (sc *scene) offeredWays(q journal.Question) []*plan.Way {
	var out []*plan.Way
	for _, o := range q.Options {
		if w := sc.plan.Way(o.Choice); w != nil {
			out = append(out, w)
		}
	}
	return out
}

// goingBack enters the steps of the way that was chosen among those that are
// shown, once it was.
func (sc *scene) goingBack() {
	sc.learn()
	if w := sc.plan.Way(sc.st.Way); w != nil && sc.shown != w {
		sc.shown = w
		sc.steps = append(sc.plan.Steps(), w.Steps()...)
		sc.hostW = hostCols(sc.steps)
	}
}

// backList is what a rollback does, in its order: before the undo, what it
// undoes, after it.
func (sc *scene) backList() []*plan.Step {
	w := sc.plan.Way(sc.st.Way)
	if w == nil {
		return sc.undoable()
	}
	return append(append(w.StepsBefore(), sc.undoable()...), w.StepsAfter()...)
}

// wayWord says on which side of the undo a way's own step stands.
func (sc *scene) wayWord(s *plan.Step) string {
	if _, before := sc.plan.WayOf(s.ID); before {
		return "before the undo"
	}
	return "after the undo"
}
