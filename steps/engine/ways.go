package engine

import (
	"fmt"
	"slices"
	"strings"

	"belay/steps/journal"
	"belay/steps/plan"
)

// way is the way back that was chosen; nil where there was nothing to choose.
func (e *Engine) way() *plan.Way { return e.Plan.Way(e.Log.State().Way) }

// wayOptions are the ways that may be chosen now, each a choice of its own.
func (e *Engine) wayOptions() []journal.Option {
	open := e.Plan.WaysFrom(e.Log.State())
	if i := slices.IndexFunc(open, func(w *plan.Way) bool { return w.Name == e.Way }); i >= 0 {
		open = open[i : i+1]
	}
	if len(open) == 0 {
		return []journal.Option{{Choice: "go", Label: "roll back", Type: e.gateWord(), Needs: "name reason", Danger: true}}
	}
	var all []journal.Option
	for _, w := range open {
		all = append(all, journal.Option{
			Choice: w.Name, Label: "roll back: " + w.Name, Note: wayNote(w), Type: e.gateWord(), Needs: "name reason", Danger: true,
		})
	}
	return all
}

// wayNote says what a way does and costs, in lines.
func wayNote(w *plan.Way) string {
	var lines []string
	if w.About != "" {
		lines = append(lines, w.About)
	}
	lines = append(lines, "Loses: "+w.Loses)
	for _, part := range []struct {
		when  string
		steps []*plan.Step
	}{{"Before the undo: ", w.StepsBefore()}, {"After the undo: ", w.StepsAfter()}} {
		if len(part.steps) > 0 {
			lines = append(lines, part.when+strings.Join(outlineSteps(part.steps), ", "))
		}
	}
	return strings.Join(lines, "\n")
}

// leaveRest is the answer that leaves out what is left before the undo.
const leaveRest = "undo"

var optLeaveRest = journal.Option{Choice: leaveRest, Label: "leave out what is left before the undo; undo now", Needs: "reason", Danger: true}

// turns are the choices to leave a step's question by another road: back, or
// on a way back, on with it.
func (e *Engine) turns(s *plan.Step) []journal.Option {
	switch w, before := e.Plan.WayOf(s.ID); {
	case w == nil:
		return []journal.Option{optRollback, optStop}
	case before:
		return []journal.Option{optLeaveRest, optStop}
	}
	return []journal.Option{optStop}
}

// leftOut tells why a step before the undo is not begun, or not tried again:
// somebody left out the rest. Nil otherwise. What began and was not seen to end
// is looked into all the same.
func (e *Engine) leftOut(s *plan.Step, st journal.StepState) *journal.Answer {
	if st.Status != journal.Pending && st.Status != journal.FailedStatus {
		return nil
	}
	w, before := e.Plan.WayOf(s.ID)
	if w == nil || !before {
		return nil
	}
	for _, other := range w.StepsBefore() {
		st := e.Log.State().Step(other.ID)
		if r := st.Reason; r != nil && r.Choice == leaveRest && st.Status == journal.Skipped {
			return r
		}
	}
	return nil
}

// skipRest records that a step is left out with the rest.
func (e *Engine) skipRest(s *plan.Step, st journal.StepState, why *journal.Answer) error {
	text := st.Err
	if text == "" {
		text = fmt.Sprintf("left out with the rest, to undo at once: %s", why.Reason)
	}
	return e.append(journal.Event{Type: journal.StepSkipped, Step: s.ID, Err: text}, nil)
}
