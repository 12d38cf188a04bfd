// Package estimate says how long a plan's steps will take, and the way back
// from them, by how long they took in earlier runs. It is pure.
//
//	e := estimate.From(p, past)
//	e.Ahead(p, journal.Cutover, state) // what is left of the cutover
//	e.Forecast(p, journal.Cutover, state, estimate.Going{Now: now}) // when it ends
//	e.LastSafe(p, state)               // when a rollback must begin
//
// Nothing is made up: what was never measured counts by what the plan says of
// it (`takes`), and as a guess; what nobody has said anything of is counted,
// and whoever shows a total says so.
package estimate

import (
	"slices"
	"time"

	"belay/steps/journal"
	"belay/steps/plan"
)

// Estimates are what earlier runs of a plan tell.
type Estimates struct {
	Runs    int             `json:"runs"` // that had anything to tell
	Forward map[string]Took `json:"forward"`
	Back    map[string]Took `json:"back"`
}

// Total is how long several steps take together, those of lanes side by side.
type Total struct {
	Median, Worst time.Duration
	Steps         int // that it is made of
	Unknown       int // of them, those that nobody knows anything of: they count as nothing
	Guessed       int // of them, those whose time is not measured, or with far less data
}

// Sure tells whether all of it was measured.
func (t Total) Sure() bool { return t.Unknown+t.Guessed == 0 }

// Told tells whether there is anything but ignorance in it.
func (t Total) Told() bool { return t.Steps > t.Unknown }

// From learns from the runs in past that followed a plan of p's name. A step is
// known by its id, so a plan that was edited keeps what still fits. The time
// that a question stood open counts: people need it again.
func From(p *plan.Plan, past []*journal.State) Estimates {
	e := Estimates{Forward: map[string]Took{}, Back: map[string]Took{}}
	forward, back := map[string][]Sample{}, map[string][]Sample{}
	for _, s := range past {
		if s.Plan != p.Name {
			continue
		}
		told := false
		for id := range s.Steps {
			st := s.Step(id)
			if d, ok := lasted(st.Took, st.Started, st.Ended); ok && passed(st) {
				forward[id], told = append(forward[id], Sample{d, st.Size}), true
			}
			if d, ok := lasted(st.UndoTook, st.UndoStarted, st.UndoEnded); ok && st.Status == journal.Undone {
				back[id], told = append(back[id], Sample{Took: d}), true
			}
		}
		if told {
			e.Runs++
		}
	}
	for id, all := range forward {
		e.Forward[id] = sum(all)
	}
	for id, all := range back {
		e.Back[id] = sum(all)
	}
	return e
}

// lasted is by the clock that nobody sets, where that was noted.
func lasted(took time.Duration, from, to time.Time) (time.Duration, bool) {
	if took > 0 {
		return took, true
	}
	d := to.Sub(from)
	return d, d >= 0 && !from.IsZero()
}

// passed: it ended well, also when it was undone later.
func passed(st journal.StepState) bool {
	return !st.Already && (st.Status == journal.PassedStatus || st.Status == journal.Undone && st.Err == "")
}

// Copies are the steps that moved data in an earlier run and said how much.
func (e Estimates) Copies() []string {
	var all []string
	for id, t := range e.Forward {
		if len(t.Moved) > 0 {
			all = append(all, id)
		}
	}
	slices.Sort(all)
	return all
}

// one is how long one step takes.
type one struct {
	median, worst time.Duration
	known, guess  bool
}

// forward is how long a step takes where the run is of st.
func (e Estimates) forward(s *plan.Step, st *journal.State) one {
	if t := e.Forward[s.ID]; t.Runs > 0 {
		t, far := t.With(sizeHere(s.ID, st))
		return one{t.Median, t.Worst, true, far}
	}
	return one{s.Takes, s.Takes, s.Takes > 0, true}
}

// sizeHere is what a step moves in this very run, as far as it is known.
func sizeHere(id string, st *journal.State) journal.Size {
	if now := st.Step(id).Size; now != (journal.Size{}) {
		return now
	}
	return st.Sizes[id]
}

// Ahead is what is left to do of a stage: its steps that have not passed. What
// a running step has behind it counts as ahead; see Forecast.
func (e Estimates) Ahead(p *plan.Plan, stage journal.Stage, st *journal.State) Total {
	all, _ := inGroups(p.Groups(stage), func(s *plan.Step) bool { return !over(s, st) }, func(s *plan.Step) one { return e.forward(s, st) })
	return all
}

// over tells whether nothing remains to be done for a step.
func over(s *plan.Step, st *journal.State) bool {
	switch st.Step(s.ID).Status {
	case journal.PassedStatus, journal.Skipped:
		return true
	case journal.FailedStatus:
		return s.Optional
	}
	return false
}

// Rollback is how long the way back takes from where the run stands: the steps
// that were begun and have one.
func (e Estimates) Rollback(p *plan.Plan, st *journal.State) Total {
	return e.undoing(p, func(s *plan.Step) bool { return begunWithWayBack(s, st) })
}

// RollbackAfter is how long the way back would take from the end of a stage, if
// every step up to there had been begun.
func (e Estimates) RollbackAfter(p *plan.Plan, last journal.Stage) Total {
	return e.undoing(p, upTo(last))
}

// upTo are the steps of the stages to the last, if they can be undone.
func upTo(last journal.Stage) func(*plan.Step) bool {
	until := journal.Stages[:slices.Index(journal.Stages, last)+1]
	return func(s *plan.Step) bool { return slices.Contains(until, s.Stage) && s.HasWayBack() }
}

// undoing is by what was measured.
func (e Estimates) undoing(p *plan.Plan, counts func(*plan.Step) bool) Total {
	return inStages(p, counts, func(s *plan.Step) one {
		t := e.Back[s.ID]
		return one{t.Median, t.Worst, t.Runs > 0, false}
	})
}

func inStages(p *plan.Plan, counts func(*plan.Step) bool, takes func(*plan.Step) one) (all Total) {
	for _, stage := range journal.Stages {
		t, _ := inGroups(p.Groups(stage), counts, takes)
		all.plus(t)
	}
	return all
}

// inGroups adds up groups; lanes side by side count by the longest. critical
// are the steps on which the end hangs: those of the longest lanes, where it is
// known which lane that is.
func inGroups(groups []plan.Group, counts func(*plan.Step) bool, takes func(*plan.Step) one) (all Total, critical []*plan.Step) {
	for _, g := range groups {
		var longest Total
		var way []*plan.Step
		for i, l := range g.Lanes {
			var lane Total
			var in []*plan.Step
			for _, s := range l.Steps {
				if counts(s) {
					lane.add(takes(s))
					in = append(in, s)
				}
			}
			if i == 0 || lane.longer(longest) {
				way = in
			}
			longest.Median, longest.Worst = max(longest.Median, lane.Median), max(longest.Worst, lane.Worst)
			longest.Steps, longest.Unknown, longest.Guessed = longest.Steps+lane.Steps, longest.Unknown+lane.Unknown, longest.Guessed+lane.Guessed
		}
		if longest.Unknown == 0 || len(g.Lanes) == 1 {
			critical = append(critical, way...)
		}
		all.plus(longest)
	}
	return all, critical
}

func (t Total) longer(than Total) bool {
	return t.Median > than.Median || t.Median == than.Median && t.Worst > than.Worst
}

func (t *Total) plus(o Total) {
	t.Median, t.Worst = t.Median+o.Median, t.Worst+o.Worst
	t.Steps, t.Unknown, t.Guessed = t.Steps+o.Steps, t.Unknown+o.Unknown, t.Guessed+o.Guessed
}

func (t *Total) add(o one) {
	t.Steps++
	switch {
	case !o.known:
		t.Unknown++
	case o.guess:
		t.Guessed++
	}
	t.Median, t.Worst = t.Median+o.median, t.Worst+o.worst
}
