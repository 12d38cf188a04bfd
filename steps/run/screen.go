package run

import (
	"context"
	"maps"
	"strconv"

	"belay/steps"
	"belay/steps/journal"
	"belay/steps/plan"
)

// The methods of Session.

// Plan is the run's copy of the plan.
func (r *Run) Plan() *plan.Plan { return r.plan }

// Dir is the run directory.
func (r *Run) Dir() string { return r.dir }

// State is the newest snapshot.
func (r *Run) State() *journal.State { return r.journal.State() }

// Live is a snapshot of what is not journaled.
func (r *Run) Live() Live {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.live
	l.Lights = maps.Clone(l.Lights)
	l.Progress = make(map[string]map[string]steps.Progress, len(r.live.Progress))
	for step, hosts := range r.live.Progress {
		l.Progress[step] = maps.Clone(hosts)
	}
	return l
}

// Events returns the journal's events after seq.
func (r *Run) Events(seq uint64) []journal.Event { return r.journal.Events(seq) }

// ErrNotWaiting says that a question is open but the engine is not at it yet.
var ErrNotWaiting = journal.Refuse("belay is not waiting for an answer at this very moment; try again")

// Ask waits for an answer to an open question: engine.Operator.
func (r *Run) Ask(ctx context.Context, q journal.Question) (journal.Answer, error) {
	ch := make(chan journal.Answer, 1)
	r.mu.Lock()
	r.answers[q.ID] = ch
	r.mu.Unlock()
	select {
	case a := <-ch:
		return a, nil
	case <-ctx.Done():
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.answers, q.ID)
	select {
	case a := <-ch: // it came first after all, and whoever gave it was told that it counts
		return a, nil
	default:
		return journal.Answer{}, context.Cause(ctx)
	}
}

// Waiting tells whether the engine waits for an answer to that question now,
// and none is on its way.
func (r *Run) Waiting(question string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.answers[question] != nil
}

// Answer hands an answer to the engine, if its question waits for one and the
// answer can be taken. The first of two answers wins; the other is stale.
func (r *Run) Answer(_ context.Context, a journal.Answer) error {
	for _, q := range r.State().Questions {
		if q.ID != a.Question {
			continue
		}
		if err := r.engine.Judge(q, a); err != nil {
			return err
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		ch := r.answers[q.ID]
		if ch == nil {
			return ErrNotWaiting
		}
		delete(r.answers, q.ID) // it takes one answer
		ch <- a
		return nil
	}
	return &StaleError{a.Question}
}

// Note puts a sentence into the record of the run.
func (r *Run) Note(text string) error {
	return redacting{r.journal, r.red}.Append(journal.Event{Type: journal.Noted, Key: text})
}

// asked names the requests that go into the record.
var asked = map[string]string{
	WantStop:     "stopping after the running step",
	WantCancel:   "ending the running commands",
	WantRollback: "rolling back",
}

// Request asks the engine for something outside of any question.
func (r *Run) Request(ctx context.Context, req Request) error {
	if what := asked[req.What]; what != "" {
		text := what + " was asked for by " + req.By.WhoFrom()
		if req.Reason != "" {
			text += ": " + req.Reason
		}
		if err := r.Note(text); err != nil {
			return err
		}
	}
	switch req.What {
	case WantStop:
		r.engine.Stop()
	case WantCancel:
		r.engine.Cancel()
	case WantRollback:
		r.engine.WantRollback()
	case WantRecheck:
		for _, q := range r.State().Questions {
			if _, ok := q.Option("recheck"); ok {
				return r.Answer(ctx, journal.Answer{Question: q.ID, Choice: "recheck", By: req.By})
			}
		}
		return journal.Refuse("nothing waits to be checked again")
	}
	return nil
}

// Prompt is the oldest question that is never written down; nil without one.
func (r *Run) Prompt() *Prompt {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.prompts) == 0 {
		return nil
	}
	return r.prompts[0]
}

// Prompted shows p on the screens and waits for the reply; ok is false when it
// was refused or ctx has ended.
func (r *Run) Prompted(ctx context.Context, p Prompt) (text string, ok bool) {
	type reply struct {
		text string
		ok   bool
	}
	got := make(chan reply, 1)
	p.Reply = func(text string, ok bool) {
		select {
		case got <- reply{text, ok}:
		default: // two screens replied: the first wins
		}
	}
	r.mu.Lock()
	r.nextID++
	p.ID = "p" + strconv.Itoa(r.nextID)
	r.prompts = append(r.prompts, &p)
	r.mu.Unlock()
	defer r.unprompt(&p)
	select {
	case a := <-got:
		return a.text, a.ok
	case <-ctx.Done():
		return "", false
	}
}

func (r *Run) unprompt(p *Prompt) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, q := range r.prompts {
		if q == p {
			r.prompts = append(r.prompts[:i:i], r.prompts[i+1:]...)
			return
		}
	}
}
