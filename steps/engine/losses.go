package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

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
	return e.filled()
}

// filled are the steps that have filled a store.
func (e *Engine) filled() []loser {
	var all []loser
	filled := map[string]bool{}
	for _, s := range slices.Backward(e.Plan.Steps()) {
		do, ok := s.Do.(steps.Loser)
		st := e.Log.State().Step(s.ID)
		if !ok || st.Status != journal.PassedStatus {
			continue
		}
		if f, ok := do.(steps.Filler); ok && !st.Already { // one that found nothing to do knows nothing
			if filled[f.Fills()] {
				continue // a later step fills the same store
			}
			filled[f.Fills()] = true
		}
		all = append(all, loser{s, do})
	}
	slices.Reverse(all)
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

// markLimit is how long the stores may take to say what they hold at the moment
// from which a rollback's loss is counted: users may be waiting.
const markLimit = 5 * time.Second

// markBegun has the stores that are filled already count from the beginning of
// the cutover on.
func (e *Engine) markBegun(ctx context.Context) error {
	return e.markStores(ctx, "begun", "since the cutover began")
}

// markOpen has them count from the moment before a step that may let people
// write to the new side: the first one after a store was filled. What belay
// wrote there itself does not count then.
func (e *Engine) markOpen(ctx context.Context, s *plan.Step) error {
	o, ok := s.Do.(steps.Opener)
	if !ok || !o.Opens() || !slices.ContainsFunc(e.Plan.Cutover, func(g plan.Group) bool {
		return slices.ContainsFunc(g.Lanes, func(l plan.Lane) bool { return slices.Contains(l.Steps, s) })
	}) {
		return nil
	}
	return e.markStores(ctx, "open", fmt.Sprintf("since “%s” began", s.Title))
}

// lossesMarked is the key under which a step's latest mark is remembered.
const lossesMarked = "losses.marked"

// markStores marks every store that was filled and has no mark of this kind. One
// that does not answer in time counts from an earlier moment, as it did; and goes
// on so once users may be there, for a later mark would hide what they wrote.
func (e *Engine) markStores(ctx context.Context, kind, since string) error {
	e.marks.Lock() // lanes may come at the same time
	defer e.marks.Unlock()
	g, marking := errgroup.WithContext(ctx)
	marking, stop := context.WithTimeoutCause(marking, markLimit, errors.New("no answer within "+markLimit.String()))
	defer stop()
	for _, l := range e.filled() {
		do, ok := l.do.(steps.Marker)
		if !ok {
			continue
		}
		for _, h := range hostsOf(l.step) {
			env := e.env(l.step, h, true)
			var was string
			if _, err := env.Memory.Get(lossesMarked, &was); err != nil {
				return err
			}
			if was == "open" || was == kind {
				continue
			}
			g.Go(func() error {
				err := do.Mark(marking, env, since)
				if err == nil {
					return env.Memory.Put(lossesMarked, kind)
				}
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				logf(e.Output(l.step.ID, h), "what a rollback would lose is not counted %s, but from before that: %v", since, cause(marking, err))
				if kind == "open" {
					return env.Memory.Put(lossesMarked, kind)
				}
				return nil
			})
		}
	}
	return g.Wait()
}
