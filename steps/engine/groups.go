package engine

import (
	"context"
	"errors"
	"sync"

	"belay/steps"
	"belay/steps/journal"
	"belay/steps/plan"
)

// groups does the groups of a stage, one after the other.
func (e *Engine) groups(ctx context.Context, groups []plan.Group) error {
	for _, g := range groups {
		err := e.lanes(g, func(l plan.Lane) error {
			for _, s := range l.Steps {
				if cause := e.halts.cause(); cause != nil {
					return cause
				}
				if err := e.step(ctx, s); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return e.halts.cause()
}

// lanes runs do for all lanes of a group at the same time and waits for all.
// The gravest error wins: what keeps the journal from being written, then
// leaving, then what the operator decided.
func (e *Engine) lanes(g plan.Group, do func(plan.Lane) error) error {
	errs := make([]error, len(g.Lanes))
	var wg sync.WaitGroup
	for i, l := range g.Lanes {
		wg.Go(func() {
			errs[i] = do(l)
			if errs[i] != nil {
				e.halts.now(errs[i]) // the other lanes end after their step
			}
		})
	}
	wg.Wait()
	for _, grave := range []func(error) bool{
		func(err error) bool {
			return !errors.Is(err, errRollback) && !errors.Is(err, errStop) && !errors.Is(err, errNoGo) && !errors.Is(err, steps.ErrDetach)
		},
		func(err error) bool { return errors.Is(err, steps.ErrDetach) },
		func(err error) bool { return errors.Is(err, errRollback) },
		func(error) bool { return true },
	} {
		for _, err := range errs {
			if err != nil && grave(err) {
				return err
			}
		}
	}
	return nil
}

// done tells whether nothing remains to be done for a step.
func done(s *plan.Step, st journal.StepState) bool {
	switch st.Status {
	case journal.PassedStatus, journal.Skipped, journal.Undone:
		return true
	case journal.FailedStatus:
		return s.Optional
	}
	return false
}
