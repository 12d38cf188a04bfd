package engine

import (
	"context"
	"fmt"

	"belay/steps/journal"
)

// The options that several questions share.
var (
	optRetry    = journal.Option{Choice: "retry", Label: "try again"}
	optRecheck  = journal.Option{Choice: "recheck", Label: "I fixed it: check again"}
	optSkip     = journal.Option{Choice: "skip", Label: "skip it", Needs: "reason", Danger: true}
	optRollback = journal.Option{Choice: "rollback", Label: "roll back", Danger: true}
	optDebt     = journal.Option{Choice: "skip", Label: "leave it as a debt and go on", Needs: "reason", Danger: true}
	optStop     = journal.Option{Choice: "stop", Label: "stop here; resume later"}
)

// ask puts q to the operator. A question of the same kind about the same step
// that is still open (from before a crash) keeps its id. The answer is not
// recorded yet: the caller says what it means, by closing or signing.
func (e *Engine) ask(ctx context.Context, q journal.Question) (journal.Answer, error) {
	return e.askWithin(e.halts.ctx(), q)
}

// askWithin is ask until ctx ends, which ends with the halt.
func (e *Engine) askWithin(ctx context.Context, q journal.Question) (journal.Answer, error) {
	s := e.Log.State()
	if old, ok := s.Open(q.Kind, q.Step); ok {
		q = old
	} else {
		q.ID = fmt.Sprintf("q%d", s.Seq+1)
		if err := e.append(journal.Event{Type: journal.Asked, Step: q.Step, Key: q.ID}, q); err != nil {
			return journal.Answer{}, err
		}
	}
	a, err := e.Operator.Ask(ctx, q)
	if err != nil {
		if cause := e.halts.cause(); cause != nil {
			err = cause
		}
		return a, err
	}
	a.Question, a.Time = q.ID, e.Now().UTC()
	return a, nil
}

// closeQuestion records the answer that ends its question.
func (e *Engine) closeQuestion(q journal.Question, a journal.Answer) error {
	return e.append(journal.Event{Type: journal.Answered, Step: q.Step, Key: a.Question}, a)
}

// decide asks, records the answer and returns its choice; the choices that
// mean the same everywhere come back as errors.
func (e *Engine) decide(ctx context.Context, q journal.Question) (journal.Answer, error) {
	a, err := e.ask(ctx, q)
	if err != nil {
		return a, err
	}
	return a, e.decided(q, a)
}

// decided records the answer; see decide.
func (e *Engine) decided(q journal.Question, a journal.Answer) error {
	if err := e.closeQuestion(q, a); err != nil {
		return err
	}
	switch a.Choice {
	case "stop":
		e.halts.now(errStop)
		return errStop
	case "rollback":
		e.halts.now(errRollback)
		return errRollback
	case "no-go":
		e.halts.now(errNoGo)
		return errNoGo
	}
	return nil
}

// Judge tells whether an answer that fits its question may be taken now. It is
// asked before the answer is handed over, so that who gave it hears at once.
func (e *Engine) Judge(q journal.Question, a journal.Answer) error {
	if err := q.Check(a); err != nil {
		return err
	}
	s := e.Log.State()
	switch {
	case q.Kind == journal.AskFindings && a.Choice == "accept":
		return judgeAccept(s, a)
	case q.Kind == journal.AskFindings && a.Choice == "go":
		return judgeFindings(s)
	case q.Kind == journal.AskSignoff && a.Choice == "sign":
		return e.judgeSign(s, a)
	case q.Kind == journal.AskSignoff && a.Choice == "go":
		return e.judgeGo(s, a)
	case q.Kind == journal.AskCutover && (a.Choice == "go" || a.Choice == breakGlass):
		return e.judgeCutover(s, a)
	}
	return nil
}
