package engine

import (
	"context"
	"errors"
	"fmt"
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
		choice, err := e.judgedSoak(ctx, spec, until)
		switch {
		case errors.Is(err, errRecovered), errors.Is(err, errByItself):
			continue
		case err != nil || choice == "accept":
			return err
		}
		if !e.Now().Before(until) {
			until = e.Now().Add(spec.For).UTC()
		}
		if err := e.append(journal.Event{Type: journal.SoakBegun}, journal.SoakPlan{Until: until}); err != nil {
			return err
		}
	}
}

// judgedSoak watches and returns what becomes of that: "accept" or "extend". What
// somebody said before belay ended is said.
func (e *Engine) judgedSoak(ctx context.Context, spec *plan.Soak, until time.Time) (choice string, err error) {
	if said := e.Log.State().Soak.Said; said != nil {
		return said.Choice, nil
	}
	found, err := e.verdict(ctx, spec, until)
	if err != nil || found.verdict == soak.Healthy {
		return "accept", err
	}
	a, err := e.judgement(ctx, spec, found, until)
	return a.Choice, err
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
