package tui

import (
	"time"

	"belay/steps/estimate"
	"belay/steps/journal"
	"belay/steps/plan"
	"belay/tui/widget"
)

// foreseen is what was told of a moment, so that it is told once.
type foreseen struct {
	seq   uint64
	now   time.Time
	watch estimate.Stopwatch
	ran   map[string]time.Duration
	by    map[journal.Stage]estimate.Forecast
}

// learn takes over the estimates that the run began with: they may have been
// learned on another machine.
func (sc *scene) learn() {
	if e, ok := estimate.Recorded(sc.st); ok && !sc.learned {
		sc.opt.Estimates, sc.learned = e, true
	}
}

// forecast is how a stage goes on from now.
func (sc *scene) forecast(stage journal.Stage) estimate.Forecast {
	f := &sc.fore
	if f.by == nil || f.seq != sc.st.Seq || f.now != sc.now {
		f.seq, f.now, f.by = sc.st.Seq, sc.now, map[journal.Stage]estimate.Forecast{}
		f.ran = f.watch.Look(sc.now, sc.st)
	}
	if _, told := f.by[stage]; !told {
		f.by[stage] = sc.opt.Estimates.Forecast(sc.plan, stage, sc.st, estimate.Going{Now: sc.now, For: f.ran, Progress: sc.live.Progress})
	}
	return f.by[stage]
}

// goesForward tells whether the run is on its way through a stage.
func (sc *scene) goesForward(stage journal.Stage) bool {
	return sc.st.Stage == stage && sc.st.Done[stage].IsZero() && sc.st.Rollback == nil && !sc.live.Ended && sc.question(journal.AskCutover) == nil
}

// ends says when the cutover is over: "ends about 22:41, at worst 22:50"; ""
// while there is none under way, or nobody knows. A guess looks like one.
func (sc *scene) ends() string {
	if !sc.goesForward(journal.Cutover) {
		return ""
	}
	return sc.endsAt(sc.forecast(journal.Cutover))
}

func (sc *scene) endsAt(f estimate.Forecast) string {
	if f.Steps == 0 || !f.Told() {
		return ""
	}
	at := func(d time.Duration) string {
		layout := "15:04"
		switch {
		case d < 5*time.Minute:
			layout = "15:04:05"
		case d > 20*time.Hour:
			layout = "Mon 15:04"
		}
		return sc.now.Add(d).Format(layout)
	}
	likely, worst := at(f.Median), at(f.Worst)
	switch {
	case f.Unknown > 0:
		return "ends ~" + worst + " or later (guess)"
	case !f.Sure():
		return "ends ~" + worst + " (guess)"
	case likely == worst:
		return "ends about " + likely
	}
	return "ends about " + likely + ", at worst " + worst
}

// critical tells whether the end of a step's stage hangs on it.
func (sc *scene) critical(s *plan.Step) bool {
	if !sc.st.Done[s.Stage].IsZero() || sc.st.Rollback != nil || s.Stage == journal.GoingBack {
		return false
	}
	return sc.forecast(s.Stage).Critical[s.ID]
}

// lane is the mark of the lane that a step stands in; that of the lane on which
// the end hangs is a double line.
func (sc *scene) lane(s *plan.Step) string {
	mark := sc.lanes[s.ID]
	if mark != "" && sc.critical(s) {
		return "║" + mark[len("│"):]
	}
	return mark
}

// expected is how long a step takes, as far as anybody knows before it runs.
func (sc *scene) expected(s *plan.Step) string {
	t := sc.opt.Estimates.Forward[s.ID]
	here := sc.st.Step(s.ID).Size
	if here == (journal.Size{}) {
		here = sc.st.Sizes[s.ID]
	}
	switch with, far := t.With(here); {
	case t.Runs == 0 && s.Takes == 0:
		return ""
	case t.Runs == 0:
		return "takes ~" + widget.Span(s.Takes) + " (the plan's guess)"
	case far:
		return "took " + widget.Span(t.Median) + " before with " + estimate.Words(t.Most()) + ", ~" + widget.Span(with.Median) + " (guess) with " + estimate.Words(here)
	}
	return "took " + widget.Span(t.Median) + " before"
}

// decided tells whether somebody decided to go on past the last safe moment.
func (sc *scene) decided() bool {
	return !sc.st.PastSafe.Before(sc.opt.Estimates.LastSafe(sc.plan, sc.st).At)
}

// safe is the last safe moment, in words for the header; "" while it is far, or
// nobody knows it.
func (sc *scene) safe() (string, widget.Role) {
	m := sc.opt.Estimates.LastSafe(sc.plan, sc.st)
	left := m.At.Sub(sc.now)
	begun := !m.Begin || sc.now.After(sc.plan.Window.Start) && !sc.st.Done[journal.Prepare].IsZero()
	if m.At.IsZero() || sc.live.Ended || !begun || left > time.Hour {
		return "", widget.Text
	}
	text, late := "turn back within "+widget.Rough(left), "too late to turn back in the window"
	if m.Begin {
		text, late = "begin within "+widget.Rough(left), "too late to cut over and back in the window"
	}
	switch {
	case m.Guess && left <= 0:
		return "~too late to turn back (guess)", widget.Warn
	case left <= 0:
		return late, widget.Fail
	case m.Guess:
		return "~" + text + " (guess)", widget.Dim
	}
	return text, widget.Warn
}
