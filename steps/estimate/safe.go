package estimate

import (
	"time"

	"belay/steps/journal"
	"belay/steps/plan"
)

// Moment is when a decision falls due.
type Moment struct {
	At    time.Time // zero: nobody knows, or there is none
	Guess bool      // not all that it rests on was measured
	Begin bool      // the cutover must begin by then; else a rollback must
}

// LastSafe is the last safe moment: when a rollback from where the run stands
// must begin, so that by the longest that its steps ever took it is over within
// the window, a margin before its end; by the quickest way, where the plan
// offers several. What was never undone is guessed to take as long as doing it.
//
// Before the cutover has begun it is when that must begin, so that it can be
// gone through to its end, and back.
//
// There is none without a window, with nothing to undo, in a rollback, and as
// long as nobody knows how long any of it takes.
func (e Estimates) LastSafe(p *plan.Plan, st *journal.State) Moment {
	if p.Window == nil || st.Rollback != nil || st.PastClose || len(p.Cutover) == 0 {
		return Moment{}
	}
	need, guess, ok := e.quickest(p, st)
	m := Moment{Guess: guess}
	if !cutoverBegun(p, st) {
		ahead := e.Ahead(p, journal.Cutover, st)
		need += ahead.Worst
		m.Begin, m.Guess = true, guess || !ahead.Sure()
		ok = ok && ahead.Told()
	}
	if !ok {
		return Moment{}
	}
	m.At = p.Window.End().Add(-p.Window.Margin - need)
	return m
}

func cutoverBegun(p *plan.Plan, st *journal.State) bool {
	for _, s := range p.Steps() {
		if s.Stage == journal.Cutover && st.Step(s.ID).Status != journal.Pending {
			return true
		}
	}
	return false
}

// quickest is the worst case of the way that is over first; one that was
// measured in whole counts before one that is guessed. Before the cutover it is
// that from the end of the cutover.
func (e Estimates) quickest(p *plan.Plan, st *journal.State) (worst time.Duration, guess, known bool) {
	ways := p.WaysFrom(st)
	undo := func(s *plan.Step) bool { return begunWithWayBack(s, st) }
	if !cutoverBegun(p, st) {
		undo, ways = upTo(journal.Cutover), nil
		for i := range p.Ways {
			if p.Ways[i].From != journal.Soak {
				ways = append(ways, &p.Ways[i])
			}
		}
	}
	if len(ways) == 0 {
		ways = []*plan.Way{nil}
	}
	for _, w := range ways {
		b := e.back(p, st, w, undo)
		if b.Steps == 0 || b.Worst == 0 && b.Guess == 0 && !b.Sure() {
			continue
		}
		sure, need := b.Sure(), b.Worst+max(0, b.Guess-b.Median) // the second is what was not measured
		if !known || sure && guess || sure == !guess && need < worst {
			worst, guess, known = need, !sure, true
		}
	}
	return worst, guess, known
}
