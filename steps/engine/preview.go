package engine

import (
	"context"
	"errors"

	"belay/steps"
	"belay/steps/journal"
	"belay/steps/plan"
)

// Preview is what one step would do on one host, seen before anything ran.
type Preview struct {
	Step    *plan.Step
	Host    string // "" for a step without one
	Changes []steps.Change
	Err     error // it could not be told, often because an earlier step must run first
}

// DryRun asks every step what it would change, host by host, in the order of
// the plan, then those of its ways back, and hands each answer to show. It
// writes nothing anywhere.
func (e *Engine) DryRun(ctx context.Context, show func(Preview)) error {
	e.init()
	e.Log = nowhere{}
	for _, s := range e.Plan.AllSteps() {
		for _, h := range hostsOf(s) {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			changes, err := s.Do.Pending(ctx, e.env(s, h, true))
			show(Preview{s, h, changes, err})
		}
	}
	return nil
}

// nowhere is the journal of a dry run: empty, and closed to writing.
type nowhere struct{}

func (nowhere) Append(journal.Event) error {
	return errors.New("a dry run records nothing")
}
func (nowhere) State() *journal.State { return journal.NewState() }
