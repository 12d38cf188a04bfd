package engine

import (
	"context"
	"fmt"
	"time"

	"belay/steps/journal"
	"belay/steps/plan"
)

// optOn goes on with a cutover that there may be no time to take back.
var optOn = journal.Option{Choice: "on", Label: "go on past it", Needs: "reason", Danger: true}

// inTime holds a step of the cutover back while a last safe moment has passed
// that nobody has decided about. waited: somebody was asked, so that what was
// seen before may have changed. Steps that run go on meanwhile; of several
// lanes one asks.
func (e *Engine) inTime(ctx context.Context, s *plan.Step) (waited bool, err error) {
	if s.Stage != journal.Cutover {
		return false, nil
	}
	e.deciding.Lock()
	defer e.deciding.Unlock()
	for {
		if cause := e.halts.cause(); cause != nil {
			return waited, cause
		}
		at := e.passedMoment()
		if at.IsZero() {
			return waited, nil
		}
		waited = true
		if _, err := e.decide(ctx, e.safeQuestion(s, at)); err != nil {
			return waited, err
		}
	}
}

// passedMoment is the last safe moment if it has passed undecided, else zero.
// Where nobody knows it, that is the end of the window.
func (e *Engine) passedMoment() time.Time {
	if e.Plan.Window == nil {
		return time.Time{}
	}
	s := e.Log.State()
	at := e.lastSafe(s)
	if end := e.Plan.Window.End(); at.IsZero() || at.After(end) {
		at = end
	}
	if e.Now().Before(at) || !s.PastSafe.Before(at) {
		return time.Time{}
	}
	return at
}

// lastSafe is zero where nobody knows.
func (e *Engine) lastSafe(s *journal.State) time.Time {
	if e.LastSafe == nil || e.Plan.Window == nil {
		return time.Time{}
	}
	return e.LastSafe(s).In(e.Plan.Window.Start.Location())
}

func (e *Engine) safeQuestion(next *plan.Step, at time.Time) journal.Question {
	w := e.Plan.Window
	q := journal.Question{
		Kind:  journal.AskLastSafe,
		Title: "The last safe moment to turn back has passed",
		Text: fmt.Sprintf("It was %s: a rollback that begins later will, by the longest that it ever took, not be over %s before the window ends at %s.",
			clockTime(at), w.Margin, clockTime(w.End())),
		Options: []journal.Option{optOn, {Choice: "rollback", Label: "go back now", Danger: true}, optStop},
	}
	if at.Equal(w.End()) {
		q.Title = "The window is over"
		q.Text = fmt.Sprintf("It closed at %s, and the cutover is not at its end.", clockTime(at))
	}
	q.Text += fmt.Sprintf("\n%q has not begun, and nothing else begins; what runs goes on.", next.Title)
	for _, s := range e.Plan.Steps() {
		if s.Stage == journal.Cutover && e.Log.State().Step(s.ID).Status == journal.Pending {
			q.Items = append(q.Items, "still to do: "+s.Title)
		}
	}
	return q
}

// clockTime is a time of day, with seconds where it has some.
func clockTime(t time.Time) string {
	if t.Second() == 0 {
		return t.Format("15:04 MST")
	}
	return t.Format("15:04:05 MST")
}

// tooLateToBegin says that the cutover, begun now, could not be gone through
// and back within the window; "" where it can, or nobody knows.
func (e *Engine) tooLateToBegin() string {
	at := e.lastSafe(e.Log.State())
	if at.IsZero() || e.Now().Before(at) {
		return ""
	}
	return fmt.Sprintf("It is too late to cut over and still be able to go back within the window: by the longest that both ever took, the cutover had to begin before %s.", clockTime(at))
}

// against says what the clock has against cutting over now; it wants a reason.
func (e *Engine) against() string {
	if outside := e.outsideWindow(); outside != "" {
		return outside
	}
	return e.tooLateToBegin()
}
