package estimate

import (
	"cmp"
	"fmt"
	"time"

	"belay/steps/journal"
	"belay/steps/plan"
)

// Back is how long one way back takes from where a run stands: what the way
// does before the undo, the undo, and what it does after it.
type Back struct {
	Total               // by what was measured
	Guess time.Duration // Median with a guess for what was never measured: undoing takes as long as doing
	Blind int           // of the steps, those for which there is not even a guess
}

// Way is how long the way w takes; nil is the bare undo.
func (e Estimates) Way(p *plan.Plan, st *journal.State, w *plan.Way) Back {
	return e.back(p, st, w, func(s *plan.Step) bool { return begunWithWayBack(s, st) })
}

// back is how long the way w takes that undoes what undo says.
func (e Estimates) back(p *plan.Plan, st *journal.State, w *plan.Way, undo func(*plan.Step) bool) Back {
	b := Back{Total: e.undoing(p, undo)}
	b.Guess = inStages(p, undo, func(s *plan.Step) one {
		if t := e.Back[s.ID]; t.Runs > 0 {
			return one{median: t.Median, known: true}
		}
		took := e.forward(s, st).median
		if now := st.Step(s.ID); now.Attempt > 0 && !now.Ended.IsZero() {
			took = max(0, cmp.Or(now.Took, now.Ended.Sub(now.Started)))
		}
		if took == 0 {
			b.Blind++
		}
		return one{median: took}
	}).Median
	if w == nil {
		return b
	}
	for _, part := range [][]plan.Group{w.Before, w.After} {
		t, _ := inGroups(part, func(s *plan.Step) bool { return !over(s, st) }, func(s *plan.Step) one { return e.forward(s, st) })
		b.Guess += t.Median
		b.Blind += t.Unknown
		b.plus(t)
	}
	return b
}

// WayAfter is how long the way w would take from the end of a stage, if every
// step up to there had been begun.
func (e Estimates) WayAfter(p *plan.Plan, last journal.Stage, w *plan.Way) Total {
	t := e.RollbackAfter(p, last)
	for _, part := range [][]plan.Group{w.Before, w.After} {
		own, _ := inGroups(part, func(*plan.Step) bool { return true }, func(s *plan.Step) one { return e.forward(s, journal.NewState()) })
		t.plus(own)
	}
	return t
}

// Words say how long it takes; a guess begins with a ~ and says what it is.
// span writes a duration.
func (b Back) Words(span func(time.Duration) string) string {
	switch {
	case b.Steps == 0:
		return "no time: nothing is to be done"
	case b.Sure() && b.Worst > b.Median:
		return fmt.Sprintf("about %s, at worst %s (measured)", span(b.Median), span(b.Worst))
	case b.Sure():
		return fmt.Sprintf("about %s (measured)", span(b.Median))
	case b.Guess == 0:
		return fmt.Sprintf("nobody knows how long: never measured (%d of %d steps)", b.Unknown+b.Guessed, b.Steps)
	}
	text := fmt.Sprintf("~%s, a guess: %d of %d steps never measured", span(b.Guess), b.Unknown+b.Guessed, b.Steps)
	if b.Blind > 0 {
		text = fmt.Sprintf("~%s or more, a guess: %d of %d steps never measured", span(b.Guess), b.Unknown+b.Guessed, b.Steps)
	}
	return text
}

func begunWithWayBack(s *plan.Step, st *journal.State) bool {
	now := st.Step(s.ID)
	return s.HasWayBack() && now.Attempt > 0 && !now.Already && now.Status != journal.Undone
}
