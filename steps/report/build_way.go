package report

import (
	"maps"
	"slices"

	"belay/steps/journal"
	"belay/steps/plan"
)

// enterWay enters the steps of the way back that was chosen, also those that
// were never reached.
func (b *builder) enterWay(name string) {
	if b.plan == nil {
		return
	}
	if w := b.plan.Way(name); w != nil {
		for _, s := range w.Steps() {
			if b.stepOf[s.ID] == nil {
				b.enterPlanned(s)
			}
		}
	}
}

func (b *builder) enterPlanned(s *plan.Step) {
	b.enter(Step{
		ID: s.ID, Title: s.Title, Why: s.Why, Kind: s.Kind.Name, Stage: s.Stage,
		Optional: s.Optional, On: slices.Clone(s.Where()),
	})
}

// way tells of the way that was chosen; nil where there was no choice.
func (b *builder) way() *Way {
	if b.state.Way == "" {
		return nil
	}
	r := &Way{Name: b.state.Way, Before: []WayStep{}, After: []WayStep{}}
	var w *plan.Way
	if b.plan != nil {
		w = b.plan.Way(r.Name)
	}
	if w == nil {
		return r // of another plan: its steps stand among the others
	}
	r.About, r.Loses = w.About, w.Loses
	r.Before, r.After = b.waySteps(w.StepsBefore()), b.waySteps(w.StepsAfter())
	return r
}

func (b *builder) waySteps(list []*plan.Step) []WayStep {
	all := []WayStep{}
	for _, s := range list {
		one := WayStep{Step: s.ID, Title: s.Title, Status: journal.Pending}
		if sb := b.stepOf[s.ID]; sb != nil {
			one.Status, one.Span = sb.Status, sb.Span
			if sb.Skipped != nil {
				one.Reason = sb.Skipped.Reason
			}
		}
		all = append(all, one)
	}
	return all
}

// lose keeps what was known of the losses when the rollback began; a rollback
// that is taken up loses nothing more.
func (b *builder) lose() {
	if b.losses != nil {
		return
	}
	for _, id := range slices.Sorted(maps.Keys(b.state.Losses)) {
		b.losses = append(b.losses, Lost{Step: id, Title: b.title(id), Losses: b.state.Losses[id]})
	}
}
