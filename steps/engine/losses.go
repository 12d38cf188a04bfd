package engine

import (
	"context"
	"errors"
	"sync"
	"time"

	"belay/steps"
	"belay/steps/journal"
	"belay/steps/plan"
)

// What going back would lose is counted so often, at most; less often where
// counting takes long, so that it takes a twentieth of the time.
const (
	lossEvery = time.Minute
	lossShare = 20
	lossLimit = 2 * time.Minute  // of one count
	lossAwait = 5 * time.Second  // before a rollback is asked about
	lossFresh = 10 * time.Second // young enough for that
)

// loser is a step that filled a store which people write to now.
type loser struct {
	step *plan.Step
	do   steps.Loser
}

// losers are none before the cutover has begun: nobody writes to the new side.
func (e *Engine) losers() []loser {
	if !e.begun(e.Plan.Cutover) && e.Log.State().Reached[journal.Soak].IsZero() {
		return nil
	}
	var all []loser
	for _, s := range e.Plan.Steps() {
		if do, ok := s.Do.(steps.Loser); ok && e.Log.State().Step(s.ID).Status == journal.PassedStatus {
			all = append(all, loser{s, do})
		}
	}
	return all
}

// countLosses counts again and again what going back would lose, until the
// func is called; at first as soon as the last count is older than fresh.
func (e *Engine) countLosses(ctx context.Context, every, fresh time.Duration) func() {
	ctx, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	for _, l := range e.losers() {
		wg.Go(func() {
			wait := time.Duration(0)
			if last, ok := e.Log.State().Losses[l.step.ID]; ok {
				wait = fresh - e.Now().Sub(last.At)
			}
			for {
				select {
				case <-ctx.Done():
					return
				case <-time.After(wait):
				}
				begun := time.Now()
				if e.countLoss(ctx, l) != nil {
					return // leaving, or the journal is gone, which the run hears of itself
				}
				wait = max(every, lossShare*time.Since(begun))
			}
		})
	}
	return func() { stop(); wg.Wait() }
}

// countLoss records what one step's stores would lose, or that nobody knows.
func (e *Engine) countLoss(ctx context.Context, l loser) error {
	counting, stop := context.WithTimeoutCause(ctx, lossLimit, errors.New("not counted within "+lossLimit.String()))
	defer stop()
	d := journal.Losses{}
	var mu sync.Mutex
	err := each(hostsOf(l.step), func(h string) error {
		found, err := l.do.Losses(counting, e.env(l.step, h, true))
		mu.Lock()
		defer mu.Unlock()
		for _, f := range found {
			d.Of = append(d.Of, journal.Loss(f))
		}
		return err
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err = cause(counting, err); err != nil {
		d.Err = err.Error()
	}
	d.At = e.Now().UTC()
	return e.append(journal.Event{Type: journal.Losing, Step: l.step.ID}, d)
}

// awaitLosses lets a rollback be asked about with the losses known, if that
// takes a moment only: whoever wants to go back may be in haste.
func (e *Engine) awaitLosses() {
	end := time.After(lossAwait)
	for {
		s, known := e.Log.State(), true
		for _, l := range e.losers() {
			last, ok := s.Losses[l.step.ID]
			known = known && ok && e.Now().Sub(last.At) < lossFresh
		}
		if known {
			return
		}
		select {
		case <-end:
			return
		case <-e.halts.ctx().Done():
			return
		case <-time.After(50 * time.Millisecond):
		}
	}
}
