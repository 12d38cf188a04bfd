package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"belay/steps/journal"
	"belay/steps/plan"
	"belay/steps/soak"
)

// soak watches for as long as the plan says, and proposes rollback when a
// limit is passed. Only a healthy verdict goes on by itself.
func (e *Engine) soak(ctx context.Context) error {
	spec := e.Plan.Soak
	if spec == nil {
		return nil
	}
	leave := e.countLosses(ctx, max(lossEvery, spec.For/120), lossEvery)
	defer leave()
	until := e.Log.State().Soak.Until
	if until.IsZero() {
		until = e.Now().Add(spec.For).UTC()
		if err := e.append(journal.Event{Type: journal.SoakBegun}, journal.SoakPlan{Until: until}); err != nil {
			return err
		}
	}
	if err := e.interrupted(); err != nil {
		return err
	}
	for {
		found, err := e.verdict(ctx, spec, until)
		if err != nil || found.verdict == soak.Healthy {
			return err
		}
		a, err := e.judgement(ctx, spec, found, until)
		switch {
		case errors.Is(err, errRecovered), errors.Is(err, errByItself):
			continue
		case err != nil:
			return err
		case a.Choice == "accept":
			return nil
		}
		if !e.Now().Before(until) {
			until = e.Now().Add(spec.For).UTC()
		}
		if err := e.append(journal.Event{Type: journal.SoakBegun}, journal.SoakPlan{Until: until}); err != nil {
			return err
		}
	}
}

// judged is what a watch came to.
type judged struct {
	verdict, why string
	trigger      *plan.Trigger // that fired; nil when the watch came to its end
}

// verdict watches and records what that came to. A verdict that a person has
// been asked about, before belay ended, stands.
func (e *Engine) verdict(ctx context.Context, spec *plan.Soak, until time.Time) (judged, error) {
	s := e.Log.State()
	if _, open := s.Open(journal.AskSoak, ""); open && s.Soak.Verdict != "" {
		return judged{verdict: s.Soak.Verdict, why: s.Soak.Why}, nil
	}
	w := e.watching(ctx, spec)
	found, err := w.watch(until)
	w.stop()
	if err != nil {
		return found, err
	}
	return found, e.append(journal.Event{Type: journal.Verdict, Key: found.verdict, Err: found.why}, nil)
}

// judgement has a person decide, or a countdown that nobody stops.
func (e *Engine) judgement(ctx context.Context, spec *plan.Soak, found judged, until time.Time) (journal.Answer, error) {
	if t := found.trigger; t != nil && t.Then == plan.Automatic && e.Log.State().Soak.Manual == nil {
		a, err := e.countdown(ctx, spec, found, until)
		if err != nil || a.Choice != choiceHold {
			return a, err
		}
	}
	return e.propose(ctx, spec, found, until)
}

// propose has a person decide. While the soak lasts belay looks on: a limit that
// rolls back by itself is not held up by a question that nobody answers.
func (e *Engine) propose(ctx context.Context, spec *plan.Soak, found judged, until time.Time) (journal.Answer, error) {
	q, left := e.soakQuestion(found, until), until.Sub(e.Now())
	byItself := slices.ContainsFunc(spec.RollbackWhen, func(t plan.Trigger) bool { return t.Then == plan.Automatic })
	if !byItself || left <= 0 || e.Log.State().Soak.Manual != nil {
		q.Text += "\nNobody looks while this waits: what the probes say is from when it came up."
		return e.decide(ctx, q)
	}
	w := e.watching(ctx, spec)
	defer w.stop()
	asking, end := context.WithCancelCause(e.halts.ctx())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := w.lookOut(asking, min(left, spec.For)); err != nil {
			end(err)
		}
	})
	a, err := e.askWithin(asking, q)
	end(nil)
	wg.Wait()
	switch {
	case err == nil:
		return a, e.decided(q, a)
	case e.halts.cause() == nil && errors.Is(err, errByItself):
		return a, errors.Join(err, e.withdrawKind(journal.AskSoak, errByItself.Error()))
	}
	return a, err
}

// lookOut looks on for so long; errByItself: a limit that rolls back by itself
// is passed.
func (w *watching) lookOut(ctx context.Context, left time.Duration) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for time.Since(w.begun) < left {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		_, ok := w.byItself()
		if err := w.record(); err != nil || ok {
			return cmp.Or(err, errByItself)
		}
	}
	return nil
}

func (e *Engine) soakQuestion(found judged, until time.Time) journal.Question {
	text := found.why
	if left := until.Sub(e.Now()).Round(time.Second); left > 0 {
		text += fmt.Sprintf("\nThe soak has %s to go.", left)
	}
	if e.GoingBack != nil {
		if takes := e.GoingBack(e.Log.State()); takes != "" {
			text += "\nGoing back: " + takes
		}
	}
	if m := e.Log.State().Soak.Manual; m != nil {
		text += fmt.Sprintf("\n%s stopped a countdown at %s; belay rolls nothing back by itself any more.", m.By.Who(), m.Time.Local().Format("15:04:05"))
	}
	return journal.Question{
		Kind: journal.AskSoak, Title: "Soak is " + found.verdict + ". Roll back?", Text: text,
		Options: []journal.Option{
			optRollback,
			{Choice: "extend", Label: "keep watching", Needs: "reason"},
			{Choice: "accept", Label: "accept it as it is and end the soak", Needs: "reason", Danger: true},
			optStop,
		},
	}
}
