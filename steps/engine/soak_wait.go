package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"belay/steps/journal"
	"belay/steps/plan"
	"belay/steps/soak"
)

// propose has a person decide, and looks on for as long as that takes: whoever
// answers shall know how it is now. While the soak lasts, a limit that rolls back
// by itself is not held up by a question that nobody answers.
func (e *Engine) propose(ctx context.Context, spec *plan.Soak, found judged, until time.Time) (journal.Answer, error) {
	q, alone := e.soakQuestion(found, until), min(until.Sub(e.Now()), spec.For)
	byItself := slices.ContainsFunc(spec.RollbackWhen, func(t plan.Trigger) bool { return t.Then == plan.Automatic })
	if !byItself || e.Log.State().Soak.Manual != nil {
		alone = 0
	}
	q.Text += "\nbelay looks on while this waits."
	w := e.watching(ctx, spec)
	defer w.stop()
	asking, end := context.WithCancelCause(e.halts.ctx())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := w.lookOn(asking, alone); err != nil {
			end(err)
		}
	})
	a, err := e.askWithin(asking, q)
	end(nil)
	wg.Wait()
	switch {
	case err == nil || errors.Is(e.halts.cause(), errRollback):
		if ended := w.lookedOn(); ended != nil || err != nil {
			return a, cmp.Or(ended, err)
		}
		return a, e.decided(q, a)
	case e.halts.cause() == nil && errors.Is(err, errByItself):
		return a, errors.Join(err, e.withdrawKind(journal.AskSoak, errByItself.Error()))
	}
	return a, err
}

// What is seen while a question waits is written down once a second, and more
// rarely where nobody answers for long.
const (
	waitSoon = 10 * time.Minute
	waitRare = 10 * time.Second
)

// lookOn looks on until ctx ends, and tells how it turns. For so long at first a
// limit that rolls back by itself ends it, with errByItself.
func (w *watching) lookOn(ctx context.Context, alone time.Duration) error {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	h := w.health()
	if len(h.now) == 0 && len(w.e.Log.State().Soak.Turns) == 0 {
		if err := w.turn(journal.TurnWell, ""); err != nil {
			return err
		}
	}
	recorded := w.begun
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		ran := time.Since(w.begun)
		_, rollsBack := w.byItself()
		rollsBack = rollsBack && ran < alone
		how, why := h.look(w)
		pace := time.Second
		if ran > waitSoon {
			pace = waitRare
		}
		if how == "" && !rollsBack && time.Since(recorded) < pace {
			continue
		}
		recorded = time.Now()
		if err := w.record(); err != nil {
			return err
		}
		if how != "" {
			if err := w.turn(how, why); err != nil {
				return err
			}
		}
		if rollsBack {
			return errByItself
		}
	}
}

// lookedOn writes down what the looking came to, before the answer.
func (w *watching) lookedOn() error {
	if err := w.record(); err != nil {
		return err
	}
	return w.turn(journal.TurnEnd, strings.Join(w.health().words, "; "))
}

func (w *watching) turn(how, why string) error {
	return w.e.append(journal.Event{Type: journal.Turned, Key: how, Err: why}, journal.Turn{Bad: w.bad()})
}

// bad is for how long a limit was passed in all.
func (w *watching) bad() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []soak.Stretch
	for _, p := range w.spec.Watch {
		all = append(all, w.probes[p.ID].series.Out()...)
	}
	return soak.Together(all)
}

// health is which limits are passed, and the worst that was told of each.
type health struct {
	now   map[string]float64 // probe and rule → share of guilty looks among the newest
	words []string
	told  map[string]float64
	well  bool
}

// health is how it is at this moment. One that belay has told is not told again.
func (w *watching) health() *health {
	h := &health{told: map[string]float64{}}
	h.see(w)
	h.well = len(h.now) == 0
	if t, turned := w.e.Log.State().Soak.Turn(); turned {
		h.well = t.How == journal.TurnBack || t.How == journal.TurnWell
	}
	h.tell()
	return h
}

func (h *health) see(w *watching) {
	w.mu.Lock()
	defer w.mu.Unlock()
	h.now, h.words = map[string]float64{}, nil
	for _, p := range w.spec.Watch {
		for _, ill := range w.probes[p.ID].series.Ill() {
			h.now[fmt.Sprint(p.ID, " ", ill.Rule)] = ill.Share
			h.words = append(h.words, p.Title+": "+ill.Why)
		}
	}
}

func (h *health) tell() {
	for id, share := range h.now {
		h.told[id] = max(h.told[id], share)
	}
}

// worse tells whether a further limit is passed, or one by far more than was
// told: by half as much again, and a tenth of all looks.
func (h *health) worse() bool {
	for id, share := range h.now {
		if told, known := h.told[id]; !known || share > told*1.5 && share > told+0.1 {
			return true
		}
	}
	return false
}

// look looks whether it has turned, and says how and why; "": it has not.
func (h *health) look(w *watching) (how, why string) {
	h.see(w)
	ill := len(h.now) > 0
	switch {
	case ill && h.well:
		how = journal.TurnAgain
	case !ill && !h.well:
		how, h.told = journal.TurnBack, map[string]float64{}
	case ill && h.worse():
		how = journal.TurnWorse
	default:
		return "", ""
	}
	h.well = !ill
	h.tell()
	if how == journal.TurnAgain { // its share only begins to rise: that is no news
		for id := range h.now {
			h.told[id] = 1
		}
	}
	return how, strings.Join(h.words, "; ")
}
