package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"belay/steps/journal"
	"belay/steps/plan"
	"belay/steps/soak"
)

// choiceHold is the answer that stops a countdown and decides nothing else.
const choiceHold = "hold"

var (
	errRanOut    = errors.New("the countdown ran out")
	errRecovered = errors.New("back within the limits")
	errByItself  = errors.New("a limit is passed now for which the plan lets belay roll back by itself")
)

// fresh is how many answers belay must have seen during a countdown itself.
const fresh = 3

// countdown rolls back unless somebody answers before it has run out, or the
// probes come back within the limits. The answer hold leaves the decision to a
// question without a countdown.
func (e *Engine) countdown(ctx context.Context, spec *plan.Soak, found judged, until time.Time) (journal.Answer, error) {
	t := found.trigger
	q := e.soakQuestion(found, until)
	way := ""
	if t.Way != "" {
		way = " (" + t.Way + ")"
	}
	q.Text += fmt.Sprintf("\nThe plan lets belay roll back by itself%s: it begins at %s, after %s, unless somebody answers. Any answer stops the countdown.",
		way, e.Now().Add(t.Countdown).Local().Format("15:04:05"), soak.Span(t.Countdown))
	q.Options = append([]journal.Option{{Choice: choiceHold, Label: "stop the countdown, and decide by hand"}}, q.Options...)
	q.ID = fmt.Sprintf("q%d", e.Log.State().Seq+1)
	if err := e.openQuestion(&q); err != nil {
		return journal.Answer{}, err
	}
	w := e.watching(ctx, spec)
	defer w.stop()
	from := w.watched()
	count := journal.Countdown{Question: q.ID, Until: e.Now().Add(t.Countdown).UTC(), Length: t.Countdown, Why: found.why, Way: t.Way}
	if err := e.append(journal.Event{Type: journal.Counting, Key: journal.CountBegun}, count); err != nil {
		return journal.Answer{}, err
	}
	asking, end := context.WithCancelCause(e.halts.ctx())
	var wg sync.WaitGroup
	wg.Go(func() { end(w.count(asking, t, from)) })
	a, err := e.askWithin(asking, q)
	end(nil)
	wg.Wait()
	if err == nil { // somebody has spoken: that ends the countdown, too
		return a, e.decided(q, a)
	}
	if why := context.Cause(asking); e.halts.cause() == nil && (errors.Is(why, errRanOut) || errors.Is(why, errRecovered)) {
		return a, e.counted(q, count, why)
	}
	return a, err
}

// openQuestion writes the question down, so that the countdown can name it.
func (e *Engine) openQuestion(q *journal.Question) error {
	return e.append(journal.Event{Type: journal.Asked, Key: q.ID}, *q)
}

// count waits until the countdown has run out, and belay has seen meanwhile
// that the limit is passed still; or that it is not any more.
func (w *watching) count(ctx context.Context, t *plan.Trigger, from time.Duration) error {
	begun, recorded := time.Now(), time.Now()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
		if time.Since(recorded) >= time.Second {
			recorded = time.Now()
			if err := w.record(); err != nil {
				return err
			}
		}
		over, seen := w.passed(t, from)
		switch {
		case !over:
			return errors.Join(errRecovered, w.record())
		case seen && time.Since(begun) >= t.Countdown:
			return errors.Join(errRanOut, w.record())
		}
	}
}

// passed tells whether a trigger's limit is passed by a probe now, and whether
// what has been seen since from says so by itself: by some answers, and one at
// least that is guilty.
func (w *watching) passed(t *plan.Trigger, from time.Duration) (over, seen bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.spec.RollbackWhen {
		if &w.spec.RollbackWhen[i] != t {
			continue
		}
		for _, p := range w.spec.Watch {
			q, n := w.probes[p.ID], 0
			for k := len(q.looks) - 1; k >= 0 && q.looks[k].At >= from.Milliseconds(); k-- {
				if q.looks[k].Was != journal.LookUnknown {
					n++
				}
			}
			now, guilty := q.series.Passed(i, from)
			over, seen = over || now, seen || now && guilty && n >= fresh
		}
	}
	return over, seen
}

// counted is the end of a countdown that nobody stopped.
func (e *Engine) counted(q journal.Question, c journal.Countdown, why error) error {
	if errors.Is(why, errRecovered) {
		if err := e.append(journal.Event{Type: journal.Counting, Key: journal.CountRecovered}, c); err != nil {
			return err
		}
		if err := e.withdrawKind(journal.AskSoak, errRecovered.Error()); err != nil {
			return err
		}
		return errRecovered
	}
	if err := e.append(journal.Event{Type: journal.Counting, Key: journal.CountRanOut}, c); err != nil {
		return err
	}
	a := journal.Answer{Question: q.ID, Choice: "rollback", By: journal.Author{Name: "belay", Login: "belay"}, Time: e.Now().UTC(),
		Reason: fmt.Sprintf("nobody stopped the countdown of %s: %s", soak.Span(c.Length), c.Why)}
	if err := e.closeQuestion(q, a); err != nil {
		return err
	}
	if err := e.append(journal.Event{Type: journal.RollbackBegun, Key: c.Way}, a); err != nil {
		return err
	}
	e.halts.now(errRollback)
	return errRollback
}

// interrupted ends the countdown of a belay that is gone. Nothing is rolled
// back on its word: this one looks for itself, and counts anew. Its question
// goes too, also where that belay died before the countdown was written down, or
// between the end of the one and of the other.
func (e *Engine) interrupted() error {
	s := e.Log.State()
	c := s.Soak.Countdown
	if q, open := s.Open(journal.AskSoak, ""); open && c == nil {
		if _, counts := q.Option(choiceHold); counts {
			c = &journal.Countdown{Question: q.ID}
		}
	}
	if c == nil {
		return nil
	}
	if err := e.append(journal.Event{Type: journal.Counting, Key: journal.CountInterrupted}, *c); err != nil {
		return err
	}
	return e.withdrawKind(journal.AskSoak, "belay ended during the countdown; it looks again, and counts anew if need be")
}
