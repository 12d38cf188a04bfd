// Package estimate says how long a plan's steps will take, and the way back
// from them, by how long they took in earlier runs. It is pure.
//
//	e := estimate.From(p, past)
//	e.Ahead(p, journal.Cutover, state) // what is left of the cutover
//	e.LastSafe(p, state)               // when a rollback must begin
//
// Nothing is made up: a step that was never measured is counted, and whoever
// shows a total says so.
package estimate

import (
	"slices"
	"time"

	"belay/steps/journal"
	"belay/steps/plan"
)

// Took is how long one thing took in earlier runs.
type Took struct {
	Runs          int // 0: never measured
	Median, Worst time.Duration
}

// Estimates are what earlier runs of a plan tell.
type Estimates struct {
	Runs    int // that had anything to tell
	Forward map[string]Took
	Back    map[string]Took
}

// Total is how long several steps take together, those of lanes side by side.
type Total struct {
	Median, Worst time.Duration
	Steps         int // that it is made of
	Unknown       int // of them, that were never measured and count as nothing
}

// From learns from the runs in past that followed a plan of p's name. A step is
// known by its id, so a plan that was edited keeps what still fits. The time
// that a question stood open counts: people need it again.
func From(p *plan.Plan, past []*journal.State) Estimates {
	e := Estimates{Forward: map[string]Took{}, Back: map[string]Took{}}
	forward, back := map[string][]time.Duration{}, map[string][]time.Duration{}
	for _, s := range past {
		if s.Plan != p.Name {
			continue
		}
		told := false
		for id := range s.Steps {
			st := s.Step(id)
			if d := st.Ended.Sub(st.Started); passed(st) && d >= 0 && !st.Started.IsZero() {
				forward[id], told = append(forward[id], d), true
			}
			if d := st.UndoEnded.Sub(st.UndoStarted); st.Status == journal.Undone && d >= 0 && !st.UndoStarted.IsZero() {
				back[id], told = append(back[id], d), true
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

// passed: it ended well, also when it was undone later.
func passed(st journal.StepState) bool {
	return !st.Already && (st.Status == journal.PassedStatus || st.Status == journal.Undone && st.Err == "")
}

func sum(all []time.Duration) Took {
	slices.Sort(all)
	n := len(all)
	median := all[n/2]
	if n%2 == 0 {
		median = (all[n/2-1] + all[n/2]) / 2
	}
	return Took{n, median, all[n-1]}
}

// Ahead is what is left to do of a stage: its steps that have not passed.
func (e Estimates) Ahead(p *plan.Plan, stage journal.Stage, st *journal.State) Total {
	return e.total(p, []journal.Stage{stage}, e.Forward, func(s *plan.Step) bool {
		switch st.Step(s.ID).Status {
		case journal.PassedStatus, journal.Skipped:
			return false
		}
		return true
	})
}

// Rollback is how long the way back takes from where the run stands: the steps
// that were begun and have one.
func (e Estimates) Rollback(p *plan.Plan, st *journal.State) Total {
	return e.total(p, journal.Stages, e.Back, func(s *plan.Step) bool { return begunWithWayBack(s, st) })
}

// RollbackAfter is how long the way back would take from the end of a stage, if
// every step up to there had been begun.
func (e Estimates) RollbackAfter(p *plan.Plan, last journal.Stage) Total {
	until := journal.Stages[:slices.Index(journal.Stages, last)+1]
	return e.total(p, until, e.Back, (*plan.Step).HasWayBack)
}

func (e Estimates) total(p *plan.Plan, stages []journal.Stage, known map[string]Took, counts func(*plan.Step) bool) Total {
	var all Total
	for _, stage := range stages {
		all.plus(inGroups(p.Groups(stage), known, counts))
	}
	return all
}

// inGroups adds up groups; lanes side by side count by the longest.
func inGroups(groups []plan.Group, known map[string]Took, counts func(*plan.Step) bool) Total {
	var all Total
	for _, g := range groups {
		var longest Total
		for _, l := range g.Lanes {
			var lane Total
			for _, s := range l.Steps {
				if counts(s) {
					lane.add(known[s.ID])
				}
			}
			longest.Median, longest.Worst = max(longest.Median, lane.Median), max(longest.Worst, lane.Worst)
			longest.Steps, longest.Unknown = longest.Steps+lane.Steps, longest.Unknown+lane.Unknown
		}
		all.plus(longest)
	}
	return all
}

func (t *Total) plus(o Total) {
	t.Median, t.Worst = t.Median+o.Median, t.Worst+o.Worst
	t.Steps, t.Unknown = t.Steps+o.Steps, t.Unknown+o.Unknown
}

func (t *Total) add(one Took) {
	t.Steps++
	if one.Runs == 0 {
		t.Unknown++
	}
	t.Median, t.Worst = t.Median+one.Median, t.Worst+one.Worst
}

// Margin is what is kept free between the end of a rollback and the end of the
// window: a tenth of the window, at least a minute.
func Margin(w plan.Window) time.Duration { return max(time.Minute, w.Length/10) }

// LastSafe is when a rollback from where the run stands must begin, so that by
// the longest that its steps ever took it ends within the window, and a margin
// before; by the quickest way, where the plan offers several. False without a window, with nothing to undo, or as long as a step
// of the way back was never measured: then nobody knows.
func (e Estimates) LastSafe(p *plan.Plan, st *journal.State) (time.Time, bool) {
	worst, known := e.quickest(p, st)
	if p.Window == nil || !known {
		return time.Time{}, false
	}
	return p.Window.Start.Add(p.Window.Length - Margin(*p.Window) - worst), true
}
