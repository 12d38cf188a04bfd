package engine

import (
	"context"
	"sync"
	"time"

	"belay/steps/journal"
	"belay/steps/plan"
	"belay/steps/soak"
)

// A baseline is measured at the probe's own pace, and more slowly once it is
// well known: the old server has work to do.
const (
	baseWell = 240             // looks
	baseSlow = 6               // times slower then
	baseSoon = 5 * time.Second // at most, until it is known at all: the gate waits for it
	baseKeep = 10 * time.Second
	baseRare = time.Minute // how often it is written down once it is well known
)

// baselines are the probes that have an old server to be compared with.
func (e *Engine) baselines() []plan.Probe {
	var all []plan.Probe
	if e.Plan.Soak != nil && !e.begun(e.Plan.Cutover) && e.Log.State().Reached[journal.Soak].IsZero() {
		for _, p := range e.Plan.Soak.Watch {
			if p.Old != nil {
				all = append(all, p)
			}
		}
	}
	return all
}

// measure asks the old server what the soak will ask the new one, until the
// func is called, which may be more than once. Then all that was seen is in the
// journal.
func (e *Engine) measure(ctx context.Context) func() {
	ctx, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	for _, p := range e.baselines() {
		wg.Go(func() { e.baseline(ctx, p) })
	}
	return func() { stop(); wg.Wait() }
}

// baseline measures with one probe. An error of the journal ends it; the run
// hears of that itself.
func (e *Engine) baseline(ctx context.Context, p plan.Probe) {
	s := e.Log.State().Soak
	looks := append([]journal.Look(nil), s.BaseLooks[p.ID]...)
	last := s.Baseline[p.ID]
	t := journal.Tally{Probe: p.Title, Last: last.Last, Unit: last.Unit}
	sent, kept := len(looks), time.Now()
	for {
		begun := time.Now()
		f, ok := e.sample(ctx, p.Old, map[string]string{})
		if ok {
			l := lookOf(f)
			l.At, t.Last, t.Unit = e.Now().UnixMilli(), f.Text, f.Unit
			looks = append(looks, l)
		}
		soak.Count(&t, looks)
		n, every, often := len(looks), p.Every, baseKeep
		switch {
		case n >= baseWell:
			every, often = every*baseSlow, baseRare
		case !soak.Measured(t):
			every = min(every, baseSoon)
		}
		if !ok || n <= 2*soak.Enough || time.Since(kept) >= often {
			t.Looks, kept = append([]journal.Look(nil), looks[sent:]...), time.Now()
			looks = looks[max(0, n-journal.BaselineLooks):]
			sent = len(looks)
			soak.Count(&t, looks)
			if len(t.Looks) > 0 && e.append(journal.Event{Type: journal.Baselined, Key: p.ID}, t) != nil {
				return
			}
		}
		if !ok {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(every - time.Since(begun)):
		}
	}
}

// awaitBaseline lets the gate of the cutover be shown when the old server has
// been asked often enough to compare with, be the answers good or bad.
func (e *Engine) awaitBaseline() error {
	for {
		lacks := false
		s := e.Log.State().Soak
		for _, p := range e.baselines() {
			t := s.Baseline[p.ID]
			lacks = lacks || !soak.Measured(t)
		}
		if !lacks {
			return nil
		}
		select {
		case <-e.halts.ctx().Done():
			return e.halts.cause()
		case <-time.After(50 * time.Millisecond):
		}
	}
}
