package engine

import (
	"context"
	"errors"
	"slices"
	"time"

	"belay/steps/journal"
	"belay/steps/plan"
)

// errAnew says that a question is asked anew, because what it says has changed.
var errAnew = errors.New("the window has begun or ended, or it is too late to go through and back within it")

// held has the gate of the cutover passed. The run stays held there for as long
// as people want: what the checklist proves is proved again whenever it has
// grown old, or when somebody asks for it.
func (e *Engine) held(ctx context.Context) error {
	defer e.standGuard(ctx)()
	for {
		q := e.cutoverQuestion()
		if old, open := e.Log.State().Open(journal.AskCutover, ""); open && old.Text != q.Text {
			if err := e.withdrawKind(journal.AskCutover, errAnew.Error()); err != nil {
				return err
			}
		}
		within, stop := e.tillVoided(e.tillEdge())
		a, err := e.askWithin(within, q)
		stop()
		switch {
		case errors.Is(err, errAnew):
			continue
		case err != nil:
			return err
		}
		if a.Choice == "go" || a.Choice == breakGlass {
			if err := e.evidence(); err != nil {
				return err
			}
			if e.missing(e.Log.State()) != "" {
				return errUnsigned
			}
			if err := e.Judge(q, a); err != nil {
				continue // things changed since it was given
			}
		}
		if err := e.decided(q, a); err != nil {
			return err
		}
		if a.Choice != "recheck" {
			return nil
		}
		if err := errors.Join(e.proveAll(ctx), e.evidence()); err != nil {
			return err
		}
	}
}

func (e *Engine) cutoverQuestion() journal.Question {
	needs, outside := "name", e.against()
	if outside != "" {
		needs = "name reason"
	}
	q := journal.Question{
		Kind:  journal.AskCutover,
		Title: "Cut over now?",
		Text:  e.cutoverText(outside),
		Items: outline(e.Plan.Cutover),
		Options: []journal.Option{
			{Choice: "go", Label: "cut over", Type: e.gateWord(), Needs: needs, Danger: true},
			{Choice: "no-go", Label: "no-go", Needs: "reason"},
			optRollback, optStop,
		},
	}
	if len(e.proofs()) > 0 {
		q.Options = append(q.Options[:1:1], append([]journal.Option{{Choice: "recheck", Label: "prove the checklist again now"}}, q.Options[1:]...)...)
	}
	return e.secondPerson(q)
}

// tillEdge is the halt, or the moment in which the window begins or ends, or in
// which it is too late to begin.
func (e *Engine) tillEdge() (context.Context, func()) {
	halt := e.halts.ctx()
	if w := e.Plan.Window; w != nil {
		for _, edge := range e.edges(w) {
			if left := edge.Sub(e.Now()); left >= 0 {
				return context.WithTimeoutCause(halt, left+time.Millisecond, errAnew)
			}
		}
	}
	return halt, func() {}
}

// edges are the moments in which the question says something else, in order.
func (e *Engine) edges(w *plan.Window) []time.Time {
	all := []time.Time{w.Start, w.End()}
	if at := e.lastSafe(e.Log.State()); !at.IsZero() {
		all = append(all, at)
	}
	slices.SortFunc(all, time.Time.Compare)
	return all
}
