package estimate

import (
	"cmp"
	"fmt"
	"maps"
	"time"

	"belay/steps/journal"
	"belay/steps/plan"
)

// Back is how long one way back takes from where a run stands: what the way
// does before the undo, the undo, and what it does after it.
type Back struct {
	Total               // by what was measured
	Guess time.Duration // Median with a guess for what was never measured: undoing takes as long as doing
	Blind int           // of Unknown, those for which there is not even a guess
}

// Way is how long the way w takes; nil is the bare undo.
func (e Estimates) Way(p *plan.Plan, st *journal.State, w *plan.Way) Back {
	undo := func(s *plan.Step) bool { return begunWithWayBack(s, st) }
	guessed := map[string]Took{}
	maps.Copy(guessed, e.Back)
	var b Back
	for _, s := range p.Steps() {
		if !undo(s) || e.Back[s.ID].Runs > 0 {
			continue
		}
		now := st.Step(s.ID)
		took := cmp.Or(max(0, now.Ended.Sub(now.Started)), e.Forward[s.ID].Median)
		if now.Started.IsZero() || now.Ended.IsZero() {
			took = e.Forward[s.ID].Median
		}
		if took == 0 {
			b.Blind++
		}
		guessed[s.ID] = Took{Median: took}
	}
	b.Total = e.total(p, journal.Stages, e.Back, undo)
	b.Guess = e.total(p, journal.Stages, guessed, undo).Median
	if w == nil {
		return b
	}
	own := func(s *plan.Step) bool {
		switch st.Step(s.ID).Status {
		case journal.PassedStatus, journal.Skipped:
			return false
		}
		return true
	}
	for _, part := range [][]plan.Group{w.Before, w.After} {
		t := inGroups(part, e.Forward, own)
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
		t.plus(inGroups(part, e.Forward, func(*plan.Step) bool { return true }))
	}
	return t
}

// Words say how long it takes; a guess begins with a ~ and says what it is.
// span writes a duration.
func (b Back) Words(span func(time.Duration) string) string {
	switch {
	case b.Steps == 0:
		return "no time: nothing is to be done"
	case b.Unknown == 0 && b.Worst > b.Median:
		return fmt.Sprintf("about %s, at worst %s (measured)", span(b.Median), span(b.Worst))
	case b.Unknown == 0:
		return fmt.Sprintf("about %s (measured)", span(b.Median))
	case b.Guess == 0:
		return fmt.Sprintf("nobody knows how long: never measured (%d of %d steps)", b.Unknown, b.Steps)
	}
	text := fmt.Sprintf("~%s, a guess: %d of %d steps never measured", span(b.Guess), b.Unknown, b.Steps)
	if b.Blind > 0 {
		text = fmt.Sprintf("~%s or more, a guess: %d of %d steps never measured", span(b.Guess), b.Unknown, b.Steps)
	}
	return text
}

func begunWithWayBack(s *plan.Step, st *journal.State) bool {
	now := st.Step(s.ID)
	return s.HasWayBack() && now.Attempt > 0 && !now.Already && now.Status != journal.Undone
}

// quickest is the worst case of the way that is over first, of those that were
// measured in whole; false when none was.
func (e Estimates) quickest(p *plan.Plan, st *journal.State) (worst time.Duration, known bool) {
	ways := p.WaysFrom(st)
	if len(ways) == 0 {
		ways = []*plan.Way{nil}
	}
	for _, w := range ways {
		b := e.Way(p, st, w)
		if b.Unknown == 0 && b.Steps > 0 && (!known || b.Worst < worst) {
			worst, known = b.Worst, true
		}
	}
	return worst, known
}
