package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"belay/remote"
	"belay/steps"
	"belay/steps/journal"
	"belay/steps/plan"
)

// step brings one step to an end that lets the run go on: passed, skipped, or
// failed and optional. It acts on what the journal says, so that a resumed run
// takes the same road as one that never stopped.
func (e *Engine) step(ctx context.Context, s *plan.Step) error {
	if st := e.Log.State().Step(s.ID); interrupted(st) {
		if err := e.append(journal.Event{Type: journal.StepUnknown, Step: s.ID, Err: "belay ended while this step ran"}, nil); err != nil {
			return err
		}
	}
	for unaided := 0; ; {
		st := e.Log.State().Step(s.ID)
		if done(s, st) {
			return nil
		}
		if why := e.leftOut(s, st); why != nil {
			return e.skipRest(s, st, why)
		}
		var err error
		switch st.Status {
		case journal.Pending:
			err = e.first(ctx, s)
		case journal.FailedStatus:
			err = e.askFailed(ctx, s, st)
		default:
			unaided++
			err = e.resolve(ctx, s, st, unaided)
		}
		if err != nil {
			return err
		}
	}
}

func interrupted(st journal.StepState) bool {
	return (st.Status == journal.Running || st.Status == journal.WaitingYou) && !st.Undoing
}

// first decides whether the step is to be done at all, and tries it.
func (e *Engine) first(ctx context.Context, s *plan.Step) error {
	if s.When != "" {
		yes, err := e.when(ctx, s)
		if err != nil {
			return e.fail(ctx, s, fmt.Errorf("condition `when`: %w; nothing was changed", err))
		}
		if !yes {
			return e.append(journal.Event{Type: journal.StepSkipped, Step: s.ID, Err: "its condition does not hold: " + s.When}, nil)
		}
	}
	return e.attempts(ctx, s)
}

// when runs the step's condition on its hosts; all must agree.
func (e *Engine) when(ctx context.Context, s *plan.Step) (bool, error) {
	yes := true
	for _, h := range hostsOf(s) {
		c := remote.Sh(s.When)
		c.Pure = true
		err := e.env(s, h, true).Host.Run(ctx, c)
		var exit *remote.ExitError
		if errors.As(err, &exit) && exit.Status == 1 {
			yes = false
		} else if err != nil {
			return false, err
		}
	}
	return yes, nil
}

// attempts tries the step, and again by itself as often as the plan allows.
func (e *Engine) attempts(ctx context.Context, s *plan.Step) error {
	for n := 0; ; n++ {
		if err := e.attempt(ctx, s); err != nil {
			return err
		}
		st := e.Log.State().Step(s.ID)
		if st.Status != journal.FailedStatus || n >= s.Retry.Times || !repeatable(s) {
			return nil
		}
		logf(e.Output(s.ID, hostsOf(s)[0]), "attempt %d failed (%s); the next one in %s", st.Attempt, st.Err, s.Retry.Wait)
		select {
		case <-time.After(s.Retry.Wait):
		case <-e.halts.ctx().Done():
			return e.halts.cause()
		}
	}
}

func repeatable(s *plan.Step) bool {
	r, ok := s.Do.(steps.Repeater)
	return ok && r.Repeatable()
}

// attempt asks what is pending, records it, does it and proves it. Its error
// is about the run; a step that failed is recorded as such.
func (e *Engine) attempt(ctx context.Context, s *plan.Step) error {
	todo, changes, err := e.pending(ctx, s, hostsOf(s))
	for err == nil && len(todo) > 0 {
		waited, stop := e.inTime(ctx, s)
		if stop != nil {
			return stop
		}
		if !waited {
			break
		}
		todo, changes, err = e.pending(ctx, s, hostsOf(s)) // it may have been long
	}
	if err != nil {
		return e.fail(ctx, s, fmt.Errorf("look what is to be done: %w; nothing was changed", err))
	}
	st := e.Log.State().Step(s.ID)
	if len(todo) == 0 {
		if err := e.verify(ctx, s, hostsOf(s)); err != nil {
			return e.fail(ctx, s, fmt.Errorf("nothing is left to be done, yet the proof fails: %w", err))
		}
		return e.append(journal.Event{Type: journal.StepPassed, Step: s.ID}, journal.Passed{Already: st.Attempt == 0})
	}
	if err := e.markOpen(ctx, s); err != nil {
		return err
	}
	ev := journal.Started{Attempt: st.Attempt + 1, Changes: changes}
	if err := e.append(journal.Event{Type: journal.StepStarted, Step: s.ID}, ev); err != nil {
		return err
	}
	return e.apply(ctx, s, todo, time.Now())
}

// pending asks each host's share of the step. It returns the hosts where
// something is left to be done.
func (e *Engine) pending(ctx context.Context, s *plan.Step, hosts []string) (todo []string, all []journal.Change, err error) {
	found := make(map[string][]steps.Change, len(hosts))
	gate := make(chan struct{}, 1)
	err = each(hosts, func(h string) error {
		changes, err := s.Do.Pending(ctx, e.env(s, h, true))
		gate <- struct{}{}
		found[h] = changes
		<-gate
		return err
	})
	for _, h := range hosts {
		if len(found[h]) > 0 {
			todo = append(todo, h)
		}
		for _, c := range found[h] {
			all = append(all, journal.Change{Host: h, Text: c.Text, Cmd: c.Cmd, Diff: c.Diff, Bytes: c.Bytes, Rows: c.Rows})
		}
	}
	return todo, all, cause(ctx, err)
}

// apply does and proves the step on the given hosts. begun is when the attempt
// did, by this process's own clock; zero when it was begun by another.
func (e *Engine) apply(ctx context.Context, s *plan.Step, hosts []string, begun time.Time) error {
	answer := ""
	if asker, ok := s.Do.(steps.Asker); ok {
		a, err := e.askManual(ctx, s, asker)
		if err != nil || a.Choice != "done" {
			return err
		}
		answer = a.Text
	}
	run, stop := e.running.begin(ctx)
	defer stop()
	if s.Timeout > 0 {
		var cancel context.CancelFunc
		run, cancel = context.WithTimeoutCause(run, s.Timeout, fmt.Errorf("not done within %s, the step's timeout", s.Timeout))
		defer cancel()
	}
	err := each(hosts, func(h string) error {
		env := e.env(s, h, false)
		env.Answer = answer
		logf(env.Log, "attempt %d", e.Log.State().Step(s.ID).Attempt)
		env.Log, env.Say = s.Progress.Watch(env.Log, env.Say)
		if err := cause(run, s.Do.Apply(run, env)); err != nil {
			return err
		}
		if err := e.verify(run, s, []string{h}); err != nil {
			return fmt.Errorf("done, but the proof fails: %w", err)
		}
		if len(hostsOf(s)) == 1 {
			return nil
		}
		return e.append(journal.Event{Type: journal.HostDone, Step: s.ID, Host: h}, nil)
	})
	if err != nil {
		return e.fail(ctx, s, err)
	}
	return e.append(journal.Event{Type: journal.StepPassed, Step: s.ID}, journal.Passed{Took: since(begun)})
}

// since is how long ago that was, whatever was done to the wall clock; 0 when
// nobody knows.
func since(begun time.Time) time.Duration {
	if begun.IsZero() {
		return 0
	}
	return time.Since(begun)
}

func (e *Engine) verify(ctx context.Context, s *plan.Step, hosts []string) error {
	return cause(ctx, each(hosts, func(h string) error { return s.Do.Verify(ctx, e.env(s, h, true)) }))
}

// fail records how an attempt ended: unknown when a command's end was not
// seen, failed otherwise; nothing at all when belay is leaving.
func (e *Engine) fail(ctx context.Context, s *plan.Step, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	ev := journal.Event{Type: journal.StepFailed, Step: s.ID, Err: err.Error()}
	if outcomeUnknown(err) {
		ev.Type = journal.StepUnknown
	}
	for _, h := range hostsOf(s) {
		logf(e.Output(s.ID, h), "%s: %v", map[bool]string{true: "outcome unknown", false: "failed"}[outcomeUnknown(err)], err)
	}
	return e.append(ev, nil)
}
